// Two photographs are compared as soon as both are there.
import { at, takePhotographs, whenBack } from "./page.js";
import { Flow, forget, prepared, preview, previewView, withheld } from "./sending.js";

if (at("verify-result")) {
  const flow = new Flow("verify", "/v1/verify", 2);
  flow.files = [null, null];
  flow.keep = () => {}; // the photographs themselves are not kept
  const previews = [null, null];
  const PLACES = { "file-verify-first": 0, "file-verify-second": 1 };

  takePhotographs(async (files, input) => {
    flow.cancel();
    files = await Promise.all(files.map(prepared));
    const refused = withheld(files, 2);
    if (refused) {
      await flow.show(refused);
      return;
    }
    // Two files fill both places; one goes to its place, or else to the first free one.
    const free = flow.files[0] === null ? 0 : 1;
    const place = input in PLACES ? PLACES[input] : free;
    const first = files.length === 2 ? 0 : place;
    for (const [number, file] of files.entries()) {
      flow.files[first + number] = file;
      forget([previews[first + number]]);
      previews[first + number] = await preview(file);
    }
    for (const [number, side] of ["first", "second"].entries()) {
      const photo = previews[number];
      at(`verify-${side}-photo`).replaceChildren(...(photo ? [previewView(photo)] : []));
    }
    await flow.show(null);
    if (flow.files.every((file) => file !== null)) await flow.ask();
  });

  flow.onAnswer = async (outcome) => {
    if (outcome.state === "lost") {
      whenBack(() => flow.ask());
      return;
    }
    // The verdict is below the photographs, which move it until they are there.
    const images = [...document.querySelectorAll(".half img")];
    await Promise.all(images.map((image) => image.decode().catch(() => {})));
    const result = at("verify-result");
    result.focus({ preventScroll: true });
    result.scrollIntoView({ block: "center" });
  };
}
