"""Waiting time of a visitor: for the page, and from choosing a photograph to its answer.

    python -m benchmarks.serving.page --identifier RUN/identifier --photos input/spiders/test
        [--source CHECKOUT] [--note NAME]
    python -m benchmarks.serving.page --render

Starts `flukeprint serve` of a checkout, this one by default, and headless Chromium, visits it
several times with an empty browser, as a desktop and as a phone, and keeps a row for each note in
`benchmarks/results/page.json`.  `benchmarks/reports/page.md` shows these rows and those of
`benchmarks.serving.budget`.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.harness.arguments import add_checkout, options
from benchmarks.harness.places import REPORTS, RESULTS
from benchmarks.harness.processes import machine_text, running, use_checkout
from benchmarks.harness.timing import keep_noted, noted
from benchmarks.serving.budget import RESULT as BUDGET
from flukeprint.files import written_whole
from tests.serving.page.browsing import DESKTOP, PHONE, browser, visit  # the browser of the tests

PAGE = REPORTS / "page.md"
RESULT = RESULTS / "page.json"
SIZES = {"desktop, 1280 x 900": DESKTOP, "phone, 390 x 844": PHONE}
# Installed before the page's own scripts, because a driver that looks now and then adds up to half
# a second: when a photograph was chosen, and when the fifth candidate had its own.
WATCH = """
document.addEventListener('change', () => { window.chosen = performance.now() }, true);
document.addEventListener('load', event => {
  if (event.target.matches?.('#answer-5 img')) window.answered ??= performance.now();
}, true);
"""
# What the budget's rows hold, and how the page names it.
BUDGETS = (
    ("first page, kB over the wire", "first_page", "kB", "{:,.0f}"),
    ("first page usable at 400 kbit/s, s", "first_page", "seconds_at_400_kbit", "{:.1f}"),
    ("map, kB over the wire", "map", "kB", "{:,.0f}"),
    ("map, longest task of the main thread, ms", "map", "longest_task_ms", "{:,.0f}"),
    ("layout shift as an answer comes", "answer", "layout_shift", "{:.3f}"),
    ("answers a second, one client", "answers_a_second", None, "{:.1f}"),
    ("memory when ready, MB", "ready_mb", None, "{:,.0f}"),
    ("start of the server, s", "start_seconds", None, "{:.1f}"),
    ("list of animals, ms of server time", "ms /animals", None, "{:.0f}"),
    ("an animal's page, ms of server time", "ms /animals/1", None, "{:.0f}"),
)


def measure(identifier: Path, photos: list[Path], source: Path) -> dict[str, Any]:
    """Seconds of each visit, and the uncompressed bytes of the first page, by size of window."""
    use_checkout(source)
    command = [sys.executable, "-m", "flukeprint", "serve", "--port", "0"]
    rows = {}
    with (
        running([*command, "--identifier", str(identifier.absolute())]) as server,
        browser() as chrome,
    ):
        site = f"http://127.0.0.1:{server.port}"
        for name, how in SIZES.items():
            load, answer, sent = [], [], []
            for photo in tqdm(photos, desc=name, unit="visit"):
                with visit(chrome, site, **how) as visitor:
                    received: list[int] = []
                    visitor.page.on(
                        "requestfinished",
                        lambda done, sizes=received: sizes.append(
                            done.sizes()["responseBodySize"] + done.sizes()["responseHeadersSize"]
                        ),
                    )
                    visitor.page.add_init_script(WATCH)
                    start = time.perf_counter()
                    page = visitor.open()
                    page.wait_for_selector("#identify-choose")
                    load.append(time.perf_counter() - start)
                    page.wait_for_load_state("networkidle")
                    sent.append(sum(received))
                    page.set_input_files("#file-identify", photo)
                    page.wait_for_selector("#answer-5 img")
                    page.wait_for_load_state("networkidle")
                    answer.append(page.evaluate("window.answered - window.chosen") / 1000)
            rows[name] = {"page": load, "answer": answer, "bytes": statistics.median(sent)}
    return {"machine": machine_text(), "visits": len(photos), "sizes": rows}


def render(visits: dict[str, Any], budgets: dict[str, Any]) -> str:
    """The page, of the rows of both results."""
    text = [
        "# How long a visitor waits, and what the page costs",
        "",
        "`before` is the last build whose page was made by Dash (commit d8e0c5a); `now` is HTML of "
        "the server with small scripts, and an engine that is kept.",
        "",
        "## Waiting",
        "",
        "The spiders' recipe (two networks, three zooms). Each visit has an empty browser; "
        "headless Chromium and the server share the machine. Median, and least to most, in "
        "seconds. The page stands when its button can be used; the answer, when the fifth "
        "candidate has its photograph.",
        "",
        "| build | size | page | answer | first page, kB |",
        "|---|---|---|---|---|",
    ]
    for note, row in visits.items():
        text += [
            f"| {note} | {size} | {_range(one['page'])} | {_range(one['answer'])} | "
            f"{one['bytes'] / 1000:,.0f} |"
            for size, one in row["sizes"].items()
        ]
    first = next(iter(visits.values()))
    text += [
        "",
        f"{first['visits']} visits of each size; {first['machine']}.",
        "",
        "Made by `python -m benchmarks.serving.page --identifier RUN/identifier --photos "
        "input/spiders/test`, with `--source` for another checkout.",
        "",
        "## Budget",
        "",
        "A drawn gallery of 5,000 animals and 20,000 photographs, EfficientNet-Lite0 at 224 px.",
        "",
        f"| what | {' | '.join(budgets)} |",
        f"|---|{'---|' * len(budgets)}",
    ]
    for name, key, part, form in BUDGETS:
        cells = [_cell(row.get(key), part, form) for row in budgets.values()]
        text.append(f"| {name} | {' | '.join(cells)} |")
    text += [
        "",
        *(f"{note}: {row['machine']}." for note, row in budgets.items()),
        "",
        "Made by `python -m benchmarks.serving.budget --photos input/nyala/test`, with `--source` "
        "for another checkout. `-`: that build has no such page.",
    ]
    return "\n".join(text) + "\n"


def _cell(value: Any, part: str | None, form: str) -> str:
    found = value[part] if part is not None and isinstance(value, dict) else value
    return form.format(found) if isinstance(found, int | float) else "-"


def _range(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def main() -> None:
    """Measure a checkout, keep its row and write the page."""
    parser = options("serving.page", __doc__, ["render"])
    parser.add_argument("--identifier", type=Path, help="folder of an identifier")
    parser.add_argument("--photos", type=Path, help="folder of photographs to send")
    parser.add_argument("--visits", type=int, default=7, help="of each size of window")
    add_checkout(parser)
    given = parser.parse_args()
    if not given.render:
        if given.identifier is None or given.photos is None:
            parser.error("--identifier and --photos say what is served and sent")
        photos = sorted(given.photos.glob("*.jpg"))[: given.visits]
        if not photos:
            raise SystemExit(f"{given.photos} holds no JPEGs")
        keep_noted(RESULT, given.note, measure(given.identifier, photos, given.source))
    with written_whole(PAGE) as partial:
        partial.write_text(render(noted(RESULT), noted(BUDGET)))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
