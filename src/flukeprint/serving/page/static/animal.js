// An animal's page: keepers change it with forms, and changes are taken back with one click.
import { ask, why } from "./api.js";
import { acts, at, element, translate } from "./page.js";

acts.undo = async (from) => {
  from.disabled = true;
  const taken = await ask("POST", from.dataset.undo);
  if (taken.ok) {
    window.location.reload();
    return;
  }
  at("undo-said").textContent = why(taken);
  from.disabled = false;
};

// ---- forms: the names of their fields are those of the API's body

const NUMBERS = new Set(["other", "animal"]);

function bodyOf(form) {
  const body = {};
  for (const [name, text] of new FormData(form)) {
    if (name === "photo") continue; // in the address
    const value = text.trim();
    if (value !== "") body[name] = NUMBERS.has(name) ? Number(value) : value;
    else if (form.dataset.whole === "yes" && name !== "reason") body[name] = null;
  }
  return body;
}

async function send(form, more) {
  const said = form.querySelector(".said");
  const button = form.querySelector("button:not([type])");
  const chosen = new FormData(form).get("photo");
  button.disabled = true;
  const done = await ask("POST", form.dataset.post.replace("{photo}", encodeURIComponent(chosen)), { ...bodyOf(form), ...more });
  if (done.ok) {
    window.location.reload();
    return;
  }
  button.disabled = false;
  said.textContent = why(done);
  const forced = ["edit-rename", "edit-alias", "edit-move"].includes(form.id);
  if (done.status !== 409 || !forced || more.force) return;
  const anyway = element("button", { class: "button plain small", type: "button" }, translate("queue_anyway"));
  anyway.addEventListener("click", () => send(form, { force: true }));
  said.append(" ", anyway);
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.post) return;
  event.preventDefault();
  const { id } = event.target;
  const other = event.target.querySelector('input[type="hidden"]');
  const named = event.target.querySelector('[name="new_name"]');
  if (other && other.value === "" && !(named && named.value.trim())) {
    event.target.querySelector(".said").textContent = translate("edit_choose");
    at(`${id}-${other.name}`).focus();
    return;
  }
  send(event.target, {});
});

// ---- another animal is found by any of its names

let typing = null;
document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.dataset.finds) return;
  at(`${field.id}-id`).value = "";
  at(`${field.id}-chosen`).textContent = "";
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const text = field.value.trim();
    const found = text ? await ask("GET", `/v1/animals?limit=8&q=${encodeURIComponent(text)}`) : null;
    if (field.value.trim() !== text) return;
    const animals = found && found.ok ? found.body.animals : [];
    at(`${field.id}-found`).replaceChildren(...animals.map(({ id, name }) => element(
      "li", {}, element("button", { class: "link", type: "button", "data-act": "chosen", "data-field": field.id, "data-animal": id }, name),
    )));
  }, 200);
});

function choose(field, animal, name) {
  at(`${field}-id`).value = animal;
  at(field).value = name;
  at(`${field}-chosen`).textContent = name;
  at(`${field}-found`).replaceChildren();
}

Object.assign(acts, {
  chosen: (from) => {
    choose(from.dataset.field, from.dataset.animal, from.textContent);
    at(from.dataset.field).focus();
  },
  // "Could be the same as" fills in the form; who keeps the catalogue sends it.
  same: (from) => {
    at("edits").open = true;
    choose("edit-merge-other", from.dataset.animal, from.dataset.name);
    const button = at("edit-merge").querySelector("button:not([type])");
    at("edit-merge").scrollIntoView({ block: "center" });
    button.focus({ preventScroll: true });
  },
});
