"""Order, label and probability of a verdict agree, whatever was fitted and whatever is asked."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.data import ImageConfig
from flukeprint.config.training import ModelConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.identifier.card import IdentifierCard
from flukeprint.identifier.taxonomy import Taxonomy
from flukeprint.identifier.verdict import Verdict, row_text, verdict_of, verdict_row
from flukeprint.ranking.calibration import Calibration, Rising, posterior
from flukeprint.ranking.ranking import Ranking
from flukeprint.ranking.threshold import OutOfDistribution
from flukeprint.search.gallery import Gallery
from flukeprint.serving.api.responses import identification

NEW = "new_whale"
# Few distinct values, so that scores equal one another and the threshold; some no cosine has.
SCORES = st.sampled_from([-0.5, 0.0, 0.25, 0.66, 0.963, 1.59, 4.93, 28.995]) | st.floats(
    -2, 30, width=32
)
RISING = st.builds(
    Rising, intercept=st.floats(-6, 6), score=st.floats(0, 12), lead=st.floats(0, 12)
)


def vectors(n: int) -> Embeddings:
    """Photographs of `n` animals, p_0 on the first axis."""
    return Embeddings(
        vectors=np.eye(max(n, 2), dtype=np.float32)[:n],
        images=tuple(f"p_{i}" for i in range(n)),
        identities=tuple(f"n_{i:03}" for i in range(n)),
        views=None,
        stamp="s",
    )


def every_of(scores: Sequence[float]) -> Ranking:
    """All animals of the gallery, n_000 first, with these descending scores."""
    n, width = len(scores), max(3, len(scores))
    table = np.full((1, width), np.nan, dtype=np.float32)
    table[0, :n] = scores
    rows = np.full((1, width), -1, dtype=np.int64)
    rows[0, :n] = np.arange(n)
    names = tuple(f"n_{i:03}" for i in range(n))
    return Ranking(("q.jpg",), (names,), table, rows, table[:, 0].copy())


def decided(
    scores: Sequence[float],
    *,
    threshold: float | None,
    calibration: Calibration | None,
    floor: float = -1.0,
    confidence: float = 0.5,
) -> Verdict:
    """The verdict of a gallery with one photograph an animal, four to a genus."""
    n = len(scores)
    card = IdentifierCard(
        format=3, name="x", model=ModelConfig(), image=ImageConfig(), mirror=False, zooms=(1.0,),
        threshold=threshold, new_label=NEW, stamp="s", calibration=calibration,
        outside=OutOfDistribution(floor=floor, share=0.02, queries=50), confidence=confidence,
    )  # fmt: skip
    names = vectors(n).identities
    lineages = {str(name): (f"genus_{i // 4}", "family") for i, name in enumerate(names)}
    return verdict_of(
        every_of(scores), vectors(n).take([0]), Gallery(vectors(n)), card,
        Taxonomy(ranks=("genus", "family"), lineages=lineages, source="a table"),
    )  # fmt: skip


def calibrated(right: float, known: float | None) -> Calibration:
    """Probabilities that do not depend on the scores: these log-odds."""

    def flat(odds: float) -> Rising:
        return Rising(intercept=odds, score=0, lead=0)

    return Calibration(right=flat(right), known=None if known is None else flat(known), queries=100)


def agree(verdict: Verdict) -> None:
    """What holds of every verdict, in each of the forms in which it is told."""
    row = verdict_row("q.jpg", verdict, NEW)
    body = identification(verdict, 1, NEW)
    assert [answer["probability"] for answer in row["answers"]] == [
        answer.probability for answer in body.answers
    ]
    shares = [answer.probability for answer in body.answers]
    told = [share for share in shares if share is not None]
    assert told == sorted(told, reverse=True)
    labels = [answer["identity"] for answer in row["answers"]]
    unknown = body.probability_unknown
    if unknown is not None and NEW in labels:
        assert shares[labels.index(NEW)] == unknown
    elif unknown is not None:
        assert unknown <= told[0]
        told.append(unknown)
    assert sum(told) <= 1 + 1e-9
    assert row["probability"] == shares[0]
    first = row_text(row).splitlines()[0]
    if verdict.outside:
        assert (row["verdict"], body.verdict, body.unknown) == ("outside", "outside", True)
        assert told == []
        assert (unknown, body.placement) == (None, None)
        assert "does not look like" in first
        assert "%" not in row_text(row)
        return
    assert row["verdict"] == body.verdict == ("new" if labels[0] == NEW else "known")
    assert body.unknown == (labels[0] == NEW)
    assert labels[0] in first
    if body.placement is not None and body.placement.rank == "class":
        assert body.placement.name == labels[0]
        assert body.placement.probability == shares[0]


@given(
    st.lists(SCORES, min_size=1, max_size=9).map(lambda values: sorted(values, reverse=True)),
    st.none() | SCORES,
    RISING,
    st.none() | RISING,
    st.sampled_from([-1.0, 1.5]),
    st.floats(0.05, 1),
)
def test_order_label_and_probability_agree(scores, threshold, right, known, floor, confidence):
    calibration = Calibration(right=right, known=known, queries=100)
    verdict = decided(
        scores, threshold=threshold, calibration=calibration, floor=floor, confidence=confidence
    )
    agree(verdict)
    # The threshold alone decides the order: who reaches it stands before a new individual.
    table = np.array(scores, dtype=np.float32).astype(np.float64)
    before = len(scores) if threshold is None else int((table >= np.float64(threshold)).sum())
    names = [f"n_{i:03}" for i in range(len(scores))]
    order = [*names[:before], *([] if threshold is None else [None]), *names[before:]][:5]
    assert list(verdict.answers) == order
    if verdict.probabilities is None:
        assert verdict.outside or (known is None and order[0] is None)
        return
    # The first has the probability that was calibrated and measured, no other more than its own.
    assert verdict.probabilities[0] == pytest.approx(
        float(calibration.probabilities(verdict.ranking)[0])
        if order[0] is None or len(scores) > 1
        else float(posterior(every_of(scores), calibration).identities[0, 0]),
        abs=1e-12,
    )
    own = posterior(every_of(scores), calibration)
    for name, share in zip(verdict.answers, verdict.probabilities, strict=True):
        most = own.new[0] if name is None else own.identities[0, names.index(name)]
        assert share is None or share <= most + 1e-12


def test_a_new_individual_first_is_not_beaten_by_an_animal_behind_it():
    """A threshold of 0.963 and a calibration that takes a score of 0.66 for almost certain."""
    verdict = decided([0.66, 0.2, 0.1], threshold=0.963, calibration=calibrated(6.0, 3.62))
    agree(verdict)
    assert verdict.kind == "new"
    assert verdict.probabilities is not None
    assert verdict.probabilities[:2] == pytest.approx((0.0261, 0.0261), abs=1e-4)
    assert verdict.new == verdict.probabilities[0]
    assert row_text(verdict_row("q.jpg", verdict, NEW)).startswith(
        "q.jpg: not in this collection (new_whale), probability 2.6%; the threshold decides\n"
    )
    placed = verdict.placement
    assert placed is not None
    assert placed.rank is None


def test_what_agrees_is_left_as_it_was_calibrated():
    verdict = decided([0.9, 0.4, 0.3], threshold=0.5, calibration=calibrated(2.0, 2.0))
    agree(verdict)
    known = right = 1 / (1 + np.exp(-2.0))
    assert verdict.kind == "known"
    assert verdict.probabilities[:2] == pytest.approx((known * right, 1 - known))
    assert sum(verdict.probabilities) == pytest.approx(1)


@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_something_else_has_no_probability(threshold: float):
    """Neither a known animal nor a new one is offered with a probability."""
    verdict = decided(
        [0.736, 0.2, 0.1], threshold=threshold, calibration=calibrated(3, 3), floor=1.5
    )
    agree(verdict)
    assert verdict.kind == "outside"
    assert "n_000" in verdict.answers
    assert verdict.probabilities is verdict.new is verdict.placement is None


def test_of_a_closed_set_a_new_individual_has_no_probability():
    """Its calibration has seen no new individual: nothing is said, rather than 0 %."""
    closed = calibrated(3.0, None)
    first = decided([0.7, 0.4, 0.3], threshold=0.8, calibration=closed)
    behind = decided([0.7, 0.4, 0.3], threshold=0.5, calibration=closed)
    agree(first)
    agree(behind)
    assert (first.kind, first.probabilities, first.new) == ("new", None, None)
    assert (behind.kind, behind.new) == ("known", None)
    assert behind.probabilities is not None
    assert behind.probabilities[1] is None
    assert behind.probabilities[2] > 0


def test_a_verdict_that_contradicts_itself_cannot_be_made():
    good = decided([0.9, 0.4, 0.3], threshold=0.5, calibration=calibrated(2.0, 2.0))
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    for wrong in (
        {"probabilities": (0.1, 0.6, 0.1, 0.0)},
        {"probabilities": (0.6, 0.5, 0.1, 0.0)},
        {"probabilities": (0.6, 0.2)},
        {"outside": True},
    ):
        with pytest.raises(ValueError, match="probab"):
            Verdict(**{**fields, **wrong})
