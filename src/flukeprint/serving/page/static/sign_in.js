// A token becomes a session: a cookie that no script can read.
import { at, headers, translate } from "./page.js";

at("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = at("sign-in-said");
  said.textContent = "";
  try {
    const answer = await fetch("/v1/session", {
      method: "POST",
      body: JSON.stringify({ token: at("token").value }),
      headers: { ...(await headers()), "Content-Type": "application/json" },
    });
    if (answer.ok) window.location.assign(at("after").value);
    else said.textContent = translate(answer.status === 429 ? "slow_down" : "wrong_token");
  } catch {
    said.textContent = translate("gone");
  }
});

const out = at("sign-out");
if (out) {
  out.addEventListener("click", async () => {
    await fetch("/v1/session", { method: "DELETE", headers: await headers() });
    window.location.reload();
  });
}
