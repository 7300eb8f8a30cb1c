"""How the cost of matching one query grows with drawn galleries, for `matching.py`.

Descriptors are those of drawn whales with noise, so that they gather as those of animals do.
"""

import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness.random_embeddings import random_embeddings
from benchmarks.harness.timing import timed
from flukeprint.config.data import SyntheticConfig
from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Floats, Ints
from flukeprint.data.synthetic.dataset import write_whales
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_parts import HeldKeypoints
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.naive_bayes import NaiveBayesMatcher
from flukeprint.search.gallery import Gallery

SIZES = (1_000, 10_000, 100_000)
DESCRIPTORS = 100  # of a photograph in the index
OF_A_QUERY = 500  # as many as a real one has
WHALES, SPREAD = 24, 10.0  # drawn animals, and standard deviation of the noise (of 0 to 255)
QUERIES, ADDED = 10, 10
MILLION, DIMENSIONS, OF_A_CANDIDATE, CANDIDATES = 1_000_000, 512, 250, 100
PER_ANIMAL = 20  # photographs
CONFIG = LocalConfig(matcher="lnbnn", candidates="all")
SIZE = (320, 320)
Bytes = npt.NDArray[np.uint8]
_BLOCK = 100_000


class Drawn:
    """Draws descriptors: a whale's, with noise."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            config = SyntheticConfig(identities=WHALES, new_share=0, test_photos=0)
            write_whales(config, Path(folder), progress=False)
            paths = tuple(sorted(Path(folder).glob("train/*.jpg")))
            catalog = Catalog(tuple(path.name for path in paths), paths)
            self.whales = KeypointStore.of(catalog, CONFIG, cache=None)
        self.rng = np.random.default_rng(0)
        noise = self.rng.normal(0, SPREAD, (20_011, self.whales.descriptors.shape[1]))
        self.noise = np.rint(noise).astype(np.int16)

    def __call__(self, count: int) -> Bytes:
        """Descriptors (count, 128)."""
        base = self.whales.descriptors
        wide = self.noise[self.rng.integers(0, len(self.noise), count)]
        wide += base[self.rng.integers(0, len(base), count)]
        return np.clip(wide, 0, 255).astype(np.uint8)

    def photographs(self, count: int, each: int) -> KeypointStore:
        """Keypoints of drawn photographs."""
        return KeypointStore.pack(
            [Keypoints(self.points(each), self(each), SIZE) for _ in range(count)], CONFIG
        )

    def points(self, count: int) -> Floats:
        """Places (count, 2) in a photograph."""
        return self.rng.uniform(0, SIZE[0], (count, 2)).astype(np.float32)


def store_of(descriptors: Bytes, points: Floats, each: int, stamp: str) -> KeypointStore:
    """Keypoints of photographs with `each` descriptors, over arrays as they lie."""
    n = len(descriptors) // each
    sizes = np.full((n, 2), SIZE, np.int64)
    part = HeldKeypoints(points, descriptors, np.arange(n + 1) * each, sizes)
    return KeypointStore.holding(part, stamp)


def measure_growth(keep: Callable[[Any], None], work: Path, known: dict[str, Any]) -> None:
    """The index in memory, at the sizes that `known` lacks."""
    rows: list[dict[str, Any]] = list(known.get("rows", ()))
    missing = [n for n in SIZES if n not in {row["photographs"] for row in rows}]
    if not missing:
        return
    work.mkdir(parents=True, exist_ok=True)
    drawn = Drawn()
    queries = drawn.photographs(QUERIES, OF_A_QUERY)
    added = drawn.photographs(ADDED, DESCRIPTORS)
    for n in missing:
        file = work / "descriptors.u8"
        try:
            held = np.memmap(file, np.uint8, "w+", shape=(n * DESCRIPTORS, 128))
            for start in range(0, len(held), _BLOCK):
                held[start : start + _BLOCK] = drawn(len(held[start : start + _BLOCK]))
            store = store_of(held, drawn.points(len(held)), DESCRIPTORS, queries.stamp)
            rows.append(_of_size(n, store, queries, added))
        finally:
            file.unlink(missing_ok=True)
        print(rows[-1], flush=True)
        keep(
            {"descriptors": DESCRIPTORS, "of_a_query": OF_A_QUERY, "spread": SPREAD,
             "whales": len(drawn.whales), "pool": len(drawn.whales.points), "rows": rows}
        )  # fmt: skip


def _of_size(
    n: int, store: KeypointStore, queries: KeypointStore, added: KeypointStore
) -> dict[str, Any]:
    begin, wall = time.process_time(), time.perf_counter()
    index = DescriptorIndex.build(store)
    built, built_wall = time.process_time() - begin, time.perf_counter() - wall
    matcher = NaiveBayesMatcher(index, queries, np.arange(n) // PER_ANIMAL, CONFIG)
    cpu, waited = _each(lambda row: matcher(np.array([row]), np.zeros((1, n), np.float32)))
    grown, adding = index, []
    for row in range(len(added)):
        one = added.take([row])
        begin = time.process_time()
        grown = grown.grown(one)
        adding.append(time.process_time() - begin)
    nearest = index.search(queries[0].descriptors, 1).distances
    return {
        "photographs": n, "build_cpu_seconds": built, "build_seconds": built_wall,
        "bytes": index.nbytes, "store_bytes": store.descriptors.nbytes + store.points.nbytes,
        "query_cpu_seconds": cpu, "query_seconds": waited, "adding_cpu_seconds": adding,
        "nearest": float(np.median(nearest)),
    }  # fmt: skip


def _each(run: Callable[[int], object]) -> tuple[list[float], list[float]]:
    """Processor and wall seconds of each query; the first one warms up and is not counted."""
    cpu, wall = [], []
    for row in range(QUERIES):
        begin = time.process_time()
        took = timed(lambda row=row: run(row))  # type: ignore[misc]
        if row:
            cpu.append(time.process_time() - begin)
            wall.append(took)
    return cpu, wall


def measure_million(keep: Callable[[Any], None], work: Path) -> None:
    """A shortlist by embedding among a million, then all distances to the candidates' descriptors.

    The file is laid out for all photographs, but only the places of candidates are written: the
    others are never read.
    """
    work.mkdir(parents=True, exist_ok=True)
    drawn = Drawn()
    queries = drawn.photographs(QUERIES, OF_A_QUERY)
    found, short, labels = _shortlists()
    print(found, flush=True)
    paths = {"descriptors": work / "million.u8", "points": work / "million.f4"}
    try:
        _write(paths, np.unique(short), drawn)
        found["file_bytes"] = sum(path.stat().st_size for path in paths.values())
        maps = [_mapped(path) for path in paths.values()]
        store = store_of(
            np.frombuffer(maps[0], np.uint8).reshape(-1, 128),
            np.frombuffer(maps[1], np.float32).reshape(-1, 2),
            OF_A_CANDIDATE,
            queries.stamp,
        )
        for name in ("cold", "warm"):
            cpu, waited = _each(lambda row: _match(store, maps, queries, row, short[row], labels))
            found[f"match_{name}_cpu_seconds"], found[f"match_{name}_seconds"] = cpu, waited
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)
    for kind in ("cpu_seconds", "seconds"):
        both = zip(found[f"shortlist_{kind}"], found[f"match_cold_{kind}"], strict=True)
        found[f"query_{kind}"] = statistics.median(map(sum, both))
    print(found, flush=True)
    keep(found)


def _shortlists() -> tuple[dict[str, Any], Ints, Ints]:
    """What it costs to find the best by embedding, whom (b, c) that finds, and all labels."""
    animals = MILLION // PER_ANIMAL
    gallery = Gallery(random_embeddings(MILLION, DIMENSIONS, animals, seed=1).named("g/"))
    asked = random_embeddings(QUERIES, DIMENSIONS, animals, seed=2).named("q/")
    begin = time.process_time()
    short = gallery.search(asked, CANDIDATES).rows
    prepared = time.process_time() - begin
    one = [asked.take([row]) for row in range(QUERIES)]
    cpu, waited = _each(lambda row: gallery.search(one[row], CANDIDATES))
    found = {
        "photographs": MILLION, "dimensions": DIMENSIONS, "candidates": CANDIDATES,
        "descriptors": OF_A_CANDIDATE, "of_a_query": OF_A_QUERY, "prepare_cpu_seconds": prepared,
        "shortlist_cpu_seconds": cpu, "shortlist_seconds": waited,
        "embeddings_bytes": gallery.embeddings.vectors.nbytes,
    }  # fmt: skip
    return found, np.sort(short, axis=1), gallery.labels


def _match(
    store: KeypointStore,
    maps: list[mmap.mmap],
    queries: KeypointStore,
    row: int,
    candidates: Ints,
    labels: Ints,
) -> object:
    for held in maps:  # all that is to be read is asked of the disk at once
        each = len(held) // MILLION
        for start in (candidates * each).tolist():
            page = start // mmap.PAGESIZE * mmap.PAGESIZE
            held.madvise(mmap.MADV_WILLNEED, page, start + each - page)
    names, own = np.unique(labels[candidates], return_inverse=True)
    matcher = NaiveBayesMatcher(store.take(candidates), queries, own, CONFIG)
    return names, matcher(np.array([row]), np.zeros((1, len(candidates)), np.float32))


def _mapped(path: Path) -> mmap.mmap:
    """A file in memory, of which only the pages that are asked for are read."""
    with path.open("rb") as file:
        held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    held.madvise(mmap.MADV_RANDOM)
    return held


def _write(paths: dict[str, Path], rows: Ints, drawn: Drawn) -> None:
    """Files for all photographs with what is at `rows`, none of it left in memory."""
    total = MILLION * OF_A_CANDIDATE
    descriptors = np.memmap(paths["descriptors"], np.uint8, "w+", shape=(total, 128))
    points = np.memmap(paths["points"], np.float32, "w+", shape=(total, 2))
    for row in rows.tolist():
        part = slice(row * OF_A_CANDIDATE, (row + 1) * OF_A_CANDIDATE)
        descriptors[part], points[part] = drawn(OF_A_CANDIDATE), drawn.points(OF_A_CANDIDATE)
    descriptors.flush()
    points.flush()
    del descriptors, points
    for path in paths.values():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
