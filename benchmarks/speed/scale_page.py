"""Write docs/scale.md: the template with measured figures in its places {{name}}.

The figures are those of all speed benchmarks' result files; one that was not measured is marked so.
"""

import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness.places import RESULTS, ROOT
from benchmarks.speed.embed_all_page import growth, of, overhead
from benchmarks.speed.report import machine_name, machines, table

TEMPLATE, PAGE = Path(__file__).with_name("scale_template.md"), ROOT / "docs" / "scale.md"
ABSENT = "not measured"
D = 512  # dimensions of an embedding
SIDE = 224  # px, of the network's input
SIZES = (10**4, 10**6, 10**8)  # photographs
MEASURED = (  # the results that the page quotes
    "scale", "embedding", "search", "exact_search", "decoding", "training_step", "memory",
    "validation", "large", "embed_all",
)  # fmt: skip
QUERY_SHARE = 0.2  # share of a catalogue that validation queries


class Figures:
    """The measured results; None for a figure that is not in them."""

    def __init__(self, quick: bool) -> None:
        self._ending = "-quick.json" if quick else ".json"
        self._read: dict[str, Any] = {}

    def of(self, name: str) -> dict[str, Any]:
        """The result file of a script; empty if it has not been run."""
        if name not in self._read:
            path = RESULTS / f"{name}{self._ending}"
            self._read[name] = json.loads(path.read_text()) if path.is_file() else {}
        return self._read[name]

    def value(self, name: str, key: str = "median", **wanted: Any) -> Any:
        """`key` of the first row with the values `wanted`; None if the script has not been run.

        Raises LookupError if it has, and its rows are called otherwise.
        """
        found = self.of(name)
        for one in found.get("rows", []):
            if all(one.get(field) == value for field, value in wanted.items()):
                return one[key]
        if found:
            raise LookupError(f"results/{name}{self._ending} has no row with {wanted}")
        return None


def constants(figures: Figures) -> dict[str, float | None]:
    """Measured constants, in the units of the page's formulas."""

    def scale(what: str) -> Any:
        return figures.value("scale", what=what)

    def ours(backbone: str, photographs: str, what: str = "flukeprint") -> Any:
        return figures.value("embedding", what=what, backbone=backbone, photographs=photographs)

    def large(what: str) -> Any:
        return figures.value("large", what=what)

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
        **embedding_on_ray(figures.of("embed_all").get("rows", [])),
        "table_us": scale("reading the table"),
        "row_bytes": scale("catalogue, photographs on a disk"),
        "far_bytes": scale("path to an object storage"),
        "qdrant_upserts": min(upserts, default=None),
        "qdrant_ms_3": scale("Qdrant embedded, a query among 1,000"),
        "qdrant_ms_4": scale("Qdrant embedded, a query among 10,000"),
        "decode_ms": figures.value("decoding", what="480 px: decode and fit"),
        "decode_large_ms": figures.value("decoding", what="12 megapixels: decode and fit"),
        "hit_ms": figures.value("decoding", what="480 px: cache, hit"),
        "embed": ours("EfficientNet-Lite0", "480 px"),
        "embed_large": ours("EfficientNet-Lite0", "12 megapixels"),
        "embed_resnet": ours("ResNet-50", "480 px"),
        "train": figures.value(
            "training_step", what="flukeprint", backbone="tf_efficientnet_lite0"
        ),
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
        "fill_rate": large("filling a gallery, of a core"),
        "fill_mb": large("filling a gallery, memory"),
        "rerank_n": figures.value("large", "photos", what="keypoints, a query"),
        "rerank_k": figures.value("large", "keypoints", what="keypoints, a query"),
        "rerank_q": figures.value("large", "queries", what="keypoints, a query"),
        "rerank_gb": large("keypoints, file"),
        "rerank_ms": large("keypoints, a query"),
        "rerank_core_ms": large("keypoints, a query of a core"),
        "through_ms": large("a query, search and keypoints"),
        "rerank_growth": large("keypoints, memory after all queries"),
        "edge_n": figures.value("large", "photos", what="engine, ef 128"),
        "edge_128": figures.value("large", "recall", what="engine, ef 128"),
        "edge_512": figures.value("large", "recall", what="engine, ef 512, 128 candidates"),
        "edge_off": figures.value("large", "off", what="engine, ef 128, not rescored"),
        "validation_mb": figures.value("memory", what="validation"),
        "memory_n": memory.get("photographs"),
        "memory_q": memory.get("queries"),
        "drawn_n": figures.of("validation").get("photographs"),
        "drawn_split_s": figures.value("validation", "split_seconds", what="all"),
    }  # fmt: skip


def embedding_on_ray(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """What Ray's one actor took beside the bare loop, and the largest catalogue that it embedded.

    ray_over: times the bare loop's time, at ray_over_n photographs, the most that both embedded.
    ray_cores: cores that were busy besides the work of the bare loop.
    ray_growth: memory at ray_n, times that of the smallest catalogue, of ray_least photographs.
    """
    grown = growth(rows, "ray", 1)
    both = {n for n, _ in grown} & {n for n, _ in growth(rows, "local", 1)}
    if not both:
        return dict.fromkeys(
            ("ray_over", "ray_over_n", "ray_cores", "ray_n", "ray_rate", "ray_growth", "ray_least")
        )
    (least, first_mb), (largest, last_mb), most = grown[0], grown[-1], max(both)
    bare_cpu = statistics.median(
        cost["cpu_ms"] for cost in of(rows, engine="local", photographs=most)
    )
    beside = of(rows, engine="ray", actors=1, photographs=most)[0]
    return {
        "ray_over": overhead(rows, "rate", most),
        "ray_over_n": most,
        "ray_cores": (beside["cpu_ms"] - bare_cpu) / 1000 * beside["rate"],
        "ray_n": largest,
        "ray_rate": of(rows, engine="ray", actors=1, photographs=largest)[0]["rate"],
        "ray_growth": last_mb / first_mb,
        "ray_least": least,
    }


def text(value: float | None) -> str:
    """Format with three significant digits."""
    if value is None:
        return ABSENT
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """Format a duration in a fitting unit."""
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if value >= length:
            return f"{text(value / length)} {unit}"
    return f"{text(value)} s" if value >= 1 else f"{text(1000 * value)} ms"


def size(value: float) -> str:
    """Format a number of bytes in a fitting unit; 1 GB is 10^9 bytes."""
    for unit, length in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= length:
            return f"{text(value / length)} {unit}"
    return f"{text(value / 1000)} kB"


def costs(known: dict[str, float | None]) -> list[str]:
    """Table of costs at each catalogue size: formulas with the measured constants in them."""
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
        ("reading the table", f"**{text(c['table_us'])}** us n", times("table_us", 1e-6), seconds),
        ("catalogue in memory", f"**{text(c['row_bytes'])}** B n", times("row_bytes", 1), size),
        (f"decoded cache, {SIDE} px", f"{SIDE} x {SIDE} x 3 B n", lambda n: 3 * SIDE**2 * n, size),
        ("decoding of 480 px, one core", f"**{text(c['decode_ms'])}** ms n",
         times("decode_ms", 1e-3), seconds),
        ("embedding, Lite0, 480 px, this machine", f"n / **{text(c['embed'])}** a second",
         over(1, "embed"), seconds),
        ("the same by `embed-all` on Ray, 64 such machines",
         f"the same x **{text(c['ray_over'])}** / 64",
         None if c["ray_over"] is None else over(c["ray_over"] / 64, "embed"), seconds),
        ("an epoch of training, Lite0, this machine", f"n / **{text(c['train'])}** a second",
         over(1, "train"), seconds),
        ("vectors on disk, float32", f"4 x {D} B n", lambda n: 4 * D * n, size),
        ("exact search, a query of many at once", f"**{text(c['exact_ns'])}** ns n",
         times("exact_ns", 1e-9), seconds),
        ("graph in memory", f"**{text(c['graph_mb'])}** MB at {text(c['index_n'])}, by n",
         per_vector("graph_mb"), size),
        ("product codes in memory", f"**{text(c['codes_mb'])}** MB at {text(c['index_n'])}, by n",
         per_vector("codes_mb"), size),
        ("graph, one query", f"**{text(c['graph_ms'])}** ms at {text(c['index_n'])}, by log n",
         graph_time(), seconds),
        ("building the graph, one machine",
         f"**{text(c['graph_build_s'])}** s at {text(c['index_n'])}, by n log n",
         _build_time(c), seconds),
        ("validation: a fifth asks the rest, exactly",
         f"0.16 n^2 x **{text(c['exact_ns'])}** ns", validation(), seconds),
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
    """Write the page; quick figures go to a page of their own, beside the results."""
    figures = Figures(quick)
    known = constants(figures)
    measured = {name: figures.of(name) or None for name in MEASURED}
    machine, elsewhere = machines(measured)
    places = {name: text(value) for name, value in known.items()}
    places["costs"] = "\n".join(costs(known))
    rows = [
        (
            f"{row['queries']:,}{'' if row['what'] == 'all' else ' drawn'}",
            text(row["median"]), text(row["mb"]),
            f"{row['map5']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
        )
        for row in figures.of("validation").get("rows", [])
    ]  # fmt: skip
    validations = table(("queries of a fold", "s", "MB at most", "MAP@5"), rows)
    places["validations"] = "\n".join(validations).rstrip()
    places["machine"] = machine_name(machine)
    places["elsewhere"] = f"On other machines: {'; '.join(elsewhere)}." if elsewhere else ""

    def fill(match: re.Match[str]) -> str:
        return places[match[1]]  # KeyError: the template has a name without a figure

    filled = re.sub(r"\{\{(\w+)\}\}", fill, TEMPLATE.read_text())
    page = RESULTS / "scale-quick.md" if quick else PAGE
    page.parent.mkdir(exist_ok=True)
    page.write_text(filled)
    print(f"written: {page}")
    return page
