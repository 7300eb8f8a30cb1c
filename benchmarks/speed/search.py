"""Recall, latency and memory of approximate indexes for single queries among a million vectors.

    python -m benchmarks.speed.search [--quick]

Generates 1,000,000 x 512 clustered unit vectors (quick: 50,000), 20 photographs of each individual.
Contestants: FAISS flat, hnswlib, usearch and annoy as their packages provide them, and our exact
search, HNSW and IVF-PQ, whose candidates the gallery scores exactly from the memory-mapped vectors.
The three graphs have the same number of neighbours and the same construction effort.  Also
measured: opening a stored gallery, and enrolling one photograph.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arguments import options
from benchmarks.harness.timing import save
from flukeprint.data.embeddings import Embeddings
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.faiss_kinds import GRAPH_EFFORT, GRAPH_NEIGHBOURS, Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.gallery_store import GalleryStore

Floats = npt.NDArray[np.float32]
D, K, EACH = 512, 5, 20
STAMP = "drawn"


def photographer(
    rng: np.random.Generator, individuals: int, least: float = 0.5, most: float = 0.8
) -> Callable[[npt.NDArray[np.int64]], Floats]:
    """Draw individuals, and return what draws (n, D) vectors of photographs of those it is given.

    Dimensions are correlated, as those of networks are: along the j-th of D random axes the
    variance is 1 / j, between individuals and between the photographs of one.  (Of 389 real
    photographs of spiders it falls as j**-0.9.)  Two photographs of one individual have a cosine
    of `least` to `most`, whatever the individual's is.
    """
    axes, _ = np.linalg.qr(rng.standard_normal((D, D)))
    spread = np.arange(1, D + 1) ** -0.5
    shape = (spread[:, None] * axes / np.linalg.norm(spread)).astype(np.float32)
    centers = rng.standard_normal((individuals, D), dtype=np.float32) @ shape
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    noise = np.sqrt(1 / rng.uniform(least, most, individuals) - 1).astype(np.float32)

    def around(who: npt.NDArray[np.int64]) -> Floats:
        out = np.empty((len(who), D), np.float32)
        for start in range(0, len(who), 1 << 16):
            part = who[start : start + (1 << 16)]
            other = rng.standard_normal((len(part), D), dtype=np.float32) @ shape
            seen = centers[part] + noise[part, None] * other
            out[start : start + len(part)] = seen / np.linalg.norm(seen, axis=1, keepdims=True)
        return out

    return around


def correlated_vectors(n: int, queries: int) -> tuple[Floats, Floats]:
    """(n, D) vectors of photographs of n / EACH individuals, and query vectors of the same."""
    rng = np.random.default_rng(0)
    individuals = n // EACH
    around = photographer(rng, individuals)
    return around(np.arange(n) % individuals), around(rng.integers(0, individuals, queries))


def embedded(vectors: Floats) -> Embeddings:
    """As `Embeddings` with made-up names, for a gallery."""
    n = len(vectors)
    return Embeddings.trusted(
        vectors, tuple(f"photo{row:07}.jpg" for row in range(n)),
        tuple(f"w_{row % max(1, n // EACH)}" for row in range(n)), None, STAMP, "fp32",
    )  # fmt: skip


def timed_queries(
    search: Callable[[Floats], npt.NDArray[Any]], queries: Floats, truth: Any
) -> dict[str, Any]:
    """Recall@5, and the median and 95th percentile of milliseconds, of queries one by one."""
    took, hits = [], 0
    for row in range(len(queries)):
        begin = time.perf_counter()
        found = search(queries[row : row + 1])
        took.append(time.perf_counter() - begin)
        hits += len(set(np.asarray(found).ravel().tolist()) & truth[row])
    rest = took[len(took) // 10 :]  # the first ones read pages from the disk
    return {
        "recall": hits / (K * len(queries)),
        "ms": 1000 * statistics.median(rest),
        "ms_95": 1000 * float(np.quantile(rest, 0.95)),
    }


def as_query(vector: Floats) -> Embeddings:
    """One vector as a query."""
    return Embeddings.trusted(vector, ("q",), (None,), None, STAMP, "fp32")


class Contest:
    """Measures indexes of the same vectors with the same queries, and appends to `rows`."""

    def __init__(self, vectors: Floats, queries: Floats, rows: list[dict[str, Any]]) -> None:
        self.vectors, self.queries, self.rows = vectors, queries, rows
        self.photos = embedded(vectors)
        gallery = Gallery(self.photos)
        self.truth = [set(row.tolist()) for row in gallery.search(embedded(queries), K).rows]
        self.built: dict[type[FaissIndex], tuple[FaissIndex, float]] = {}  # with seconds
        self.few = queries[: max(20, len(queries) // 10)]  # for indexes that scan all vectors

    def note(
        self, name: str, effort: object, built: float, memory: float, found: dict[str, Any]
    ) -> bool:
        """Append a row; True if recall is so high that more search effort is pointless."""
        self.rows.append(
            {"what": name, "effort": effort, "build_seconds": built, "memory_mb": memory, **found}
        )
        print(
            f"  {name} {effort}: recall {found['recall']:.4f}, {found['ms']:.3f} ms, built in "
            f"{built:.0f} s, {memory:,.0f} MB",
            flush=True,
        )
        return bool(found["recall"] > 0.998)

    def exact(self) -> None:
        """Exact search in float32, ours and FAISS's."""
        import faiss

        gallery = Gallery(self.photos)
        found = timed_queries(lambda q: gallery.search(as_query(q), K).rows, self.few, self.truth)
        self.note("flukeprint exact", "", 0.0, self.vectors.nbytes / 1e6, found)
        index = faiss.IndexFlatIP(D)
        index.add(self.vectors)
        found = timed_queries(lambda q: index.search(q, K)[1], self.few, self.truth)
        self.note("FAISS flat", "", 0.0, self.vectors.nbytes / 1e6, found)

    def ours(self, kind: type[FaissIndex], folder: Path) -> None:
        """One of our indexes, whose candidates the gallery scores exactly."""
        n = len(self.vectors)
        begin = time.perf_counter()
        index = kind(self.vectors)
        for start in range(0, n, 1 << 16):
            part = np.arange(start, min(n, start + (1 << 16)))
            index.add(self.photos.take(part), part)
        built = time.perf_counter() - begin
        gallery = Gallery(self.photos, index=index)
        for effort, candidates in index.EFFORTS:
            index.effort, index.candidates = effort, candidates
            found = timed_queries(
                lambda q: gallery.search(as_query(q), K).rows, self.queries, self.truth
            )
            memory = index.memory() / 1e6
            if self.note(f"flukeprint {kind.name}", effort, built, memory, found):
                break
        (folder / kind.name).mkdir()
        index.save(folder / kind.name)
        self.built[kind] = index, built

    def hnswlib(self, folder: Path) -> None:
        """hnswlib, the reference implementation of the HNSW graph."""
        import hnswlib

        index = hnswlib.Index(space="ip", dim=D)
        begin = time.perf_counter()
        index.init_index(len(self.vectors), ef_construction=GRAPH_EFFORT, M=GRAPH_NEIGHBOURS)
        index.add_items(self.vectors)
        built = time.perf_counter() - begin
        memory = index.index_file_size() / 1e6
        for effort in (16, 32, 64, 128, 256, 512, 1024, 2048):
            index.set_ef(effort)
            found = timed_queries(lambda q: index.knn_query(q, k=K)[0], self.queries, self.truth)
            if self.note("hnswlib", effort, built, memory, found):
                break

    def usearch(self, folder: Path) -> None:
        """usearch with bfloat16 vectors, its fastest precision."""
        from usearch.index import Index

        index = Index(
            ndim=D, metric="ip", dtype="bf16", connectivity=GRAPH_NEIGHBOURS,
            expansion_add=GRAPH_EFFORT,
        )  # fmt: skip
        begin = time.perf_counter()
        index.add(np.arange(len(self.vectors)), self.vectors)
        built = time.perf_counter() - begin
        memory = index.serialized_length / 1e6
        for effort in (16, 32, 64, 128, 256, 512, 1024, 2048):
            index.expansion_search = effort
            found = timed_queries(lambda q: index.search(q[0], K).keys, self.queries, self.truth)
            if self.note("usearch bf16", effort, built, memory, found):
                break

    def annoy(self, folder: Path) -> None:
        """annoy with ten trees, built on disk."""
        from annoy import AnnoyIndex

        index = AnnoyIndex(D, "dot")
        file = folder / "trees.ann"
        index.on_disk_build(str(file))
        begin = time.perf_counter()
        for row, vector in enumerate(self.vectors):
            index.add_item(row, vector)
        index.build(10, n_jobs=-1)
        built = time.perf_counter() - begin
        memory = file.stat().st_size / 1e6
        for effort in (500, 2_000, 8_000, 32_000, 128_000):
            found = timed_queries(
                lambda q, e=effort: index.get_nns_by_vector(q[0], K, search_k=e),
                self.queries, self.truth,
            )  # fmt: skip
            if self.note("annoy", effort, built, memory, found):
                break
        index.unload()
        file.unlink()


def opened(vectors: Floats, folder: Path) -> dict[str, float]:
    """Seconds to open a stored gallery, and to load its graph and answer a first query."""
    query = as_query(vectors[:1])
    seconds: dict[str, list[float]] = {"open the gallery": [], "with its index, first answer": []}
    for _ in range(5):
        begin = time.perf_counter()
        photos = GalleryStore.open(folder / "gallery").embeddings
        seconds["open the gallery"].append(time.perf_counter() - begin)
        index = Hnsw.load(folder / Hnsw.name)
        late = np.arange(len(index), len(photos))  # what was enrolled since
        index.add(photos.take(late), late)
        Gallery(photos, index=index).search(query, K)
        seconds["with its index, first answer"].append(time.perf_counter() - begin)
        del photos, index
    return {what: statistics.median(took) for what, took in seconds.items()}


def enrolling(contest: Contest, sizes: list[int], folder: Path) -> list[dict[str, Any]]:
    """Time to enroll one photograph, and to rebuild gallery and index, by gallery size."""
    vectors = contest.vectors
    rows = []
    for n in sizes:
        photos = embedded(vectors[:n])
        begin = time.perf_counter()
        store = GalleryStore.create(folder / f"grow{n}", photos)
        rebuilt = time.perf_counter() - begin
        if n == len(vectors):
            index, took_index = contest.built[IvfPq]
        else:
            begin = time.perf_counter()
            index = IvfPq(photos.vectors)
            index.add(photos, np.arange(n))
            took_index = time.perf_counter() - begin
        rebuilt += took_index
        took = []
        for number in range(12):
            fresh = Embeddings.trusted(
                vectors[-1 - number : len(vectors) - number], (f"new{number}",), ("w_new",), None,
                STAMP, "fp32",
            )  # fmt: skip
            begin = time.perf_counter()
            index.add(fresh, store.append(fresh))
            took.append(time.perf_counter() - begin)
        took = took[2:]  # the first one reads the names that are there
        rows.append(
            {"photos": n, "enroll_ms": 1000 * statistics.median(took), "rebuild_s": rebuilt}
        )
        print(f"  {n:,}: {rows[-1]['enroll_ms']:.1f} ms, anew {rebuilt:.1f} s", flush=True)
        if n < sizes[-1]:
            for file in (folder / f"grow{n}").iterdir():
                file.unlink()
        else:
            (folder / f"grow{n}").rename(folder / "gallery")
    return rows


def measure(quick: bool) -> dict[str, Any]:
    """Measure everything; saves after every contestant, since building takes minutes."""
    n, q = (50_000, 200) if quick else (1_000_000, 500)
    sizes = [1_000, 10_000, 50_000] if quick else [1_000, 10_000, 100_000, 1_000_000]
    print(f"generating {n:,} vectors", flush=True)
    vectors, queries = correlated_vectors(n, q)
    found: dict[str, Any] = {"photos": n, "dimension": D, "queries": q, "rows": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("FLUKEPRINT_SCRATCH")) as name:
        folder = Path(name)
        contest = Contest(vectors, queries, found["rows"])
        contest.exact()
        contest.ours(IvfPq, folder)
        contest.ours(Hnsw, folder)
        found["enrolling"] = enrolling(contest, sizes, folder)
        found["opening"] = opened(vectors, folder)
        for what, seconds in found["opening"].items():
            print(f"  {what}: {seconds:.2f} s")
        save("search", found, quick)
        for other in (contest.annoy, contest.hnswlib, contest.usearch):
            other(folder)
            save("search", found, quick)
    return found


def main() -> None:
    """Measure and write the result file."""
    measure(options("speed.search", __doc__, ["quick"]).parse_args().quick)


if __name__ == "__main__":
    main()
