"""Waiting time of a visitor: for the page, and from choosing a photograph to its answer.

    python -m benchmarks.serving.page --identifier RUN/identifier --photos input/spiders/test

Starts `flukeprint serve` and headless Chromium, visits it several times with an empty browser, as a
desktop and as a phone, and writes `benchmarks/reports/page.md`.
"""

import statistics
import sys
import time

from tqdm import tqdm

from benchmarks.harness.arguments import service_options
from benchmarks.harness.places import REPORTS
from benchmarks.harness.processes import machine_text, running
from flukeprint.files import written_whole
from tests.serving.page.browsing import DESKTOP, PHONE, browser, visit  # the browser of the tests

PAGE = REPORTS / "page.md"


def main() -> None:
    """Measure and write the page."""
    parser = service_options("serving.page", __doc__)
    parser.add_argument("--visits", type=int, default=7, help="of each kind of browser")
    given = parser.parse_args()
    photos = sorted(given.photos.glob("*.jpg"))[: given.visits]
    if not photos:
        raise SystemExit(f"{given.photos} holds no JPEGs")
    rows = []
    command = [sys.executable, "-m", "flukeprint", "serve", "--port", "0"]
    with (
        running([*command, "--identifier", str(given.identifier.absolute())]) as server,
        browser() as chrome,
    ):
        site = f"http://127.0.0.1:{server.port}"
        for name, how in (("desktop, 1280 x 900", DESKTOP), ("phone, 390 x 844", PHONE)):
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
                    start = time.perf_counter()
                    page = visitor.open()
                    page.wait_for_selector("#identify-choose")
                    load.append(time.perf_counter() - start)
                    page.wait_for_load_state("networkidle")
                    sent.append(sum(received))
                    start = time.perf_counter()
                    page.set_input_files("#file-identify", photo)
                    page.wait_for_selector("#answer-5 img")
                    answer.append(time.perf_counter() - start)
            rows.append(
                f"| {name} | {_range(load)} | {_range(answer)} | "
                f"{statistics.median(sent) / 2**20:.1f} |"
            )
    text = [
        "# How long a visitor waits",
        "",
        f"{len(photos)} visits each with an empty browser; headless Chromium and the server share "
        f"{machine_text()}. Median, and least to most, in seconds. The page stands when its button "
        "can be used; the answer, when the fifth candidate has its photograph.",
        "",
        "| size | page | answer | MiB of the first page, uncompressed |",
        "|---|---|---|---|",
        *rows,
        "",
        "Made by `python -m benchmarks.serving.page --identifier RUN/identifier --photos "
        "input/spiders/test`.",
    ]
    with written_whole(PAGE) as partial:
        partial.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def _range(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
