"""The ranker: naive twins of its answers, numbers fitted on some queries and used on others."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.schema import ImageConfig, LocalConfig, RankConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import fit_rules, fits_something
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.fusion import KeypointFusion
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.sift import match
from flukeprint.ranking.pipeline import FittedRules, QueryRanker
from flukeprint.ranking.ranking import Ranking, merge_rankings
from flukeprint.search.gallery import Gallery
from tests.ranking.local.test_fusion import seen_again, textured

LOCAL = LocalConfig(side=96, keypoints=60, candidates=4)
IMAGE = ImageConfig(height=32, width=48, cache=None)


def embeddings(
    names: list[str | None], seed: int, views: list[str] | None = None, dim: int = 8
) -> Embeddings:
    """Vectors that know nothing of the names."""
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(len(names), dim)))
    images = tuple(f"{seed}_{i}.jpg" for i in range(len(names)))
    return Embeddings(vectors, images, tuple(names), None if views is None else tuple(views), "s")


def naive(
    query: npt.NDArray[np.float32],
    gallery: Embeddings,
    gains: npt.NDArray[np.float64] | None = None,
) -> list[tuple[str | None, float]]:
    """Every animal with the score of its best photo, best first."""
    best: dict[str | None, float] = {}
    for row, name in enumerate(gallery.identities):
        score = float(query @ gallery.vectors[row]) + (0.0 if gains is None else float(gains[row]))
        best[name] = max(best.get(name, -9.0), score)
    return sorted(best.items(), key=lambda pair: -pair[1])


# --- with everything off


def test_with_everything_off_the_desk_is_the_gallery() -> None:
    gallery = embeddings([f"w{i % 7}" for i in range(20)], 0)
    queries = embeddings([None] * 9, 1)
    ranker = QueryRanker(Features(gallery), Features(queries), RankConfig())
    got = ranker.rank(FittedRules())
    found = Gallery(gallery).search_identities(queries, 5)
    np.testing.assert_array_equal(got.scores, found.scores)
    np.testing.assert_array_equal(got.rows, found.rows)
    for place, answers in enumerate(got.identities):
        want = naive(queries.vectors[place], gallery)[:5]
        assert list(answers) == [name for name, _ in want]
        assert got.scores[place].tolist() == pytest.approx([s for _, s in want], abs=1e-6)
    assert got.images == queries.images
    assert fit_rules(ranker, ["w1"] * 9) == FittedRules()
    assert not fits_something(RankConfig())


def test_some_queries_are_answered_as_among_all() -> None:
    gallery = embeddings([f"w{i % 7}" for i in range(20)], 0)
    ranker = QueryRanker(
        Features(gallery), Features(embeddings([None] * 9, 1)), RankConfig(expand=2)
    )
    every = ranker.rank(FittedRules())
    rows = np.array([7, 0, 3])
    some, want = ranker.rank(FittedRules(), rows, top=3), every.take(rows)
    assert some.images == want.images
    assert some.identities == tuple(answers[:3] for answers in want.identities)
    np.testing.assert_array_equal(some.scores, want.scores[:, :3])


# --- other_view


def sided() -> tuple[Embeddings, Embeddings, list[str]]:
    """Each left flank looks a little more like another animal's right one."""
    rng = np.random.default_rng(3)
    gallery_vectors, query_vectors, names, views = [], [], [], []
    for animal in range(8):
        own, wrong = rng.normal(size=(2, 32))
        gallery_vectors += [own, wrong]
        names += [f"w{animal}", f"x{animal}"]
        views += ["left", "right"]
        query_vectors.append(unit_rows(own)[0] + 1.15 * unit_rows(wrong)[0])
    images = tuple(f"g{i}" for i in range(16))
    gallery = Embeddings(unit_rows(gallery_vectors), images, tuple(names), tuple(views), "s")
    asked = tuple(f"w{i}" for i in range(8))
    queries = Embeddings(
        unit_rows(query_vectors), tuple(f"q{i}" for i in range(8)), asked, ("left",) * 8, "s"
    )
    return gallery, queries, list(asked)


def test_other_view_is_fitted_on_one_half_and_used_on_the_other() -> None:
    gallery, queries, answers = sided()
    rules = RankConfig(other_view="fit")
    assert fits_something(rules)
    ranker = QueryRanker(Features(gallery), Features(queries), rules)
    learnt, told = np.arange(4), np.arange(4, 8)
    method = fit_rules(ranker, answers[:4], learnt)
    assert method.other_view > 0
    assert (method.gain_scale, method.gain_floor) == (0, 0)
    got = ranker.rank(method, told)
    views = gallery.views or ()
    for place, query in enumerate(told):
        minus = -method.other_view * np.array([view != "left" for view in views])
        want = naive(queries.vectors[query], gallery, minus)[:5]
        assert list(got.identities[place]) == [name for name, _ in want]
        assert got.identities[place][0] == answers[query]
    plain = ranker.rank(FittedRules(rules=rules), told)
    assert all(
        names[0] != right for names, right in zip(plain.identities, answers[4:], strict=True)
    )


def test_a_given_number_for_other_views_is_kept() -> None:
    gallery, queries, answers = sided()
    ranker = QueryRanker(Features(gallery), Features(queries), RankConfig(other_view=0.07))
    assert fit_rules(ranker, answers).other_view == 0.07


# --- keypoints


@pytest.fixture(scope="module")
def textures() -> tuple[Features, Features, list[str | None]]:
    """Eight animals with a photo each, seen again; two strangers.  Embeddings are of no use."""
    rules = RankConfig(local=LOCAL)
    known: list[str | None] = [f"w{i}" for i in range(8)]
    shown = [*range(8), *range(8), 50, 51]
    answers: list[str | None] = [f"w{i}" if i < 8 else None for i in shown]

    def evidence(photos: list[npt.NDArray[np.uint8]], made: Embeddings) -> Features:
        catalog = Catalog(made.images, pixels=np.stack(photos))
        return extract_features(made, catalog, IMAGE, rules)

    gallery = evidence([textured(i) for i in range(8)], embeddings(known, 0, dim=64))
    photos = [seen_again(textured(i)) for i in shown]
    photos[8:16] = [np.ascontiguousarray(p[4:, 6:]) for p in photos[8:16]]
    photos[8:16] = [np.pad(p, ((0, 4), (0, 6), (0, 0)), mode="edge") for p in photos[8:16]]
    return gallery, evidence(photos, embeddings(answers, 1, dim=64)), answers


def test_the_gain_reaches_the_answers(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    gallery, queries, answers = textures
    rules = RankConfig(local=LOCAL.model_copy(update={"candidates": 8}))
    assert fits_something(rules)
    ranker = QueryRanker(gallery, queries, rules)
    learnt, told = np.array([0, 1, 2, 3, 16]), np.array([4, 5, 6, 7, 12, 13, 14, 15, 17])
    method = fit_rules(ranker, [answers[i] for i in learnt], learnt)
    assert method.gain_scale > 0
    assert method.gain.scale == method.gain_scale
    got = ranker.rank(method, told)
    assert gallery.keypoints is not None
    assert queries.keypoints is not None
    for place, query in enumerate(told):
        strengths = [
            match(queries.keypoints[query], gallery.keypoints[row], LOCAL).strength
            for row in range(8)
        ]
        above = np.log1p(strengths) - np.log1p(method.gain_floor)
        gains = method.gain_scale * np.maximum(above, 0)
        want = naive(queries.embeddings.vectors[query], gallery.embeddings, gains)[:5]
        assert list(got.identities[place]) == [name for name, _ in want]
        assert got.scores[place].tolist() == pytest.approx([s for _, s in want], abs=1e-5)
    right = [answers[i] for i in told[:-1]]
    firsts = [names[0] for names in got.identities[:-1]]
    plain = [names[0] for names in ranker.rank(FittedRules(rules=rules), told[:-1]).identities]
    assert sum(a == b for a, b in zip(firsts, right, strict=True)) == len(right)
    assert sum(a == b for a, b in zip(plain, right, strict=True)) <= len(right) // 2


def test_a_method_is_forgotten_with_the_next(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    gallery, queries, _ = textures
    rules = RankConfig(local=LOCAL)
    ranker = QueryRanker(gallery, queries, rules)
    strong = FittedRules(rules=rules, gain_scale=5.0)
    first, plain, again = (ranker.rank(m) for m in (strong, FittedRules(rules=rules), strong))
    np.testing.assert_array_equal(first.scores, again.scores)
    off = QueryRanker(gallery, queries, RankConfig()).rank(FittedRules())
    np.testing.assert_array_equal(plain.scores, off.scores)
    assert first.identities != off.identities


def test_what_was_fitted_on_some_has_seen_no_other(
    textures: tuple[Features, Features, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, queries, answers = textures
    asked: Counter[int] = Counter()
    plain = KeypointFusion._strength

    def noted(self: KeypointFusion, query: int, row: int) -> float:
        asked[query] += 1
        return plain(self, query, row)

    monkeypatch.setattr(KeypointFusion, "_strength", noted)
    ranker = QueryRanker(gallery, queries, RankConfig(local=LOCAL))
    learnt = [9, 2, 17]
    before = fit_rules(ranker, [answers[i] for i in learnt], learnt)
    assert asked == {9: 4, 2: 4, 17: 4}  # four candidates each
    asked.clear()
    ranker.rank(FittedRules(rules=before.rules, gain_scale=1.0), [5, 1])
    assert asked == {5: 4, 1: 4}
    alone = QueryRanker(gallery, queries.take(learnt), RankConfig(local=LOCAL))
    assert fit_rules(alone, [answers[i] for i in learnt]) == before


def test_missing_keypoints_are_refused(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    gallery, queries, _ = textures
    for one, other in [
        (gallery, Features(queries.embeddings)),
        (Features(gallery.embeddings), queries),
    ]:
        with pytest.raises(FlukeprintError, match=r"rank\.local\.candidates=4 needs keypoints"):
            QueryRanker(one, other, RankConfig(local=LOCAL))
        QueryRanker(one, other, RankConfig())  # nobody looks at them


def test_nobody_to_fit_on_fits_nothing(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    gallery, queries, _ = textures
    rules = RankConfig(local=LOCAL, other_view="fit")
    ranker = QueryRanker(gallery, queries, rules)
    assert fit_rules(ranker, [], []) == FittedRules(rules=rules)
    assert len(ranker.rank(FittedRules(rules=rules), [])) == 0


# --- evidence


def test_taking_photographs_takes_their_keypoints(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    _, queries, _ = textures
    rows = [5, 0, 5]
    some = queries.take(rows)
    assert len(some) == 3
    assert some.embeddings.images == tuple(queries.embeddings.images[i] for i in rows)
    assert some.keypoints is not None
    assert queries.keypoints is not None
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(some.keypoints[place].points, queries.keypoints[row].points)
    mask = np.arange(len(queries)) == 2
    assert queries.take(mask).embeddings.images == (queries.embeddings.images[2],)
    assert len(queries.take([]).keypoints or ()) == 0
    with pytest.raises(ValueError, match="as many photographs"):
        Features(queries.embeddings, some.keypoints)


def test_keypoints_are_gathered_only_where_asked_for() -> None:
    photos = np.stack([textured(i) for i in range(3)])
    made = embeddings(["a", "b", "c"], 0)
    catalog = Catalog(made.images, pixels=photos, views=("left", "right", None))
    assert extract_features(made, catalog, IMAGE, RankConfig()).keypoints is None
    rules = RankConfig(local=LOCAL)
    turning = IMAGE.model_copy(update={"mirror_views": ("right",)})
    found = extract_features(made, catalog, turning, rules).keypoints
    assert found is not None
    turned = photos.copy()
    turned[1] = photos[1, :, ::-1]
    want = KeypointStore.of(Catalog(made.images, pixels=turned), LOCAL, cache=None)
    np.testing.assert_array_equal(found.points, want.points)
    np.testing.assert_array_equal(found.descriptors, want.descriptors)
    with pytest.raises(FlukeprintError, match=r"of other photographs \(3\).*\(2\)"):
        extract_features(made, catalog.take([0, 1]), IMAGE, rules)


# --- joining


def test_merged_answers_stand_in_the_order_of_the_queries() -> None:
    gallery = embeddings([f"w{i % 7}" for i in range(20)], 0)
    whole = QueryRanker(Features(gallery), Features(embeddings([None] * 9, 1)), RankConfig()).rank(
        FittedRules()
    )
    parts = [np.array([8, 1, 4]), np.array([0, 7]), np.array([], np.int64), np.array([6, 2, 5, 3])]
    got = merge_rankings([(places, whole.take(places)) for places in parts])
    same_ranking(got, whole)


def same_ranking(one: Ranking, other: Ranking) -> None:
    assert (one.images, one.identities) == (other.images, other.identities)
    for name in ("scores", "rows", "best_known"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
