"""Costs that grow with a catalogue: its table and Qdrant.

    python -m benchmarks.speed.scale [--quick]
    python -m benchmarks.speed.scale --render    docs/scale.md from the results that are there

Writes docs/scale.md as well, see `scale_page.py`.  Qdrant is the client's embedded mode.
"""

import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.random_embeddings import random_embeddings
from benchmarks.harness.timing import save, timed
from benchmarks.speed.scale_page import D, render
from flukeprint.config.ranking import GalleryConfig
from flukeprint.data.readers.kaggle_csv import read_label_table
from flukeprint.search.qdrant_index import QdrantIndex
from flukeprint.storage import join, parse_path

Row = dict[str, Any]


def row(what: str, unit: str, every: list[float], **more: Any) -> Row:
    """One result: the median and all rounds."""
    print(f"  {what}: {statistics.median(every):.4g} {unit}", flush=True)
    return {"what": what, "unit": unit, "median": statistics.median(every), "all": every, **more}


def names(quick: bool) -> list[Row]:
    """Time to read a table of photographs, and memory per row of the catalogue."""
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
    """Upserts and single queries in Qdrant's embedded mode."""
    rows = []
    config = GalleryConfig(backend="qdrant")
    for n in (1_000, 10_000):
        photos = random_embeddings(n, D, n // 5, seed=1).named("")
        queries = random_embeddings(100, D, n // 5, seed=2).vectors
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


def measure(quick: bool) -> dict[str, Any]:
    """Measure everything."""
    rows: list[Row] = []
    for part in (names, qdrant):
        print(part.__name__, flush=True)
        rows += part(quick)
    return {"rows": rows, "dimension": D}


def main() -> None:
    """Measure, except with --render, and write the page."""
    given = options("speed.scale", __doc__, ["quick", "render"]).parse_args()
    if not given.render:
        save("scale", measure(given.quick), given.quick)
    render(given.quick)


if __name__ == "__main__":
    main()
