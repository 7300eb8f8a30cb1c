"""The verdict on a photograph: its answers with probabilities, nearest photographs and taxonomy."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from flukeprint.data.embeddings import Embeddings
from flukeprint.identifier.card import IdentifierCard
from flukeprint.identifier.taxonomy import RankPlacement, Taxonomy, place
from flukeprint.ranking.calibration import Posterior, posterior
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.threshold import nearest_cosine
from flukeprint.search.gallery import Gallery

NEAREST = 3  # photos of each answer


@dataclass(frozen=True)
class Near:
    """A photo of the gallery, by its row, and its cosine to the query."""

    row: int
    score: float


@dataclass(frozen=True)
class Verdict:
    """The answers to one photograph, or to the photographs of one encounter.

    ranking: one query with its five answers, as `Identifier.identify` gives them.
    probabilities: of each answer to be right, in their order; new: probability that the individual
        is not in the gallery.  None if too few queries were there to calibrate them.
    nearest_cosine: cosine to the nearest photo of the gallery; outside: whether it is so low that
        the photograph shows something else.
    nearest: for each answer the nearest photos of that identity, the best-matching one first; none
        for a new individual.
    placement: the narrowest rank of the taxonomy with enough confidence; None without a taxonomy,
        or where the photograph shows something else.
    """

    ranking: Ranking
    probabilities: tuple[float, ...] | None
    new: float | None
    nearest_cosine: float
    outside: bool
    nearest: tuple[tuple[Near, ...], ...]
    placement: RankPlacement | None

    @property
    def kind(self) -> Literal["known", "new", "outside"]:
        """Whether the first answer is a known or a new individual, or the photo something else."""
        if self.outside:
            return "outside"
        return "new" if self.ranking.identities[0][0] is None else "known"


def verdict_of(
    every: Ranking,
    queries: Embeddings,
    gallery: Gallery,
    card: IdentifierCard,
    taxonomy: Taxonomy | None,
    *,
    top: int = 5,
) -> Verdict:
    """Make the verdict on one query from its ranking.

    every: ranks all identities, without a threshold.
    queries: the embeddings of its photographs; the nearest of them decides whether they show
        something else.
    """
    ranking = _first(every, top)
    if card.threshold is not None:
        ranking = insert_new_individual(ranking, card.threshold)
    answers = ranking.identities[0]
    likely = None if card.calibration is None else posterior(every, card.calibration)
    near = float(nearest_cosine(gallery, queries).max())
    outside = card.outside is not None and bool(card.outside([near])[0])
    names = [name for name in every.identities[0] if name is not None]
    rows = ranking.rows[0].tolist()
    return Verdict(
        ranking=ranking,
        probabilities=None if likely is None else _of(answers, every, likely),
        new=None if likely is None or _closed(card) else float(likely.new[0]),
        nearest_cosine=near,
        outside=outside,
        nearest=tuple(
            () if name is None else _nearest(name, row, gallery, queries)
            for name, row in zip(answers, rows, strict=False)
        ),
        placement=None
        if taxonomy is None or likely is None or outside or card.confidence is None
        else place(taxonomy, likely.identities, names, card.confidence)[0],
    )


def verdict_row(photo: str, verdict: Verdict, new_label: str) -> dict[str, Any]:
    """Convert a verdict to data for JSON, as `flukeprint identify --json` prints it for `photo`."""
    identities, scores = verdict.ranking.identities[0], verdict.ranking.scores[0]
    probabilities = verdict.probabilities or (None,) * len(identities)
    placement = verdict.placement
    return {
        "photo": photo,
        "verdict": verdict.kind,
        "probability": probabilities[0],
        "placement": None if placement is None else asdict(placement),
        "answers": [
            {
                "identity": new_label if name is None else name,
                "score": float(score),
                "probability": probability,
            }
            for name, score, probability in zip(identities, scores, probabilities, strict=False)
        ],
    }


def row_text(row: dict[str, Any]) -> str:
    """Format a `verdict_row` as lines: the photograph, then an answer a line."""
    lines = [row["photo"]]
    if row["verdict"] == "outside":
        lines.append("  this does not look like a photograph of this collection")
    placed = row["placement"]
    if placed is not None and placed["rank"] not in (None, "class"):
        lines.append(f"  {placed['rank']} {placed['name']}, narrower is unsure")
    for number, answer in enumerate(row["answers"], 1):
        chance = answer["probability"]
        sure = "" if chance is None else f"{chance:6.1%}"
        lines.append(f"  {number}  {answer['score']:6.3f} {sure}  {answer['identity']}")
    return "\n".join(lines)


def _closed(card: IdentifierCard) -> bool:
    """Whether the calibration was fitted without a query of a new individual."""
    return card.calibration is None or card.calibration.known is None


def _first(every: Ranking, top: int) -> Ranking:
    """Keep the `top` best of a ranking of all identities."""
    width = min(top, every.scores.shape[1])
    pad = ((0, 0), (0, top - width))
    return replace(
        every,
        identities=tuple(names[:top] for names in every.identities),
        scores=np.pad(every.scores[:, :width], pad, constant_values=np.nan),
        rows=np.pad(every.rows[:, :width], pad, constant_values=-1),
    )


def _of(answers: tuple[str | None, ...], every: Ranking, likely: Posterior) -> tuple[float, ...]:
    """The probability of each answer."""
    place_of = {name: column for column, name in enumerate(every.identities[0])}
    return tuple(
        float(likely.new[0] if name is None else likely.identities[0, place_of[name]])
        for name in answers
    )


def _nearest(name: str, best: int, gallery: Gallery, queries: Embeddings) -> tuple[Near, ...]:
    """The best-matching photo of an identity, then its next nearest ones."""
    own = gallery.rows_of(name)
    seen = gallery.embeddings.vectors[own].astype(np.float64) @ queries.vectors.T
    cosines = dict(zip(own, seen.mean(axis=1), strict=True))
    rows = sorted((row for row in own if row != best), key=lambda row: (-cosines[row], row))
    return tuple(Near(row, float(cosines[row])) for row in [best, *rows[: NEAREST - 1]])
