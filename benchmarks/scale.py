"""What grows with a catalogue: names, parts of several processes, Qdrant; and docs/scale.md.

    python benchmarks/scale.py [--quick]
    python benchmarks/scale.py --render    the page from the results that are there

The page is benchmarks/scale_template.md with the figures of all scripts' results in its places
{{name}}; a figure that was not measured is said to be so.  Qdrant is the client's embedded mode.
"""

import argparse
import json
import math
import re
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_vectors import draw
from timing import RESULTS, save, timed

from flukeprint.config.schema import GalleryConfig, ImageConfig, ModelConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.kaggle_csv import read_label_table
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.embedding.sharding import embed_sharded
from flukeprint.models.network import build_model
from flukeprint.search.qdrant_index import QdrantIndex
from flukeprint.storage import join, parse_path

HERE = Path(__file__).parent
TEMPLATE, PAGE = HERE / "scale_template.md", HERE.parent / "docs" / "scale.md"
ABSENT = "not measured"
D, STAMP = 512, "drawn"
SIZES = (10**4, 10**6, 10**8)
SIDE = 224  # px, of the network's input
QUERY_SHARE = 0.2  # of a catalogue, asked in a validation

Row = dict[str, Any]


def row(what: str, unit: str, every: list[float], **more: Any) -> Row:
    """A result: the median and all rounds."""
    print(f"  {what}: {statistics.median(every):.4g} {unit}", flush=True)
    return {"what": what, "unit": unit, "median": statistics.median(every), "all": every, **more}


def names(quick: bool) -> list[Row]:
    """A table of photographs read, and what a row of the catalogue holds in memory."""
    n = 20_000 if quick else 200_000
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "train.csv"
        lines = (f"photo{number:08}.jpg,w_{number // 5:07}\n" for number in range(n))
        table.write_text("Image,Id\n" + "".join(lines))
        seconds = [timed(lambda: read_label_table(table, "new_whale")) for _ in range(3)]
        rows.append(row("reading the table", "us a photograph", [1e6 * s / n for s in seconds]))
        tracemalloc.start()
        catalog = read_label_table(table, "new_whale")
        local = tracemalloc.get_traced_memory()[0] / n
        del catalog
        tracemalloc.stop()
        rows.append(row("catalogue, photographs on a disk", "bytes a photograph", [local]))
    root = parse_path("memory://bucket/train")
    some = n // 10
    tracemalloc.start()
    paths = tuple(join(root, f"photo{number:08}.jpg") for number in range(some))
    far = tracemalloc.get_traced_memory()[0] / len(paths)
    tracemalloc.stop()
    rows.append(row("path to an object storage", "bytes a photograph", [far]))
    return rows


def qdrant(quick: bool) -> list[Row]:
    """Upserts and single queries of the embedded mode."""
    rows = []
    config = GalleryConfig(backend="qdrant")
    for n in (1_000, 10_000):
        photos = draw(n, D, n // 5, seed=1).embeddings("")
        queries = draw(100, D, n // 5, seed=2).vectors
        built = []
        for _ in range(2 if quick else 5):
            begin = time.perf_counter()
            index = QdrantIndex.build(photos, config)
            built.append(n / (time.perf_counter() - begin))
        rows.append(row(f"Qdrant embedded, upserts into {n:,}", "a second", built, photos=n))
        took = []
        for at in range(20 if quick else 100):
            begin = time.perf_counter()
            index.search(queries[at : at + 1], 5)
            took.append(1000 * (time.perf_counter() - begin))
        rows.append(row(f"Qdrant embedded, a query among {n:,}", "ms", took, photos=n))
    return rows


def processes(quick: bool) -> list[Row]:
    """The same photographs by one process and by two, PyTorch float32, drawn pixels."""
    n, rounds = (48, 1) if quick else (512, 3)
    torch.manual_seed(0)
    net = build_model(
        ModelConfig(backbone="tf_efficientnet_lite0", weights="none"), (SIDE, SIDE)
    ).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    catalog = Catalog(tuple(f"{number}.jpg" for number in range(n)), pixels=pixels)
    image = ImageConfig(height=SIDE, width=SIDE, cache=None)
    recipe = EmbeddingRecipe(image, stamp=STAMP)
    compute = Compute(batch_size=32, workers=1, engine="torch", precision="fp32")
    device = torch.device("cpu")
    one: list[float] = []
    two: list[float] = []
    start: list[float] = []

    def sharded(photos: Catalog) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = embed_sharded(
                net, photos, recipe, Path(folder), compute, accelerator="cpu", devices=2
            )
            assert found is not None
            assert len(found) == len(photos)

    embed(net, catalog.take(range(32)), recipe, compute, device=device)
    for _ in range(rounds):
        one.append(timed(lambda: embed(net, catalog, recipe, compute, device=device)))
        two.append(timed(lambda: sharded(catalog)))
        if not quick:
            start.append(timed(lambda: sharded(catalog.take(range(2)))))
    alone = row("embedding, one process", "a second", [n / s for s in one], photos=n)
    if quick:
        both = row("embedding, two processes and their start", "s", two, photos=n)
        return [alone, both]
    work = [max(both - begin, 1e-9) for both, begin in zip(two, start, strict=True)]
    gain = [single / share for single, share in zip(one, work, strict=True)]
    return [
        alone,
        row("embedding, two processes, without their start", "a second",
            [n / s for s in work], photos=n),
        row("two processes against one, without their start", "times", gain),
        row("starting two processes and joining their parts", "s", start),
    ]  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """All of it."""
    rows: list[Row] = []
    for part in (names, qdrant, processes):
        print(part.__name__, flush=True)
        rows += part(quick)
    return {"rows": rows, "dimension": D}


# The page.


class Figures:
    """The results that are there; None for whatever is not in them."""

    def __init__(self, quick: bool) -> None:
        self._ending = "-quick.json" if quick else ".json"
        self._read: dict[str, Any] = {}

    def of(self, name: str) -> dict[str, Any]:
        """All that a script wrote; empty where it has not been run."""
        if name not in self._read:
            path = RESULTS / f"{name}{self._ending}"
            self._read[name] = json.loads(path.read_text()) if path.is_file() else {}
        return self._read[name]

    def value(self, name: str, key: str = "median", place: str = "rows", **wanted: Any) -> Any:
        """`key` of the first row in which all of `wanted` holds."""
        found = self.of(name).get(place, [])
        for one in found if isinstance(found, list) else []:
            if all(one.get(field) == value for field, value in wanted.items()):
                return one.get(key)
        return None


def constants(figures: Figures) -> dict[str, float | None]:
    """What was measured, in the units of the page's formulas."""

    def scale(what: str) -> Any:
        return figures.value("scale", what=what)

    def ours(backbone: str, photographs: str, what: str = "flukeprint") -> Any:
        return figures.value("embedding", what=what, backbone=backbone, photographs=photographs)

    search = figures.of("search")
    many = search.get("photos")
    graph = [
        one for one in search.get("rows", [])
        if one["what"] == "flukeprint hnsw" and one["recall"] >= 0.95
    ]  # fmt: skip
    codes = [one for one in search.get("rows", []) if one["what"] == "flukeprint ivf_pq"]
    close = [one for one in codes if one["recall"] >= 0.95]
    grown = search.get("enrolling", [])
    exact = [
        one for one in figures.of("exact_search").get("growth", [])
        if one["what"] == "flukeprint, float32"
    ]  # fmt: skip
    largest = max(exact, key=lambda one: one["photographs"], default=None)
    each = None if largest is None else 1e6 * largest["median"] / largest["photographs"]
    memory = figures.of("memory")
    upserts = [
        one["median"] for one in figures.of("scale").get("rows", [])
        if one["what"].startswith("Qdrant embedded, upserts")
    ]  # fmt: skip
    return {
        "table_us": scale("reading the table"),
        "row_bytes": scale("catalogue, photographs on a disk"),
        "far_bytes": scale("path to an object storage"),
        "gain": scale("two processes against one, without their start"),
        "start_s": scale("starting two processes and joining their parts"),
        "qdrant_upserts": min(upserts, default=None),
        "qdrant_ms_3": scale("Qdrant embedded, a query among 1,000"),
        "qdrant_ms_4": scale("Qdrant embedded, a query among 10,000"),
        "decode_ms": figures.value("decoding", what="480 px: decode and fit"),
        "decode_large_ms": figures.value("decoding", what="12 megapixels: decode and fit"),
        "hit_ms": figures.value("decoding", what="480 px: cache, hit"),
        "embed": ours("EfficientNet-Lite0", "480 px"),
        "embed_large": ours("EfficientNet-Lite0", "12 megapixels"),
        "embed_resnet": ours("ResNet-50", "480 px"),
        "train": figures.value("training_step", what="flukeprint", backbone="EfficientNet-Lite0"),
        "exact_ns": each,  # seconds of 1,000 queries are ms of one
        "exact_n": None if largest is None else largest["photographs"],
        "graph_ms": min((one["ms"] for one in graph), default=None),
        "graph_mb": min((one["memory_mb"] for one in graph), default=None),
        "graph_build_s": min((one["build_seconds"] for one in graph), default=None),
        "codes_ms": min((one["ms"] for one in close), default=None),
        "codes_mb": min((one["memory_mb"] for one in codes), default=None),
        "index_n": many,
        "enroll_small_ms": grown[0]["enroll_ms"] if grown else None,
        "enroll_large_ms": grown[-1]["enroll_ms"] if grown else None,
        "enroll_n": grown[-1]["photos"] if grown else None,
        "validation_mb": figures.value("memory", what="validation"),
        "memory_n": memory.get("photographs"),
        "memory_q": memory.get("queries"),
    }  # fmt: skip


def said(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return ABSENT
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """In the unit that suits."""
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if value >= length:
            return f"{said(value / length)} {unit}"
    return f"{said(value)} s" if value >= 1 else f"{said(1000 * value)} ms"


def size(value: float) -> str:
    """In the unit that suits; 1 GB is 10^9 bytes."""
    for unit, length in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= length:
            return f"{said(value / length)} {unit}"
    return f"{said(value / 1000)} kB"


def costs(known: dict[str, float | None]) -> list[str]:
    """The table of what each size costs: formulas with the measured constants in them."""
    c = known

    def over(top: float, name: str) -> Callable[[int], float] | None:
        below = c[name]
        return None if below is None else lambda n: top * n / below

    def times(name: str, factor: float) -> Callable[[int], float] | None:
        value = c[name]
        return None if value is None else lambda n: n * value * factor

    def per_vector(name: str) -> Callable[[int], float] | None:
        value, photos = c[name], c["index_n"]
        return None if value is None or photos is None else lambda n: n * value * 1e6 / photos

    def graph_time() -> Callable[[int], float] | None:
        value, photos = c["graph_ms"], c["index_n"]
        if value is None or photos is None:
            return None
        return lambda n: value / 1000 * math.log(n) / math.log(photos)

    def validation() -> Callable[[int], float] | None:
        each = c["exact_ns"]
        if each is None:
            return None
        return lambda n: QUERY_SHARE * (1 - QUERY_SHARE) * n * n * each * 1e-9

    lines: list[tuple[str, str, Callable[[int], float] | None, Callable[[float], str]]] = [
        ("photographs of 480 px, 60 kB each (assumed)", "60 kB n", lambda n: 6e4 * n, size),
        ("photographs of 12 megapixels, 4 MB each (assumed)", "4 MB n", lambda n: 4e6 * n, size),
        ("reading the table", f"**{said(c['table_us'])}** us n", times("table_us", 1e-6), seconds),
        ("catalogue in memory", f"**{said(c['row_bytes'])}** B n", times("row_bytes", 1), size),
        (f"decoded cache, {SIDE} px", f"{SIDE} x {SIDE} x 3 B n", lambda n: 3 * SIDE**2 * n, size),
        ("decoding of 480 px, one core", f"**{said(c['decode_ms'])}** ms n",
         times("decode_ms", 1e-3), seconds),
        ("embedding, Lite0, 480 px, this machine", f"n / **{said(c['embed'])}** a second",
         over(1, "embed"), seconds),
        ("the same on 64 such machines", "the same / 64", over(1 / 64, "embed"), seconds),
        ("an epoch of training, Lite0, this machine", f"n / **{said(c['train'])}** a second",
         over(1, "train"), seconds),
        ("vectors on disk, float32", f"4 x {D} B n", lambda n: 4 * D * n, size),
        ("exact search, a query of many at once", f"**{said(c['exact_ns'])}** ns n",
         times("exact_ns", 1e-9), seconds),
        ("graph in memory", f"**{said(c['graph_mb'])}** MB at {said(c['index_n'])}, by n",
         per_vector("graph_mb"), size),
        ("product codes in memory", f"**{said(c['codes_mb'])}** MB at {said(c['index_n'])}, by n",
         per_vector("codes_mb"), size),
        ("graph, one query", f"**{said(c['graph_ms'])}** ms at {said(c['index_n'])}, by log n",
         graph_time(), seconds),
        ("building the graph, one machine",
         f"**{said(c['graph_build_s'])}** s at {said(c['index_n'])}, by n log n",
         _build_time(c), seconds),
        ("validation: a fifth asks the rest, exactly",
         f"0.16 n^2 x **{said(c['exact_ns'])}** ns", validation(), seconds),
    ]  # fmt: skip
    head = ["| what | formula | " + " | ".join(f"10^{round(math.log10(n))}" for n in SIZES) + " |"]
    head.append("|---" * (2 + len(SIZES)) + "|")
    body = [
        f"| {what} | {formula} | "
        + " | ".join(ABSENT if cost is None else unit(cost(n)) for n in SIZES)
        + " |"
        for what, formula, cost, unit in lines
    ]
    return head + body


def _build_time(c: dict[str, float | None]) -> Callable[[int], float] | None:
    value, photos = c["graph_build_s"], c["index_n"]
    if value is None or photos is None:
        return None
    return lambda n: value * n * math.log(n) / (photos * math.log(photos))


def render(quick: bool) -> Path:
    """Fill the template's places; quick figures go to a page of their own, beside the results."""
    figures = Figures(quick)
    known = constants(figures)
    machines = {
        f"{found['cpu']}, {found['cores']} cores"
        for name in ("scale", "embedding", "search", "exact_search", "decoding", "training_step")
        if (found := figures.of(name).get("machine")) is not None
    }
    places = {name: said(value) for name, value in known.items()}
    places["costs"] = "\n".join(costs(known))
    places["machine"] = "; ".join(sorted(machines)) or ABSENT

    def fill(match: re.Match[str]) -> str:
        return places[match[1]]  # KeyError: the template asks for what nobody measures

    text = re.sub(r"\{\{(\w+)\}\}", fill, TEMPLATE.read_text())
    page = RESULTS / "scale-quick.md" if quick else PAGE
    page.parent.mkdir(exist_ok=True)
    page.write_text(text)
    print(f"written: {page}")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few of everything; half a minute")
    parser.add_argument("--render", action="store_true", help="only the page, of what is there")
    asked = parser.parse_args()
    if not asked.render:
        save("scale", measure(asked.quick), asked.quick)
    render(asked.quick)


if __name__ == "__main__":
    main()
