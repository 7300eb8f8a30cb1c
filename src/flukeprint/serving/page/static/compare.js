// Two photographs side by side, moved together or alone; keypoints that agree are drawn on demand.
import { why } from "./api.js";
import { acts, at, element, headers, translate } from "./page.js";
import { Stage } from "./stage.js";

const STEP = 60; // px that an arrow key moves
const REST = 250; // ms that a candidate is looked at before its keypoints are asked for
const BUSY = 3000; // ms after which a busy service is asked once more

let now = null; // the comparison that is shown

const wait = (time) => new Promise((done) => setTimeout(done, time));

// {ok, status, body}; lost: there is no picture of the photograph to send.
async function askMatches(stage, candidate, mirror, signal) {
  const picture = await stage.picture().catch(() => null);
  if (picture === null) return { ok: false, lost: true, status: 422, body: null };
  const form = new FormData();
  form.append("photos", picture, "photograph");
  form.append("candidate", candidate);
  form.append("mirror", mirror ? "yes" : "no");
  try {
    const answer = await fetch("/v1/matches", { method: "POST", headers: await headers(), body: form, signal });
    return { ok: answer.ok, status: answer.status, body: await answer.json().catch(() => null) };
  } catch {
    return { ok: false, status: 0, body: null };
  }
}

// own: [{name, url, key}] photographs of the visitor, key: the text that tells their size.
// same(identity, leave) is called where the visitor says that it is the same one.
export class Comparison {
  constructor(root, { own = [], same = null, leave = () => {} } = {}) {
    this.root = root;
    this.same = same;
    this.leave = leave;
    this.shows = [...root.querySelectorAll(".strip-photo")];
    this.query = new Stage(root.querySelector("#compare-query"));
    this.candidate = new Stage(root.querySelector("#compare-candidate"));
    this.stages = [this.query, this.candidate];
    this.together = true;
    this.keys = true;
    this.pointed = false;
    this.asking = null; // for keypoints
    this.last = this.candidate; // the one that buttons and keys move alone
    this.number = -1;
    this.beside = ""; // what is shown as the query
    this.setOwn(own);
    for (const stage of this.stages) this.listen(stage);
    now = this;
    this.show(Number(root.dataset.at));
  }

  setOwn(own) {
    this.own = own[0] || null;
    this.beside = "";
    const place = this.root.querySelector("#compare-own");
    if (place) place.hidden = own.length > 0 && own[0].whole;
  }

  close() {
    for (const stage of this.stages) stage.close();
    if (this.asking) this.asking.abort();
    if (now === this) now = null;
  }

  // ---- which photographs

  show(number) {
    if (number < 0 || number >= this.shows.length) return;
    const chosen = this.shows[number];
    if (this.number >= 0) this.shows[this.number].removeAttribute("aria-current");
    this.number = number;
    chosen.setAttribute("aria-current", "true");
    const { photo, name, told, animal, identity } = chosen.dataset;
    this.candidate.name({ name, told, href: animal ? `/animals/${animal}` : "", alt: this.alt(photo, name) });
    this.candidate.show({ small: `/v1/photos/${photo}`, large: `/v1/photos/${photo}?size=full` });
    this.showQuery(chosen.dataset);
    const place = translate("compare_place", { number: number + 1, total: this.shows.length });
    at("compare-place").textContent = place;
    at("compare-said").textContent = `${name}${told ? `, ${told}` : ""}: ${place}`;
    at("compare-previous").disabled = number === 0;
    at("compare-next").disabled = number === this.shows.length - 1;
    this.verdict(identity, name);
    if (this.pointed) this.match();
  }

  alt(photo, name) {
    return translate("compare_alt", { photo, name });
  }

  showQuery({ query, queryName, queryTold, queryAnimal }) {
    const { item } = this.root.dataset;
    const beside = query ? `photo ${query}` : "own";
    if (beside === this.beside) return;
    this.beside = beside;
    if (query) {
      const href = queryAnimal ? `/animals/${queryAnimal}` : "";
      this.query.name({ name: queryName, told: queryTold, href, alt: this.alt(query, queryName) });
      this.query.show({ small: `/v1/photos/${query}`, large: `/v1/photos/${query}?size=full` });
    } else if (item) {
      const name = this.own ? this.own.name : "";
      this.query.name({ name: translate("compare_yours"), told: name, href: "", alt: translate("your_photo", { name }) });
      this.query.show({ small: `/v1/queue/${item}/photo`, large: `/v1/queue/${item}/photo?size=full` });
    } else if (this.own) {
      const { name, url, whole } = this.own;
      this.query.name({ name: translate("compare_yours"), told: name, href: "", alt: translate("your_photo", { name }) });
      this.query.show_own(url, whole ? "compare_full" : "compare_kept");
    }
  }

  verdict(identity, name) {
    const place = at("compare-verdict");
    if (!this.same || !place) return;
    const button = place.firstElementChild || document.createElement("button");
    Object.assign(button, { type: "button", id: "compare-same", className: "button" });
    button.dataset.act = "compare-same";
    button.dataset.identity = identity;
    button.textContent = translate("compare_same", { name });
    if (!button.isConnected) place.append(button);
  }

  step(by) {
    this.show(this.number + by);
  }

  // ---- keypoints that agree

  togglePoints() {
    this.pointed = !this.pointed;
    at("compare-points").setAttribute("aria-pressed", String(this.pointed));
    this.match();
  }

  async match() {
    if (this.asking) this.asking.abort(); // of candidates that were passed by
    const mine = (this.asking = new AbortController());
    const is = () => this.asking === mine;
    for (const stage of this.stages) stage.show_points([]);
    const place = at("compare-matched");
    place.replaceChildren();
    if (!this.pointed) return;
    place.append(element("p", {}, translate("compare_matching")));
    const mirror = this.query.mirrored !== this.candidate.mirrored;
    const { photo } = this.shows[this.number].dataset;
    const asked = () => askMatches(this.query, photo, mirror, mine.signal);
    await wait(REST); // who leafs through does not occupy the service
    if (!is()) return;
    let found = await asked();
    if (found.status === 503) {
      await wait(BUSY);
      if (is()) found = await asked();
    }
    if (!is()) return;
    if (!found.ok || found.body === null) {
      place.replaceChildren(element("p", {}, found.lost ? translate("compare_lost") : why(found)));
      return;
    }
    const { pairs } = found.body;
    await this.candidate.ready;
    if (!is()) return;
    this.query.show_points(pairs.map(({ x, y }) => [x, y]));
    this.candidate.show_points(pairs.map((pair) => [pair.candidate_x, pair.candidate_y]));
    place.replaceChildren(...this.matched(found.body));
  }

  matched({ points, candidate_points: there, agreed, mirrored, pairs }) {
    const line = translate(agreed === 0 ? "compare_agree_none" : "compare_agree", { agreed, points, there });
    const more = [
      mirrored ? translate("compare_agree_mirrored") : "",
      pairs.length < agreed ? translate("compare_agree_shown", { shown: pairs.length }) : "",
    ].filter(Boolean).join(" ");
    const buttons = pairs.map((_, number) => element("li", {}, element(
      "button",
      {
        type: "button", class: `pair-number group-${number % 8}`, "data-act": "compare-pair", "data-number": number,
        "aria-label": translate("compare_agree_go", { number: number + 1 }),
      },
      element("span", {}, String(number + 1)),
    )));
    return [
      element("p", {}, element("b", {}, line), more ? ` ${more}` : ""),
      element("p", { class: "hint" }, translate("compare_agree_means")),
      ...(buttons.length > 0 ? [element("ol", { class: "pair-numbers" }, ...buttons)] : []),
    ];
  }

  choosePair(number, centred) {
    for (const stage of this.stages) {
      stage.choose(number);
      if (centred && stage.points[number]) stage.centre(stage.points[number]);
    }
  }

  // ---- how they are seen

  both(stage, act) {
    this.last = stage;
    for (const each of this.together ? this.stages : [stage]) act(each);
  }

  listen(stage) {
    const { frame } = stage;
    const fingers = new Map();
    const spread = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    const middle = () => {
      const all = [...fingers.values()];
      const sum = (name) => all.reduce((total, one) => total + one[name], 0) / all.length;
      return { x: sum("x"), y: sum("y") };
    };
    const inside = (x, y) => {
      const box = frame.getBoundingClientRect();
      return [x - box.left - box.width / 2, y - box.top - box.height / 2];
    };
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
      event.preventDefault();
      const [x, y] = inside(event.clientX, event.clientY);
      const by = Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) / 300);
      this.both(stage, (each) => each.closer(by, x, y));
    }, { passive: false });
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      frame.setPointerCapture(event.pointerId);
      this.last = stage;
    });
    frame.addEventListener("pointerleave", () => this.choosePair(-1, false));
    frame.addEventListener("pointermove", (event) => {
      if (fingers.size === 0 && stage.points.length > 0) {
        const box = frame.getBoundingClientRect();
        this.choosePair(stage.point_at(event.clientX - box.left, event.clientY - box.top), false);
      }
      if (!fingers.has(event.pointerId)) return;
      const before = middle();
      const wide = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const after = middle();
      if (fingers.size === 1 && event.pointerType === "touch" && stage.zoom === 1) return; // scrolls
      this.both(stage, (each) => {
        each.move(after.x - before.x, after.y - before.y);
        if (wide > 0) each.closer(spread() / wide, ...inside(after.x, after.y));
      });
    });
    const lifted = (event) => fingers.delete(event.pointerId);
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) frame.addEventListener(kind, lifted);
    frame.addEventListener("dblclick", (event) => {
      const [x, y] = inside(event.clientX, event.clientY);
      this.both(stage, (each) => each.closer(2, x, y));
    });
    frame.addEventListener("focus", () => { this.last = stage; });
  }

  toggleTogether() {
    this.together = !this.together;
    at("compare-together").setAttribute("aria-pressed", String(this.together));
  }

  mirror(side) {
    const stage = side === "query" ? this.query : this.candidate;
    stage.mirror();
    at(`compare-mirror-${side}`).setAttribute("aria-pressed", String(stage.mirrored));
    if (this.pointed) this.match(); // of the mirror image others agree
  }

  key(event) {
    const stage = this.stages.find(({ frame }) => frame === document.activeElement);
    const arrow = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (arrow) {
      if (!stage || stage.zoom === 1) return false; // the page scrolls
      this.both(stage, (each) => each.move(STEP * arrow[0], STEP * arrow[1]));
      return true;
    }
    if (!this.keys) return false;
    const act = {
      "+": () => this.both(this.last, (each) => each.closer(1.25)),
      "=": () => this.both(this.last, (each) => each.closer(1.25)),
      "-": () => this.both(this.last, (each) => each.closer(0.8)),
      0: () => this.both(this.last, (each) => each.whole()),
      l: () => this.toggleTogether(),
      f: () => this.mirror(this.last === this.query ? "query" : "candidate"),
      n: () => this.step(1),
      p: () => this.step(-1),
      m: () => this.togglePoints(),
    }[event.key.toLowerCase()];
    if (act) act();
    return Boolean(act);
  }
}

Object.assign(acts, {
  "compare-step": (from) => now && now.step(Number(from.dataset.step)),
  "compare-show": (from) => now && now.show(Number(from.dataset.number)),
  "compare-zoom": (from) => now && now.both(now.last, (each) => each.closer(Number(from.dataset.by))),
  "compare-whole": () => now && now.both(now.last, (each) => each.whole()),
  "compare-together": () => now && now.toggleTogether(),
  "compare-mirror": (from) => now && now.mirror(from.dataset.side),
  "compare-same": (from) => now && now.same && now.same(from.dataset.identity, now.leave),
  "compare-points": () => now && now.togglePoints(),
  "compare-pair": (from) => now && now.choosePair(Number(from.dataset.number), true),
  "compare-keys": (from) => {
    if (!now) return;
    now.keys = !now.keys;
    from.setAttribute("aria-pressed", String(now.keys));
  },
});

// In the capture phase, so that keys of the page behind do nothing meanwhile.
document.addEventListener("keydown", (event) => {
  if (now === null || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) return;
  if (now.key(event)) event.preventDefault();
  if (now.root.closest("dialog")) event.stopPropagation();
}, true);
