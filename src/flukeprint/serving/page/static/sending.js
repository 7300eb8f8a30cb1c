// Sends photographs to the API and turns its answers into HTML of the page.
// Outcomes are described in views/problems.py.
import { bare } from "./bare.js";
import { acts, at, element, gone, headers, limits, person, translate } from "./page.js";

const RETRY_S = 2; // wait before trying a busy service again, if it sends no Retry-After
const RETRY_MOST_S = 30;
const SMALL_ENOUGH = 1_000_000; // bytes that are sent without a thought
const PHOTO_NAME = /\.(jpe?g|png|tiff?|webp|heic|heif|avif|bmp|gif)$/i;
const KIND_OF_STATUS = {
  404: "not_found", 413: "too_many_bytes", 415: "unsupported_media_type", 422: "invalid",
  429: "rate_limited", 502: "busy", 503: "busy", 504: "timeout",
};

const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function readProblem(status, text, retryAfter) {
  let problem = {};
  try {
    problem = JSON.parse(text) || {};
  } catch {
    // an answer that is not the API's, such as a proxy's; use its status
  }
  const named = /^urn:flukeprint:problem:([a-z_]+)$/.exec(problem.type || "");
  const seconds = /^\d+$/.test(retryAfter || "") ? Math.min(Number(retryAfter), 86400) : null;
  return {
    state: "problem",
    kind: named ? named[1] : KIND_OF_STATUS[status] || "internal",
    status,
    detail: typeof problem.detail === "string" ? problem.detail : "",
    retry_after: seconds,
  };
}

function readAnswer(status, text, retryAfter) {
  if (status < 200 || status > 299) return readProblem(status, text, retryAfter);
  try {
    return { state: "answer", body: JSON.parse(text) };
  } catch {
    return readProblem(status, text, null);
  }
}

// A blob from an address, or the outcome {problem or lost} that there is instead.
export async function fetchBlob(address) {
  try {
    const answer = await fetch(address);
    if (answer.ok) return { blob: await answer.blob() };
    return { outcome: readProblem(answer.status, await answer.text(), answer.headers.get("Retry-After")) };
  } catch {
    return { outcome: { state: "lost" } };
  }
}

// job: {cancelled, request}; report({phase, share, seconds}) is called with the progress.
function sendOnce(path, files, job, report, more, fields) {
  return new Promise((done) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
    // Names of files may be private, and the API does not need them.
    files.forEach((file, number) => form.append("photos", file, `photograph-${number + 1}`));
    const request = new XMLHttpRequest();
    job.request = request;
    request.open("POST", path);
    request.setRequestHeader("Accept", "application/json, application/problem+json");
    for (const [name, value] of Object.entries(more)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) report({ phase: "sending", share: event.loaded / event.total });
    };
    request.upload.onload = () => report({ phase: "thinking" });
    request.onload = () =>
      done(readAnswer(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    request.onerror = () => done({ state: "lost" });
    request.onabort = () => done(null);
    request.send(form);
  });
}

// A photograph as it is sent: a large one is made smaller, to the longest side of which the network
// makes use, upright, as a JPEG.  A smaller JPEG goes without what its camera wrote, and whatever the
// browser cannot decode as it is.
export async function prepared(file) {
  if (file.size < SMALL_ENOUGH || typeof createImageBitmap !== "function") return bare(file);
  try {
    const image = await createImageBitmap(file, { imageOrientation: "from-image" });
    const share = limits.side / Math.max(image.width, image.height);
    if (share >= 1) {
      image.close();
      return bare(file);
    }
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(image.width * share));
    canvas.height = Math.max(1, Math.round(image.height * share));
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    image.close();
    const small = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    return small && small.size < file.size ? new File([small], file.name, { type: "image/jpeg" }) : bare(file);
  } catch {
    return bare(file);
  }
}

// The outcome, null when cancelled.  A busy service (503) is tried once more; with `patient`
// one that limits requests (429) is tried as often as it takes.  fields: of the form besides.
export async function send(path, files, job, report, patient = false, fields = {}) {
  for (let again = 0; ; again += 1) {
    report({ phase: "sending", share: 0 });
    const outcome = await sendOnce(path, files, job, report, await headers(), fields);
    const status = outcome && outcome.state === "problem" ? outcome.status : 0;
    const retry = (status === 503 && again === 0) || (status === 429 && patient);
    if (!retry || job.cancelled) return job.cancelled ? null : outcome;
    const requested = outcome.retry_after === null ? RETRY_S : outcome.retry_after;
    let seconds = patient ? Math.max(requested, 1) : Math.min(requested, RETRY_MOST_S);
    for (; seconds > 0 && !job.cancelled; seconds -= 1) {
      report({ phase: "waiting", seconds: Math.ceil(seconds) });
      await wait(Math.min(seconds, 1));
    }
    if (job.cancelled) return null;
  }
}

// Why the files are not sent, null when they can be.
export function withheld(files, most) {
  const no = (reason, file) =>
    ({ state: "withheld", reason, name: file ? file.name : "", size: file ? file.size : 0 });
  if (files.length === 0) return no("none");
  if (files.length > most) return no("too_many");
  for (const file of files) {
    if (file.size === 0) return no("empty", file);
    if (file.type ? !file.type.startsWith("image/") : !PHOTO_NAME.test(file.name)) {
      return no("not_a_photograph", file);
    }
    if (file.size > limits.max_bytes) return no("too_large", file);
  }
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > limits.max_request_bytes) return no("too_large_together", { name: "", size });
  return null;
}

// The HTML of an outcome, made by the server: {html, line}; null when it cannot be reached.
export async function shown(fragment, outcome) {
  try {
    const answer = await fetch(`/fragments/${fragment}`, {
      method: "POST", body: JSON.stringify(outcome), headers: { ...(await headers()), "Content-Type": "application/json" },
    });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

// {name, url, shown}: url is an object URL; shown: whether the browser can show the file.
export const preview = (file) =>
  new Promise((done) => {
    const url = URL.createObjectURL(file);
    const image = new Image();
    image.onload = () => done({ name: file.name, url, shown: true });
    image.onerror = () => {
      URL.revokeObjectURL(url);
      done({ name: file.name, url: "", shown: false });
    };
    image.src = url;
  });

export const forget = (previews) => {
  for (const each of previews) if (each && each.url.startsWith("blob:")) URL.revokeObjectURL(each.url);
};

export const previewView = (photo) =>
  photo.shown
    ? element("img", { src: photo.url, alt: translate("your_photo", { name: photo.name }), class: "photo" })
    : element("p", { class: "photo unseen" }, translate("not_shown", { name: photo.name }));

// One place that asks the API and shows its answer: photographs, progress, outcome.  What was
// answered last is kept while the window is open, so that it is there after reloading.
export class Flow {
  constructor(name, path, most) {
    this.name = name;
    this.path = path;
    this.most = most;
    this.files = [];
    this.job = null;
    this.onAnswer = () => {};
    acts.again = () => this.ask();
    acts.cancel = () => this.cancel();
  }

  cancel() {
    if (this.job) {
      this.job.cancelled = true;
      if (this.job.request) this.job.request.abort();
    }
    this.job = null;
    this.progress(null);
  }

  async ask() {
    this.cancel();
    const job = (this.job = { cancelled: false, request: null });
    await this.show(null);
    const outcome = await send(this.path, this.files, job, (state) => {
      if (!job.cancelled) this.progress(state);
    });
    if (job.cancelled || outcome === null) return;
    this.job = null;
    this.progress(null);
    await this.show(outcome);
    this.onAnswer(outcome);
  }

  // Shows an outcome; null: none.
  async show(outcome) {
    const result = at(`${this.name}-result`);
    const line = at(`${this.name}-status-answer`);
    const lost = outcome !== null && outcome.state === "lost";
    if (outcome !== null) gone(lost);
    if (outcome === null || lost) {
      result.replaceChildren();
      line.textContent = "";
      return;
    }
    const found = await shown(this.name, outcome);
    if (found === null) {
      gone(true);
      return;
    }
    result.innerHTML = found.html;
    line.textContent = found.line;
    if (outcome.state === "answer") this.keep(outcome);
  }

  progress(state) {
    const view = at(`${this.name}-progress-view`);
    const text = state ? translate(state.phase, { seconds: state.seconds }) : "";
    at(`${this.name}-status-progress`).textContent = text;
    if (!state) {
      view.replaceChildren();
      return;
    }
    const bar = state.phase === "sending" ? { value: String(state.share), max: "1" } : {};
    const known = view.querySelector("progress");
    if (known && view.dataset.phase === state.phase) {
      if (bar.value) known.value = Number(bar.value);
      view.firstChild.textContent = text;
      return;
    }
    view.dataset.phase = state.phase;
    view.replaceChildren(
      element("p", {}, text),
      element("progress", { ...bar, "aria-label": text }),
      element(
        "button",
        { id: `${this.name}-cancel`, class: "button plain small", "data-act": "cancel", type: "button" },
        translate("cancel"),
      ),
    );
  }

  keep(outcome) {
    try {
      sessionStorage.setItem(`flukeprint-${this.name}`, JSON.stringify({ outcome, person, pictures: this.pictures || [] }));
    } catch {
      // no room, or forbidden: reloading then shows the empty page
    }
  }

  kept() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(`flukeprint-${this.name}`));
      return kept && kept.person === person ? kept : null; // of another person nothing is shown
    } catch {
      return null;
    }
  }

  forgetKept() {
    try {
      sessionStorage.removeItem(`flukeprint-${this.name}`);
    } catch {
      // nothing was kept
    }
  }
}

// A small picture of a preview as an address that holds it, to be kept with an answer.
export async function smallPicture(photo, side = 480) {
  if (!photo.shown) return photo;
  const image = new Image();
  image.src = photo.url;
  await image.decode();
  const share = Math.min(1, side / Math.max(image.naturalWidth, image.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * share));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * share));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return { name: photo.name, url: canvas.toDataURL("image/jpeg", 0.8), shown: true };
}
