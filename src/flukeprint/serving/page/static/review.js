// The review queue: sends photographs one after the other; a visitor decides who each one is.
// Photographs, answers and decisions are kept in the page only.
import { acts, at, compareOver, element, gone, model, takePhotographs, translate, whenBack } from "./page.js";
import { csv } from "./csv.js";
import { prepared, preview, previewView, send, shown, withheld } from "./sending.js";

const COLUMNS = [
  "photograph", "decision", "identity", "score", "probability", "seconds", "name", "decided", "model",
];

// {name, file, preview, state: waiting|sent|answered|failed, outcome, decision, seconds, decided, names}
const items = [];
let current = 0; // index of the current item
let since = 0; // when it became the current one, in milliseconds
let running = false;
let unsaved = false; // whether there are decisions that were not downloaded
let keys = true; // whether keyboard shortcuts are on

const answers = (item) =>
  item.outcome && item.outcome.state === "answer" ? item.outcome.body.answers : [];
// The probability that the individual is not in the collection, where that is an answer.
const ofNew = (item) =>
  answers(item).filter(({ identity }) => identity === null).map(({ probability }) => probability)[0];
const chosen = (item) => answers(item)[Number(item.decision) - 1] || null;

// The meaning of a decision: accepted with an answer, new, unsure, or "" while there is none.
function verdict(item) {
  const answer = chosen(item);
  if (answer && answer.identity !== null) return { decision: "accepted", answer };
  if (answer || item.decision === "n") return { decision: "new", answer: null };
  return { decision: item.decision === "u" ? "unsure" : "", answer: null };
}

const nameOf = (item) => (item.names || [])[Number(item.decision) - 1] || "";

function updateList() {
  at("review-panel").hidden = items.length === 0;
  at("review-resend").hidden = !items.some(({ state }) => state === "failed");
  const rows = items.map((item, index) => {
    const { decision, answer } = verdict(item);
    const words = decision === "accepted" ? nameOf(item) || answer.label
      : translate(`review_${decision || (item.state === "answered" ? "open" : item.state)}`);
    return element("li", {}, element(
      "button",
      {
        class: `queued ${decision || item.state}`, "data-act": "show", "data-index": String(index),
        "aria-current": index === current ? "true" : "false", type: "button", id: `review-item-${index}`,
      },
      element("span", { class: "file" }, item.name),
      element("span", { class: "decision" }, words),
    ));
  });
  keepingFocus(() => at("review-queue").replaceChildren(...rows));
  const count = (wanted) => items.filter(wanted).length;
  at("review-count").textContent = translate("review_done", {
    decided: count((item) => item.decision !== ""),
    answered: count((item) => item.state === "answered"),
    total: items.length,
  });
}

// Changes the page so that the focus stays on the same control, or else near it.
function keepingFocus(change) {
  const { id } = document.activeElement || {};
  change();
  if (!id || document.activeElement !== document.body) return;
  const again = at(id) || at("review-headline");
  again.focus({ preventScroll: true });
}

async function updateCurrent() {
  const item = items[current];
  if (!item) return;
  const { name, outcome, decision } = item;
  at("review-photo").replaceChildren(
    ...(item.preview ? [previewView(item.preview)] : []), element("p", { class: "file" }, name),
  );
  const found = await shown("review", { index: current, name, decision, outcome });
  if (items[current] !== item) return; // another one is shown meanwhile
  if (found === null) {
    gone(true);
    whenBack(updateCurrent);
    return;
  }
  gone(false);
  item.names = found.names;
  keepingFocus(() => {
    at("review-headline").innerHTML = found.headline;
    at("review-candidates").innerHTML = found.candidates;
  });
  updateList();
}

function show(index) {
  if (index < 0 || index >= items.length) return;
  current = index;
  since = performance.now();
  updateList();
  updateCurrent();
}

async function run() {
  if (running) return;
  running = true;
  for (let item; (item = items.find(({ state }) => state === "waiting")); ) {
    item.state = "sent";
    updateList();
    item.preview = item.preview || (await preview(item.file));
    const job = { cancelled: false, request: null };
    const file = await prepared(item.file);
    const refused = withheld([file], 1);
    item.outcome = refused || (await send("/v1/identify", [file], job, () => {}, true));
    item.state = item.outcome && item.outcome.state === "answer" ? "answered" : "failed";
    if (items[current] === item) {
      since = performance.now();
      updateCurrent();
    }
    updateList();
    if (item.outcome && item.outcome.state === "lost") {
      gone(true);
      whenBack(resend);
      break;
    }
  }
  running = false;
}

// The next undecided item after `from`, wrapping around; -1: all are decided.
function nextOpen(from) {
  for (let step = 1; step < items.length; step += 1) {
    const index = (from + step) % items.length;
    if (items[index].decision === "") return index;
  }
  return -1;
}

function decide(decision) {
  const item = items[current];
  if (!item) return;
  if (/^\d$/.test(decision) && !answers(item)[Number(decision) - 1]) return;
  item.decision = decision;
  item.seconds = Math.round((performance.now() - since) / 100) / 10;
  item.decided = new Date().toISOString();
  unsaved = true;
  const next = nextOpen(current);
  show(next === -1 ? current : next);
}

function resend() {
  for (const item of items) if (item.state === "failed") item.state = "waiting";
  run();
}

function download() {
  const rows = items.map((item) => {
    const { decision, answer } = verdict(item);
    const said = decision || (item.state === "failed" ? "failed" : "undecided");
    const probability = answer ? answer.probability : decision === "new" ? ofNew(item) : null;
    return [
      item.name, said, answer ? answer.identity : "", answer ? answer.score : null, probability,
      item.seconds, answer ? nameOf(item) : "", item.decided || "", model,
    ];
  });
  // The byte order mark tells spreadsheets that this is UTF-8.
  const table = new Blob(["\ufeff", csv([COLUMNS, ...rows])], { type: "text/csv" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(table);
  link.download = "review.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  unsaved = false;
}

Object.assign(acts, {
  compare: (from, event) => {
    const item = items[current];
    compareOver(from, event, {
      own: item.preview ? [{ name: item.name, url: item.preview.url, whole: true }] : [],
      same: (identity, close) => {
        const number = answers(item).findIndex((answer) => answer.identity === identity) + 1;
        close();
        if (items[current] === item && number > 0) decide(String(number));
      },
    });
  },
  decide: (from) => decide(from.dataset.decision),
  go: (from) => show(current + Number(from.dataset.step)),
  show: (from) => show(Number(from.dataset.index)),
  download,
  resend,
  keys: (from) => {
    keys = !keys;
    from.setAttribute("aria-pressed", String(keys));
  },
});

takePhotographs((files) => {
  const first = items.length;
  for (const file of files) {
    items.push({
      name: file.name, file, preview: null, state: "waiting", outcome: null, decision: "",
      seconds: null, decided: "", names: [],
    });
  }
  if (first === 0 && items.length > 0) show(0);
  else updateList();
  run();
});

document.addEventListener("keydown", (event) => {
  if (!keys || items.length === 0) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("input, textarea, select")) return;
  const key = event.key.toLowerCase();
  if (/^[1-5nu]$/.test(key)) decide(key);
  else if (key === "arrowleft") show(current - 1);
  else if (key === "arrowright") show(current + 1);
  else return;
  event.preventDefault();
});

window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});
