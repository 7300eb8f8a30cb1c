"""LNBNN against plain loops: weights, sums by photograph and identity, geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.config.ranking import LocalConfig
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.naive_bayes import (
    NaiveBayesMatcher,
    naive_bayes_weights,
    nearest_exactly,
)
from flukeprint.ranking.local.strengths import LocalStrengths
from tests.ranking.local.drawn_descriptors import (
    CONFIG,
    SIZE,
    counted_by_hand,
    drawn_store,
    nearest_by_hand,
    unit,
)

LABELS = [0, 1, 0, 2, 1, 3]
COUNTS = [30, 25, 0, 40, 17, 1]


def some(candidates: int, **other: object) -> LocalConfig:
    return CONFIG.model_copy(update={"candidates": candidates, **other})


def strengths(
    gallery: KeypointStore | DescriptorIndex,
    queries: KeypointStore,
    config: LocalConfig,
    labels: list[int] = LABELS,
    scores: np.ndarray | None = None,
) -> LocalStrengths:
    rows = np.arange(len(queries))
    if scores is None:
        scores = np.zeros((len(queries), len(labels)), np.float32)
    matcher = NaiveBayesMatcher(gallery, queries, np.array(labels, np.int64), config)
    return matcher(rows, scores)


@pytest.fixture(scope="module")
def gallery() -> KeypointStore:
    return drawn_store(COUNTS, 0)


@pytest.fixture(scope="module")
def queries(gallery: KeypointStore) -> KeypointStore:
    """Four with keypoints, one without."""
    return drawn_store([20, 12, 0, 1, 33], 1, near=gallery)


# ---------------------------------------------------------------- weights


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 2), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_weight_is_how_much_nearer_than_the_next(rows: list[list[float]]) -> None:
    distances = np.sort(np.array(rows, np.float32), axis=1)
    found = naive_bayes_weights(distances)
    for row, weights in zip(distances.astype(float).tolist(), found.tolist(), strict=True):
        want = [0.0 if row[2] == 0 else (row[2] - d) / row[2] for d in row[:2]]
        assert weights == pytest.approx(want, abs=1e-12)
        assert 1 >= weights[0] >= weights[1] >= 0


def test_weights_at_the_ends() -> None:
    inf = np.inf
    distances = np.array(
        [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.5], [0.3, 0.4, inf], [0.3, inf, inf], [inf] * 3],
        np.float32,
    )
    assert naive_bayes_weights(distances).tolist() == [
        [0, 0], [1, 1], [0, 0], [1, 1], [1, 0], [0, 0],
    ]  # fmt: skip


# ---------------------------------------------------------------- sums


@pytest.mark.parametrize("neighbours", [1, 3, 200])
def test_sums_are_those_of_a_loop(
    gallery: KeypointStore, queries: KeypointStore, neighbours: int
) -> None:
    found = strengths(gallery, queries, some(6, neighbours=neighbours))
    assert found.photographs.shape == (5, 6)
    assert found.identities.shape == (5, 4)
    for query in range(5):
        photographs, identities = counted_by_hand(
            queries[query], gallery, LABELS, list(range(6)), neighbours
        )
        assert found.photographs[query].tolist() == pytest.approx(photographs, abs=1e-4)
        assert found.identities[query].tolist() == pytest.approx(identities, abs=1e-4)
    assert not found.photographs[2].any()
    assert found.photographs[0].any()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_sums_of_any_small_gallery(
    seed: int, photographs: list[tuple[int, int]], neighbours: int
) -> None:
    """Galleries with 0, 1, 2 descriptors, photographs without any, k larger than the gallery."""
    labels = [label for label, _ in photographs]
    gallery = drawn_store([count for _, count in photographs], seed)
    queries = drawn_store([0, 1, 6], seed + 1, near=gallery)
    config = some(len(labels), neighbours=neighbours)
    found = strengths(gallery, queries, config, labels)
    rows = list(range(len(labels)))
    for query in range(3):
        want = counted_by_hand(queries[query], gallery, labels, rows, neighbours)
        assert found.photographs[query].tolist() == pytest.approx(want[0], abs=1e-4)
        assert found.identities[query].tolist() == pytest.approx(want[1], abs=1e-4)
    # An index of all says nothing else but for 4 bits a number.
    index = DescriptorIndex.build(gallery, probes=1 << 16)
    near = strengths(index, queries, config, labels)
    assert near.photographs.shape == found.photographs.shape
    if len(gallery.points) <= neighbours:  # all weights are 1, whatever the distances
        np.testing.assert_allclose(near.photographs, found.photographs, atol=1e-6)
        np.testing.assert_allclose(near.identities, found.identities, atol=1e-6)


def test_many_alike_photographs_of_one_animal_gain_it_nothing() -> None:
    one, other = drawn_store([8], 0), drawn_store([8], 5)
    thrice = KeypointStore.concatenate([one, one, one, other])
    queries = drawn_store([8], 2, near=one)
    config = some(4, neighbours=3)
    alone = strengths(KeypointStore.concatenate([one, other]), queries, some(2), [0, 1])
    found = strengths(thrice, queries, config, [0, 0, 0, 1])
    weights = found.photographs[0, :3]
    assert weights.min() > 0
    assert found.identities[0, 0] == pytest.approx(weights.max(), abs=1e-5)  # not their sum
    assert alone.identities[0, 0] > 0


def test_only_candidates_are_matched_and_equal_scores_are_settled_by_row(
    gallery: KeypointStore, queries: KeypointStore
) -> None:
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 3, (5, 6)).astype(np.float32)  # many equal ones
    found = strengths(gallery, queries, some(3), scores=scores)
    for query in range(5):
        best = sorted(range(6), key=lambda row: (-scores[query, row], row))[:3]
        want = counted_by_hand(queries[query], gallery, LABELS, sorted(best), 3)
        assert found.photographs[query].tolist() == pytest.approx(want[0], abs=1e-4)
        assert found.identities[query].tolist() == pytest.approx(want[1], abs=1e-4)


@pytest.mark.parametrize("indexed", [False, True])
def test_a_query_does_not_depend_on_its_companions(
    gallery: KeypointStore, queries: KeypointStore, indexed: bool
) -> None:
    known = DescriptorIndex.build(gallery) if indexed else gallery
    scores = np.random.default_rng(3).normal(size=(5, 6)).astype(np.float32)
    labels, config = np.array(LABELS), some(3, verify=2)
    together = NaiveBayesMatcher(known, queries, labels, config)(np.arange(5), scores)
    matcher = NaiveBayesMatcher(known, queries, labels, config)
    for query in (3, 0, 4, 2, 1, 3):
        alone = matcher(np.array([query]), scores[[query]])
        np.testing.assert_array_equal(alone.photographs[0], together.photographs[query])
        np.testing.assert_array_equal(alone.identities[0], together.identities[query])
    none = matcher(np.empty(0, np.int64), scores[:0])
    assert (none.photographs.shape, none.identities.shape) == ((0, 6), (0, 4))


def test_other_candidates_of_the_same_query_are_matched_anew(
    gallery: KeypointStore, queries: KeypointStore
) -> None:
    matcher = NaiveBayesMatcher(gallery, queries, np.array(LABELS), some(2))
    for best in ([0, 1], [3, 4], [0, 1]):
        scores = np.zeros((1, 6), np.float32)
        scores[0, best] = 1
        want, _ = counted_by_hand(queries[0], gallery, LABELS, best, 3)
        found = matcher(np.array([0]), scores)
        assert found.photographs[0].tolist() == pytest.approx(want, abs=1e-4)


def test_labels_must_be_those_of_the_gallery(
    gallery: KeypointStore, queries: KeypointStore
) -> None:
    with pytest.raises(ValueError, match="5 labels for 6 photographs"):
        NaiveBayesMatcher(gallery, queries, np.array(LABELS[:5]), CONFIG)


# ---------------------------------------------------------------- nearest


def test_the_nearest_are_those_of_a_loop_with_their_places(
    gallery: KeypointStore, queries: KeypointStore
) -> None:
    rows = [0, 2, 3, 5]
    found = nearest_exactly(queries[4], gallery, np.array(rows), 5)
    for place, near in enumerate(nearest_by_hand(queries[4], gallery, rows, 5)):
        assert found.distances[place].tolist() == pytest.approx([d for d, _, _ in near], abs=1e-3)
        assert found.photographs[place].tolist() == [row for _, row, _ in near]
        want = gallery.points[[number for _, _, number in near]]
        np.testing.assert_array_equal(found.points[place], want)


def test_what_is_not_there_is_infinitely_far(
    gallery: KeypointStore, queries: KeypointStore
) -> None:
    found = nearest_exactly(queries[0], gallery, np.array([5]), 3)
    assert np.isfinite(found.distances[:, 0]).all()
    assert np.isinf(found.distances[:, 1:]).all()
    assert (found.photographs[:, 1:] == -1).all()
    assert np.isnan(found.points[:, 1:]).all()
    for rows in ([], [2]):
        nothing = nearest_exactly(queries[0], gallery, np.array(rows, np.int64), 3)
        assert (nothing.photographs == -1).all()


# ---------------------------------------------------------------- all of them by an index


def test_all_cells_of_an_index_say_what_exact_search_says() -> None:
    """But for 4 bits a number: weights differ by as much as the distances."""
    gallery = drawn_store([150] * 10, 0)  # 1,500 descriptors in 2 cells
    queries = drawn_store([40] * 6, 1, near=gallery)
    labels = [0, 0, 1, 1, 2, 3, 4, 5, 6, 7]
    exact = strengths(gallery, queries, some(10), labels)
    every = DescriptorIndex.build(gallery, probes=1 << 16)
    near = strengths(every, queries, CONFIG, labels)
    assert exact.photographs.sum() > 50
    # Each query has 20 descriptors of the gallery, whose weights tell, and 20 drawn by chance.
    np.testing.assert_allclose(near.photographs, exact.photographs, atol=1.5)
    np.testing.assert_allclose(near.identities, exact.identities, atol=1.5)
    assert np.corrcoef(near.photographs.ravel(), exact.photographs.ravel())[0, 1] > 0.98


def test_scores_do_not_choose_who_is_matched_by_an_index(
    gallery: KeypointStore, queries: KeypointStore
) -> None:
    index = DescriptorIndex.build(gallery)
    one = strengths(index, queries, CONFIG)
    scores = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    other = strengths(index, queries, CONFIG, scores=scores)
    np.testing.assert_array_equal(one.photographs, other.photographs)


# ---------------------------------------------------------------- geometry


def placed(points: np.ndarray, descriptors: np.ndarray) -> Keypoints:
    return Keypoints(points.astype(np.float32), descriptors, SIZE)


def test_geometry_adds_only_for_pairs_that_agree() -> None:
    """Photograph 0 shows the query turned, photograph 1 the same details in disorder."""
    rng = np.random.default_rng(0)
    n = 20
    one, two = (rng.integers(0, 256, (n, 128)).astype(np.uint8) for _ in range(2))
    points = rng.uniform(5, 70, (2 * n, 2))
    turn = np.array([[0.9, -0.2], [0.2, 0.9]])
    moved = points[:n] @ turn.T + 4
    lost = np.array([3, 11])  # of photograph 0, elsewhere than the map says
    moved[lost] += [[40, -30], [-35, 25]]
    gallery = KeypointStore.pack([placed(moved, one), placed(rng.permutation(points[n:]), two)],
                                 CONFIG)  # fmt: skip
    query = KeypointStore.pack([placed(points, np.concatenate([one, two]))], CONFIG)
    plain = strengths(gallery, query, some(2, neighbours=1), [0, 1])
    checked = strengths(gallery, query, some(2, neighbours=1, verify=2), [0, 1])
    # The same descriptors have the weight 1: 20 for each photograph.
    assert plain.photographs[0].tolist() == pytest.approx([n, n], abs=0.1)
    gained = checked.photographs[0] - plain.photographs[0]
    assert gained[0] == pytest.approx(n - len(lost), abs=0.1)
    assert gained[1] <= 6  # chance lets few points agree
    assert checked.identities[0] - plain.identities[0] == pytest.approx(gained, abs=1e-4)


def test_geometry_looks_at_the_best_photographs_alone_and_counts_an_identity_s_best() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.integers(0, 256, (k, 128)).astype(np.uint8) for k in (16, 12, 8, 2)]
    points = [rng.uniform(5, 70, (len(part), 2)) for part in parts]
    gallery = KeypointStore.pack(
        [placed(p + 3, d) for p, d in zip(points, parts, strict=True)], CONFIG
    )
    query = KeypointStore.pack([placed(np.concatenate(points), np.concatenate(parts))], CONFIG)
    labels = [0, 0, 1, 2]
    plain = strengths(gallery, query, some(4, neighbours=1), labels)
    for verify, want in [(1, [16, 0, 0, 0]), (2, [16, 12, 0, 0]), (9, [16, 12, 8, 0])]:
        found = strengths(gallery, query, some(4, neighbours=1, verify=verify), labels)
        gained = found.photographs[0] - plain.photographs[0]
        assert gained.tolist() == pytest.approx(want, abs=0.1)  # two points make no map
        of_identities = found.identities[0] - plain.identities[0]
        assert of_identities.tolist() == pytest.approx([16, want[2], 0], abs=0.1)


def test_a_mirrored_map_is_no_agreement() -> None:
    rng = np.random.default_rng(2)
    descriptors = rng.integers(0, 256, (16, 128)).astype(np.uint8)
    points = rng.uniform(5, 70, (16, 2))
    gallery = KeypointStore.pack([placed([90, 0] + points * [-1, 1], descriptors)], CONFIG)
    query = KeypointStore.pack([placed(points, descriptors)], CONFIG)
    plain = strengths(gallery, query, some(1), [0])
    checked = strengths(gallery, query, some(1, verify=1), [0])
    np.testing.assert_array_equal(plain.photographs, checked.photographs)


def test_the_same_details_are_a_distance_of_nothing_apart(gallery: KeypointStore) -> None:
    found = nearest_exactly(gallery[0], gallery, np.array([0]), 1)
    assert found.distances.max() < 1e-3
    assert np.allclose(np.linalg.norm(unit(gallery.descriptors), axis=1), 1)
