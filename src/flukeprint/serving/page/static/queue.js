// Photographs that were uploaded are decided one by one, each by one person only.
import { ask, why } from "./api.js";
import { batchId, results, undoButton, whenChanged } from "./batch.js";
import { acts, at, compareOver, element, gone, headers, translate, whenBack } from "./page.js";
import { shown } from "./sending.js";
import "./uploads.js";

let item = null; // the photograph that is shown
let busy = false; // whether a decision is on its way
let last = null; // the button that takes the last decision back
let soon = null; // the timer of asking again

const SOON = 2000; // ms after which is asked again for what is being compared

const say = (text) => { at("queue-said").textContent = text; };

function panel(open) {
  at("queue-panel").hidden = !open;
  at("queue-next").hidden = open;
}

// again: whether the page asks by itself, which leaves the focus where it is.
async function next(again = false) {
  clearTimeout(soon);
  if (busy) return;
  busy = true;
  at("queue-next").disabled = true;
  const only = batchId() ? `?batch=${encodeURIComponent(batchId())}` : "";
  const found = await ask("POST", `/v1/queue/next${only}`);
  at("queue-next").disabled = false;
  busy = false;
  if (!found.ok) {
    say(why(found));
    if (found.status === 0) whenBack(() => next(true));
    return;
  }
  item = found.body.item;
  panel(item !== null);
  const { waiting, unanswered } = found.body;
  say(translate(item !== null ? "queue_waiting" : unanswered > 0 ? "queue_soon" : "queue_empty", { waiting, unanswered }));
  if (item === null) {
    if (unanswered > 0) soon = setTimeout(() => next(true), SOON);
    if (!again) at("queue-next").focus({ preventScroll: true });
    return;
  }
  const mine = item;
  at("queue-photo").src = `${item.photo}?size=full`;
  at("queue-photo").alt = translate("your_photo", { name: item.name });
  at("queue-name").textContent = [item.name, item.taken ? item.taken.replace("T", " ") : ""].filter(Boolean).join(", ");
  at("queue-other").value = "";
  at("queue-name-new").value = "";
  at("queue-found").replaceChildren();
  at("queue-headline").replaceChildren();
  at("queue-candidates").replaceChildren();
  const outcome = item.answer ? { state: "answer", body: item.answer } : null;
  await answerOf(mine, outcome);
  if (item !== mine) return;
  at("queue-headline").focus({ preventScroll: true });
  const free = await ask("GET", "/v1/facets");
  if (free.ok) at("queue-name-new").placeholder = free.body.suggested_name;
}

async function answerOf(mine, outcome) {
  const found = await shown("review", { index: 0, name: mine.name, decision: "", outcome });
  if (item !== mine) return;
  if (found === null) {
    gone(true);
    whenBack(() => answerOf(mine, outcome));
    return;
  }
  at("queue-headline").innerHTML = found.headline;
  at("queue-candidates").innerHTML = found.candidates;
  for (const link of at("queue-candidates").querySelectorAll('[data-act="compare"]')) {
    link.href = `${link.getAttribute("href")}&item=${mine.id}`;
  }
}

async function decide(decision) {
  if (item === null || busy) return;
  busy = true;
  const done = await ask("POST", `/v1/queue/${item.id}/decision`, decision);
  busy = false;
  if (!done.ok) {
    say(why(done));
    if (done.status === 409 && !decision.force) at("queue-said").append(" ", anyway(decision));
    return;
  }
  remember(done.body.item);
  await next();
  await results();
}

// What is refused as a near copy, or a name that is nearly another one's, can still be right.
function anyway(decision) {
  const button = element("button", { class: "button plain small", type: "button", id: "queue-anyway" }, translate("queue_anyway"));
  button.addEventListener("click", () => decide({ ...decision, force: true }));
  return button;
}

// What was decided, with a button that takes it back.
function remember(decided) {
  const line = element("li", {}, `${decided.name}: ${decided.identity || translate(`queue_${decided.decision}`)} `);
  const button = undoButton(decided, say, () => {
    line.remove();
    if (last === button) last = null;
  });
  button.id = `queue-take-back-${decided.id}`;
  line.append(button);
  last = button;
  at("queue-done").prepend(line);
}

const newOne = () => decide({ decision: "new", new_name: at("queue-name-new").value.trim() || null });

Object.assign(acts, {
  next: () => next(),
  decide: (from) => {
    const answer = item && item.answer && item.answer.answers[Number(from.dataset.decision) - 1];
    if (!answer) return undefined;
    return answer.identity === null ? newOne() : decide({ decision: "known", identity: answer.identity });
  },
  verdict: (from) => (from.dataset.verdict === "new" ? newOne() : decide({ decision: from.dataset.verdict })),
  known: (from) => decide({ decision: "known", animal: Number(from.dataset.animal) }),
  compare: (from, event) => compareOver(from, event, {
    own: item ? [{ name: item.name }] : [],
    same: (identity, close) => {
      close();
      decide({ decision: "known", identity });
    },
  }),
  release: async () => {
    if (busy || item === null) return;
    const freed = await ask("POST", `/v1/queue/${item.id}/release`);
    if (!freed.ok && freed.status === 0) {
      say(why(freed));
      return;
    }
    item = null;
    panel(false);
    say("");
    at("queue-next").focus({ preventScroll: true });
    await results();
  },
});

let typing = null;
at("queue-other").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(async () => {
    const text = at("queue-other").value.trim();
    const found = text ? await ask("GET", `/v1/animals?limit=8&q=${encodeURIComponent(text)}`) : null;
    if (at("queue-other").value.trim() !== text) return;
    at("queue-found").replaceChildren(...(found && found.ok ? found.body.animals : []).map(({ id, name }) => element(
      "li", {}, element("button", { class: "link", type: "button", "data-act": "known", "data-animal": id }, name),
    )));
  }, 200);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("input, textarea, select")) return;
  const key = event.key.toLowerCase();
  if (key === "z" && last !== null) last.click();
  if (item === null) {
    if (key === "z") event.preventDefault();
    return;
  }
  if (key === "/") {
    event.preventDefault();
    at("queue-other").focus();
    return;
  }
  const named = { n: "queue-new", u: "queue-unsure", x: "queue-nobody" }[key];
  const button = /^[1-5]$/.test(key) ? at(`review-accept-${key}`) : named && at(named);
  if (!button) return;
  event.preventDefault();
  button.click();
});

// Nobody waits ten minutes for somebody who has gone.
window.addEventListener("pagehide", () => {
  if (item === null) return;
  const { id } = item;
  headers().then((more) => fetch(`/v1/queue/${id}/release`, { method: "POST", headers: more, keepalive: true }));
});

// An undo gives a photograph back to who asks next.
whenChanged(() => { if (item === null) next(); });
headers(); // so that it is there when the page goes
results();
