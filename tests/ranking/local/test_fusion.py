"""The gain by hand, the boost against a loop, and that fitting never makes anything worse."""

import json
from dataclasses import asdict

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.config.schema import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import FLOOR_SHARES, GAIN_SCALES, Contenders, fit_gain
from flukeprint.ranking.local.fusion import Counts, KeypointFusion, KeypointGain
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.sift import match

CONFIG = LocalConfig(side=96, keypoints=60, candidates=3)
GAIN = KeypointGain(scale=0.1, floor=0.5)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(1)


def textured(seed: int) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    photo = np.zeros((72, 96, 3))
    for blur in (1.5, 3.0):
        noise = cv2.GaussianBlur(rng.normal(size=photo.shape), (0, 0), blur)
        photo += noise / noise.std()
    return np.clip(128 + 35 * photo, 0, 255).astype(np.uint8)


def seen_again(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    turned = np.array([[0.95, -0.15, 6.0], [0.12, 0.97, -3.0]])
    warped = cv2.warpAffine(photo, turned, (96, 72), borderValue=(128, 128, 128))
    return (0.8 * warped + 20).astype(np.uint8)


def store(photos: list[npt.NDArray[np.uint8]], config: LocalConfig = CONFIG) -> KeypointStore:
    names = tuple(str(i) for i in range(len(photos)))
    return KeypointStore.of(Catalog(names, pixels=np.stack(photos)), config, cache=None)


@pytest.fixture(scope="module")
def gallery() -> KeypointStore:
    """Six animals, and a photo of nothing."""
    return store([*(textured(seed) for seed in range(6)), np.full((72, 96, 3), 9, np.uint8)])


@pytest.fixture(scope="module")
def queries() -> KeypointStore:
    """Animals 4, 0 and a stranger, and a photo of nothing."""
    flat = np.full((72, 96, 3), 200, np.uint8)
    return store([seen_again(textured(4)), seen_again(textured(0)), textured(77), flat])


ROWS = np.arange(4)
SCORES = np.random.default_rng(3).uniform(-0.2, 0.8, (4, 7)).astype(np.float32)


# --- the gain


def test_the_gain_is_nothing_up_to_the_floor_and_a_logarithm_above():
    gain = KeypointGain(scale=0.5, floor=3.0)
    expected = [0, 0, 0, 0.5 * np.log(8 / 4), 0.5 * np.log(101 / 4)]
    assert gain([0, 1, 3, 7, 100]).tolist() == pytest.approx(expected)
    assert gain(np.zeros((2, 0))).shape == (2, 0)
    assert KeypointGain()([0, 1e6]).tolist() == [0, 0]


def test_a_gain_is_saved_as_two_numbers():
    assert KeypointGain(**json.loads(json.dumps(asdict(GAIN)))) == GAIN
    for scale, floor in [(-1, 0), (0, -1), (np.nan, 0), (1, np.inf)]:
        with pytest.raises(ValueError, match="negative"):
            KeypointGain(scale, floor)


@given(st.lists(st.floats(0, 1e4), min_size=2), st.floats(0, 10), st.floats(0, 100))
def test_the_gain_is_never_negative_and_never_falls(
    strengths: list[float], scale: float, floor: float
):
    gains = KeypointGain(scale, floor)(sorted(strengths))
    assert np.all(gains >= 0)
    assert np.all(np.diff(gains) >= 0)


# --- the boost


def test_the_boost_is_a_loop_over_the_best_candidates(
    gallery: KeypointStore, queries: KeypointStore
):
    fused = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS, SCORES)
    for query in range(4):
        best = sorted(range(7), key=lambda row: (-SCORES[query, row], row))[:3]
        for row in range(7):
            gain = 0.0
            if row in best:
                strength = match(queries[query], gallery[row], CONFIG).strength
                gain = 0.1 * max(0, np.log(1 + strength) - np.log(1.5))
            assert fused[query, row] == pytest.approx(SCORES[query, row] + gain, abs=1e-6)
    assert fused.dtype == np.float32


def test_the_right_animal_comes_first(gallery: KeypointStore, queries: KeypointStore):
    everything = CONFIG.model_copy(update={"candidates": 100})
    boost = KeypointFusion(gallery, queries, everything, KeypointGain(scale=1.0, floor=2.0))
    fused = boost(ROWS, SCORES)
    assert fused[:2].argmax(axis=1).tolist() == [4, 0]
    assert np.array_equal(fused[3], SCORES[3])  # nothing to match


def test_a_query_does_not_depend_on_its_companions(gallery: KeypointStore, queries: KeypointStore):
    together = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS, SCORES)
    backwards = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS[::-1], SCORES[::-1])
    assert np.array_equal(together, backwards[::-1])
    boost = KeypointFusion(gallery, queries, CONFIG, GAIN)
    for query in (2, 0, 3, 1, 2):
        alone = boost(np.array([query]), SCORES[[query]])
        assert np.array_equal(alone[0], together[query])


def test_scores_are_not_changed_in_place_and_none_falls(
    gallery: KeypointStore, queries: KeypointStore
):
    before = SCORES.copy()
    fused = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS, SCORES)
    assert np.array_equal(SCORES, before)
    assert np.all(fused >= SCORES)
    assert np.count_nonzero(fused != SCORES) <= 4 * CONFIG.candidates


def test_a_pair_is_matched_once(gallery: KeypointStore, queries: KeypointStore):
    asked: list[int] = []

    def counting(query, candidate):
        asked.append(1)
        return match(query, candidate, CONFIG)

    boost = KeypointFusion(gallery, queries, CONFIG, GAIN, match=counting)
    found = boost.counts(ROWS, SCORES)
    assert found.rows.shape == found.strengths.shape == (4, 3)
    assert len(asked) == 12
    boost(ROWS, SCORES)
    again = boost.counts(ROWS[1:], SCORES[1:])
    assert len(asked) == 12
    assert np.array_equal(again.strengths, found.strengths[1:])


def test_nothing_is_matched_where_nothing_can_be_gained(
    gallery: KeypointStore, queries: KeypointStore
):
    def never(query, candidate):
        raise AssertionError

    off = CONFIG.model_copy(update={"candidates": 0})
    for config, gain in [(CONFIG, KeypointGain()), (off, GAIN)]:
        boost = KeypointFusion(gallery, queries, config, gain, match=never)
        assert np.array_equal(boost(ROWS, SCORES), SCORES)
    none = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS[:0], SCORES[:0])
    assert none.shape == (0, 7)


def test_equal_scores_are_settled_by_row(gallery: KeypointStore, queries: KeypointStore):
    found = KeypointFusion(gallery, queries, CONFIG, GAIN).counts(
        ROWS[:1], np.zeros((1, 7), np.float32)
    )
    assert found.rows.tolist() == [[0, 1, 2]]


def test_foreign_keypoints_and_scores_are_refused(gallery: KeypointStore, queries: KeypointStore):
    other = store([textured(0)], CONFIG.model_copy(update={"side": 80}))
    with pytest.raises(FlukeprintError, match="queries were found with other settings"):
        KeypointFusion(gallery, other, CONFIG, GAIN)
    with pytest.raises(FlukeprintError, match="gallery were found with other settings"):
        KeypointFusion(other, queries, CONFIG, GAIN)
    with pytest.raises(ValueError, match="backend"):
        KeypointFusion(gallery, queries, CONFIG.model_copy(update={"matcher": "lightglue"}), GAIN)
    with pytest.raises(ValueError, match="scores are"):
        KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS, SCORES[:, :5])


# --- fitting


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
