// Photographs that wait on this device until the service can be reached.
import { at, element, gone, language, person, translate, whenBack } from "./page.js";
import { forget, preview, smallPicture } from "./sending.js";
import { all, drop, put } from "./store.js";

const MOST = 200; // photographs

let handlers = { answer: async () => null, show: () => {} };
let pictures = []; // object URLs that are shown
let sending = false;
const told = at("waiting-told");
const waits = ({ refused }) => !refused;
const mine = async () => (await all()).filter(({ owner }) => owner === person);

// act: answer(part, job, report) asks, show(entry) shows an answer.
export async function start(act) {
  handlers = act;
  await render();
  if ((await mine()).some(waits)) sendAll();
}

// Keeps the parts of a question; false where the browser has no room, or keeps nothing.
export async function keepWaiting(parts, name) {
  gone(true);
  try {
    if ((await all()).length >= MOST) {
      await render();
      told.textContent = translate("waiting_full", { most: MOST });
      return true;
    }
    await put({ owner: person, kept: Date.now(), name, parts });
  } catch {
    return false;
  }
  if (navigator.storage && navigator.storage.persist) navigator.storage.persist();
  await render();
  whenBack(sendAll);
  return true;
}

export async function sendAll() {
  if (sending) return;
  sending = true;
  told.textContent = "";
  try {
    // Another window of this page may be sending them.
    if (navigator.locks) await navigator.locks.request("flukeprint-waiting", { ifAvailable: true }, (lock) => lock && sendEach());
    else await sendEach();
  } finally {
    sending = false;
    await render();
  }
}

async function sendEach() {
  for (const item of (await mine()).filter(waits)) {
    while (item.parts.length > 0) {
      const [part] = item.parts;
      told.textContent = translate("sending");
      const outcome = await handlers.answer(part, { cancelled: false, request: null }, () => {});
      told.textContent = "";
      if (!outcome || outcome.state === "lost") {
        gone(true);
        whenBack(sendAll);
        return;
      }
      if (outcome.state === "problem" && [401, 403, 429, 502, 503, 504].includes(outcome.status)) {
        const signIn = outcome.status === 401 || outcome.status === 403;
        told.textContent = translate(signIn ? "waiting_sign_in" : "waiting_busy");
        return;
      }
      gone(false);
      await handlers.show({ outcome, picture: part.picture || (await pictureOf(part)), title: item.name });
      if (outcome.state !== "answer") {
        await put({ ...item, refused: true });
        break;
      }
      item.parts.shift();
      if (item.parts.length > 0) await put(item);
    }
    if (item.parts.length === 0) await drop(item.id);
    await render();
  }
}

async function pictureOf({ files: [file] }) {
  const photo = await preview(file);
  try {
    return (await smallPicture(photo, 320)).url;
  } catch {
    return "";
  } finally {
    forget([photo]);
  }
}

async function render() {
  for (const url of pictures) URL.revokeObjectURL(url);
  pictures = [];
  const everybodys = await all();
  const own = everybodys.filter(({ owner }) => owner === person);
  const others = everybodys.length - own.length;
  at("waiting").hidden = everybodys.length === 0;
  const waiting = own.filter(waits).length;
  const said = waiting === 1 ? "waiting_one" : "waiting_count";
  at("waiting-count").textContent = waiting > 0 ? translate(said, { count: waiting }) : "";
  at("waiting-others").textContent = others > 0 ? translate("waiting_others", { count: others }) : "";
  at("waiting-send").hidden = waiting === 0;
  at("waiting-list").replaceChildren(...own.map(row));
}

function row(item) {
  const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(item.kept);
  const animals = item.parts.filter(({ picture }) => picture).length;
  const words = item.refused ? translate("waiting_refused") : animals > 1 ? translate("waiting_animals", { count: animals }) : "";
  const [part] = item.parts;
  const url = part.picture || URL.createObjectURL(part.files[0]);
  if (!part.picture) pictures.push(url);
  const picture = element("img", { src: url, alt: "", class: "thumb" });
  picture.addEventListener("error", () => { picture.hidden = true; }); // a format that it cannot show
  const button = element("button", {
    class: "button plain small", type: "button", "aria-label": translate("waiting_delete", { name: item.name }),
  }, translate("delete"));
  button.addEventListener("click", async () => {
    await drop(item.id);
    await render();
    (at("waiting").hidden ? at("identify-choose") : at("waiting-title")).focus();
  });
  return element("li", {}, picture, element(
    "div", {}, element("span", { class: "file" }, item.name), element("span", { class: "label" }, `${when} ${words}`.trim()),
  ), button);
}

at("waiting-send").addEventListener("click", sendAll);
let sure = false;
at("waiting-delete").addEventListener("click", async ({ currentTarget }) => {
  sure = !sure;
  currentTarget.textContent = translate(sure ? "waiting_sure" : "waiting_delete_all");
  if (sure) return;
  const own = await mine();
  for (const { id } of own.length > 0 ? own : await all()) await drop(id);
  await render();
  at("identify-choose").focus();
});
