// What a person decides before a photograph is sent: which animals in it are meant, and whether
// its date and place go with it.
import { bare } from "./bare.js";
import { BoxEditor } from "./boxes.js";
import { takenOf } from "./exif.js";
import { at, element, language, limits, translate } from "./page.js";
import { preview, forget } from "./sending.js";

const MOST_BOXES = 9;
const MARGIN = 0.1; // of a box, that is sent around it
const SMALL_ENOUGH = 1_000_000; // bytes of a photograph that is sent whole

// {boxes, date, at}, or null where the person thinks better of it.  want: {boxes, taken}.
export async function choose(files, want) {
  const panel = at("choosing");
  const taken = want.taken ? await firstTaken(files) : null;
  const [photo] = files.length === 1 && want.boxes ? await Promise.all(files.map(preview)) : [null];
  const editor = photo && photo.shown ? new BoxEditor(photo, MOST_BOXES) : null;
  const title = element("h2", { id: "choosing-title", tabindex: "-1" }, translate("before_sending"));
  const ask = element("button", { class: "button", type: "button", id: "choosing-ask" }, translate("ask"));
  const leave = element("button", { class: "button plain", type: "button", id: "choosing-leave" }, translate("cancel"));
  const boxes = taken && takenView(taken);
  panel.replaceChildren(...[
    title,
    editor && editor.element,
    want.boxes && !editor && element("p", { class: "hint" }, translate(files.length > 1 ? "box_one_photo" : "box_not_shown")),
    boxes && boxes.view,
    element("div", { class: "buttons" }, ask, leave),
  ].filter(Boolean));
  panel.hidden = false;
  title.focus();
  const answer = await new Promise((done) => {
    ask.addEventListener("click", () => done({
      boxes: editor ? editor.boxes : [], ...(boxes ? boxes.sent() : { date: "", at: "" }),
    }));
    leave.addEventListener("click", () => done(null));
    panel.addEventListener("replaced", () => done(undefined), { once: true });
  });
  if (photo) forget([photo]);
  if (answer !== undefined) {
    panel.hidden = true;
    panel.replaceChildren();
  }
  return answer || null;
}

async function firstTaken(files) {
  const all = await Promise.all(files.map((file) => takenOf(file)));
  const first = (key) => all.map((one) => one[key]).find(Boolean) || "";
  return { date: first("date"), at: first("at") };
}

// What was read, each with a box to tick.
function takenView({ date, at: place }) {
  const ticks = {};
  const line = (key, words) => {
    ticks[key] = element("input", { type: "checkbox", id: `taken-${key}` });
    ticks[key].checked = true;
    return element("p", {}, element("label", { class: "check" }, ticks[key], ` ${words}`));
  };
  const lines = [
    date && line("date", translate("taken_date", { date: spoken(date) })),
    place && line("at", translate("taken_at", { at: place.replace(",", ", ") })),
  ].filter(Boolean);
  return {
    view: element(
      "fieldset", { class: "taken", id: "taken" }, element("legend", {}, translate("taken")),
      ...(lines.length ? lines : [element("p", {}, translate("taken_none"))]),
    ),
    sent: () => ({
      date: date && ticks.date.checked ? date : "",
      at: place && ticks.at.checked ? place : "",
    }),
  };
}

function spoken(date) {
  const [day, time] = date.slice(0, 16).split("T");
  const words = new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone: "UTC" });
  return `${words.format(new Date(`${day}T00:00Z`))}, ${time}${date.slice(16)}`;
}

const written = ({ x, y, width, height }) =>
  [x, y, width, height].map((side) => String(Math.round(side * 1e6) / 1e6)).join(",");

// A box of a photograph as it is sent, {file, box, picture}: of a large photograph only the box and
// a little around it, so that the animal keeps its pixels.  The box is in shares of what is sent.
export async function cutOut(file, box) {
  const image = await createImageBitmap(file, { imageOrientation: "from-image" });
  const { width, height } = image;
  const picture = drawn(image, box.x * width, box.y * height, box.width * width, box.height * height, 320).toDataURL("image/jpeg", 0.8);
  const left = Math.max(0, Math.floor((box.x - MARGIN * box.width) * width));
  const top = Math.max(0, Math.floor((box.y - MARGIN * box.height) * height));
  const right = Math.min(width, Math.ceil((box.x + (1 + MARGIN) * box.width) * width));
  const low = Math.min(height, Math.ceil((box.y + (1 + MARGIN) * box.height) * height));
  const [wide, high] = [right - left, low - top];
  const whole = { file: await bare(file), box: written(box), picture };
  if (file.size < SMALL_ENOUGH) {
    image.close();
    return whole;
  }
  const small = await new Promise((done) => drawn(image, left, top, wide, high, limits.side).toBlob(done, "image/jpeg", 0.92));
  image.close();
  if (!small || small.size > file.size) return whole;
  const inside = {
    x: (box.x * width - left) / wide, y: (box.y * height - top) / high,
    width: (box.width * width) / wide, height: (box.height * height) / high,
  };
  return { file: new File([small], file.name, { type: "image/jpeg" }), box: written(inside), picture };
}

// A part of an image on a canvas of at most `side` pixels.
function drawn(image, left, top, wide, high, side) {
  const share = Math.min(1, side / Math.max(wide, high));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(wide * share));
  canvas.height = Math.max(1, Math.round(high * share));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, left, top, wide, high, 0, 0, canvas.width, canvas.height);
  return canvas;
}
