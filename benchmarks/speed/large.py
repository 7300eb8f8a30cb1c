"""A gallery of 10^6 photographs: filling it, re-ranking a short list by keypoints, Qdrant's engine.

    python -m benchmarks.speed.large [--quick] [--work FOLDER]

Everything is drawn: vectors as of `speed.search`, 64 keypoints a photograph of random numbers.  The
file of keypoints takes 9 GB, and 0.2 GB with --quick; --work keeps what is drawn.  A query has the
milliseconds of its core and those of the clock, for a machine that does other things too.  Qdrant's
engine runs in this process, with a fifth of the photographs.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arguments import options
from benchmarks.harness.timing import save
from benchmarks.speed.search import D, K, as_query, correlated_vectors, embedded
from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local.fusion import KeypointFusion, KeypointGain
from flukeprint.ranking.local.keypoint_parts import StreamedRows, write_npz
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import extraction_digest
from flukeprint.search.gallery import Gallery
from flukeprint.search.gallery_store import GalleryStore

EACH = 64  # keypoints of a photograph
CANDIDATES = 20
QUERIES = 100
_BLOCK = 1 << 13
LOCAL = LocalConfig(candidates=CANDIDATES, keypoints=EACH)

Row = dict[str, Any]


def memory_mb() -> float:
    """Resident memory of this process that is no file's, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return float("nan")


def row(what: str, unit: str, value: float, **more: Any) -> Row:
    """One result."""
    print(f"  {what}: {value:.4g} {unit}", flush=True)
    return {"what": what, "unit": unit, "median": value, **more}


def write_keypoints(path: Path, n: int) -> None:
    """A file of drawn keypoints, of which only a block is in memory."""
    rng = np.random.default_rng(0)

    def drawn(width: int, kind: type[Any]) -> Iterator[npt.NDArray[Any]]:
        for start in range(0, n, _BLOCK):
            count = (min(start + _BLOCK, n) - start) * EACH
            yield rng.integers(0, 256, (count, width)).astype(kind)

    write_npz(
        path,
        {
            "offsets": np.arange(n + 1) * EACH,
            "sizes": np.full((n, 2), LOCAL.side),
            "stamp": np.frombuffer(extraction_digest(LOCAL).encode(), np.uint8),
        },
        {
            "points": StreamedRows((n * EACH, 2), np.dtype(np.float32), drawn(2, np.float32)),
            "descriptors": StreamedRows((n * EACH, 128), np.dtype(np.uint8), drawn(128, np.uint8)),
        },
    )


def asking(store: KeypointStore, n: int, rng: np.random.Generator) -> KeypointFusion:
    """Fusion of queries, whose keypoints are those of photographs drawn from the gallery."""
    asked = store.take(rng.integers(0, n, QUERIES))
    return KeypointFusion(store, asked, LOCAL, KeypointGain(0.1, 1.0))


def keypoints(n: int, folder: Path) -> list[Row]:
    """Read and match the keypoints of candidates that are drawn out of the whole gallery."""
    path = folder / f"{n}.npz"
    if not path.is_file():
        write_keypoints(path, n)
    before = memory_mb()
    begin = time.perf_counter()
    store = KeypointStore.load(path)
    opened = 1000 * (time.perf_counter() - begin)
    rng = np.random.default_rng(1)
    fusion = asking(store, n, rng)
    took, core, held = [], [], []
    for query in range(QUERIES):
        rows = rng.choice(n, (1, CANDIDATES), replace=False)
        begin, used = time.perf_counter(), time.process_time()
        fusion.of_candidates(np.array([query]), rows, np.zeros((1, CANDIDATES), np.float32))
        core.append(1000 * (time.process_time() - used))
        took.append(1000 * (time.perf_counter() - begin))
        held.append(memory_mb())
    about = {"photos": n, "keypoints": EACH, "candidates": CANDIDATES, "queries": QUERIES}
    return [
        row("keypoints, file", "GB", path.stat().st_size / 1e9, **about),
        row("keypoints, opening", "ms", opened),
        row("keypoints, a query of a core", "ms", statistics.median(core), **about),
        row("keypoints, a query", "ms", statistics.median(took), **about),
        row("keypoints, memory after opening", "MB", held[0] - before),
        row("keypoints, memory after all queries", "MB more", held[-1] - held[0]),
    ]


def through(
    vectors: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], folder: Path
) -> list[Row]:
    """A query's whole way: exact search of the gallery, and keypoints of those that it finds."""
    n = len(vectors)
    fusion = asking(KeypointStore.load(folder / f"{n}.npz"), n, np.random.default_rng(1))
    gallery = Gallery(embedded(np.array(vectors)))
    took = []
    for query in range(QUERIES):
        begin = time.perf_counter()
        found = gallery.search(as_query(queries[query : query + 1]), CANDIDATES)
        fusion.of_candidates(np.array([query]), found.rows, found.scores)
        took.append(1000 * (time.perf_counter() - begin))
    rest = took[QUERIES // 10 :]  # the first ones read pages from the disk
    about = {"photos": n, "ms_95": float(np.quantile(rest, 0.95))}
    return [row("a query, search and keypoints", "ms", statistics.median(rest), **about)]


def vectors_of(n: int, folder: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vectors of the gallery, mapped from a file, and of queries."""
    gallery, asked = folder / f"{n}v.npy", folder / f"{n}q.npy"
    if not asked.is_file():
        for path, drawn in zip((gallery, asked), correlated_vectors(n, QUERIES), strict=True):
            np.save(path, drawn)
    return np.load(gallery, mmap_mode="r"), np.load(asked)


def filling(vectors: npt.NDArray[np.float32], folder: Path) -> list[Row]:
    """Append blocks of photographs to the files of a gallery."""
    n = len(vectors)
    photos = embedded(vectors)
    first = photos.take(np.arange(min(_BLOCK, n)))
    store = GalleryStore.create(Path(tempfile.mkdtemp(dir=folder)) / "gallery", first)
    before, begin, used = memory_mb(), time.perf_counter(), time.process_time()
    for start in range(_BLOCK, n, _BLOCK):
        store.append(photos.take(np.arange(start, min(start + _BLOCK, n))))
    took, core = time.perf_counter() - begin, time.process_time() - used
    return [
        row("filling a gallery", "photographs a second", (n - _BLOCK) / took, photos=n),
        row("filling a gallery, of a core", "photographs a second", (n - _BLOCK) / core, photos=n),
        row("filling a gallery, memory", "MB more", memory_mb() - before, photos=n),
    ]


def engine(vectors: npt.NDArray[np.float32], queries: npt.NDArray[np.float32]) -> list[Row]:
    """Qdrant's engine in this process: filling it, and its recall and time by `hnsw_ef`."""
    import qdrant_edge as edge

    n, rows = len(vectors), []
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :K]
    with tempfile.TemporaryDirectory() as folder:
        shard = edge.EdgeShard.create(
            folder,
            edge.EdgeConfig(
                vectors=edge.EdgeVectorParams(size=D, distance=edge.Distance.Dot),
                hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=100),
                quantization_config=edge.ScalarQuantizationConfig(
                    edge.ScalarType.Int8, quantile=0.99, always_ram=True
                ),
                optimizers=edge.EdgeOptimizersConfig(indexing_threshold=100),
            ),
        )
        begin = time.perf_counter()
        for start in range(0, n, 1024):
            points = [
                edge.Point(start + place, vector.tolist())
                for place, vector in enumerate(vectors[start : start + 1024])
            ]
            shard.update(edge.UpdateOperation.upsert_points(points))
        rows.append(row("engine, upserts", "a second", n / (time.perf_counter() - begin), photos=n))
        begin = time.perf_counter()
        shard.optimize()
        rows.append(row("engine, building", "s", time.perf_counter() - begin, photos=n))
        rescored = edge.QuantizationSearchParams(rescore=True, oversampling=2.0)
        for name, ef, exact, how, deep in [
            ("exact", 128, True, None, K),
            ("ef 128", 128, False, rescored, K),
            ("ef 128, 32 candidates", 128, False, rescored, 32),
            ("ef 512, 128 candidates", 512, False, rescored, 128),
            ("ef 128, not rescored", 128, False, None, K),
        ]:
            params = edge.SearchParams(hnsw_ef=ef, exact=exact, quantization=how)
            took, hits, off = [], 0, 0.0
            for query, right in zip(queries, best, strict=True):
                begin = time.perf_counter()
                found = shard.query(
                    edge.QueryRequest(deep, query=edge.Query.Nearest(query.tolist()), params=params)
                )
                took.append(1000 * (time.perf_counter() - begin))
                hits += len({point.id for point in found[:K]} & set(right.tolist()))
                off = max(off, *(abs(p.score - float(vectors[p.id] @ query)) for p in found[:K]))
            rows.append(
                row(f"engine, {name}", "ms", statistics.median(took), photos=n,
                    recall=hits / (K * len(queries)), off=off)
            )  # fmt: skip
        shard.close()
    return rows


def main() -> None:
    """Measure everything."""
    parser = options("speed.large", __doc__, ["quick"])
    parser.add_argument("--work", type=Path, help="folder in which what is drawn is kept")
    given = parser.parse_args()
    n = 20_000 if given.quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        rows = keypoints(n, work)
        vectors, queries = vectors_of(n, work)
        rows += through(vectors, queries, work)
        rows += filling(vectors, Path(folder))
        rows += engine(vectors[: n // 5], queries)
    save("large", {"rows": rows, "dimension": D}, given.quick)


if __name__ == "__main__":
    main()
