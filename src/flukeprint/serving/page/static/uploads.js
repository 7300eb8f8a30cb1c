// Hundreds of photographs are sent one by one; what has arrived is not sent again.
import { ask, why } from "./api.js";
import { batchId, showBatch } from "./batch.js";
import { at, element, limits, takePhotographs, translate, whenBack } from "./page.js";
import { digestOf } from "./sha256.js";

const TOGETHER = 50; // photographs that are read before they are sent
const NAME_LENGTH = 200;
const bar = at("upload-bar");
const told = at("upload-said");
const isPhotograph = ({ type, name }) => type.startsWith("image/") || /\.(hei[cf]|tiff?|avif|jpe?g|png|webp)$/i.test(name);
const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const back = () => new Promise((done) => whenBack(done));

// As `ask`, again when the service is there again, or no longer busy.
async function patiently(...asked) {
  for (;;) {
    const answer = await ask(...asked);
    const busy = answer.status === 429 || answer.status >= 502;
    if (answer.ok || (answer.status !== 0 && !busy)) return answer;
    told.textContent = why(answer);
    await (answer.status === 0 ? back() : wait(Math.min(30, answer.after || 2)));
  }
}

// Gives true when they have all been handled.
async function upload(files, refused) {
  if (!batchId()) {
    const names = [...new Set([files[0].name, files[files.length - 1].name])];
    const title = (files[0].webkitRelativePath || "").split("/")[0] || names.join(" … ");
    const made = await patiently("POST", "/v1/batches", {
      title: title.slice(0, NAME_LENGTH), keep_dates: at("upload-dates").checked,
    });
    if (!made.ok) {
      told.textContent = why(made);
      return false;
    }
    await showBatch(made.body.id);
  }
  const address = `/v1/batches/${encodeURIComponent(batchId())}`;
  let done = 0;
  for (let from = 0; from < files.length; from += TOGETHER) {
    const named = [];
    for (const file of files.slice(from, from + TOGETHER)) {
      told.textContent = translate("queue_reading", { number: from + named.length + 1, total: files.length });
      if (file.size > limits.max_bytes) {
        refused(file, translate("queue_too_large"));
        done += 1;
        continue;
      }
      try {
        named.push({ file, digest: await digestOf(file) });
      } catch {
        refused(file, translate("queue_unreadable"));
        done += 1;
      }
    }
    const known = await patiently("POST", `${address}/missing`, { digests: named.map(({ digest }) => digest) });
    if (!known.ok) {
      told.textContent = why(known);
      return false;
    }
    const missing = new Set(known.body.missing);
    for (const { file, digest } of named) {
      told.textContent = translate("queue_sending", { number: done + 1, total: files.length });
      if (missing.delete(digest)) {
        const name = encodeURIComponent(file.name.slice(-NAME_LENGTH));
        const sent = await patiently("PUT", `${address}/photos/${digest}?name=${name}`, file, "application/octet-stream");
        if (sent.status === 401 || sent.status === 403 || sent.status === 404) {
          told.textContent = why(sent);
          return false;
        }
        if (!sent.ok) refused(file, why(sent));
      }
      done += 1;
      bar.value = done / files.length;
    }
  }
  return true;
}

let running = Promise.resolve();

function take(chosen) {
  const files = chosen.filter(isPhotograph);
  if (files.length === 0) {
    if (chosen.length > 0) told.textContent = translate("queue_no_photographs");
    return;
  }
  running = running.then(async () => {
    const bad = [];
    at("upload-refused").replaceChildren();
    bar.hidden = false;
    bar.value = 0;
    leaving(true);
    const whole = await upload(files, (file, reason) => {
      bad.push(file);
      at("upload-refused").append(element("li", {}, element("span", { class: "file" }, file.name), ` ${reason}`));
    });
    leaving(false);
    bar.hidden = true;
    if (whole) told.textContent = translate("queue_sent", { sent: files.length - bad.length, refused: bad.length });
    if (batchId()) await showBatch(batchId());
  });
}

// The browser asks before a page goes that is still sending.
const hold = (event) => event.preventDefault();
function leaving(busy) {
  if (busy) window.addEventListener("beforeunload", hold);
  else window.removeEventListener("beforeunload", hold);
}

takePhotographs(take);
