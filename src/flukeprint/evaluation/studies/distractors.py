"""Identification among distractors: how often is the right animal first, if the gallery grows?

Unit vectors that are drawn at random are added to the real gallery, each as an animal of its own.
The first N of one stream are the distractors of size N, so that the rates can only fall with N.
The two kinds of `DISTRACTORS` are drawn uniformly on the sphere, which real animals are not, and
from the normal distribution with the gallery's own mean and covariance, which is much harder.
Source of the protocol: Kemelmacher-Shlizerman et al., The MegaFace benchmark: 1 million faces for
recognition at scale (CVPR 2016), there with real photographs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.studies.fold import Fold, number_individuals
from flukeprint.evaluation.studies.individuals import draw_individuals, share_interval
from flukeprint.evaluation.studies.places import NearestPhotograph

SIZES = (0, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
MOST_QUERIES = 1_000  # more are drawn from
_SCORES_AT_ONCE = 1 << 22  # 16 MiB
_MOST_ROWS = 8192
_NOTHING = 1e-9  # of the largest variance


@dataclass(frozen=True)
class Stream:
    """Distractors in the coordinates in which they are drawn: unit rows of middle + spread * z.

    axes: (d, k) orthonormal; a vector x has the coordinates x @ axes, a distractor y is
        axes @ its coordinates.  None: the coordinates are the vectors themselves.
    middle, spread: (k,) of the normal distribution; z is a standard normal vector.
    """

    axes: Floats | None
    middle: Floats
    spread: Floats

    def coordinates(self, vectors: Floats) -> Floats:
        """Coordinates (b, k) of vectors (b, d), whose products with distractors are the same."""
        return vectors if self.axes is None else np.ascontiguousarray(vectors @ self.axes)

    def blocks(self, ends: Sequence[int], seed: int, most: int = _MOST_ROWS) -> Iterator[Floats]:
        """Draw the distractors (b, k) one block after another, at most `most` rows at once.

        ends: ascending; a block ends at each of them.  The rows are the same for any blocks.
        """
        rng = np.random.default_rng(seed)
        done = 0
        for end in ends:
            while done < end:
                rows = min(most, end - done)
                block = rng.standard_normal((rows, len(self.middle)), dtype=np.float32)
                block *= self.spread
                block += self.middle
                block /= np.sqrt(np.einsum("bk,bk->b", block, block))[:, None]
                yield block
                done += rows


def uniform(gallery: Floats) -> Stream:
    """Draw uniformly on the sphere of the gallery's (n, d) dimension."""
    d = gallery.shape[1]
    return Stream(None, np.zeros(d, np.float32), np.ones(d, np.float32))


def like_gallery(gallery: Floats) -> Stream:
    """Draw from the normal distribution with the mean and covariance of the gallery (n, d).

    In the axes of the covariance, the coordinates are independent: one is as quick to draw as one
    on the sphere.  A further axis carries what of the mean lies outside of them.
    """
    mean = gallery.mean(axis=0, dtype=np.float64)
    apart = gallery - mean
    variances, axes = np.linalg.eigh(apart.T @ apart / max(1, len(gallery) - 1))
    kept = variances > _NOTHING * max(float(variances[-1]), _NOTHING)
    axes, spread = axes[:, kept], np.sqrt(variances[kept])
    rest = mean - axes @ (axes.T @ mean)
    length = float(np.linalg.norm(rest))
    if length > _NOTHING:
        axes = np.column_stack([axes, rest / length])
        spread = np.append(spread, 0.0)
    return Stream(
        axes.astype(np.float32), (mean @ axes).astype(np.float32), spread.astype(np.float32)
    )


DISTRACTORS: dict[str, Callable[[Floats], Stream]] = {
    "uniform": uniform,
    "like the gallery": like_gallery,
}


@dataclass(frozen=True)
class DistractorCurve:
    """Rates of identification among N distractors, with 95 % intervals over individuals.

    sizes: N.  rank1, rank5: share of queries whose own animal is the first, or among the first
        five, by the nearest photograph of each.
    real: number of gallery photographs.  instead: rank-1 with as many drawn vectors in the place
        of the photographs of all other animals; above rank1[0] where drawn ones are easier.
    queries: number of queries of known animals that were asked.  seconds: it took.
    """

    kind: str
    sizes: tuple[int, ...]
    rank1: tuple[Interval, ...]
    rank5: tuple[Interval, ...]
    real: int
    instead: Interval
    queries: int
    seconds: float


def identify_among(
    fold: Fold, kind: str, sizes: Sequence[int] = SIZES, *, most_queries: int = MOST_QUERIES
) -> DistractorCurve:
    """Measure identification among the first N distractors of `kind`, for each N of `sizes`.

    sizes: ascending.  Ties go to the real gallery.  Memory does not grow with N.
    Raises FlukeprintError where no query's animal has a photograph in the gallery.
    """
    start = time.perf_counter()
    rows = some_known_queries(fold, most_queries)
    gallery = unit(fold.vectors[fold.gallery])
    queries = unit(fold.vectors[rows])
    labels = number_individuals(fold.identities)
    ranks = NearestPhotograph(labels[fold.gallery])
    own = np.empty(len(rows))
    places = np.empty(len(rows), dtype=np.int64)
    step = max(1, _SCORES_AT_ONCE // len(gallery))
    for top in range(0, len(rows), step):
        block = slice(top, top + step)
        similarities = (queries[block] @ gallery.T).astype(np.float64)
        own[block] = ranks.own(similarities, labels[rows[block]])
        places[block] = ranks.places(similarities, labels[rows[block]])
    ends = sorted({*sizes, len(gallery)})
    ahead = _ahead(DISTRACTORS[kind](gallery), queries, own, ends, fold.seed)
    owners = number_individuals([fold.identities[row] for row in rows])
    times = draw_individuals(int(owners.max()) + 1, seed=fold.seed)

    def share(found: Values) -> Interval:
        return share_interval(found.astype(np.float64), owners, times)

    at = [places + ahead[ends.index(size)] for size in sizes]
    return DistractorCurve(
        kind=kind,
        sizes=tuple(sizes),
        rank1=tuple(share(found <= 1) for found in at),
        rank5=tuple(share(found <= 5) for found in at),
        real=len(gallery),
        instead=share(ahead[ends.index(len(gallery))] == 0),
        queries=len(rows),
        seconds=time.perf_counter() - start,
    )


def some_known_queries(fold: Fold, most: int) -> Ints:
    """Rows of the queries of known animals; of more than `most`, that many drawn by the seed."""
    rows = fold.known_queries()
    if not len(rows):
        raise FlukeprintError(
            f"{fold.name}: no query is of an animal in the gallery, so there is nobody to find"
        )
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(fold.seed).choice(rows, size=most, replace=False))


def unit(vectors: Floats) -> Floats:
    """Vectors (n, d) at length 1, float32."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)


def _ahead(stream: Stream, queries: Floats, own: Values, ends: Sequence[int], seed: int) -> Ints:
    """How many of the first N distractors are nearer than the own animal: (sizes, q).

    own: (q,) the similarity to beat.  Only this number is kept of a block.
    """
    turned = stream.coordinates(queries)
    limits = own.astype(np.float32)[:, None]
    ahead = np.zeros((len(ends), len(queries)), dtype=np.int64)
    at, done = 0, 0
    so_far = np.zeros(len(queries), dtype=np.int64)
    most = max(256, min(_MOST_ROWS, _SCORES_AT_ONCE // len(queries)))
    for block in stream.blocks(ends, seed, most):
        while ends[at] <= done:
            ahead[at] = so_far
            at += 1
        so_far += np.count_nonzero(turned @ block.T > limits, axis=1)
        done += len(block)
    ahead[at:] = so_far
    return ahead


def distractor_lines(curve: DistractorCurve) -> list[str]:
    """The rates as lines for people."""
    lines = [
        f"identification among N drawn animals ({curve.kind}), beside {curve.real:,} real "
        f"photographs; {counted(curve.queries, 'query', 'queries')}, {curve.seconds:.1f} s",
        f"  {'N':>9}{'rank-1':>24}{'rank-5':>24}",
    ]
    lines += [
        f"  {size:>9,}{first.text():>24}{five.text():>24}"
        for size, first, five in zip(curve.sizes, curve.rank1, curve.rank5, strict=True)
    ]
    easier = "easier" if curve.instead.mean > curve.rank1[0].mean else "no easier"
    lines.append(
        f"  with {curve.real:,} drawn ones in the place of all other real photographs, rank-1 is "
        f"{curve.instead.text()}, with the real ones {curve.rank1[0].mean:.3f}: drawn ones are "
        f"{easier}"
    )
    return lines
