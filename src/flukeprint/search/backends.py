"""Which back end searches a gallery: its size and the settings enter, an index leaves, or none.

exact        no index: all photographs are looked at, which nothing beats up to some 100,000
hnsw         a graph in memory; the fastest beyond that
ivf_pq       a twentieth of the vectors' size, where memory is short
faiss_flat   FAISS's own search of all; for comparison
qdrant       a server or cluster, for what no single machine holds
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.config.schema import GalleryConfig
from flukeprint.data.embeddings import Embeddings, Floats
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.search.exact import FloatProduct, Product
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.faiss_kinds import FaissFlat, Hnsw, IvfPq
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Index
from flukeprint.search.qdrant_index import QdrantIndex
from flukeprint.search.recall import Recall, tune

FAISS: dict[str, type[FaissIndex]] = {kind.name: kind for kind in (FaissFlat, Hnsw, IvfPq)}
BACKENDS = ("exact", *FAISS, "qdrant")

# A query that looks at all reads the vectors once, at about this many bytes a second and core.
BYTES_A_SECOND = 8e9
QUICK = 0.025  # seconds that a query may take before an index is worth its misses
_GRAPH_BYTES = 270  # links and row, beside a byte at most for each number of a vector


@dataclass(frozen=True)
class Choice:
    """A back end, and in one sentence why."""

    backend: str
    reason: str


def choose(
    n: int, d: int, config: GalleryConfig, *, looks_at_all: bool = False, memory: int | None = None
) -> Choice:
    """The back end for n photographs of d numbers.

    looks_at_all: the ranking rules need the scores of all photographs.
    memory: bytes that index and vectors may take; by gallery.memory_gb, or half of the machine's.

    Raises:
        FlukeprintError: an approximate one was asked for, and the rules look at all.
    """
    asked = config.backend
    if looks_at_all:
        if asked in ("auto", "exact"):
            return Choice("exact", "the ranking rules look at all photographs")
        raise FlukeprintError(
            f"gallery.backend={asked} finds only some photographs, and the section rank looks at "
            "all; set gallery.backend=exact or leave the rules of rank at their defaults"
        )
    if asked != "auto":
        if asked not in BACKENDS:
            raise FlukeprintError(f"gallery.backend: no {asked!r}: {nearest(asked, BACKENDS)}")
        return Choice(asked, "it was asked for")
    size = 4 * n * d
    seconds = size / BYTES_A_SECOND / _cores()
    if seconds <= QUICK:
        return Choice(
            "exact",
            f"{n:,} photographs are {size / 1e6:,.0f} MB, all looked at in about "
            f"{1000 * seconds:.0f} ms, and none is missed",
        )
    room = memory if memory is not None else _memory(config)
    graph = n * (d + _GRAPH_BYTES)
    if graph <= room:
        return Choice(
            "hnsw",
            f"looking at all {n:,} would take about {1000 * seconds:.0f} ms a query; a graph over "
            f"them takes up to {graph / 1e9:.1f} GB of the {room / 1e9:.1f} that it may",
        )
    return Choice(
        "ivf_pq",
        f"a graph over {n:,} photographs would take up to {graph / 1e9:.1f} GB and may take "
        f"{room / 1e9:.1f}; product codes take {n * (d / 8 + 8) / 1e9:.1f}",
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


def build_index(
    backend: str,
    embeddings: Embeddings,
    config: GalleryConfig,
    *,
    product: Callable[[Floats], Product] = FloatProduct,
    report: Callable[[str], None] | None = None,
) -> Index | None:
    """An index of a gallery's photographs under their places; None for `exact`.

    An approximate one is tuned to gallery.recall_at_5 on these photographs.

    report: told the recall in one line.

    Raises:
        FlukeprintError: a back end that is not installed, or a server that does not answer.
    """
    if backend == "exact":
        return None
    if backend == "qdrant":
        return QdrantIndex.build(embeddings, config)
    index = FAISS[backend](embeddings.vectors)
    # In parts, so that a memory map need not be in memory as a whole.
    for start in range(0, len(embeddings), 1 << 16):
        rows = np.arange(start, min(start + (1 << 16), len(embeddings)))
        index.add(embeddings.take(rows), rows)
    if not index.exact:
        found: Recall = tune(Gallery(embeddings, index=index, product=product), config.recall_at_5)
        if report is not None:
            report(found.text())
    return index


def load_index(folder: Path, backend: str) -> Index:
    """The index that was saved in `folder`.

    Raises:
        FlukeprintError: there is none, it is damaged or of another back end.
    """
    if backend == "qdrant":
        return QdrantIndex.load(folder)
    if backend not in FAISS:
        raise FlukeprintError(f"gallery.backend: no {backend!r}: {nearest(backend, BACKENDS)}")
    return FAISS[backend].load(folder)
