// What every page has: texts, the title of the window, notices, drop and paste of photographs.

const facts = JSON.parse(document.getElementById("facts").textContent);

export const { held, language, limits, model, version } = facts;

// Whose photographs wait on this device: of who has signed in, "" for nobody.  A page that is held
// for use without a network is nobody's, and remembers who it was until that person signs out.
const PERSON = "flukeprint-person";
export const person = whose();
function whose() {
  try {
    if (held) return localStorage.getItem(PERSON) || "";
    if (facts.person) localStorage.setItem(PERSON, facts.person);
    else localStorage.removeItem(PERSON);
  } catch {
    // keeping is forbidden
  }
  return facts.person || "";
}

// What a change of somebody who has signed in needs.  It is not in the page itself, whose
// compressed length would give it away letter by letter to who can make us ask for pages.
let asked = null;
export async function headers() {
  if (!facts.signed_in && !person) return {};
  asked = asked || fetch("/v1/session").then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));
  const { csrf } = await asked;
  if (!csrf) asked = null; // ask again the next time
  return csrf ? { "X-CSRF-Token": csrf } : {};
}

export function translate(key, values = {}) {
  const text = facts.texts[key] || "";
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export const at = (id) => document.getElementById(id);

// An element with attributes and children; texts are never read as markup.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A message that stays while the service cannot be reached, and goes when it can.
let watching = null;
export function gone(lost) {
  const note = at("gone");
  note.hidden = !lost;
  note.textContent = lost ? translate("gone") : "";
  if (lost) {
    watching = watching || setInterval(look, 3000);
    return;
  }
  clearInterval(watching);
  watching = null;
  for (const act of [...returned]) {
    returned.delete(act);
    act();
  }
}

// Whether the service was not reached when it was asked last.
export const away = () => !at("gone").hidden;

const returned = new Set(); // what is done when the service can be reached again

// Calls an act once, when the service can be reached again, whoever finds that out; also where it
// was found between the loss and this call.
export function whenBack(act) {
  returned.add(act);
  watching = watching || setInterval(look, 3000);
}

async function look() {
  try {
    const answer = await fetch("/v1/ready", { cache: "no-store" });
    await answer.arrayBuffer(); // one that nobody reads keeps its connection
    if (!answer.ok) return;
  } catch {
    return;
  }
  gone(false);
}

window.addEventListener("online", () => { if (watching !== null) look(); });
window.addEventListener("offline", () => gone(true));

// Clicks on elements with data-act; each page's script adds its own.
export const acts = {
  choose: (from) => at(from.dataset.input).click(),
};

// A link to a comparison that is shown over the page; one for a new window stays a link.
// told: as of `compareHere`.
export async function compareOver(link, event, told) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { compareHere } = await import("./compare_here.js");
  compareHere(link, told);
}

document.addEventListener("click", (event) => {
  const from = event.target.closest("[data-act]");
  if (from && acts[from.dataset.act]) acts[from.dataset.act](from, event);
});

// Photographs that are chosen, dropped on the page or pasted: take(files, id of the input or null).
export function takePhotographs(take) {
  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!input.matches('input[type="file"]')) return;
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length > 0) take(files, input.id);
  });
  const carriesFiles = (event) =>
    event.dataTransfer !== null && [...event.dataTransfer.types].includes("Files");
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    dragging(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) dragging(false);
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // otherwise the browser would open the photograph instead of the page
    dragging(false);
    take([...event.dataTransfer.files], null);
  });
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? [...event.clipboardData.files] : [];
    if (files.length === 0) return; // text, for a field
    event.preventDefault();
    take(files, null);
  });
}

if (held) {
  gone(true); // until the service is found
  look();
}
at("drop-over").dataset.text = translate("drop");
document.documentElement.classList.add("with-scripts");
