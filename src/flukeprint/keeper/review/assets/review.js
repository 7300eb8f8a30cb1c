"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const queue = JSON.parse(byId("queue").textContent);
  const entries = queue.entries;
  const readable = entries.filter((entry) => entry.error === null).length;
  const KEY = `flukeprint-review-${queue.id}`, PERSON = "flukeprint-reviewer";
  const MOST_UNDONE = 500;
  const SVG = "http://www.w3.org/2000/svg";

  // What is kept: decisions and notes by place in the queue, what can be undone, where one was, and
  // how often all this was changed.
  let state = { decisions: {}, notes: {}, undo: [], at: 0, changes: 0 };
  let compared = { candidate: 0, photo: 0 };
  let drawing = false;
  let unsaved = false;

  // --- keeping ---------------------------------------------------------------------------------
  const kept = new Kept(() => {
    byId("keeping").textContent = "This browser keeps decisions only until this page is closed. " +
      "Download the CSV before that.";
    byId("keeping").hidden = false;
  });
  const tabs = new BroadcastChannel(KEY); // the same page in other tabs

  const whole = (found) => found && found.decisions && found.notes && Array.isArray(found.undo) && found.changes >= 0;

  // Does what `act` does to a state here and in what is kept, where another tab may have written.
  async function keep(act) {
    const done = (all) => {
      act(all);
      all.changes += 1;
    };
    done(state);
    const now = structuredClone(state); // the next act may come before this one is written
    const there = await kept.change(KEY, (found) => {
      if (!whole(found)) return now;
      done(found);
      return { ...found, at: now.at };
    }, now);
    tabs.postMessage("kept");
    take(there);
  }

  // Shows what another tab has written, unless what was written here is still under way.
  function take(there) {
    if (!whole(there) || kept.writing > 0) return;
    const content = ({ decisions, notes, undo }) => JSON.stringify([decisions, notes, undo]);
    const news = content(there) !== content(state);
    state = { ...there, at: state.at };
    if (news) show();
  }

  // --- words -----------------------------------------------------------------------------------
  const named = (identity) => identity === null ? "Not in the collection" : identity;

  function percent(share) {
    if (share === null) return "";
    if (share < 0.001) return "<0.1 %";
    return share > 0.999 ? ">99.9 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  }

  function told(decision) {
    if (!decision) return "not decided";
    if (decision.decision === "known") return decision.identity;
    if (decision.decision === "new") return decision.identity ? `new: ${decision.identity}` : "new animal";
    return decision.decision === "unsure" ? "unsure" : "wrong view";
  }

  function say(text) {
    byId("said").textContent = text;
  }

  const decidedCount = () => Object.keys(state.decisions).length;

  // --- names -----------------------------------------------------------------------------------
  const known = new Set(queue.names);
  const tidy = (name) => name.normalize("NFC").trim();

  function newNames() {
    const all = Object.values(state.decisions);
    return new Set(all.filter((one) => one.decision === "new" && one.identity).map((one) => one.identity));
  }

  // The given name, or the next number after it that nobody has.
  function suggestion() {
    let name = queue.suggested;
    const taken = newNames();
    while (name && (known.has(name) || taken.has(name))) {
      const end = /\d+$/.exec(name);
      if (!end) return "";
      const next = String(BigInt(end[0]) + 1n).padStart(end[0].length, "0");
      name = name.slice(0, end.index) + next;
    }
    return name;
  }

  // --- deciding --------------------------------------------------------------------------------
  function decide(decision, identity) {
    const at = state.at, entry = entries[at];
    if (entry.error !== null) {
      say("This photograph cannot be read; there is nothing to decide.");
      return;
    }
    const made = {
      decision, identity, reviewer: byId("reviewer").value.trim(),
      at: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
    };
    unsaved = true;
    const open = (place) => place !== at && entries[place].error === null && !state.decisions[place];
    const places = entries.map((_, place) => place);
    const next = places.find((place) => place > at && open(place)) ?? places.find(open);
    keep((all) => {
      all.undo.push({ at, before: all.decisions[at] || null });
      all.undo.splice(0, all.undo.length - MOST_UNDONE);
      all.decisions[at] = made;
      all.at = next ?? at;
    });
    const done = `${entry.photo}: ${told(made)}. ${decidedCount()} of ${readable} decided.`;
    if (next === undefined) show(`${done} All are decided; download the CSV.`);
    else arrive(done);
  }

  function choose(place) {
    const candidate = entries[state.at].candidates[place];
    if (!candidate) return;
    if (candidate.identity === null) decideNew();
    else decide("known", candidate.identity);
  }

  function decideNew() {
    const name = tidy(byId("new-name").value);
    if (known.has(name)) {
      refuse(byId("new-name"), `${name} is known already; choose it as another animal, or give another name.`);
    } else if (name && name === queue.newLabel) {
      refuse(byId("new-name"), `${name} means any new animal; give another name, or none.`);
    } else {
      decide("new", name);
    }
  }

  function chooseOther() {
    const field = byId("other-name"), name = tidy(field.value);
    if (known.has(name)) decide("known", name);
    else if (name && newNames().has(name)) decide("new", name);
    else refuse(field, name ? `Nobody is called ${name} yet; for a new animal use New animal.` : "Write a name first.");
  }

  function refuse(field, text) {
    byId("state").textContent = text;
    byId("state").className = "";
    field.setAttribute("aria-invalid", "true");
    field.focus();
    say(text);
  }

  function undo() {
    const last = state.undo[state.undo.length - 1];
    if (!last) {
      say("There is nothing to undo.");
      return;
    }
    unsaved = true;
    keep((all) => {
      all.at = last.at;
      const taken = all.undo.pop();
      if (!taken) return;
      if (taken.before) all.decisions[taken.at] = taken.before;
      else delete all.decisions[taken.at];
    });
    arrive(`Undone: ${entries[last.at].photo} is ${told(last.before)}.`);
  }

  function move(place) {
    if (place < 0 || place >= entries.length) {
      say(place < 0 ? "This is the first photograph." : "This is the last photograph.");
      return;
    }
    keep((all) => { all.at = place; });
    arrive();
  }

  // Shows the photograph at which one has come.
  function arrive(words) {
    compared = { candidate: 0, photo: 0 };
    show(words);
    byId("photo").scrollIntoView({ block: "nearest" });
  }

  // --- showing ---------------------------------------------------------------------------------
  function element(name, attributes = {}, ...inside) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  }

  const source = (picture) => `data:image/jpeg;base64,${queue.pictures[picture]}`;

  function entryLine(place) {
    const entry = entries[place];
    const text = entry.error !== null ? "cannot be read" : told(state.decisions[place]);
    return `${place + 1}. ${entry.photo} \u2013 ${text}`;
  }

  function show(words) {
    const place = state.at, entry = entries[place], decision = state.decisions[place];
    const pressed = document.activeElement, held = byId("candidates").contains(pressed);
    byId("progress").max = Math.max(readable, 1);
    byId("progress").value = decidedCount();
    const lost = entries.length - readable;
    byId("decided").textContent = `${decidedCount()} of ${readable} decided` +
      (lost ? `, ${lost} unreadable` : "");
    byId("goto").replaceChildren(...entries.map((_, one) => {
      const option = element("option", { value: one }, entryLine(one));
      option.selected = one === place;
      return option;
    }));
    byId("before").disabled = place === 0;
    byId("after").disabled = place === entries.length - 1;
    byId("undo").disabled = state.undo.length === 0;
    byId("photo").textContent = entry.photo;
    const failed = entry.error !== null;
    byId("asked").hidden = byId("fields").hidden = failed;
    byId("error").hidden = !failed;
    byId("error").textContent = failed ? entry.error : "";
    for (const name of ["new", "unsure", "wrong", "matches"]) byId(name).disabled = failed;
    byId("state").className = decision ? "decided" : "";
    byId("state").textContent = failed ? "cannot be read" : decision ? `Decided: ${told(decision)}`
      : entry.outside ? "Not decided; it may show something else than this collection" : "Not decided";
    byId("new").setAttribute("aria-pressed", String(decision?.decision === "new"));
    byId("unsure").setAttribute("aria-pressed", String(decision?.decision === "unsure"));
    byId("wrong").setAttribute("aria-pressed", String(decision?.decision === "wrong_view"));
    byId("new-name").value = decision?.decision === "new" ? decision.identity : suggestion();
    byId("other-name").value = "";
    for (const name of ["new-name", "other-name"]) byId(name).removeAttribute("aria-invalid");
    byId("note").value = state.notes[place] || "";
    byId("names").replaceChildren(...[...newNames(), ...queue.names].map((name) => element("option", { value: name })));
    if (!failed) {
      byId("query").src = source(entry.picture);
      byId("query").alt = `The photograph to decide, ${entry.photo}`;
      byId("candidates").replaceChildren(...entry.candidates.map(candidateItem));
      compare();
    }
    // What had the focus is gone or can no longer be pressed.
    if (held || pressed?.disabled) byId("photo").focus();
    if (words) say(failed || words.endsWith("CSV.") ? words : `${words} Now ${entry.photo}.`);
  }

  function candidateItem(candidate, place) {
    const decision = state.decisions[state.at];
    const chosen = Boolean(decision) && candidate.identity !== null && decision.identity === candidate.identity
      || decision?.decision === "new" && candidate.identity === null;
    const name = named(candidate.identity);
    const button = element("button", {
      type: "button", class: "choose", "aria-pressed": String(chosen), "aria-keyshortcuts": String(place + 1),
    }, element("kbd", {}, String(place + 1)), element("span", { class: "name" }, name),
      element("span", {}, percent(candidate.probability)));
    button.addEventListener("click", () => choose(place));
    const photos = element("div", { class: "photos" });
    candidate.photos.forEach((photo, one) => {
      if (photo.picture === null) return;
      const look = element("button", {
        type: "button", class: "look", "aria-label": `Compare with ${photo.name} of ${name}`,
        "data-look": `${place} ${one}`,
      }, element("img", { src: source(photo.picture), alt: "" }));
      look.addEventListener("click", () => {
        compared = { candidate: place, photo: one };
        compare();
      });
      photos.append(look);
    });
    if (!photos.children.length) {
      photos.append(element("span", { class: "none" }, candidate.identity === null
        ? "An animal that nobody has named yet" : "No photograph is kept"));
    }
    return element("li", { class: chosen ? "chosen" : "" }, button, photos);
  }

  // Shows a candidate's photograph beside the one in question.
  function compare() {
    const candidates = entries[state.at].candidates;
    const candidate = candidates[compared.candidate];
    const photo = candidate?.photos[compared.photo];
    const picture = photo?.picture ?? null;
    const image = byId("compared");
    image.hidden = picture === null;
    byId("absent").hidden = picture !== null;
    byId("absent").textContent = candidate ? `${named(candidate.identity)}: no photograph` : "No candidates";
    if (picture !== null) {
      image.src = source(picture);
      image.alt = `${photo.name} of ${candidate.identity}`;
    } else {
      image.removeAttribute("src");
      image.alt = "";
    }
    const near = photo && photo.similarity !== null ? `, similarity ${photo.similarity.toFixed(2)}` : "";
    byId("compared-text").textContent = photo ? `${candidate.identity}: ${photo.name}${near}` : "";
    [...byId("candidates").children].forEach((item, place) => {
      item.classList.toggle("compared", place === compared.candidate);
    });
    for (const look of byId("candidates").querySelectorAll(".look")) {
      look.setAttribute("aria-pressed", String(look.dataset.look === `${compared.candidate} ${compared.photo}`));
    }
    draw();
  }

  // --- keypoints that agree --------------------------------------------------------------------
  // Where a photograph is seen in its frame, which it fills in one direction.
  function seen(image, origin) {
    const box = image.getBoundingClientRect();
    const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
    const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
    return {
      x: box.left - origin.left + (box.width - width) / 2, width,
      y: box.top - origin.top + (box.height - height) / 2, height,
    };
  }

  function part(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function draw() {
    const lines = byId("lines"), text = byId("matched");
    byId("matches").setAttribute("aria-pressed", String(drawing));
    lines.replaceChildren();
    text.textContent = "";
    if (!drawing || entries[state.at].error !== null) return;
    const candidate = entries[state.at].candidates[compared.candidate];
    const found = candidate?.matched;
    if (compared.photo > 0 || !found) {
      text.textContent = found ? "Keypoints are matched with the first photograph of each candidate."
        : "There is no photograph to match keypoints with.";
      return;
    }
    const few = found.count > found.lines.length ? `, the ${found.lines.length} most distinct drawn` : "";
    text.textContent = found.count ? `${found.count} keypoints agree in one geometry${few}.`
      : "No keypoints agree in one geometry.";
    const images = [byId("query"), byId("compared")];
    if (!images.every((image) => image.complete && image.naturalWidth)) return; // drawn when loaded
    const origin = byId("pair").getBoundingClientRect();
    const [one, two] = images.map((image) => seen(image, origin));
    found.lines.forEach(([ax, ay, bx, by], number) => {
      const colour = `hsl(${Math.round((360 * number) / found.lines.length)} 95% 60%)`;
      const x1 = one.x + (ax / 1000) * one.width, y1 = one.y + (ay / 1000) * one.height;
      const x2 = two.x + (bx / 1000) * two.width, y2 = two.y + (by / 1000) * two.height;
      lines.append(
        part("line", { x1, y1, x2, y2, stroke: "#000", "stroke-width": 3, "stroke-opacity": 0.45 }),
        part("line", { x1, y1, x2, y2, stroke: colour, "stroke-width": 1.3 }),
        part("circle", { cx: x1, cy: y1, r: 4, fill: "none", stroke: colour, "stroke-width": 2 }),
        part("circle", { cx: x2, cy: y2, r: 4, fill: "none", stroke: colour, "stroke-width": 2 }),
      );
    });
  }

  function toggleMatches() {
    drawing = !drawing;
    draw();
  }

  function compareNext(step) {
    const count = entries[state.at].candidates.length;
    if (!count) return;
    compared = { candidate: (compared.candidate + step + count) % count, photo: 0 };
    compare();
    const candidate = entries[state.at].candidates[compared.candidate];
    say(`Compared with ${compared.candidate + 1}, ${named(candidate.identity)} ${percent(candidate.probability)}`);
  }

  // --- the table -------------------------------------------------------------------------------
  // A spreadsheet takes text that begins like this for a formula; with ' before it, for text.
  const FORMULA = /^'*[ \t\r\n]*[=+\-@|\t\r\n]/;

  function cell(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = FORMULA.test(value) ? `'${value}` : value;
    return /[",;\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function table() {
    const now = byId("reviewer").value.trim();
    const rows = entries.map((entry, place) => {
      const decision = state.decisions[place], first = entry.candidates[0];
      const row = {
        photo: entry.photo,
        decision: entry.error !== null ? "unreadable" : decision ? decision.decision : "undecided",
        identity: decision?.identity ?? "",
        note: state.notes[place] ?? "",
        reviewer: decision ? decision.reviewer || now : "",
        decided_at: decision?.at ?? "",
        first_answer: first ? first.identity ?? queue.newLabel : "",
        probability: first?.probability ?? "",
        stamp: queue.stamp, queue: queue.id, catalogue_event: queue.event,
        digest: entry.digest, path: entry.path, error: entry.error ?? "",
      };
      return queue.columns.map((name) => row[name]);
    });
    return "\ufeff" + [queue.columns, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
  }

  function download() {
    const address = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    const link = element("a", { href: address, download: `review-${queue.id}.csv` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    unsaved = false;
    say(`The CSV holds ${decidedCount()} decisions.`);
  }

  // --- what was kept, before anything can be pressed ---------------------------------------------
  await kept.open();
  const [written, last] = await kept.read(KEY);
  if (whole(written)) state = written;
  if (whole(last) && last.changes > state.changes) { // its writing was cut short
    state = last;
    kept.change(KEY, () => last, last);
  }
  if (!(state.at >= 0 && state.at < entries.length)) state.at = 0;
  const [person, given] = await kept.read(PERSON);
  byId("reviewer").value = given || person || byId("reviewer").value;

  // --- keys and buttons ------------------------------------------------------------------------
  const typed = { n: decideNew, u: () => decide("unsure", ""), b: () => decide("wrong_view", ""), z: undo, m: toggleMatches };
  const moved = {
    ArrowLeft: () => move(state.at - 1), ArrowRight: () => move(state.at + 1),
    ArrowUp: () => compareNext(-1), ArrowDown: () => compareNext(1),
  };

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const writing = target instanceof HTMLSelectElement ||
      target instanceof HTMLInputElement && target.type !== "checkbox";
    if (writing) {
      if (event.key === "Escape") byId("photo").focus();
      else if (event.key === "Enter" && target === byId("new-name")) decideNew();
      else if (event.key === "Enter" && target === byId("other-name")) chooseOther();
      return;
    }
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && key === "z") {
      event.preventDefault();
      undo();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !byId("keys").checked) return;
    const act = moved[event.key] || typed[key] || (/^[1-5]$/.test(key) ? () => choose(Number(key) - 1) : null);
    if (!act) return;
    event.preventDefault();
    act();
  });

  const buttons = {
    before: () => move(state.at - 1), after: () => move(state.at + 1), new: decideNew, unsure: typed.u,
    wrong: typed.b, matches: toggleMatches, undo, download, other: chooseOther,
  };
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", act);
  byId("goto").addEventListener("change", () => move(Number(byId("goto").value)));
  byId("reviewer").addEventListener("input", () => {
    const name = byId("reviewer").value;
    kept.change(PERSON, () => name, name);
  });
  byId("note").addEventListener("input", () => {
    const { at } = state, note = byId("note").value;
    unsaved = true;
    keep((all) => {
      if (note) all.notes[at] = note;
      else delete all.notes[at];
    });
  });
  for (const id of ["query", "compared"]) byId(id).addEventListener("load", draw);
  new ResizeObserver(draw).observe(byId("pair"));
  tabs.onmessage = async () => take((await kept.read(KEY))[0]);
  window.addEventListener("beforeunload", (event) => {
    if (kept.writing > 0 || (!kept.database && unsaved)) event.preventDefault();
  });

  show();
  document.body.setAttribute("aria-busy", "false");
})();
