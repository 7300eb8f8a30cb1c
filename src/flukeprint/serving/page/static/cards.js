// Cards that are read without a network: those whose words contain a text, without accents or case.
import { at, translate } from "./page.js";

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const cards = [...at("cards").children].map((card) => ({ card, text: plain(card.textContent) }));

function search() {
  const wanted = plain(at("cards-q").value.trim());
  let found = 0;
  for (const { card, text } of cards) {
    card.hidden = !text.includes(wanted);
    found += card.hidden ? 0 : 1;
  }
  at("cards-found").textContent = translate("cards_found", { found, total: cards.length });
}

at("cards-q").addEventListener("input", search);
search();
