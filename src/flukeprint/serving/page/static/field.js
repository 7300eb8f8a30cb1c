// Use without a network: asks the browser to hold the page, and says what it holds.
import { at, element, held, language, translate, whenBack } from "./page.js";

const state = at("field-state");

export async function holdPage() {
  if (held) {
    at("held").hidden = false;
    whenBack(() => at("held").replaceChildren(
      `${translate("held_back")} `, element("a", { href: window.location.href, id: "held-again" }, translate("held_again")),
    ));
    if (!["/", "/field"].includes(window.location.pathname)) at("not-held").hidden = false;
  }
  if (!navigator.serviceWorker) {
    // Browsers offer it on https and localhost alone.
    state.textContent = translate(window.isSecureContext ? "field_unable" : "field_http");
    return;
  }
  try {
    await navigator.serviceWorker.register("/service-worker.js", { scope: "/", updateViaCache: "none" });
    const { active } = await navigator.serviceWorker.ready;
    active.postMessage({ language });
    state.textContent = translate("field_held");
    state.dataset.held = "yes";
  } catch {
    state.textContent = translate(navigator.serviceWorker.controller ? "field_held" : "field_unable");
  }
}
