// The first page: photographs of one encounter are sent as soon as they are chosen.
import { acts, at, compareOver, limits, takePhotographs, whenBack } from "./page.js";
import { Flow, fetchBlob, forget, prepared, preview, previewView, smallPicture, withheld } from "./sending.js";

const flow = new Flow("identify", "/v1/identify", limits.max_photos);
let previews = [];

function showPreviews() {
  at("identify-photos-view").replaceChildren(...previews.map(previewView));
}

async function identify(files) {
  flow.cancel();
  flow.forgetKept();
  forget(previews);
  previews = [];
  flow.pictures = [];
  showPreviews();
  flow.files = files; // until it is known whether they can be sent
  const smaller = await Promise.all(files.map(prepared));
  if (flow.files !== files) return; // other files were chosen meanwhile
  files = smaller;
  const refused = withheld(files, limits.max_photos);
  flow.files = refused ? [] : files;
  if (refused) {
    await flow.show(refused);
    return;
  }
  const answered = flow.ask();
  const made = await Promise.all(files.map(preview));
  if (flow.files !== files) {
    forget(made); // other files were chosen meanwhile
    return;
  }
  previews = made;
  showPreviews();
  const pictures = await Promise.all(made.map((photo) => smallPicture(photo).catch(() => ({ ...photo, url: "", shown: false }))));
  if (flow.files === files) flow.pictures = pictures;
  await answered;
}

flow.onAnswer = (outcome) => {
  if (outcome.state === "lost") {
    const { files } = flow;
    whenBack(() => { if (flow.files === files && files.length > 0) flow.ask(); });
    return;
  }
  if (outcome.state === "answer") flow.keep(outcome); // with its pictures, made meanwhile
  const result = at("identify-result");
  if (result.getBoundingClientRect().top < 0.6 * window.innerHeight) return;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  result.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
};

acts.compare = (from, event) => compareOver(from, event, {
  own: previews.map(({ name, url }) => ({ name, url, whole: flow.files.length > 0 })),
});

acts.example = async (from) => {
  const number = Number(from.dataset.number);
  const { blob, outcome } = await fetchBlob(`/v1/examples/${number}`);
  if (blob) await identify([new File([blob], String(number + 1), { type: blob.type || "image/jpeg" })]);
  else await flow.show(outcome);
};

takePhotographs(identify);

const kept = flow.kept();
if (kept && kept.outcome) {
  flow.pictures = kept.pictures || [];
  previews = flow.pictures;
  showPreviews();
  flow.show(kept.outcome);
}
