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

// What this device keeps of a person goes as that person does: answers, and what waits.
async function forget(waiting) {
  for (const kept of [() => sessionStorage, () => localStorage]) {
    try {
      for (const name of Object.keys(kept())) if (name.startsWith("flukeprint-")) kept().removeItem(name);
    } catch {
      // keeping is forbidden, so nothing was kept
    }
  }
  await waiting.forgetAll().catch(() => {});
}

const out = at("sign-out");
if (out) {
  let sure = false;
  out.addEventListener("click", async () => {
    const waiting = await import("./store.js");
    const count = await waiting.count();
    if (count > 0 && !sure) {
      sure = true;
      at("sign-in-said").textContent = translate("waiting_sign_out", { count });
      out.textContent = translate("sign_out_anyway");
      return;
    }
    await forget(waiting);
    await fetch("/v1/session", { method: "DELETE", headers: await headers() });
    window.location.reload();
  });
}
