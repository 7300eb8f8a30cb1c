"""Measure the recall of an approximate index, and tune its effort to a target recall.

Queries are photographs of the gallery itself, each searched among the others.  The gallery scores
the candidates of its index exactly, and recall is measured after that.
"""

import time
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.intervals import wilson
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches, TunableIndex

K = 5
_SEED = 0
SAMPLE = 1000  # query photographs: half to choose the effort, half to report the recall
_TIMED = 100  # queries whose latency is measured


@dataclass(frozen=True)
class Recall:
    """Recall of an index: the share of the true K nearest that are found, over all queries.

    low, high: its 95 % interval (Wilson's, as if the K places of a photograph were one draw).
    queries: their number.
    milliseconds: median latency of a single query.
    effort, candidates: the index's settings when it was measured.
    target: the recall that was wanted; None: none.
    """

    name: str
    value: float
    low: float
    high: float
    queries: int
    milliseconds: float
    effort: int
    candidates: int
    target: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the target is reached, if there is one."""
        return self.target is None or self.value >= self.target

    def text(self) -> str:
        """The result in one line for people."""
        line = (
            f"{self.name}: recall@{K} {self.value:.4f} ({self.low:.4f} to {self.high:.4f}) on "
            f"{self.queries} of your photographs, {self.milliseconds:.2f} ms a query, "
            f"effort {self.effort}"
        )
        if not self.reached:
            line += (
                f"; the target {self.target:g} is out of reach, "
                "set gallery.backend=exact to reach it"
            )
        return line


def sampled(gallery: Embeddings, most: int = SAMPLE) -> Ints:
    """Rows (m,), ascending, of a random sample of at most `most` photographs; always the same."""
    n = len(gallery)
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(_SEED).choice(n, most, replace=False))


def without_itself(found: Matches, rows: Ints) -> Ints:
    """(q, k - 1) rows found for the photographs of `rows`, each without itself."""
    kept = found.rows != rows[:, None]
    kept[kept.all(axis=1), -1] = False  # a copy came before it, or an index missed it
    others: Ints = found.rows[kept].reshape(len(rows), -1)
    return others


def exact_neighbours(gallery: Gallery, rows: Ints) -> Ints:
    """(q, K) the true nearest others of the photographs of `rows`, by exact search."""
    plain = Gallery(gallery.embeddings, product=gallery.product)
    return without_itself(plain.search(gallery.embeddings.take(rows), K + 1), rows)


def measure_recall(
    gallery: Gallery, rows: Ints, exact: Ints, target: float | None = None
) -> Recall:
    """Recall of the gallery's index for the photographs of `rows` (q,), whose nearest are `exact`.

    A photograph as near as the K-th nearest counts as found in its stead.
    """
    index = gallery.index
    assert isinstance(index, TunableIndex)
    queries = gallery.embeddings.take(rows)
    found = without_itself(gallery.search(queries, K + 1), rows)
    vectors = gallery.embeddings.vectors
    share = []
    for query, mine, truth in zip(queries.vectors, found, exact, strict=True):
        least = float((vectors[truth].astype(np.float64) @ query).min()) if len(truth) else 0.0
        scores = vectors[mine].astype(np.float64) @ query
        share.append(float(np.mean(scores >= least - 1e-7)) if len(truth) else 1.0)
    value, q = float(np.mean(share)), len(rows)
    low, high = map(float, wilson(value, q))
    took = []
    for row in rows[:_TIMED]:
        one = gallery.embeddings.take([row])
        begin = time.perf_counter()
        gallery.search(one, K)
        took.append(time.perf_counter() - begin)
    return Recall(
        index.name, value, low, high, q, 1000 * float(np.median(took)),
        index.effort, index.candidates, target,
    )  # fmt: skip


def tune(gallery: Gallery, target: float) -> Recall:
    """Set the gallery's index to the least effort that reaches the recall `target`.

    The effort is chosen on one half of a sample of the gallery; the recall returned is that of the
    other half.  Where even the greatest effort does not reach the target, it is kept, and the text
    says so.
    """
    index = gallery.index
    assert isinstance(index, TunableIndex)
    rows = sampled(gallery.embeddings)
    exact = exact_neighbours(gallery, rows)
    mixed = np.random.default_rng(_SEED).permutation(len(rows))
    half = max(1, len(rows) // 2)
    choose, report = np.sort(mixed[:half]), np.sort(mixed[half:] if len(rows) > 1 else mixed)
    for effort, candidates in index.EFFORTS:  # from quick to thorough
        index.effort, index.candidates = effort, candidates
        if measure_recall(gallery, rows[choose], exact[choose]).value >= target:
            break
    return measure_recall(gallery, rows[report], exact[report], target)
