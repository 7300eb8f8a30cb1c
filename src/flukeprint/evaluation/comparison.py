"""Compare two recipes on the same queries with a paired bootstrap: is B better than A?

Both are measured on the queries that both answered, pooled over folds.  A query that several
seeds of a recipe answered counts once, with their mean.  Queries are drawn with replacement,
each with A's and B's metrics of the same query: what is hard for both cancels out.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; for rankings
Sakai, Evaluating Evaluation Metrics based on the Bootstrap (SIGIR 2006), section 3.1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.breakdown import Figures, QueryTable
from flukeprint.evaluation.metrics import (
    Interval,
    auroc_interval,
    bootstrap_interval,
    bootstrap_means,
    percentile_interval,
)

SAMPLES = 5000
Query = tuple[int, str]  # a fold and a photograph


@dataclass(frozen=True)
class Judged:
    """The query tables of all runs of one recipe.

    name: for messages.  data: digest of the photographs and labels.
    folds: the fold of each run; runs of one fold differ in their seed.
    """

    name: str
    data: str
    folds: tuple[int, ...]
    runs: tuple[QueryTable, ...]

    def __post_init__(self) -> None:
        if not self.runs or len(self.folds) != len(self.runs):
            raise ValueError("one fold for each run, and at least one run")

    def only(self, folds: set[int]) -> "Judged":
        """Keep the runs of these folds alone."""
        kept = [place for place, fold in enumerate(self.folds) if fold in folds]
        return Judged(
            self.name,
            self.data,
            tuple(self.folds[place] for place in kept),
            tuple(self.runs[place] for place in kept),
        )

    def per_query(self) -> dict[Query, tuple[float, float, float]]:
        """AP@5, top-1 and top-5 of each query, means over the seeds that answered it."""
        found: dict[Query, list[tuple[float, float, float]]] = {}
        for fold, run in zip(self.folds, self.runs, strict=True):
            rows = zip(run.ap, run.first_right, run.five_right, strict=True)
            for image, (ap, first, five) in zip(run.images, rows, strict=True):
                found.setdefault((fold, image), []).append((float(ap), float(first), float(five)))
        return {
            query: (
                float(np.mean([row[0] for row in rows])),
                float(np.mean([row[1] for row in rows])),
                float(np.mean([row[2] for row in rows])),
            )
            for query, rows in found.items()
        }

    def truths(self) -> dict[Query, tuple[str | None, int]]:
        """The right answer of each query, and how many photographs of it the gallery had."""
        return {
            (fold, image): facts
            for fold, run in zip(self.folds, self.runs, strict=True)
            for image, facts in zip(
                run.images, zip(run.truths, run.photos, strict=True), strict=True
            )
        }


@dataclass(frozen=True)
class Difference:
    """A metric of A and of B, and their difference with its 95 % interval.

    gain: B - A.  better: share of resamples in which B is better (equal does not count).
    """

    a: float
    b: float
    gain: Interval
    better: float

    def text(self) -> str:
        """One line for people."""
        gain = self.gain
        return (
            f"A {self.a:.3f}, B {self.b:.3f}, B - A {gain.mean:+.3f} "
            f"[{gain.low:+.3f}, {gain.high:+.3f}], B better in {self.better:.1%} of resamples"
        )


@dataclass(frozen=True)
class Comparison:
    """The difference between two recipes on the `queries` queries that both answered."""

    map5: Difference
    top1: Difference
    queries: int
    left_out: int  # queries that only one of them answered
    folds: tuple[int, ...]


def paired_bootstrap(
    a: npt.ArrayLike, b: npt.ArrayLike, *, seed: int = 0, samples: int = SAMPLES
) -> Difference:
    """Compare two metrics of the same queries, a and b (q,), by resampling the queries."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a is {first.shape}, b is {second.shape}")
    # Rounded, so that differences which are equal but for their last bit are equal.
    gains = np.round(second - first, 9)
    means = bootstrap_means(gains, seed=seed, samples=samples)
    return Difference(
        a=float(first.mean()),
        b=float(second.mean()),
        gain=percentile_interval(means, float(gains.mean())),
        better=float((means > 1e-10).mean()),  # sums of zero may end a last bit above it
    )


def paired_auroc(
    a: npt.ArrayLike, b: npt.ArrayLike, is_new: npt.ArrayLike, *, seed: int = 0, samples: int = 2000
) -> Difference | None:
    """Compare two scores of the same queries, a and b (q,), by how well they tell new animals.

    Known and new animals' queries are resampled separately, each with both of its scores, as in
    `paired_bootstrap`.  None where the queries are all of one kind.
    """
    new = np.asarray(is_new, dtype=bool)
    if new.all() or not new.any():
        return None
    # (known, new) 1 where the known one scores above, 1/2 where equal: its mean is the AUROC.
    wins = []
    for scores in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)):
        over = np.sign(scores[~new][:, None] - scores[new][None, :])
        wins.append(((over + 1) / 2).astype(np.float32))
    gains = wins[1] - wins[0]
    known, others = gains.shape
    rng = np.random.default_rng(seed)
    means = np.empty(samples)
    for sample in range(samples):
        rows = rng.multinomial(known, np.full(known, 1 / known))
        columns = rng.multinomial(others, np.full(others, 1 / others))
        means[sample] = rows @ (gains @ columns) / (known * others)
    return Difference(
        a=float(wins[0].mean(dtype=np.float64)),
        b=float(wins[1].mean(dtype=np.float64)),
        gain=percentile_interval(means, float(gains.mean(dtype=np.float64))),
        better=float((means > 1e-10).mean()),
    )


def compare_answers(a: Judged, b: Judged, *, seed: int = 0, samples: int = SAMPLES) -> Comparison:
    """Compare B with A by MAP@5 and top-1.

    Raises FlukeprintError when their data, folds or splits differ, or no query is common.
    """
    if a.data != b.data:
        raise FlukeprintError(
            f"{a.name} and {b.name} had other photographs or labels (data {a.data} and {b.data}); "
            "only rows of the same data compare"
        )
    folds = set(a.folds)
    if folds != set(b.folds):
        raise FlukeprintError(
            f"{a.name} has the folds {listed(sorted(folds))}, {b.name} has "
            f"{listed(sorted(set(b.folds)))}; run crossvalidate for the missing ones"
        )
    truths_a, truths_b = a.truths(), b.truths()
    common = [query for query in truths_a if query in truths_b]
    if not common:
        raise FlukeprintError(f"{a.name} and {b.name} answered no query in common: other splits")
    torn = [image for fold, image in common if truths_a[fold, image] != truths_b[fold, image]]
    if torn:
        raise FlukeprintError(
            f"{a.name} and {b.name} were split differently: galleries or right answers differ for "
            f"{listed(torn, 3)}; use the same split and data settings for both"
        )
    of_a, of_b = a.per_query(), b.per_query()
    rows_a = np.array([of_a[query] for query in common])
    rows_b = np.array([of_b[query] for query in common])
    return Comparison(
        map5=paired_bootstrap(rows_a[:, 0], rows_b[:, 0], seed=seed, samples=samples),
        top1=paired_bootstrap(rows_a[:, 1], rows_b[:, 1], seed=seed, samples=samples),
        queries=len(common),
        left_out=len(truths_a) + len(truths_b) - 2 * len(common),
        folds=tuple(sorted(folds)),
    )


def pooled(judged: Judged, *, seed: int = 0) -> Figures:
    """Compute the metrics of a recipe over all folds; `auroc` is the mean over runs.

    Scores of two networks are on two scales, so the AUROC cannot be pooled by query; the ends of
    its interval are the means of the runs' ends, which is wider than the true interval.
    """
    rows = np.array(list(judged.per_query().values()))
    parts = [
        auroc_interval(run.best_known, run.is_new, seed=seed)
        for run in judged.runs
        if run.is_new.any() and not run.is_new.all()
    ]
    auroc = None
    if parts:
        low, mean, high = (
            float(np.mean([getattr(part, end) for part in parts]))
            for end in ("low", "mean", "high")
        )
        auroc = Interval(low, mean, high)
    return Figures(
        map5=bootstrap_interval(rows[:, 0], seed=seed),
        top1=bootstrap_interval(rows[:, 1], seed=seed),
        top5=bootstrap_interval(rows[:, 2], seed=seed),
        auroc=auroc,
        queries=len(rows),
        new_queries=sum(answer is None for answer, _ in judged.truths().values()),
    )
