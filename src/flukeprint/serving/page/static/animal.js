// An animal's page: changes are taken back with one click.
import { acts, at, headers, translate } from "./page.js";

acts.undo = async (from) => {
  from.disabled = true;
  const said = at("undo-said");
  try {
    const answer = await fetch(from.dataset.undo, { method: "POST", headers: await headers() });
    if (answer.ok) {
      window.location.reload();
      return;
    }
    const problem = await answer.json().catch(() => ({}));
    said.textContent = problem.detail || translate("failed");
  } catch {
    said.textContent = translate("gone");
  }
  from.disabled = false;
};
