// How far an upload is, photograph by photograph; without one, the last uploads.
import { ask, why } from "./api.js";
import { at, element, translate } from "./page.js";

const EVERY = 5000; // ms between two looks at the counts
const place = at("batch");
let before = ""; // the counts that are shown
let looking = null;
const changed = new Set();

export const batchId = () => place.dataset.batch || "";

// Shows another upload, at an address that can be shared.
export function showBatch(id) {
  place.dataset.batch = id;
  window.history.replaceState(null, "", `/queue?batch=${encodeURIComponent(id)}`);
  return results();
}

// act is called when a decision was taken back.
export const whenChanged = (act) => changed.add(act);

// A button that takes a decision back, by the address that its photograph names.
export function undoButton(item, said, after) {
  const label = `${translate("queue_undo")}: ${item.name}`;
  const button = element(
    "button", { class: "button plain small", type: "button", id: `queue-undo-${item.id}`, "aria-label": label },
    translate("queue_undo"),
  );
  button.addEventListener("click", async () => {
    button.disabled = true;
    const taken = await ask("POST", item.undo);
    if (!taken.ok) {
      button.disabled = false;
      said(why(taken));
      return;
    }
    after();
    for (const act of changed) act();
    results();
  });
  return button;
}

const when = (item) => (item.taken ? item.taken.replace("T", " ") : "");

function stateOf(item) {
  if (item.state === "decided") {
    const who = item.identity || translate(`queue_${item.decision}`);
    return translate("queue_by", { who, person: item.decided_by });
  }
  if (item.state === "waiting" && item.taken_by && Date.parse(item.taken_until) > Date.now()) {
    return translate("queue_taken", { person: item.taken_by });
  }
  return translate(item.state === "waiting" ? "queue_waiting_state" : `queue_${item.state}`);
}

function row(item) {
  const own = item.decided_by === place.dataset.person || place.dataset.keeps === "yes";
  return element(
    "li", { class: item.state },
    element("span", { class: "file" }, item.name), " ",
    element("span", { class: "decision" }, stateOf(item)),
    item.error ? element("span", { class: "hint" }, ` ${item.error}`) : null,
    item.undo && own ? undoButton(item, (text) => { at("batch-said").textContent = text; }, () => {}) : null,
  );
}

// Photographs of one encounter stand together.
function groups(items) {
  const together = new Map();
  for (const item of items) {
    const key = item.encounter === null ? `alone ${item.id}` : item.encounter;
    together.set(key, [...(together.get(key) || []), item]);
  }
  const parts = [];
  let alone = [];
  const flush = () => {
    if (alone.length > 0) parts.push(element("ol", { class: "rows" }, ...alone.map(row)));
    alone = [];
  };
  for (const group of together.values()) {
    if (group.length === 1) {
      alone.push(group[0]);
      continue;
    }
    flush();
    const times = group.map(when).filter(Boolean).sort();
    parts.push(
      element("h3", {}, translate("queue_together", { count: group.length, date: times[0] || "" })),
      element("ol", { class: "rows" }, ...group.map(row)),
    );
  }
  flush();
  return parts;
}

async function itemsOf(id) {
  const items = [];
  for (let after = 0; after !== null;) {
    const found = await ask("GET", `/v1/batches/${encodeURIComponent(id)}?limit=200&after=${after}`);
    if (!found.ok) return found;
    items.push(...found.body.items);
    after = found.body.next;
    if (after === null) return { ok: true, batch: found.body.batch, items };
  }
  return null;
}

function keepingFocus(change) {
  const { id } = document.activeElement || {};
  change();
  const again = id ? at(id) : null;
  if (again && document.activeElement === document.body) again.focus({ preventScroll: true });
}

// Shows how far the upload is.
export async function results() {
  clearTimeout(looking);
  const id = batchId();
  if (!id) return list();
  const found = await itemsOf(id);
  if (batchId() !== id) return undefined;
  if (!found.ok) {
    if (found.status !== 0) place.replaceChildren(element("p", {}, why(found)));
    else looking = setTimeout(look, EVERY);
    return undefined;
  }
  const { counts, total, title, author } = found.batch;
  before = JSON.stringify(counts);
  const decided = counts.decided || 0;
  const waiting = (counts.waiting || 0) + (counts.pending || 0);
  keepingFocus(() => place.replaceChildren(
    element("h2", { class: "quiet" }, title),
    element("p", { class: "hint" }, translate("queue_by", { who: total, person: author })),
    element("p", { id: "batch-counts", role: "status" }, translate("queue_counts", { decided, waiting, total })),
    element("progress", { max: String(Math.max(1, total)), value: String(decided), "aria-labelledby": "batch-counts" }),
    element("p", {}, element("a", { href: "/queue" }, translate("queue_all"))),
    element("p", { id: "batch-said", role: "status" }),
    ...groups(found.items),
  ));
  looking = setTimeout(look, EVERY);
  return undefined;
}

// Whether somebody decided something, or an answer came, meanwhile.
let looks = 0;
async function look() {
  if (document.hidden) {
    looking = setTimeout(look, EVERY);
    return;
  }
  looks += 1;
  const found = looks % 6 === 0 ? null : await ask("GET", `/v1/batches/${encodeURIComponent(batchId())}?limit=1`);
  if (found !== null && found.ok && JSON.stringify(found.body.batch.counts) === before) looking = setTimeout(look, EVERY);
  else results(); // every half minute also for who has what
}

async function list() {
  const found = await ask("GET", "/v1/batches");
  if (!found.ok || batchId()) return;
  const rows = found.body.batches.map(({ id, title, author, created, counts, total }) => element(
    "li", {}, element("a", { href: `/queue?batch=${id}` }, title), " ",
    element("span", { class: "decision" }, translate("queue_counts", {
      decided: counts.decided || 0, waiting: (counts.waiting || 0) + (counts.pending || 0), total,
    })),
    element("span", { class: "hint" }, ` ${author}, ${created.slice(0, 10)}`),
  ));
  place.replaceChildren(
    ...(rows.length > 0 ? [element("h2", { class: "quiet" }, translate("queue_uploads"))] : []),
    element("ol", { class: "rows" }, ...rows),
  );
}
