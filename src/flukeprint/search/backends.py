"""The back ends that search a gallery, and the choice among them by size and settings.

exact        no index: every photograph is compared; the best choice up to some 100,000
hnsw         a graph in memory; the fastest beyond that
ivf_pq       a twentieth of the vectors' size, where memory is short
faiss_flat   FAISS's own exhaustive search; for comparison
qdrant       a server or cluster, for what no single machine holds

A new back end is a file with a class that has the methods of `Index` in `index.py` and a `load`, a
row of `BACKENDS`, and a word of `BackendName` in `config/ranking.py`.  `choose` decides when
`gallery.backend: auto` takes it; `IndexContract` in `tests/search/contract.py` tests it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.config.ranking import GalleryConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError, check_installed, nearest
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.faiss_kinds import FaissFlat, Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Index
from flukeprint.search.qdrant_client import check_answers
from flukeprint.search.qdrant_index import QdrantIndex
from flukeprint.search.recall import tune

# Exact search reads the vectors once a query, at about this many bytes a second and core.
BYTES_A_SECOND = 8e9
QUICK = 0.025  # seconds a query may take before an index is worth its misses
_GRAPH_BYTES = 270  # of links and row; a vector adds at most a byte for each of its numbers


Report = Callable[[str], None]


def _not_repaired(index: Index, photographs: int) -> bool:
    return False


@dataclass(frozen=True)
class Backend:
    """How the index of one back end is built, loaded and repaired.

    build: index all photographs of a gallery under their positions; None where exact search needs
        no index.  An approximate index is tuned to gallery.recall_at_5, and the recall on these
        photographs is reported in one line.  Raises FlukeprintError where a package is not
        installed or a server does not answer.
    load: read the index that was saved in a folder.  Raises FlukeprintError where there is none,
        or a damaged one, or one of another back end.
    repair: remove rows of an index that holds more than the `photographs` of its gallery, if they
        may be left over from a process that was killed.  Returns whether that was done.
    needs: the extra that installs its packages, then the packages.
    """

    build: Callable[[Embeddings, GalleryConfig, Report | None], Index | None]
    load: Callable[[Path], Index]
    repair: Callable[[Index, int], bool] = _not_repaired
    needs: tuple[str, ...] = ()


def _no_index(embeddings: Embeddings, config: GalleryConfig, report: Report | None) -> None:
    return None


def _nothing_saved(folder: Path) -> Index:
    raise FlukeprintError(f"{folder}: exact search has no index to load; load without one")


def _faiss(kind: type[FaissIndex]) -> Backend:
    def build(embeddings: Embeddings, config: GalleryConfig, report: Report | None) -> Index:
        index = kind(embeddings.vectors)
        # In parts, so that a memory map need not be in memory as a whole.
        for start in range(0, len(embeddings), 1 << 16):
            rows = np.arange(start, min(start + (1 << 16), len(embeddings)))
            index.add(embeddings.take(rows), rows)
        if not index.exact:
            found = tune(Gallery(embeddings, index=index), config.recall_at_5)
            if report is not None:
                report(found.text())
        return index

    return Backend(build, kind.load, needs=("search", "faiss"))


def _build_qdrant(
    embeddings: Embeddings, config: GalleryConfig, report: Report | None
) -> QdrantIndex:
    index = QdrantIndex.build(embeddings, config)
    if not index.exact:
        index.wait(report)  # until then it compares every vector, and any effort finds all
        found = tune(Gallery(embeddings, index=index), config.recall_at_5)
        if report is not None:
            report(found.text())
    return index


def _repair_qdrant(index: Index, photographs: int) -> bool:
    """Photographs enrolled on the server by a process that was killed before it saved them."""
    index.remove(np.arange(photographs, len(index)))
    return True


BACKENDS: dict[str, Backend] = {
    "exact": Backend(_no_index, _nothing_saved),
    "faiss_flat": _faiss(FaissFlat),
    "hnsw": _faiss(Hnsw),
    "ivf_pq": _faiss(IvfPq),
    "qdrant": Backend(_build_qdrant, QdrantIndex.load, _repair_qdrant, ("qdrant", "qdrant_client")),
}


def find_backend(name: str) -> Backend:
    """The row of `BACKENDS` with this name.

    Raises:
        FlukeprintError: an unknown name; the message has the nearest known one.
    """
    if name not in BACKENDS:
        raise FlukeprintError(f"gallery.backend: no {name!r}: {nearest(name, BACKENDS)}")
    return BACKENDS[name]


def check_backend(name: str) -> None:
    """Refuse a back end whose packages are not installed, before anything is embedded for it.

    Raises:
        FlukeprintError: so, with the extra to install; or an unknown name.
    """
    if needs := find_backend(name).needs:
        check_installed(*needs)


def check_server(config: GalleryConfig) -> None:
    """Refuse a Qdrant server that does not answer, before anything is embedded for it."""
    if config.backend == "qdrant" and config.url is not None:
        check_answers(config)


@dataclass(frozen=True)
class BackendChoice:
    """The name of a back end, and why it was chosen in one phrase."""

    backend: str
    reason: str


def choose(
    n: int, d: int, config: GalleryConfig, *, looks_at_all: bool = False, memory: int | None = None
) -> BackendChoice:
    """Choose the back end for a gallery of n photographs with d-dimensional embeddings.

    looks_at_all: the ranking rules need the scores of all photographs.
    memory: bytes that index and vectors may take; by default gallery.memory_gb, or half of the
        machine's.

    Raises:
        FlukeprintError: an approximate one is configured, and the rules need all scores.
    """
    name = config.backend
    if looks_at_all:
        if name in ("auto", "exact"):
            return BackendChoice("exact", "the ranking rules need the scores of all photographs")
        raise FlukeprintError(
            f"gallery.backend={name} finds only some photographs, and the section rank needs "
            "all; set gallery.backend=exact or leave the rules of rank at their defaults"
        )
    if name != "auto":
        find_backend(name)
        return BackendChoice(name, "the configuration names it")
    size = 4 * n * d
    seconds = size / BYTES_A_SECOND / _cores()
    if seconds <= QUICK:
        return BackendChoice(
            "exact",
            f"{n:,} photographs are {size / 1e6:,.0f} MB, searched exactly in about "
            f"{1000 * seconds:.0f} ms",
        )
    budget = memory if memory is not None else _memory(config)
    graph = n * (d + _GRAPH_BYTES)
    if graph <= budget:
        return BackendChoice(
            "hnsw",
            f"exact search of {n:,} would take about {1000 * seconds:.0f} ms a query; a graph over "
            f"them takes up to {graph / 1e9:.1f} GB of the {budget / 1e9:.1f} GB allowed",
        )
    return BackendChoice(
        "ivf_pq",
        f"a graph over {n:,} photographs would take up to {graph / 1e9:.1f} GB of the "
        f"{budget / 1e9:.1f} GB allowed; product codes take {n * (d / 8 + 8) / 1e9:.1f} GB",
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory(config: GalleryConfig) -> int:
    if config.memory_gb is not None:
        return int(config.memory_gb * 1e9)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # not on every system
        return 4_000_000_000
