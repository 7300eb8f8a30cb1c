"""The verdict on a photograph: its answers with probabilities, nearest photographs and taxonomy.

Command line, API and page all tell what a `Verdict` says, so that they never disagree.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.card import IdentifierCard
from flukeprint.identifier.taxonomy import CLASS, RankPlacement, Taxonomy, place
from flukeprint.ranking.calibration import Posterior, in_order, posterior, sharpness
from flukeprint.ranking.encounters.combine import encounter_weight, of_encounter
from flukeprint.ranking.encounters.inform import apply_prior
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.threshold import nearest_cosine
from flukeprint.search.gallery import Gallery

NEAREST = 3  # photos of each answer
ROUNDING = 1e-9  # of the sum of probabilities


@dataclass(frozen=True)
class Near:
    """A photo of the gallery, by its row, and its cosine to the query."""

    row: int
    score: float


@dataclass(frozen=True)
class Verdict:
    """The decision on one photograph, or on the photographs of one encounter.

    Order, label and probabilities agree: the order of the answers is decided by the threshold
    alone, the label is that of the first answer, and no answer is more probable than the one
    before it.  Where the photograph shows something else, no answer has a probability.

    ranking: one query with its five answers, as `Identifier.identify` gives them.
    probabilities: of each answer to be right, in their order; with `new`, where that is no answer,
        they sum to at most 1, and the rest belongs to animals that are no answer.  None of a new
        individual in the gallery of a closed set, of which nothing was measured; None altogether
        where that is the first answer, where too few queries were there to calibrate them, and
        where the photograph shows something else.
    new: probability that the individual is not in the gallery; where that is no answer, at most
        that of the first.  None where nothing was measured, or it is never answered.
    nearest_cosine: cosine to the nearest photo of the gallery; outside: whether it is so low that
        the photograph shows something else.
    nearest: for each answer the nearest photos of that identity, the best-matching one first; none
        for a new individual.
    placement: the narrowest rank of the taxonomy with enough confidence; None without a taxonomy,
        or where the photograph shows something else.
    factors: of each answer, by how much a prior made it likelier than an animal of which it says
        nothing, 1 for a new individual; None without a prior.
    """

    ranking: Ranking
    probabilities: tuple[float | None, ...] | None
    new: float | None
    nearest_cosine: float
    outside: bool
    nearest: tuple[tuple[Near, ...], ...]
    placement: RankPlacement | None
    factors: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        names = self.answers
        if self.probabilities is None:
            return
        if self.outside or len(self.probabilities) != len(names):
            raise ValueError("one probability for each answer, and none for something else")
        every = [share for share in self.probabilities if share is not None]
        if any(after > before for before, after in pairwise(every)):
            raise ValueError(f"an answer is more probable than the one before it: {every}")
        if self.new is not None and None not in names:
            if self.new > every[0]:
                raise ValueError(f"a new individual is more probable than the first of {every}")
            every.append(self.new)
        if sum(every) > 1 + ROUNDING or min(every, default=0.0) < 0:
            raise ValueError(f"no probabilities: {every}")

    @property
    def answers(self) -> tuple[str | None, ...]:
        """The answers in their order, None for a new individual."""
        return self.ranking.identities[0]

    @property
    def kind(self) -> Literal["known", "new", "outside"]:
        """Whether the first answer is a known or a new individual, or the photo something else."""
        if self.outside:
            return "outside"
        return "new" if self.answers[0] is None else "known"


def verdict_of(
    every: Ranking,
    queries: Embeddings,
    gallery: Gallery,
    card: IdentifierCard,
    taxonomy: Taxonomy | None,
    *,
    log_weights: Mapping[str, float] | None = None,
    near: float | None = None,
    top: int = 5,
) -> Verdict:
    """Make the verdict on one query from its ranking.

    every: ranks all identities, without a threshold.
    queries: the embeddings of its photographs; the nearest of them decides whether they show
        something else.
    log_weights: of a prior, such as `EncounterPrior.log_weights`; animals without one are neutral.
    near: cosine to the nearest photograph of the gallery; None: it is searched for.

    Raises:
        FlukeprintError: a prior, and an identifier without probabilities.
    """
    spread = _spread(every, card, len(queries))
    factors: dict[str | None, float] | None = None
    if log_weights is not None:
        every, spread, factors = _informed(every, spread, card, len(queries), log_weights)
    ranking = every.first(top)
    if card.threshold is not None:
        ranking = insert_new_individual(ranking, card.threshold)
    if near is None:
        near = float(nearest_cosine(gallery, queries).max())
    outside = card.outside is not None and bool(card.outside([near])[0])
    likely = None if outside else _likely(spread, ranking, card)
    return Verdict(
        ranking=ranking,
        probabilities=None if likely is None else _of(ranking.identities[0], every, likely, card),
        new=None if likely is None or not _answers_new(card) else float(likely.new[0]),
        nearest_cosine=near,
        outside=outside,
        nearest=tuple(
            () if name is None else nearest_photos(name, gallery, queries, best=row)
            for name, row in zip(ranking.identities[0], ranking.rows[0].tolist(), strict=False)
        ),
        placement=None
        if taxonomy is None or likely is None or card.confidence is None
        else _placed(taxonomy, likely, every, ranking.identities[0][0], card.confidence),
        factors=None
        if factors is None
        else tuple(factors.get(name, 1.0) for name in ranking.identities[0]),
    )


def verdict_row(photo: str, verdict: Verdict, new_label: str) -> dict[str, Any]:
    """Convert a verdict to data for JSON, as `flukeprint identify --json` prints it for `photo`."""
    scores = verdict.ranking.scores[0]
    probabilities = verdict.probabilities or (None,) * len(verdict.answers)
    placement = verdict.placement
    factors = verdict.factors
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
                **({} if factors is None else {"prior": factors[number]}),
            }
            for number, (name, score, probability) in enumerate(
                zip(verdict.answers, scores, probabilities, strict=False)
            )
        ],
    }


def unread_row(photo: str, error: str) -> dict[str, Any]:
    """The row of a photograph that cannot be read, beside those of `verdict_row`."""
    return {
        "photo": photo,
        "verdict": None,
        "probability": None,
        "placement": None,
        "answers": [],
        "error": error,
    }


def row_text(row: dict[str, Any]) -> str:
    """Format a `verdict_row` as lines: photograph and decision, then a table of the answers."""
    if row["verdict"] is None:
        return str(row["error"])  # which names the photograph
    answers = row["answers"]
    first = answers[0]["identity"]
    said = {
        "known": first,
        "new": f"not in this collection ({first})",
        "outside": "does not look like a photograph of this collection; nearest to it are",
    }[row["verdict"]]
    if row["verdict"] != "outside":
        chance = row["probability"]
        said += "" if chance is None else f", probability {_percent(chance)}"
        if row["verdict"] == "new" and chance is not None and chance < 0.5:
            said += "; the threshold decides"
    box = f", box {row['box']}" if "box" in row else ""
    lines = [f"{row['photo']}{box}: {said}"]
    placed = row["placement"]
    if placed is not None and placed["rank"] not in (None, "class"):
        lines.append(f"  {placed['rank']} {placed['name']}, narrower is unsure")
    measured = any(answer["probability"] is not None for answer in answers)
    informed = any("prior" in answer for answer in answers)
    prior = "   prior" if informed else ""
    lines.append(f"     {'probability  ' if measured else ''}   score{prior}  animal")
    for number, answer in enumerate(answers, 1):
        chance = answer["probability"]
        share = "" if chance is None else _percent(chance)
        sure = f"{share:>11}  " if measured else ""
        times = f"{'x' + format(answer['prior'], '.2f'):>8}" if informed else ""
        lines.append(f"  {number}  {sure}{answer['score']:8.3f}{times}  {answer['identity']}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    """A probability in percent; never 0 or 100 %, since nothing is certain."""
    if share < 0.001:
        return "<0.1%"
    return ">99.9%" if share > 0.999 else f"{share:.1%}"


def _answers_new(card: IdentifierCard) -> bool:
    """Whether a new individual may be answered, and how probably was measured."""
    measured = card.calibration is not None and card.calibration.known is not None
    return measured and card.threshold is not None


def _spread(every: Ranking, card: IdentifierCard, photographs: int) -> Posterior | None:
    """The probabilities of all identities, None where none is known."""
    if card.calibration is None:
        return None
    weight = encounter_weight(photographs, card.method.encounter_exponent)
    return of_encounter(posterior(every, card.calibration), weight)


def _informed(
    every: Ranking,
    spread: Posterior | None,
    card: IdentifierCard,
    photographs: int,
    log_weights: Mapping[str, float],
) -> tuple[Ranking, Posterior, dict[str | None, float]]:
    """Ranking and probabilities after a prior, and the factor of each identity."""
    if spread is None or card.calibration is None:
        raise FlukeprintError(
            "a prior by time and place needs probabilities, and this identifier has none: its fold "
            "had too few queries; train again, with more photographs"
        )
    weight = encounter_weight(photographs, card.method.encounter_exponent)
    names = every.identities[0]
    logs = np.array([[log_weights.get(name or "", 0.0) for name in names]])
    found = apply_prior(every, spread, logs, weight * sharpness(every, card.calibration))
    factors = dict(zip(found.ranking.identities[0], found.factors[0].tolist(), strict=True))
    return found.ranking, found.likely, factors


def _likely(likely: Posterior | None, ranking: Ranking, card: IdentifierCard) -> Posterior | None:
    """The probabilities in the order of the ranking, None where none is known."""
    if likely is None:
        return None
    answers = ranking.identities[0]
    if not _answers_new(card):
        # A new individual is no answer, or one of which nothing was measured.
        nowhere = [likely.identities.shape[1]]
        return None if answers[0] is None else in_order(likely, nowhere, top=0)
    top = len(answers)
    return in_order(likely, [answers.index(None) if None in answers else top], top)


def _placed(
    taxonomy: Taxonomy,
    likely: Posterior,
    every: Ranking,
    first: str | None,
    confidence: float,
) -> RankPlacement:
    """The narrowest sure rank; a class is the first answer, also of equally probable ones."""
    names = [name for name in every.identities[0] if name is not None]
    found = place(taxonomy, likely.identities, names, confidence, above_classes=first is None)[0]
    return replace(found, name=first) if found.rank == CLASS else found


def _of(
    answers: tuple[str | None, ...], every: Ranking, likely: Posterior, card: IdentifierCard
) -> tuple[float | None, ...]:
    """The probability of each answer."""
    place_of = {name: column for column, name in enumerate(every.identities[0])}
    new = float(likely.new[0]) if _answers_new(card) else None
    return tuple(
        new if name is None else float(likely.identities[0, place_of[name]]) for name in answers
    )


def nearest_photos(
    name: str, gallery: Gallery, queries: Embeddings, *, best: int | None = None
) -> tuple[Near, ...]:
    """The photos of an identity that are nearest to one query's photographs, nearest first.

    best: row of the best-matching one, which then comes before them.
    """
    own = gallery.rows_of(name)
    seen = gallery.embeddings.vectors[own].astype(np.float64) @ queries.vectors.T
    cosines = dict(zip(own, seen.mean(axis=1), strict=True))
    rows = sorted((row for row in own if row != best), key=lambda row: (-cosines[row], row))
    first = [] if best is None else [best]
    return tuple(Near(int(row), float(cosines[row])) for row in [*first, *rows][:NEAREST])
