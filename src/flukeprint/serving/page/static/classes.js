// The list of classes follows its filter as one types.
import { at } from "./page.js";

const filter = at("classes-filter");
let timer = null;
let asked = 0;

async function update() {
  const text = filter.value.trim();
  const query = text ? `?${new URLSearchParams({ q: text })}` : "";
  const number = (asked += 1);
  try {
    const answer = await fetch(`/fragments/classes${query}`);
    if (!answer.ok || number !== asked) return;
    at("classes-list").innerHTML = (await answer.json()).html;
    // In the address, without an entry in the browser's history for each letter.
    window.history.replaceState(null, "", `/classes${query}`);
  } catch {
    at("classes-form").submit(); // the browser then says what is wrong
  }
}

filter.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(update, 200);
});
