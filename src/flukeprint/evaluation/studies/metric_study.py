"""Metrics compared on the same embeddings: what identification and verification make of each.

Every figure is measured on the same queries and pairs, and the difference to cosine on the same
resamples of individuals, so that what is hard for both cancels out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.comparison import Difference
from flukeprint.evaluation.metrics import Interval, ap_at_5
from flukeprint.evaluation.studies.distances import METRICS, Similarity
from flukeprint.evaluation.studies.distractors import some_known_queries
from flukeprint.evaluation.studies.error_rates import (
    can_tell,
    equal_error_rate,
    resampled_rates,
    true_accept_at,
)
from flukeprint.evaluation.studies.fold import Fold, number_individuals
from flukeprint.evaluation.studies.individuals import (
    SAMPLES,
    at_least_rule_of_3,
    draw_individuals,
    paired_difference,
    resampled_interval,
    resampled_means,
)
from flukeprint.evaluation.studies.pairs import LabelledPairs, ScoredPairs, fold_pairs
from flukeprint.evaluation.studies.places import NearestPhotograph
from flukeprint.evaluation.studies.verification_study import too_few
from flukeprint.evaluation.verification import Pairs, roc

BASELINE = "cosine"
RATE = 1e-2  # false accepts at which true accepts are compared
FIGURES = ("MAP@5", "top-1", "EER", "true accepts at 0.01")
MOST_PAIRS = 30_000
MOST_DIFFERENCES = 2_000_000_000  # of coordinates; more queries than these allow are drawn from
_BLOCK = 1 << 22  # similarities


@dataclass(frozen=True)
class MetricFigures:
    """What one metric is worth: by name of figure, its 95 % interval and its gain over cosine.

    The gain is the figure less that of cosine: of the equal error rate (EER) less is better.
    A figure that cannot be measured is missing: true accepts with too few pairs, and both of
    verification where there are no pairs.
    """

    values: dict[str, Interval]
    over_cosine: dict[str, Difference]


@dataclass(frozen=True)
class MetricStudy:
    """All metrics on one fold.

    left_out: why a metric is not there.  queries: of known animals; same, other: number of pairs.
    """

    name: str
    metrics: dict[str, MetricFigures]
    left_out: dict[str, str]
    queries: int
    same: int
    other: int
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Measured:
    """Figures of a metric by name: the value, and its values (samples,) on the resamples."""

    values: dict[str, float]
    resampled: dict[str, Values]


def compare_metrics(
    fold: Fold,
    names: Sequence[str] = tuple(METRICS),
    *,
    most_pairs: int = MOST_PAIRS,
    most_differences: int = MOST_DIFFERENCES,
    samples: int = SAMPLES,
) -> MetricStudy:
    """Compare metrics by identification and verification with the photographs of a fold.

    A metric that learns does so on the gallery's photographs only.  Identification is of the
    queries of known animals, by the nearest photograph of each animal.

    Raises FlukeprintError where no query is of an animal in the gallery.
    """
    start = time.perf_counter()
    per_query = max(1, len(fold.gallery) * fold.vectors.shape[1])
    queries = some_known_queries(fold, max(100, most_differences // per_query))
    pairs = fold_pairs(fold, most=most_pairs)
    short = too_few([pairs])
    owners = number_individuals(fold.identities)
    times = draw_individuals(int(owners.max()) + 1, seed=fold.seed, samples=samples)
    gallery = fold.vectors[fold.gallery].astype(np.float64)
    measured: dict[str, _Measured] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys([BASELINE, *names]):
        try:
            metric = METRICS[name](gallery, owners[fold.gallery])
        except FlukeprintError as error:
            left_out[name] = str(error)
            continue
        measured[name] = _measure(
            fold, metric, queries, LabelledPairs(pairs.same[:0], pairs.other[:0])
            if short else pairs, owners, times
        )  # fmt: skip
    base = measured[BASELINE]
    individuals = len(np.unique(owners[queries]))
    figures = {
        name: MetricFigures(
            values={
                figure: at_least_rule_of_3(
                    resampled_interval(found.resampled[figure], value), individuals
                )
                for figure, value in found.values.items()
            },
            over_cosine={}
            if name == BASELINE
            else {
                figure: paired_difference(
                    base.values[figure], value, base.resampled[figure], found.resampled[figure]
                )
                for figure, value in found.values.items()
            },
        )
        for name, found in measured.items()
    }
    return MetricStudy(
        name=fold.name,
        metrics=figures,
        left_out=left_out,
        queries=len(queries),
        same=0 if short else len(pairs.same),
        other=0 if short else len(pairs.other),
        notes=_notes(fold, queries, short),
        seconds=time.perf_counter() - start,
    )


def of_one_length(vectors: Values) -> bool:
    """Whether all vectors (n, d) have one length, so that cosine and Euclidean rank alike."""
    lengths = np.linalg.norm(vectors, axis=1)
    return bool(np.ptp(lengths) < 1e-3 * lengths.max(initial=1e-30))


def _notes(fold: Fold, queries: Ints, short: str) -> tuple[str, ...]:
    notes = []
    if of_one_length(fold.vectors.astype(np.float64)):
        notes.append(
            "All embeddings have length 1, where |x - y|^2 = 2 - 2 x.y: cosine and Euclidean rank "
            "alike and have the same figures. A run keeps no embeddings of other lengths."
        )
    else:
        notes.append("The embeddings are not normalised: cosine looks at their direction only.")
    if any(fold.trained[row] for row in fold.gallery):
        notes.append(
            "Mahalanobis learns the covariance within individuals from gallery photographs, which "
            "training saw: they vary less than photographs that it did not see."
        )
    if len(queries) < len(fold.known_queries()):
        notes.append(f"{counted(len(queries), 'query', 'queries')} are drawn from all.")
    if short:
        notes.append(f"Verification is not measured: {short}.")
    return tuple(notes)


def _measure(
    fold: Fold, metric: Similarity, queries: Ints, pairs: LabelledPairs, owners: Ints, times: Ints
) -> _Measured:
    gallery = fold.vectors[fold.gallery].astype(np.float64)
    ranks = NearestPhotograph(owners[fold.gallery])
    places = np.empty(len(queries), dtype=np.int64)
    step = max(1, _BLOCK // len(gallery))
    for top in range(0, len(queries), step):
        rows = queries[top : top + step]
        similarities = metric(fold.vectors[rows].astype(np.float64), gallery)
        places[top : top + step] = ranks.places(similarities, owners[rows])
    per_query = {"MAP@5": ap_at_5(places), "top-1": (places == 1).astype(np.float64)}
    values = {name: float(each.mean()) for name, each in per_query.items()}
    resampled = {
        name: resampled_means(each, owners[queries], times) for name, each in per_query.items()
    }
    if len(pairs.same):
        scored = ScoredPairs(
            Pairs(_of_pairs(fold, metric, pairs.same), _of_pairs(fold, metric, pairs.other)),
            owners[pairs.same[:, 0]], owners[pairs.other], times.shape[1],
        )  # fmt: skip
        curve = roc(scored.scores)
        drawn = resampled_rates(scored, np.array([RATE]), times)
        values["EER"], resampled["EER"] = equal_error_rate(curve), drawn.eer
        if can_tell(RATE, curve.others):
            values[FIGURES[3]] = float(true_accept_at(curve, np.array([RATE]))[0])
            resampled[FIGURES[3]] = drawn.true_accept[:, 0]
    return _Measured(values, resampled)


def _of_pairs(fold: Fold, metric: Similarity, pairs: Ints) -> Values:
    """Similarities (m,) of pairs of rows (m, 2), a query's pairs at a time."""
    found = np.empty(len(pairs))
    order = np.argsort(pairs[:, 0], kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(pairs[order, 0])) + 1):
        if len(mine):
            left = fold.vectors[pairs[mine[:1], 0]].astype(np.float64)
            right = fold.vectors[pairs[mine, 1]].astype(np.float64)
            found[mine] = metric(left, right)[0]
    return found


def metric_lines(study: MetricStudy) -> list[str]:
    """The figures as lines for people: a table, the differences to cosine, and the notes."""
    width = max(map(len, [*study.metrics, *study.left_out])) + 2
    shown = [name for name in FIGURES if name in study.metrics[BASELINE].values]
    lines = [
        f"metrics on {counted(study.queries, 'query', 'queries')} of known animals, "
        f"{study.same:,} pairs of one animal and {study.other:,} of two",
        f"  {'':{width}}" + "".join(f"{name:>24}" for name in shown),
    ]
    for name, found in study.metrics.items():
        cells = "".join(f"{found.values[figure].text():>24}" for figure in shown)
        lines.append(f"  {name:{width}}{cells}")
    for name, found in study.metrics.items():
        if found.over_cosine:
            cells = "".join(f"{gain_text(found.over_cosine[figure]):>24}" for figure in shown)
            lines.append(f"  {name + ' -':{width}}{cells}")
    lines += [f"  {name}: left out; {why}" for name, why in study.left_out.items()]
    less = "; of the EER less is better" if "EER" in shown else ""
    lines.append(f"  (name - : the difference to {BASELINE}, paired{less})")
    return [*lines, *study.notes]


def gain_text(difference: Difference) -> str:
    """`+0.012 [-0.003, +0.026]`"""
    gain = difference.gain
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
