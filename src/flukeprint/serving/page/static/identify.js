// The first page: photographs of one encounter are sent as soon as they are chosen, unless the
// person wants to say more about them first.  What cannot be sent waits on this device.
import { acts, at, away, compareOver, element, gone, limits, takePhotographs, translate, whenBack } from "./page.js";
import { Flow, fetchBlob, forget, prepared, preview, previewView, send, shown, smallPicture, withheld } from "./sending.js";

const PATH = "/v1/identify";
const NOTHING = { boxes: [], date: "", at: "" };
const flow = new Flow("identify", PATH, limits.max_photos);
let previews = [];
let chosen = []; // the files of the person, as they are
let entries = []; // what was answered: {outcome, picture, title}
let again = () => {};

function showPreviews() {
  at("identify-photos-view").replaceChildren(...previews.map(previewView));
  at("identify-box").hidden = !(chosen.length === 1 && previews.length === 1 && previews[0].shown);
}

// A new question: whatever was there goes.
function begin(files) {
  flow.cancel();
  flow.forgetKept();
  at("choosing").dispatchEvent(new Event("replaced"));
  at("choosing").hidden = true;
  forget(previews);
  previews = [];
  flow.pictures = [];
  flow.files = files;
  chosen = files;
  showPreviews();
}

// What is below an answer makes room for it at once, not when it comes.
function awaited(on) {
  at("identify-result").classList.toggle("awaited", on);
}

async function take(files) {
  const want = { boxes: at("first-boxes").checked, taken: Boolean(at("first-taken") && at("first-taken").checked) };
  if (want.boxes || want.taken) await hold(files, want);
  else await identify(files);
}

// Lets the person say more before the photographs are sent.
async function hold(files, want) {
  begin(files);
  awaited(false);
  await showEntries([]);
  const { choose } = await import("./choosing.js");
  const asked = await choose(files, want);
  if (asked && chosen === files) await identify(files, asked);
  else if (chosen === files) at("identify-choose").focus();
}

// What goes to the API, a part for each animal: {files, fields, picture}.
async function partsOf(files, asked) {
  const { date, at: place } = asked;
  if (asked.boxes.length === 0) {
    return [{ files: await Promise.all(files.map(prepared)), fields: { date, at: place }, picture: "" }];
  }
  const { cutOut } = await import("./choosing.js");
  const parts = [];
  for (const box of asked.boxes) {
    const { file, box: share, picture } = await cutOut(files[0], box);
    parts.push({ files: [file], fields: { box: share, date, at: place }, picture });
  }
  return parts;
}

async function identify(files, asked = NOTHING) {
  begin(files);
  awaited(true);
  again = () => identify(files, asked);
  try {
    await identified(files, asked);
  } finally {
    if (chosen === files) awaited(false);
  }
}

async function identified(files, asked) {
  const made = Promise.all(files.map(preview));
  const parts = await partsOf(files, asked);
  const refused = parts.map((part) => withheld(part.files, limits.max_photos)).find(Boolean);
  if (chosen !== files) { // other files were chosen meanwhile
    forget(await made);
    if (!refused && away()) await wait(parts, files);
    return;
  }
  const answered = refused ? showEntries([{ outcome: refused }]) : ask(parts, files);
  const pictures = await made;
  if (chosen !== files) {
    forget(pictures);
    return;
  }
  if (refused) forget(pictures);
  else previews = pictures;
  showPreviews();
  const kept = await Promise.all(previews.map((photo) => smallPicture(photo).catch(() => ({ ...photo, url: "", shown: false }))));
  if (chosen === files) flow.pictures = kept;
  await answered;
  if (chosen === files && entries.length > 0) keep();
}

// Sends the parts one after the other and shows their answers.
async function ask(parts, files) {
  const job = (flow.job = { cancelled: false, request: null });
  await showEntries([]);
  const found = [];
  for (const [number, part] of parts.entries()) {
    const outcome = await answerTo(part, job, (state) => flow.progress(state));
    if (job.cancelled || outcome === null) {
      // Without a network the next photograph takes nothing from the one before it.
      if (chosen !== files && away()) await wait(parts.slice(number), files);
      return;
    }
    if (outcome.state === "lost") {
      flow.job = null;
      flow.progress(null);
      await wait(parts.slice(number), files);
      break;
    }
    found.push({ outcome, picture: part.picture, title: translate("animal", { number: number + 1 }) });
  }
  flow.job = null;
  flow.progress(null);
  if (found.length === 0) return;
  await showEntries(found);
  comeToResult();
}

// The outcome of a part.  Where time and place tell a catalogue nothing, it is asked without them.
async function answerTo(part, job, report) {
  const tell = (state) => { if (!job.cancelled) report(state); };
  const outcome = await send(PATH, part.files, job, tell, false, part.fields);
  const { date, at: place } = part.fields;
  if (!outcome || outcome.status !== 409 || !(date || place)) return outcome;
  return send(PATH, part.files, job, tell, false, { ...part.fields, date: "", at: "" });
}

function comeToResult() {
  const result = at("identify-result");
  const { top } = result.getBoundingClientRect();
  if (top >= 0 && top < 0.6 * window.innerHeight) return;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  result.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}

// One answer is shown alone; of several each with its number and picture.
async function showEntries(wanted) {
  entries = wanted;
  if (wanted.length < 2 && !(wanted[0] && wanted[0].picture)) {
    await flow.show(wanted.length ? wanted[0].outcome : null);
    keep();
    return;
  }
  const made = [];
  for (const [number, { outcome, picture, title: given }] of wanted.entries()) {
    // Photographs from two folders may have one name.
    const alone = wanted.filter((one) => one.title === given).length < 2;
    const title = alone ? given : `${given} (${number + 1})`;
    const found = await shown("identify", outcome);
    if (found === null) {
      whenBack(() => { if (entries === wanted) showEntries(wanted); });
      return;
    }
    const body = element("div", { class: "animal-answer" });
    body.innerHTML = found.html;
    if (wanted.length > 1) {
      for (const one of body.querySelectorAll("[id]")) one.id = `animal-${number + 1}-${one.id}`;
    }
    const head = wanted.length > 1 ? element("h2", { id: `animal-${number + 1}` }, title) : null;
    const crop = picture ? element("img", { src: picture, class: "crop", alt: translate("animal_crop", { title }) }) : null;
    made.push(element("section", { class: "animal", "aria-label": title }, head, crop, body));
  }
  if (entries !== wanted) return;
  at("identify-result").replaceChildren(...made);
  at("identify-status-answer").textContent = translate("animals_answered", { count: wanted.length });
  keep();
}

// Answers stay while the window is open.
function keep() {
  const answers = entries.filter(({ outcome }) => outcome.state === "answer");
  if (answers.length > 0) flow.keep(answers);
}

// What cannot be sent is kept on this device until it can.
async function wait(parts, files) {
  gone(true);
  try {
    const { keepWaiting } = await waiting();
    if (await keepWaiting(parts, files[0].name)) return;
  } catch {
    // neither held nor to be fetched: it waits as long as this window is open
  }
  whenBack(() => { if (chosen === files) again(); });
}

// What waits here is sent by its own script, which few visitors need.
let started = null;
function waiting() {
  started = started || import("./waiting.js").then(async (found) => {
    await found.start({
      answer: answerTo,
      show: (entry) => showEntries([...entries.filter(({ outcome }) => outcome.state === "answer"), entry]),
    });
    return found;
  });
  started.catch(() => { started = null; });
  return started;
}

acts.compare = (from, event) => compareOver(from, event, {
  own: previews.map(({ name, url }) => ({ name, url, whole: flow.files.length > 0 })),
});

acts.again = () => again();
acts.box = () => hold(chosen, { boxes: true, taken: false });
acts.example = async (from) => {
  const number = Number(from.dataset.number);
  awaited(true);
  const { blob, outcome } = await fetchBlob(`/v1/examples/${number}`);
  if (blob) await identify([new File([blob], String(number + 1), { type: blob.type || "image/jpeg" })]);
  else {
    await showEntries([{ outcome }]);
    awaited(false);
  }
};

takePhotographs(take);

const kept = flow.kept();
if (kept && Array.isArray(kept.outcome) && kept.outcome.length > 0) {
  flow.pictures = kept.pictures || [];
  previews = flow.pictures;
  showPreviews();
  showEntries(kept.outcome);
}

let anyWaiting = false;
try {
  anyWaiting = localStorage.getItem("flukeprint-waiting") !== null;
} catch {
  // nothing is kept where keeping is forbidden
}
if (anyWaiting) waiting().catch(() => {});

// Held for use without a network once the page itself is there.
const toHold = () => import("./field.js").then(({ holdPage }) => holdPage()).catch(() => {});
const idle = window.requestIdleCallback || ((act) => setTimeout(act, 500));
if (document.readyState === "complete") idle(toHold);
else window.addEventListener("load", () => idle(toHold));
