"""A year of a small project, told with the commands of a catalogue on real photographs.

    python -m benchmarks.accuracy.catalogue_year --run RUN --photos input/nyala

The network of a finished run begins with a gallery without the photographs of the run's fold, which
it has never seen; these come in over the year.  The data has no dates, so those of the story are
drawn, and its people are invented; the photographs, the answers and every figure are real.  Writes
`docs/catalogue.md` from `catalogue_template.md`.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from flukeprint.data.embeddings import Embeddings
from flukeprint.files import written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies.run_fold import EMBEDDINGS, read_run_fold
from flukeprint.keeper.review.table import COLUMNS

TEMPLATE = Path(__file__).with_name("catalogue_template.md")
PAGE = ROOT / "docs" / "catalogue.md"
MARK = "<!-- year -->"
SEED = 0
KEPT_LINES = 14  # of a long output
PLACES = {
    "water hole": (-27.04, 32.41),
    "river bend": (-27.09, 32.47),
    "north gate": (-26.98, 32.36),
}


class Story:
    """Runs commands in a folder and keeps what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines = folder, []  # type: tuple[Path, list[str]]

    def tell(self, text: str) -> None:
        """Add a paragraph."""
        self.lines += [text, ""]

    def run(self, *words: str, most: int = KEPT_LINES, fails: bool = False) -> str:
        """Run `flukeprint WORDS` as a user would and keep its output."""
        done = subprocess.run(
            [sys.executable, "-m", "flukeprint", *words],
            cwd=self.folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        if (done.returncode != 0) != fails:
            raise RuntimeError(f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        out = re.sub(r"^(photographs|asking without their encounters): .*\n", "",
                     done.stderr, flags=re.MULTILINE) + done.stdout  # fmt: skip
        out = out.replace(f"{self.folder}{os.sep}", "")
        shown = out.rstrip().splitlines()
        if len(shown) > most:
            shown = [*shown[: most - 1], f"... ({len(shown) - most + 1} more lines)"]
        command = " ".join(f"'{word}'" if " " in word else word for word in words)
        self.lines += ["```console", f"$ flukeprint {command}", *shown, "```", ""]
        return done.stdout


def begin(run: Run, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Save the identifier without the fold's photographs; these, and whom each of them shows."""
    fold = read_run_fold(run.path)
    known = Identifier.load(run.identifier, with_index=False)
    of_run = Embeddings.load(run.path / EMBEDDINGS).take(fold.queries)
    asked = list(of_run.images)
    truth = dict(zip(asked, map(str, of_run.identities), strict=True))
    kept = np.array([image not in truth for image in known.gallery.images])
    rest = np.flatnonzero(kept)
    replace(
        known,
        card=known.card.model_copy(update={"name": "nyala"}),
        gallery=known.gallery.take(rest),
        keypoints=None if known.keypoints is None else known.keypoints.take(rest),
        showcase=None if known.showcase is None else known.showcase.take(rest),
        origin=None,
    ).save(folder / "nyala")
    return asked, truth


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a CSV with a column for each key."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def season(
    folder: Path,
    name: str,
    images: Sequence[str],
    photos: Path,
    first: date,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Copy the photographs of a season, and draw when and where they were taken."""
    (folder / name).mkdir()
    found = []
    for image in images:
        shutil.copyfile(photos / "train" / image, folder / name / image)
        day = first + timedelta(days=int(rng.integers(60)))
        place = list(PLACES)[int(rng.integers(len(PLACES)))]
        north, east = PLACES[place]
        found.append(
            {"image": image, "date": f"{day} {rng.integers(5, 19):02d}:{rng.integers(60):02d}",
             "latitude": north, "longitude": east, "place": place}
        )  # fmt: skip
    return found


def decisions(page: Path, table: Path, truth: dict[str, str], known: set[str]) -> Counter[str]:
    """Decide as a person who knows the animals would, and write the table that the page gives."""
    text = page.read_text()
    found = re.search(r'<script type="application/json" id="queue">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    queue = json.loads(found[1])
    rows = []
    for number, entry in enumerate(queue["entries"]):
        who = truth[entry["photo"]]
        offered = [one["identity"] for one in entry["candidates"]]
        decision = "known" if who in known else "new"
        if decision == "known" and who not in offered and number % 2:
            decision = "unsure"  # a person does not find every animal among hundreds
        first = entry["candidates"][0]
        rows.append(
            dict.fromkeys(COLUMNS, "") | {
                "photo": entry["photo"], "decision": decision,
                "identity": who if decision == "known" else "", "reviewer": "Bea",
                "decided_at": "2026-11-05T09:30:00Z",
                "first_answer": first["identity"] or queue["newLabel"],
                "probability": "" if first["probability"] is None else first["probability"],
                "stamp": queue["stamp"], "queue": queue["id"], "catalogue_event": queue["event"],
                "digest": entry["digest"], "path": entry["path"],
            }
        )  # fmt: skip
    write_table(table, rows)
    return Counter(row["decision"] for row in rows)


def tell(run: Run, photos: Path, work: Path) -> list[str]:
    """Live through the year; the lines of the page."""
    story, rng = Story(work), np.random.default_rng(SEED)
    asked, truth = begin(run, work)
    known = set(Identifier.load(work / "nyala").identities)
    order = [asked[place] for place in rng.permutation(len(asked))]
    half = len(order) // 2
    spring = season(work, "spring", order[:half], photos, date(2026, 5, 1), rng)
    autumn = order[half:]
    season(work, "autumn", autumn, photos, date(2026, 9, 1), rng)
    story.tell("## January: the catalogue begins")
    story.run("keep", "nyala", "--author", "Ana")
    story.tell("## May: a table with dates")
    counts = Counter(truth[row["image"]] for row in spring)
    double = next(who for who, number in counts.most_common() if number > 1)
    twice = [row["image"] for row in spring if truth[row["image"]] == double]
    wrong = next(row["image"] for row in spring if truth[row["image"]] in known - {double})
    for row in spring:
        row["identity"] = truth[row["image"]]
        if row["image"] == twice[0]:
            row["identity"] = "stray_1"  # one animal under two names
    write_table(work / "spring" / "spring.csv", spring)
    story.run("enroll", "nyala", "spring/spring.csv", "--author", "Ana", fails=True)
    story.tell("They are new, so it is said:")
    story.run("enroll", "nyala", "spring/spring.csv", "--new", "--author", "Ana",
              "--reason", "spring survey", "--dry-run")  # fmt: skip
    story.run("enroll", "nyala", "spring/spring.csv", "--new", "--author", "Ana",
              "--reason", "spring survey")  # fmt: skip
    copy = work / "from a phone.jpg"
    with Image.open(work / "spring" / wrong) as image:
        size = (image.width * 2 // 3, image.height * 2 // 3)
        image.resize(size, Image.Resampling.LANCZOS).save(copy, quality=85)
    story.tell("The same photograph comes again, from a phone, smaller and under another name:")
    story.run("enroll", "nyala", copy.name, "--identity", truth[wrong], fails=True)
    story.tell("## June: a wrong name, and its undo")
    others = sorted(known - {truth[wrong]})
    story.run(
        "move", "nyala", wrong, "--to", others[0], "--author", "Cy", "--reason", "looks like it"
    )
    story.run("history", "nyala", "--most", "3")
    story.run("undo", "nyala", "--author", "Ana", "--reason", "the other flank")
    story.tell("## July: one animal under two names")
    story.run("merge", "nyala", double, "stray_1", "--author", "Ana")
    story.run("individuals", "nyala", "stray_1", most=24)
    story.tell("## November: the photographs of autumn are reviewed")
    story.run("review", "autumn", "--identifier", "nyala", "-o", "autumn.html")
    seen = known | set(counts)
    found = decisions(work / "autumn.html", work / "review.csv", truth, seen)
    moved = next(truth[image] for image in autumn if truth[image] in known)
    story.tell(
        f"Bea decides: {', '.join(f'{number} {what}' for what, number in sorted(found.items()))}. "
        "Meanwhile somebody else gives one of these animals a name."
    )
    story.run("rename", "nyala", moved, "Nandi", "--author", "Cy")
    story.run("apply-review", "nyala", "review.csv", "--author", "Bea")
    story.run("apply-review", "nyala", "review.csv", "--author", "Bea", "--stale", "--apply")
    story.tell("## December: threshold and probabilities anew, and a copy for the museum")
    story.run("refit", "nyala", "--author", "Ana")
    story.run("individuals", "nyala", "--search", "nandi")
    story.run("export-catalogue", "nyala", "-o", "museum", "--format", "csv")
    story.run("history", "nyala")
    return story.lines


def main() -> None:
    """Tell the year and write the page."""
    parser = options("accuracy.catalogue_year", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run of an open set")
    parser.add_argument("--photos", type=Path, required=True, help="its photographs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = tell(Run(given.run), given.photos.absolute(), Path(folder))
    with written_whole(PAGE) as partial:
        partial.write_text(TEMPLATE.read_text().replace(MARK, "\n".join(lines).strip()))


if __name__ == "__main__":
    main()
