"""Section: how alike two photographs of one animal are, and two of different animals."""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Embeddings, Ints, Values
from flukeprint.evaluation.report.charts import Chart, Histogram, Mark, Part
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import percent, plain_ranking
from flukeprint.evaluation.verification import Pairs, sample_pairs

MOST_SAME, MOST_OTHER = 100_000, 200_000  # pairs
BINS = 50
SAME_SCALE = 1e-3  # most by which scores of a ranking by cosine alone may differ from cosines


def pairs(run: RunMaterial) -> Part | None:
    """Similarities of same and different pairs as two histograms; None without both kinds."""
    found = query_pairs(run)
    if not len(found.same) or not len(found.other):
        return None
    overlap = measure_overlap(found)
    threshold, on_scale = run.validation.threshold, by_cosine(run)
    marks: tuple[Mark, ...] = ()
    lines = [
        "Each photograph of the fold's queries is compared with photographs of its gallery by the "
        "cosine similarity of their embeddings. The further the two histograms lie apart, the "
        "better the network tells animals apart; where they overlap, no threshold on the "
        "similarity of two photographs can.",
        overlap.text(),
    ]
    if threshold is not None and on_scale:
        marks = (Mark("x", threshold, f"threshold of the run, {threshold:.3f}"),)
        lines.append(
            f"At the run's threshold of {threshold:.3f}, "
            f"{percent((found.same >= threshold).mean())} of the same pairs "
            f"and {percent((found.other >= threshold).mean())} of the different "
            "pairs are taken for one animal. The threshold is meant for the nearest of all "
            "photographs of the gallery, not for any pair: the nearest of many strangers is more "
            "alike than one stranger."
        )
    elif threshold is not None:
        lines.append(
            f"The run's threshold, {threshold:.3f}, is on the scale of its ranking rules, not on "
            "that of the cosine, so it is not drawn here."
        )
    edges = shared_edges(found)
    chart = Chart(
        "pairs", "Similarity of same and of different pairs",
        f"{len(found.same):,} pairs of one animal and {len(found.other):,} of different animals; "
        "bars show the share of each kind.",
        (
            Histogram("same animal", edges, _shares(found.same, edges)),
            Histogram("different animals", edges, _shares(found.other, edges)),
        ),
        x="cosine similarity", y="share of the pairs of its kind", marks=marks,
    )  # fmt: skip
    return Part("pairs", "Same and different pairs", tuple(lines), (chart,))


@dataclass(frozen=True)
class Overlap:
    """How much two kinds of pairs overlap.

    coefficient: overlapping coefficient, the share that both histograms have in common, 0 to 1
        (Weitzman 1970).
    other_above: share of different pairs above the median same pair; same_below: share of same
        pairs below the median different pair.
    """

    coefficient: float
    other_above: float
    same_below: float
    median_same: float
    median_other: float

    def text(self) -> str:
        """The overlap in words."""
        return (
            f"{percent(self.other_above)} of the different pairs are more alike than the median "
            f"same pair ({self.median_same:.2f}); {percent(self.same_below)} of the same pairs are "
            f"less alike than the median different pair ({self.median_other:.2f}). The overlap "
            f"coefficient is {self.coefficient:.2f}: 0 where the histograms are apart, 1 where "
            "they are one."
        )


def measure_overlap(found: Pairs) -> Overlap:
    """Measure the overlap of pairs, at least one of each kind; the histograms have 50 bins."""
    edges = shared_edges(found)
    common = np.minimum(_shares(found.same, edges), _shares(found.other, edges)).sum()
    same, other = float(np.median(found.same)), float(np.median(found.other))
    return Overlap(
        coefficient=float(common),
        other_above=float((found.other > same).mean()),
        same_below=float((found.same < other).mean()),
        median_same=same,
        median_other=other,
    )


def query_pairs(run: RunMaterial) -> Pairs:
    """Cosine similarities of the reporting queries to the gallery's photographs.

    Where there are many pairs, a sample that is spread evenly over the queries.
    """
    queries, gallery = run.embeddings.take(run.queries), run.embeddings.take(run.split.gallery)
    same, other = sample_pairs(
        run.truths, gallery.identities, most_same=MOST_SAME, most_other=MOST_OTHER,
        seed=run.config.split.seed,
    )  # fmt: skip
    return Pairs(_cosines(queries, gallery, same), _cosines(queries, gallery, other))


def _cosines(queries: Embeddings, gallery: Embeddings, places: Ints) -> Values:
    """(n,) of pairs (n, 2), in blocks: all vectors at once would take gigabytes."""
    found = np.empty(len(places))
    for start in range(0, len(places), 10_000):
        one, other = places[start : start + 10_000].T
        found[start : start + 10_000] = np.einsum(
            "nd,nd->n", queries.vectors[one], gallery.vectors[other], dtype=np.float64
        )
    return found


def by_cosine(run: RunMaterial) -> bool:
    """Whether the run's scores are cosine similarities to the nearest photograph."""
    ranking = plain_ranking(run)
    if not len(ranking):
        return False
    queries, gallery = run.embeddings.take(run.queries), run.embeddings.take(run.split.gallery)
    rows = ranking.rows[:, 0]
    if (rows < 0).any():
        return False
    cosines = _cosines(queries, gallery, np.stack([np.arange(len(rows)), rows], axis=1))
    return bool(np.all(np.abs(cosines - ranking.scores[:, 0]) < SAME_SCALE))


def shared_edges(found: Pairs) -> Values:
    """Edges of 50 bins from the least to the most alike pair."""
    every = np.concatenate([found.same, found.other])
    low, high = float(every.min()), float(every.max())
    if high <= low:
        low, high = low - 0.01, high + 0.01
    return np.linspace(low, high, BINS + 1)


def _shares(scores: Values, edges: Values) -> Values:
    return np.asarray(np.histogram(scores, edges)[0] / len(scores), dtype=np.float64)
