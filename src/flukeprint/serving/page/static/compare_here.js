// Shows a comparison over the page that asks for it, which is as it was when it is closed.
import { element, translate } from "./page.js";
import { Comparison } from "./compare.js";

// link: to the page of the comparison.  told: as of `Comparison`.
export async function compareHere(link, told) {
  const href = link.getAttribute("href");
  let found = null;
  try {
    const answer = await fetch(`/fragments${href}`);
    if (answer.ok) found = await answer.json();
  } catch {
    // the page itself then says what is wrong
  }
  if (found === null) {
    window.location.assign(href);
    return;
  }
  const inside = element("div", {});
  inside.innerHTML = found.html;
  const closer = element("button", { class: "button plain small", type: "button", id: "compare-close" }, translate("compare_close"));
  const dialog = element("dialog", { class: "comparison", "aria-label": inside.firstElementChild.getAttribute("aria-label") }, closer, inside);
  document.body.append(dialog);
  dialog.showModal();
  const leave = () => dialog.close();
  const shown = new Comparison(inside.querySelector("#compare"), { ...told, leave });
  const before = window.location.href;
  window.history.pushState({ compared: true }, "", href); // so that going back closes it
  let back = true;
  const gone = () => {
    back = false;
    leave();
  };
  window.addEventListener("popstate", gone, { once: true });
  closer.addEventListener("click", leave);
  dialog.addEventListener("close", () => {
    window.removeEventListener("popstate", gone);
    shown.close();
    dialog.remove();
    if (back && window.location.href !== before) window.history.back();
    link.focus({ preventScroll: true });
  });
}
