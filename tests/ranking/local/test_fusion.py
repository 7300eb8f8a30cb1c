"""The keypoint gain by hand, and fusion against a loop."""

import json
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local.fusion import KeypointFusion, KeypointGain
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.sift import match
from tests.ranking.local.textures import small_seen_again, small_textured

CONFIG = LocalConfig(side=96, keypoints=60, candidates=3)
GAIN = KeypointGain(scale=0.1, floor=0.5)


def store(photos: list[npt.NDArray[np.uint8]], config: LocalConfig = CONFIG) -> KeypointStore:
    names = tuple(str(i) for i in range(len(photos)))
    return KeypointStore.of(Catalog(names, pixels=np.stack(photos)), config, cache=None)


@pytest.fixture(scope="module")
def gallery() -> KeypointStore:
    """Six animals, and a photo of nothing."""
    return store([*(small_textured(seed) for seed in range(6)), np.full((72, 96, 3), 9, np.uint8)])


@pytest.fixture(scope="module")
def queries() -> KeypointStore:
    """Animals 4, 0 and a stranger, and a photo of nothing."""
    flat = np.full((72, 96, 3), 200, np.uint8)
    return store(
        [
            small_seen_again(small_textured(4)),
            small_seen_again(small_textured(0)),
            small_textured(77),
            flat,
        ]
    )


ROWS = np.arange(4)
SCORES = np.random.default_rng(3).uniform(-0.2, 0.8, (4, 7)).astype(np.float32)


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


def test_fusion_is_a_loop_over_the_best_candidates(gallery: KeypointStore, queries: KeypointStore):
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
    fusion = KeypointFusion(gallery, queries, everything, KeypointGain(scale=1.0, floor=2.0))
    fused = fusion(ROWS, SCORES)
    assert fused[:2].argmax(axis=1).tolist() == [4, 0]
    assert np.array_equal(fused[3], SCORES[3])  # nothing to match


def test_a_query_does_not_depend_on_its_companions(gallery: KeypointStore, queries: KeypointStore):
    together = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS, SCORES)
    backwards = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS[::-1], SCORES[::-1])
    assert np.array_equal(together, backwards[::-1])
    fusion = KeypointFusion(gallery, queries, CONFIG, GAIN)
    for query in (2, 0, 3, 1, 2):
        alone = fusion(np.array([query]), SCORES[[query]])
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

    fusion = KeypointFusion(gallery, queries, CONFIG, GAIN, match=counting)
    found = fusion.counts(ROWS, SCORES)
    assert found.rows.shape == found.strengths.shape == (4, 3)
    assert len(asked) == 12
    fusion(ROWS, SCORES)
    again = fusion.counts(ROWS[1:], SCORES[1:])
    assert len(asked) == 12
    assert np.array_equal(again.strengths, found.strengths[1:])


def test_nothing_is_matched_where_nothing_can_be_gained(
    gallery: KeypointStore, queries: KeypointStore
):
    def never(query, candidate):
        raise AssertionError

    off = CONFIG.model_copy(update={"candidates": 0})
    for config, gain in [(CONFIG, KeypointGain()), (off, GAIN)]:
        fusion = KeypointFusion(gallery, queries, config, gain, match=never)
        assert np.array_equal(fusion(ROWS, SCORES), SCORES)
    none = KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS[:0], SCORES[:0])
    assert none.shape == (0, 7)


def test_equal_scores_are_settled_by_row(gallery: KeypointStore, queries: KeypointStore):
    found = KeypointFusion(gallery, queries, CONFIG, GAIN).counts(
        ROWS[:1], np.zeros((1, 7), np.float32)
    )
    assert found.rows.tolist() == [[0, 1, 2]]


def test_foreign_keypoints_and_scores_are_refused(gallery: KeypointStore, queries: KeypointStore):
    other = store([small_textured(0)], CONFIG.model_copy(update={"side": 80}))
    with pytest.raises(FlukeprintError, match="queries were found with other settings"):
        KeypointFusion(gallery, other, CONFIG, GAIN)
    with pytest.raises(FlukeprintError, match="gallery were found with other settings"):
        KeypointFusion(other, queries, CONFIG, GAIN)
    with pytest.raises(ValueError, match="backend"):
        KeypointFusion(gallery, queries, CONFIG.model_copy(update={"matcher": "lightglue"}), GAIN)
    with pytest.raises(ValueError, match="scores are"):
        KeypointFusion(gallery, queries, CONFIG, GAIN)(ROWS, SCORES[:, :5])
