"""Fitting the keypoint gain never makes anything worse."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.evaluation.fitting import FLOOR_SHARES, GAIN_SCALES, Contenders, fit_gain
from flukeprint.ranking.local.fusion import Counts, KeypointGain


def top_places(
    scores: npt.NDArray[np.floating], identities: list[str], answers: list[str | None]
) -> list[float]:
    """Average precision at 5 by the book."""
    values = []
    for row, answer in zip(scores, answers, strict=True):
        if answer is None or answer not in identities:
            continue
        best: dict[str, float] = {}
        for score, name in zip(row.tolist(), identities, strict=True):
            best[name] = max(score, best.get(name, -np.inf))
        place = sum(value >= best[answer] for value in best.values())
        values.append(1 / place if place <= 5 else 0.0)
    return values


def fused_by(
    gain: KeypointGain, scores: npt.NDArray[np.float32], found: Counts
) -> npt.NDArray[np.float64]:
    fused = scores.astype(np.float64)
    for query, (rows, strengths) in enumerate(zip(*found, strict=True)):
        for row, strength in zip(rows, strengths, strict=True):
            fused[query, row] += float(gain(strength))
    return fused


def fitted(
    scores: npt.NDArray[np.float32],
    found: Counts,
    identities: list[str],
    answers: list[str | None],
) -> KeypointGain:
    names = sorted(set(identities))
    labels = np.array([names.index(name) for name in identities])
    truth = np.array([names.index(name) if name in names else -1 for name in answers], int)
    seen = Contenders.of(scores, labels, found.rows.shape[1])
    np.testing.assert_array_equal(seen.rows, found.rows)
    return fit_gain(seen, found.strengths, truth)


def case(seed: int, telling: float) -> tuple[npt.NDArray[np.float32], Counts, list[str], list]:
    """20 queries, 30 photos of 10 animals, weak cosines; strengths as telling as asked."""
    rng = np.random.default_rng(seed)
    identities = [f"{i // 3}" for i in range(30)]
    answers = [None if i % 7 == 6 else "gone" if i == 5 else f"{i % 10}" for i in range(20)]
    scores = rng.normal(0.3, 0.1, (20, 30)).astype(np.float32)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :12]
    strengths = rng.exponential(1.0, rows.shape)
    for query, answer in enumerate(answers):
        for place, row in enumerate(rows[query]):
            if identities[row] == answer:
                strengths[query, place] += telling
    return scores, Counts(rows, strengths.astype(np.float32)), identities, answers


def test_telling_keypoints_are_used():
    scores, found, identities, answers = case(0, telling=20)
    gain = fitted(scores, found, identities, answers)
    assert gain.scale > 0
    before = np.mean(top_places(scores, identities, answers))
    after = np.mean(top_places(fused_by(gain, scores, found), identities, answers))
    assert after > before + 0.2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 2.0]))
def test_fitting_never_hurts_and_useless_gains_are_dropped(seed: int, telling: float):
    scores, found, identities, answers = case(seed, telling)
    gain = fitted(scores, found, identities, answers)
    before = np.mean(top_places(scores, identities, answers))
    after = np.mean(top_places(fused_by(gain, scores, found), identities, answers))
    assert after > before if gain.scale else after == before


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 30), st.integers(1, 14),
    st.sampled_from([0.0, 0.5, 20.0]),
)  # fmt: skip
def test_the_gain_is_the_best_of_the_grid(
    seed: int, animals: int, photos: int, candidates: int, telling: float
):
    """Against all scores of all photos; in steps of 0.1 many scores are equal."""
    rng = np.random.default_rng(seed)
    identities = [f"{i}" for i in rng.integers(0, animals, photos)]
    answers: list[str | None] = [None if i % 5 == 4 else f"{i % animals}" for i in range(12)]
    scores = (rng.integers(0, 9, (12, photos)) / 10).astype(np.float32)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :candidates]
    strengths = rng.integers(0, 4, rows.shape).astype(np.float32)
    right = np.array(identities)[rows] == np.array([str(answer) for answer in answers])[:, None]
    found = Counts(rows, strengths + np.float32(telling) * right)
    gain = fitted(scores, found, identities, answers)
    asked = [answer for answer in answers if answer in identities]
    others = found.strengths[~right]
    if not asked or not others.size:
        assert gain == KeypointGain()
        return
    grid = [KeypointGain()] + [
        KeypointGain(scale, float(np.quantile(others, share)))
        for scale in GAIN_SCALES
        for share in FLOOR_SHARES
    ]
    worth = [np.mean(top_places(fused_by(one, scores, found), identities, answers)) for one in grid]
    first = next(i for i, value in enumerate(worth) if value > max(worth) - 1e-9)
    assert gain == grid[first]


def test_keypoints_that_mislead_are_dropped():
    scores, found, identities, answers = case(1, telling=0)
    names = np.array(identities)[found.rows]
    right = names == np.array([str(answer) for answer in answers])[:, None]
    misled = np.where(right, 0.0, found.strengths + 5).astype(np.float32)
    assert fitted(scores, Counts(found.rows, misled), identities, answers) == KeypointGain()


def test_the_smallest_of_equally_good_gains_is_taken():
    scores = np.array([[0.50, 0.505]], np.float32)
    found = Counts(np.array([[1, 0]]), np.array([[0.0, 9.0]], np.float32))
    gain = fitted(scores, found, ["right", "wrong"], ["right"])
    assert gain == KeypointGain(scale=0.01, floor=0.0)


def test_fitting_does_without_pairs_answers_or_candidates():
    scores, found, identities, answers = case(0, telling=20)
    none = Counts(found.rows[:, :0], found.strengths[:, :0])
    assert fitted(scores, none, identities, answers) == KeypointGain()
    assert fitted(scores, found, identities, [None] * 20) == KeypointGain()
    assert (
        fitted(scores[:0], Counts(*(part[:0] for part in found)), identities, []) == KeypointGain()
    )
    silent = Counts(found.rows, np.zeros_like(found.strengths))
    assert fitted(scores, silent, identities, answers) == KeypointGain()
    with pytest.raises(ValueError, match="answers"):
        fitted(scores, found, identities, answers[:-1])
