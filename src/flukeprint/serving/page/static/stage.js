// One photograph in a frame: fitted into it, then zoomed, moved and mirrored.
import { element, translate } from "./page.js";

const CLOSEST = 16;
const SENT = 1280; // px, the longest side of a picture whose keypoints are looked for

// A shape of the same kind of drawing.
const shape = (drawing, tag, attributes = {}) => {
  const made = document.createElementNS(drawing.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

export class Stage {
  constructor(figure) {
    this.figure = figure;
    this.frame = figure.querySelector(".stage");
    this.image = figure.querySelector("img");
    this.layer = figure.querySelector(".points svg");
    this.zoom = 1;
    this.x = 0; // of the photograph's middle from that of the frame, px
    this.y = 0;
    this.mirrored = false;
    this.points = []; // [x, y] as shares of the photograph's sides
    this.chosen = -1;
    this.loading = null;
    this.image.addEventListener("load", () => this.place());
    this.resized = new ResizeObserver(() => this.place());
    this.resized.observe(this.frame);
  }

  // The photograph's sides where it just fits, px.
  fitted() {
    const { naturalWidth: wide, naturalHeight: high } = this.image;
    if (!wide || !high) return [0, 0];
    const share = Math.min(this.frame.clientWidth / wide, this.frame.clientHeight / high);
    return [wide * share, high * share];
  }

  place() {
    const [wide, high] = this.fitted();
    // Some of it stays in the frame.
    const room = (side, whole) => Math.max(0, (side * this.zoom - whole) / 2) + (this.zoom > 1 ? whole / 4 : 0);
    const across = room(wide, this.frame.clientWidth);
    const down = room(high, this.frame.clientHeight);
    this.x = Math.max(-across, Math.min(across, this.x));
    this.y = Math.max(-down, Math.min(down, this.y));
    Object.assign(this.image.style, {
      width: `${wide}px`, height: `${high}px`,
      transform: `translate(-50%, -50%) translate(${this.x}px, ${this.y}px) scale(${this.mirrored ? -this.zoom : this.zoom}, ${this.zoom})`,
    });
    this.frame.classList.toggle("close", this.zoom > 1);
    this.place_points();
  }

  move(x, y) {
    this.x += x;
    this.y += y;
    this.place();
  }

  // x, y: what stays where it is, from the middle of the frame.
  closer(by, x = 0, y = 0) {
    const zoom = Math.max(1, Math.min(CLOSEST, this.zoom * by));
    const share = zoom / this.zoom;
    this.zoom = zoom;
    this.x = x - (x - this.x) * share;
    this.y = y - (y - this.y) * share;
    this.place();
  }

  whole() {
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.place();
  }

  mirror() {
    this.mirrored = !this.mirrored;
    this.x = -this.x; // what was in the middle stays there
    this.place();
  }

  // Where a point of the photograph is, px of the frame.
  spot([across, down]) {
    const [wide, high] = this.fitted();
    const along = (across - 0.5) * wide * this.zoom * (this.mirrored ? -1 : 1);
    return [
      this.frame.clientWidth / 2 + this.x + along,
      this.frame.clientHeight / 2 + this.y + (down - 0.5) * high * this.zoom,
    ];
  }

  show_points(points) {
    this.points = points;
    this.chosen = -1;
    this.layer.replaceChildren(...points.map((_, number) => {
      const mark = shape(this.layer, "g", { class: `point group-${number % 8}` });
      const text = shape(this.layer, "text", { x: "8", y: "4" });
      text.textContent = String(number + 1);
      mark.append(shape(this.layer, "circle", { r: "5", class: "edge" }), shape(this.layer, "circle", { r: "5" }), text);
      return mark;
    }));
    this.place_points();
  }

  place_points() {
    for (const [number, point] of this.points.entries()) {
      const [x, y] = this.spot(point);
      this.layer.children[number].setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    }
  }

  // The number of the point at a place of the frame, -1 for none.
  point_at(x, y) {
    let best = -1;
    let least = 18 * 18;
    for (const [number, point] of this.points.entries()) {
      const [left, top] = this.spot(point);
      const far = (left - x) ** 2 + (top - y) ** 2;
      if (far < least) [best, least] = [number, far];
    }
    return best;
  }

  choose(number) {
    if (this.chosen >= 0 && this.layer.children[this.chosen]) this.layer.children[this.chosen].classList.remove("chosen");
    this.chosen = number;
    this.layer.classList.toggle("choosing", number >= 0);
    const mark = this.layer.children[number];
    if (mark) mark.classList.add("chosen");
  }

  // ---- what is shown

  tell(text) {
    this.figure.querySelector(".compare-size").textContent = text;
  }

  size() {
    return { width: this.image.naturalWidth, height: this.image.naturalHeight };
  }

  // told: {name, told, href, alt}
  name({ name, told, href, alt }) {
    const words = href ? element("a", { href, target: this.figure.closest("dialog") ? "_blank" : null }, name) : name;
    this.figure.querySelector(".compare-name").replaceChildren(words);
    this.figure.querySelector(".compare-told").textContent = told || "";
    this.image.alt = alt;
  }

  clear() {
    if (this.loading) this.loading.abort();
    this.loading = null;
    this.show_points([]);
  }

  // Shows the small picture, then the large one: {small, large}; small "" for none.
  show(what) {
    this.ready = this.fetch(what);
  }

  async fetch({ small, large }) {
    this.clear();
    const mine = (this.loading = new AbortController());
    const is = () => this.loading === mine;
    if (small) this.image.src = small;
    else this.image.removeAttribute("src");
    this.tell(translate("compare_loading"));
    try {
      const answer = await fetch(large, { signal: mine.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      const told = answer.headers.get("X-Photo-Size") || "full";
      await this.put(await answer.blob(), is);
      if (is()) this.tell(translate(told === "full" ? "compare_full" : "compare_small", this.size()));
    } catch {
      if (is()) this.tell(translate(this.image.naturalWidth ? "compare_small" : "compare_missing", this.size()));
    }
  }

  // Shows a picture of an address that is already here.
  show_own(url, key) {
    this.ready = this.take(url, key);
  }

  async take(url, key) {
    this.clear();
    this.loading = new AbortController();
    const mine = this.loading;
    const is = () => this.loading === mine;
    try {
      await this.decode(url, is);
      if (is()) this.tell(translate(key, this.size()));
    } catch {
      if (is()) this.tell(translate("compare_unshown"));
    }
  }

  // The address is given up once the image is there or another one is wanted, not while it is read.
  async put(blob, is) {
    const url = URL.createObjectURL(blob);
    try {
      await this.decode(url, is);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  async decode(url, is) {
    const ready = new Image();
    ready.src = url;
    await ready.decode();
    if (!is()) return;
    this.image.src = url;
    await this.image.decode();
    this.place();
  }

  // What is shown, upright and without what cameras write, to be sent; null where nothing is.
  async picture() {
    await this.ready;
    const { width, height } = this.size();
    const share = Math.min(1, SENT / Math.max(width, height));
    if (!width || !height) return null;
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * share));
    canvas.height = Math.max(1, Math.round(height * share));
    canvas.getContext("2d").drawImage(this.image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  }

  // Brings a place of the photograph into the middle of the frame.
  centre(point) {
    this.zoom = Math.max(this.zoom, 3);
    const [x, y] = this.spot(point);
    this.move(this.frame.clientWidth / 2 - x, this.frame.clientHeight / 2 - y);
  }

  close() {
    this.clear();
    this.resized.disconnect();
  }
}
