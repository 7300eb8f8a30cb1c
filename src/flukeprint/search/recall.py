"""What an approximate index misses: a gallery and its index enter, recall on it leaves.

Recall is measured on the user's own photographs, each asked against the others, and includes what
the gallery does with the candidates: it scores them exactly.
"""

import math
import time
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.search.faiss_index import FaissIndex
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches

K = 5
_SEED = 0
SAMPLE = 1000  # photographs that ask: half choose the effort, half report
_TIMED = 100


@dataclass(frozen=True)
class Recall:
    """Share of the true K nearest that are found, over `queries` photographs.

    low, high: its 95 % interval (Wilson's, as if the K places of a photograph were one draw).
    milliseconds: of one query asked alone, median.
    effort, candidates: of the index when it was measured.
    target: what was wished for; None where nothing was.
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
        """Whether it is what was wished for."""
        return self.target is None or self.value >= self.target

    def text(self) -> str:
        """One line for people."""
        said = (
            f"{self.name}: recall@{K} {self.value:.4f} ({self.low:.4f} to {self.high:.4f}) on "
            f"{self.queries} of your photographs, {self.milliseconds:.2f} ms a query, "
            f"effort {self.effort}"
        )
        if not self.reached:
            said += (
                f"; {self.target:g} was wished for and is out of reach, "
                "take gallery.backend=exact for it"
            )
        return said


def sampled(gallery: Embeddings, most: int = SAMPLE) -> Ints:
    """Rows (m,) ascending of at most so many photographs, drawn without order, always the same."""
    n = len(gallery)
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(_SEED).choice(n, most, replace=False))


def without_itself(found: Matches, rows: Ints) -> Ints:
    """(q, k - 1) rows found for the photographs of `rows`, each left out of its own."""
    kept = found.rows != rows[:, None]
    kept[kept.all(axis=1), -1] = False  # copies took its place, or an index missed it
    others: Ints = found.rows[kept].reshape(len(rows), -1)
    return others


def exact_neighbours(gallery: Gallery, rows: Ints) -> Ints:
    """(q, K) the nearest others of the photographs of `rows`, by looking at all."""
    plain = Gallery(gallery.embeddings, product=gallery.product)
    return without_itself(plain.search(gallery.embeddings.take(rows), K + 1), rows)


def measure_recall(
    gallery: Gallery, rows: Ints, exact: Ints, target: float | None = None
) -> Recall:
    """Recall of the gallery's index on the photographs of `rows` (q,), whose nearest are `exact`.

    A photograph that is as near as the K-th nearest is as good as that one.
    """
    index = gallery.index
    assert isinstance(index, FaissIndex)
    queries = gallery.embeddings.take(rows)
    found = without_itself(gallery.search(queries, K + 1), rows)
    vectors = gallery.embeddings.vectors
    share = []
    for query, mine, truth in zip(queries.vectors, found, exact, strict=True):
        least = float((vectors[truth].astype(np.float64) @ query).min()) if len(truth) else 0.0
        scores = vectors[mine].astype(np.float64) @ query
        share.append(float(np.mean(scores >= least - 1e-7)) if len(truth) else 1.0)
    value, q = float(np.mean(share)), len(rows)
    low, high = _wilson(value, q)
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
    """Give the gallery's index the least effort that reaches `target`; recall on other photographs.

    The effort is chosen on one half of a sample of the gallery, the recall is that of the other.
    Where even the greatest effort does not reach the target, it stays, and the text says so.
    """
    index = gallery.index
    assert isinstance(index, FaissIndex)
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


def _wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share of n draws (Wilson 1927)."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
