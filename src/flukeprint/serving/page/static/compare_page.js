// The page of a comparison: the visitor's own photograph is the one that was answered last.
import { at, takePhotographs } from "./page.js";
import { Comparison } from "./compare.js";
import { prepared, preview } from "./sending.js";

function kept() {
  try {
    const { pictures } = JSON.parse(sessionStorage.getItem("flukeprint-identify"));
    return pictures.filter(({ shown }) => shown).map(({ name, url }) => ({ name, url, whole: false }));
  } catch {
    return []; // nothing was kept
  }
}

if (at("compare")) {
  const shown = new Comparison(at("compare"), { own: kept() });
  if (at("compare-own")) {
    takePhotographs(async ([file]) => {
      const { name, url } = await preview(await prepared(file));
      shown.setOwn([{ name, url, whole: true }]);
      shown.showQuery(shown.shows[shown.number].dataset);
    });
  }
}
