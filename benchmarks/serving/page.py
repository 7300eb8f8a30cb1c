"""How long a visitor waits: for the page, and from choosing a photograph to its answer.

    python benchmarks/page.py --identifier RUN/identifier --photos input/spiders/test

starts `flukeprint serve` and headless Chromium, visits it with an empty browser several times on a
desktop and on a phone, and writes `benchmarks/page.md`.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from processes import machine, running
from tqdm import tqdm

from flukeprint.files import written_whole

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.serving.page.browsing import DESKTOP, PHONE, browser, visit  # the browser of the tests

PAGE = Path(__file__).with_suffix(".md")


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--identifier", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--visits", type=int, default=7)
    asked = parser.parse_args()
    photos = sorted(asked.photos.glob("*.jpg"))[: asked.visits]
    if not photos:
        raise SystemExit(f"{asked.photos} holds no JPEGs")
    rows = []
    command = [sys.executable, "-m", "flukeprint", "serve", "--port", "0"]
    with running([*command, "--identifier", str(asked.identifier)]) as server, browser() as chrome:
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
        f"{machine()}. Median, and least to most, in seconds. The page stands when its button "
        "can be used; the answer, when the fifth candidate has its photograph.",
        "",
        "| size | page | answer | MiB of the first page, uncompressed |",
        "|---|---|---|---|",
        *rows,
        "",
        "Made by `python benchmarks/page.py --identifier RUN/identifier --photos "
        "input/spiders/test`.",
    ]
    with written_whole(PAGE) as partial:
        partial.write_text("\n".join(text) + "\n")
    print("\n".join(text))


def _range(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
