"use strict";
// The review queue: sends photographs one after the other; a visitor decides who each one is.
// Photographs, answers and decisions are kept in the page only.
(() => {
  const fluke = (window.flukeprint = window.flukeprint || {});
  const COLUMNS = ["photograph", "decision", "identity", "score", "probability", "seconds"];

  // {name, file, preview, state: waiting|sent|answered|failed, outcome, decision, seconds}
  const items = [];
  let at = 0; // index of the current item
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

  function updateList() {
    const list = items.map((item) => {
      const { decision, answer } = verdict(item);
      return { name: item.name, state: item.state, decision, label: answer ? answer.label : "" };
    });
    fluke.put("review-list", { at, items: list });
  }

  function updateCurrent() {
    const item = items[at];
    if (!item) return;
    const { name, outcome, decision } = item;
    fluke.put("review-current", { index: at, name, decision, outcome });
  }

  function show(index) {
    if (index < 0 || index >= items.length) return;
    at = index;
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
      item.preview = item.preview || (await fluke.preview(item.file));
      const job = { cancelled: false, request: null };
      const refused = fluke.withheld([item.file], 1);
      item.outcome =
        refused || (await fluke.send("/v1/identify", [item.file], job, () => {}, true));
      item.state = item.outcome && item.outcome.state === "answer" ? "answered" : "failed";
      if (items[at] === item) {
        since = performance.now();
        updateCurrent();
      }
      updateList();
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

  fluke.review = {
    add(files) {
      const first = items.length;
      for (const file of files) {
        items.push({
          name: file.name, file, preview: null, state: "waiting", outcome: null, decision: "",
          seconds: null,
        });
      }
      if (first === 0 && items.length > 0) show(0);
      else updateList();
      run();
    },

    decide(decision) {
      const item = items[at];
      if (!item) return;
      if (/^\d$/.test(decision) && !answers(item)[Number(decision) - 1]) return;
      item.decision = decision;
      item.seconds = Math.round((performance.now() - since) / 100) / 10;
      unsaved = true;
      const next = nextOpen(at);
      show(next === -1 ? at : next);
    },

    step: (by) => show(at + by),
    show,

    resend() {
      for (const item of items) if (item.state === "failed") item.state = "waiting";
      run();
    },

    download() {
      const rows = items.map((item) => {
        const { decision, answer } = verdict(item);
        return answer
          ? [item.name, decision, answer.identity, answer.score, answer.probability, item.seconds]
          : [item.name, decision, "", null, decision === "new" ? ofNew(item) : null, item.seconds];
      });
      // The byte order mark tells spreadsheets that this is UTF-8.
      const table = new Blob(["\ufeff", fluke.csv([COLUMNS, ...rows])], { type: "text/csv" });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(table);
      link.download = "review.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      unsaved = false;
    },

    switchKeys() {
      keys = !keys;
      fluke.put("review-keys-used", keys);
    },

    previewOf: (index) => (items[index] ? items[index].preview : null),
  };

  document.addEventListener("keydown", (event) => {
    if (!keys || window.location.pathname !== "/review" || items.length === 0) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.matches('input, textarea, select')) return;
    const key = event.key.toLowerCase();
    if (/^[1-5nu]$/.test(key)) fluke.review.decide(key);
    else if (key === "arrowleft") show(at - 1);
    else if (key === "arrowright") show(at + 1);
    else return;
    event.preventDefault();
  });

  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
})();
