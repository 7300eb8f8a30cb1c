// Boxes of animals in a photograph: drawn and changed by mouse, finger, keys, or as numbers.
// A box is {x, y, width, height} in shares of the upright photograph.
import { element, language, translate } from "./page.js";

const LEAST = 0.02; // of a side
const STEP = 0.01; // of the arrow keys
const DRAWN = 6; // pixels from which on a press draws
const SIDES = ["x", "y", "width", "height"];
const CORNERS = { nw: [0, 0], ne: [1, 0], sw: [0, 1], se: [1, 1] };

const within = (value, low, high) => Math.min(Math.max(value, low), high);
const percent = (share) => new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(100 * share);

// The box between two points, inside the photograph.
const between = (a, b) => {
  const [x0, x1] = [a.x, b.x].map((x) => within(x, 0, 1)).sort((one, other) => one - other);
  const [y0, y1] = [a.y, b.y].map((y) => within(y, 0, 1)).sort((one, other) => one - other);
  const [x, y] = [Math.min(x0, 1 - LEAST), Math.min(y0, 1 - LEAST)];
  return { x, y, width: Math.max(x1 - x, LEAST), height: Math.max(y1 - y, LEAST) };
};

export class BoxEditor {
  // photo: of `preview`.  most: boxes.
  constructor(photo, most) {
    this.most = most;
    this.boxes = [];
    this.views = [];
    this.chosen = -1;
    this.image = element("img", { src: photo.url, alt: translate("your_photo", { name: photo.name }), draggable: "false" });
    this.frame = element("div", { class: "box-frame", id: "box-frame" }, this.image);
    this.said = element("p", { class: "visually-hidden", role: "status", id: "box-said" });
    this.fields = element("fieldset", { class: "box-fields", id: "box-fields", hidden: true });
    this.buttons = element("div", { class: "buttons" }, ...["add", "remove", "reset"].map((act) => {
      const button = element("button", { class: "button plain small", type: "button", id: `box-${act}` }, translate(`box_${act}`));
      button.addEventListener("click", () => this[act]());
      return button;
    }));
    this.element = element(
      "div", { class: "box-editor" },
      element("p", { class: "hint", id: "box-hint" }, translate("box_hint", { most })),
      element("p", { class: "hint with-pointer", id: "box-keys" }, translate("box_keys")),
      this.frame, this.buttons, this.fields, this.said,
    );
    this.makeFields();
    this.frame.addEventListener("pointerdown", (event) => this.press(event));
    this.render();
  }

  makeFields() {
    this.legend = element("legend", {});
    this.inputs = Object.fromEntries(SIDES.map((side) => {
      const input = element("input", {
        type: "number", id: `box-${side}`, class: "field", min: "0", max: "100", step: "0.1", inputmode: "decimal",
      });
      input.addEventListener("change", () => this.typed(side, Number(input.value) / 100));
      return [side, input];
    }));
    this.fields.append(this.legend, ...SIDES.map((side) => element(
      "div", {}, element("label", { for: `box-${side}` }, translate(`box_${side}`)), this.inputs[side],
    )));
  }

  typed(side, share) {
    const box = this.boxes[this.chosen];
    if (!box || !Number.isFinite(share)) return this.render();
    if (side === "x" || side === "y") {
      const length = side === "x" ? "width" : "height";
      box[side] = within(share, 0, 1 - LEAST);
      box[length] = Math.min(box[length], 1 - box[side]);
    } else {
      box[side] = within(share, LEAST, 1 - box[side === "width" ? "x" : "y"]);
    }
    return this.changed();
  }

  add() {
    if (this.boxes.length >= this.most) return;
    const more = 0.05 * (this.boxes.length % 5); // so that none hides another
    this.boxes.push({ x: 0.2 + more, y: 0.2 + more, width: 0.5, height: 0.5 });
    this.chosen = this.boxes.length - 1;
    this.changed();
    this.views[this.chosen].focus();
  }

  remove() {
    if (this.chosen < 0) return;
    this.boxes.splice(this.chosen, 1);
    this.chosen = Math.min(this.chosen, this.boxes.length - 1);
    this.changed();
    (this.views[this.chosen] || document.getElementById("box-add")).focus();
  }

  reset() {
    this.boxes = [];
    this.chosen = -1;
    this.changed();
    document.getElementById("box-add").focus();
  }

  // Where an event is, in shares of the photograph.
  place(event) {
    const { left, top, width, height } = this.image.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  }

  press(event) {
    if (event.button !== 0 || this.dragging) return;
    const start = this.place(event);
    const view = event.target.closest(".box");
    const corner = event.target.dataset.corner;
    let number = view ? this.views.indexOf(view) : -1;
    if (!view && this.boxes.length >= this.most) return;
    event.preventDefault();
    this.dragging = true;
    const before = view ? { ...this.boxes[number] } : null;
    if (view) this.choose(number);
    const move = (moved) => {
      const now = this.place(moved);
      if (corner) {
        const [right, low] = CORNERS[corner];
        const held = { x: before.x + (right ? 0 : before.width), y: before.y + (low ? 0 : before.height) };
        const at = { x: before.x + (right ? before.width : 0), y: before.y + (low ? before.height : 0) };
        this.boxes[number] = between(held, { x: at.x + now.x - start.x, y: at.y + now.y - start.y });
      } else if (view) {
        const x = within(before.x + now.x - start.x, 0, 1 - before.width);
        this.boxes[number] = { ...before, x, y: within(before.y + now.y - start.y, 0, 1 - before.height) };
      } else {
        const far = Math.hypot(moved.clientX - event.clientX, moved.clientY - event.clientY);
        if (number < 0 && far < DRAWN) return;
        if (number < 0) number = this.chosen = this.boxes.length;
        this.boxes[number] = between(start, now);
      }
      this.render();
    };
    const end = () => {
      this.dragging = false;
      this.frame.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) this.frame.removeEventListener(name, end);
      if (number < 0) return;
      this.changed();
      this.views[number].focus({ preventScroll: true });
    };
    this.frame.setPointerCapture(event.pointerId);
    this.frame.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) this.frame.addEventListener(name, end);
  }

  pressed(event, number) {
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] || [0, 0];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else if (!right && !down) return;
    else {
      const box = this.boxes[number];
      if (event.shiftKey) {
        box.width = within(box.width + STEP * right, LEAST, 1 - box.x);
        box.height = within(box.height + STEP * down, LEAST, 1 - box.y);
      } else {
        box.x = within(box.x + STEP * right, 0, 1 - box.width);
        box.y = within(box.y + STEP * down, 0, 1 - box.height);
      }
      this.changed();
    }
    event.preventDefault();
  }

  choose(number) {
    if (this.chosen === number) return;
    this.chosen = number;
    this.render();
  }

  label(number) {
    const { x, y, width, height } = this.boxes[number];
    return translate("box_label", {
      number: number + 1, x: percent(x), y: percent(y), width: percent(width), height: percent(height),
    });
  }

  // Shows the boxes, and tells a screen reader once they rest.
  changed() {
    this.render();
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      this.said.textContent = this.chosen < 0 ? translate("box_none") : this.label(this.chosen);
    }, 400);
  }

  render() {
    while (this.views.length > this.boxes.length) this.views.pop().remove();
    while (this.views.length < this.boxes.length) this.views.push(this.makeView(this.views.length));
    for (const [number, view] of this.views.entries()) {
      const { x, y, width, height } = this.boxes[number];
      Object.assign(view.style, {
        left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * width}%`, height: `${100 * height}%`,
      });
      view.classList.toggle("chosen", number === this.chosen);
      view.setAttribute("aria-label", this.label(number));
    }
    const box = this.boxes[this.chosen];
    this.fields.hidden = !box;
    if (box) {
      this.legend.textContent = translate("box_fields", { number: this.chosen + 1 });
      for (const side of SIDES) this.inputs[side].value = String(Math.round(1000 * box[side]) / 10);
    }
    const [add, remove, reset] = this.buttons.children;
    add.disabled = this.boxes.length >= this.most;
    remove.disabled = reset.disabled = this.boxes.length === 0;
  }

  makeView(number) {
    const view = element(
      "div",
      { class: "box", tabindex: "0", role: "application", "aria-roledescription": translate("box_role"), "aria-describedby": "box-keys" },
      element("span", { class: "box-number", "aria-hidden": "true" }, String(number + 1)),
      ...Object.keys(CORNERS).map((corner) => element("span", { class: `box-corner ${corner}`, "data-corner": corner, "aria-hidden": "true" })),
    );
    view.addEventListener("keydown", (event) => this.pressed(event, this.views.indexOf(view)));
    view.addEventListener("focus", () => this.choose(this.views.indexOf(view)));
    this.frame.append(view);
    return view;
  }
}
