"use strict";
// Sends photographs that are chosen, dropped, pasted or taken to the API, and puts its answers into
// Dash's stores.  No photograph passes through Dash.  Outcomes are described in error_view.py.
(() => {
  const fluke = (window.flukeprint = window.flukeprint || {});
  const RETRY_S = 2; // wait before trying a busy service again, if it sends no Retry-After
  const RETRY_MOST_S = 30;
  const PHOTO_NAME = /\.(jpe?g|png|tiff?|webp|heic|heif|avif|bmp|gif)$/i;
  const KIND_OF_STATUS = {
    404: "not_found", 413: "too_many_bytes", 415: "unsupported_media_type", 422: "invalid",
    429: "rate_limited", 502: "busy", 503: "busy", 504: "timeout",
  };
  const INPUT_OF_PATH = { "/": "file-identify", "/verify": "file-verify", "/review": "file-review" };

  fluke.put = (id, data) => window.dash_clientside.set_props(id, { data });
  fluke.limits = null; // set with the language, see browser.js

  // If the server is gone, the page's callbacks are too, so this message does without them.
  fluke.gone = (outcome) => {
    const note = document.getElementById("gone");
    note.hidden = !(outcome && outcome.state === "lost");
    note.textContent = note.hidden ? "" : fluke.translate("gone");
  };

  const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

  // ---- sending ----

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

  // The outcome of a GET, never an exception.
  fluke.get = async (path) => {
    try {
      const answer = await fetch(path, { headers: { Accept: "application/json" } });
      return readAnswer(answer.status, await answer.text(), answer.headers.get("Retry-After"));
    } catch {
      return { state: "lost" };
    }
  };

  // job: {cancelled, request}; report({phase, share, seconds}) is called with the progress.
  function sendOnce(path, files, job, report) {
    return new Promise((done) => {
      const form = new FormData();
      // Names of files may be private, and the API does not need them.
      files.forEach((file, at) => form.append("photos", file, `photograph-${at + 1}`));
      const request = new XMLHttpRequest();
      job.request = request;
      request.open("POST", path);
      request.setRequestHeader("Accept", "application/json, application/problem+json");
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

  // The outcome, null when cancelled.  A busy service (503) is tried once more; with `patient`
  // one that limits requests (429) is tried as often as it takes.
  fluke.send = async (path, files, job, report, patient = false) => {
    for (let again = 0; ; again += 1) {
      report({ phase: "sending", share: 0 });
      const outcome = await sendOnce(path, files, job, report);
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
  };

  // Why the files are not sent, null when they can be.
  fluke.withheld = (files, most) => {
    const no = (reason, file) =>
      ({ state: "withheld", reason, name: file ? file.name : "", size: file ? file.size : 0 });
    if (files.length === 0) return no("none");
    if (files.length > most) return no("too_many");
    for (const file of files) {
      if (file.size === 0) return no("empty", file);
      if (file.type ? !file.type.startsWith("image/") : !PHOTO_NAME.test(file.name)) {
        return no("not_a_photograph", file);
      }
      if (file.size > fluke.limits.max_bytes) return no("too_large", file);
    }
    const size = files.reduce((sum, file) => sum + file.size, 0);
    if (size > fluke.limits.max_request_bytes) return no("too_large_together", { name: "", size });
    return null;
  };

  // {name, url, shown}: url is an object URL; shown: whether the browser can show the file.
  fluke.preview = (file) =>
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

  // Not at once, since the page may still show them.
  fluke.forget = (previews) => {
    const urls = previews.filter((preview) => preview && preview.url).map(({ url }) => url);
    setTimeout(() => urls.forEach((url) => URL.revokeObjectURL(url)), 5000);
  };

  // ---- flows: identify (photographs of one encounter) and verify (two photographs) ----

  const flows = {
    identify: { path: "/v1/identify", files: [], previews: [], job: null },
    verify: { path: "/v1/verify", files: [null, null], previews: [null, null], job: null },
  };

  function cancel(name) {
    const { job } = flows[name];
    if (job) {
      job.cancelled = true;
      if (job.request) job.request.abort();
    }
    flows[name].job = null;
    fluke.put(`${name}-progress`, null);
  }

  async function ask(name) {
    const flow = flows[name];
    cancel(name);
    const job = (flow.job = { cancelled: false, request: null });
    fluke.put(`${name}-outcome`, null);
    fluke.gone(null);
    const report = (progress) => {
      if (!job.cancelled) fluke.put(`${name}-progress`, progress);
    };
    const outcome = await fluke.send(flow.path, flow.files, job, report);
    if (job.cancelled || outcome === null) return;
    flow.job = null;
    fluke.put(`${name}-progress`, null);
    fluke.fresh = name === "identify"; // see browser.js
    fluke.gone(outcome);
    fluke.put(`${name}-outcome`, outcome);
  }

  async function identify(files) {
    const flow = flows.identify;
    cancel("identify");
    const refused = fluke.withheld(files, fluke.limits.max_photos);
    fluke.forget(flow.previews);
    flow.files = refused ? [] : files;
    flow.previews = [];
    if (refused) {
      fluke.put("identify-photos", []);
      fluke.put("identify-outcome", refused);
      return;
    }
    const answered = ask("identify");
    const previews = await Promise.all(files.map(fluke.preview));
    if (flow.files === files) {
      flow.previews = previews;
      fluke.put("identify-photos", previews);
    } else {
      fluke.forget(previews); // other files were chosen meanwhile
    }
    await answered;
  }

  async function verify(files, place) {
    const flow = flows.verify;
    cancel("verify");
    const refused = fluke.withheld(files, 2);
    if (refused) {
      fluke.put("verify-outcome", refused);
      return;
    }
    // Two files fill both places; one goes to its place, or else to the first free one.
    const free = flow.files[0] === null ? 0 : 1;
    const first = files.length === 2 ? 0 : place === null ? free : place;
    for (const [at, file] of files.entries()) {
      flow.files[first + at] = file;
      fluke.forget([flow.previews[first + at]]);
      flow.previews[first + at] = await fluke.preview(file);
    }
    fluke.put("verify-photos", [...flow.previews]);
    fluke.put("verify-outcome", null);
    if (flow.files.every((file) => file !== null)) await ask("verify");
  }

  function take(input, files) {
    if (fluke.limits === null) return; // the page is not ready
    if (input === "file-review") fluke.review.add(files);
    else if (input === "file-verify-first") verify(files.slice(0, 2), 0);
    else if (input === "file-verify-second") verify(files.slice(0, 1), 1);
    else if (input === "file-verify") verify(files, null);
    else identify(files);
  }

  // Handles photographs that are dropped on, or pasted into, the open page.
  function receive(files) {
    const input = INPUT_OF_PATH[window.location.pathname];
    if (!input) window.dash_clientside.set_props("url", { pathname: "/", search: "", hash: "" });
    take(input || "file-identify", files);
  }

  async function example(number) {
    const failed = (outcome) => {
      fluke.put("identify-photos", []);
      fluke.gone(outcome);
      fluke.put("identify-outcome", outcome);
    };
    try {
      const answer = await fetch(`/v1/examples/${number}`);
      if (!answer.ok) {
        failed(readProblem(answer.status, await answer.text(), answer.headers.get("Retry-After")));
        return;
      }
      const photo = await answer.blob();
      await identify([new File([photo], String(number + 1), { type: photo.type || "image/jpeg" })]);
    } catch {
      failed({ state: "lost" });
    }
  }

  // ---- events ----

  const acts = {
    choose: (at) => document.getElementById(at.dataset.input).click(),
    example: (at) => example(Number(at.dataset.number)),
    again: (at) => ask(at.dataset.flow),
    cancel: (at) => cancel(at.dataset.flow),
    language: (at) => fluke.put("chosen-language", at.dataset.language),
    decide: (at) => fluke.review.decide(at.dataset.decision),
    go: (at) => fluke.review.step(Number(at.dataset.step)),
    show: (at) => fluke.review.show(Number(at.dataset.index)),
    download: () => fluke.review.download(),
    keys: () => fluke.review.switchKeys(),
    resend: () => fluke.review.resend(),
  };

  document.addEventListener("click", (event) => {
    const at = event.target.closest("[data-act]");
    if (at && acts[at.dataset.act]) acts[at.dataset.act](at);
  });

  document.addEventListener("change", (event) => {
    const input = event.target;
    if (!input.matches('input[type="file"]')) return;
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length > 0) take(input.id, files);
  });

  const carriesFiles = (event) =>
    event.dataTransfer !== null && [...event.dataTransfer.types].includes("Files");
  const dragging = (on) => document.body.classList.toggle("dragging", on);

  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    dragging(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) dragging(false);
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // otherwise the browser would open the photograph instead of the page
    dragging(false);
    receive([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? [...event.clipboardData.files] : [];
    if (files.length === 0) return; // text, for a field
    event.preventDefault();
    receive(files);
  });
})();
