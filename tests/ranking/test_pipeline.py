"""The ranker and the scorer of pairs: naive twins, rules fitted on some queries, used on others."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from flukeprint.config.ranking import LocalConfig, RankConfig
from flukeprint.data.decoding import decode_array
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import fit_rules, fits_something
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.fusion import KeypointFusion
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import extract
from flukeprint.ranking.local.sift import match
from flukeprint.ranking.pipeline import PairScorer, QueryRanker, RankingGallery
from flukeprint.ranking.rules import FittedRules
from flukeprint.search.gallery import Gallery
from tests.ranking.embeddings import embeddings_of
from tests.ranking.local.textures import LOCAL, small_seen_again, small_textured


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


def test_with_everything_off_the_ranker_is_the_gallery() -> None:
    gallery = embeddings_of([f"w{i % 7}" for i in range(20)], 0)
    queries = embeddings_of([None] * 9, 1)
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
    gallery = embeddings_of([f"w{i % 7}" for i in range(20)], 0)
    ranker = QueryRanker(
        Features(gallery), Features(embeddings_of([None] * 9, 1)), RankConfig(expand=2)
    )
    every = ranker.rank(FittedRules())
    rows = np.array([7, 0, 3])
    some, want = ranker.rank(FittedRules(), rows, top=3), every.take(rows)
    assert some.images == want.images
    assert some.identities == tuple(answers[:3] for answers in want.identities)
    np.testing.assert_array_equal(some.scores, want.scores[:, :3])


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
    fit, report = np.arange(4), np.arange(4, 8)
    fitted = fit_rules(ranker, answers[:4], fit)
    assert fitted.other_view > 0
    assert (fitted.gain_scale, fitted.gain_floor) == (0, 0)
    got = ranker.rank(fitted, report)
    views = gallery.views or ()
    for place, query in enumerate(report):
        minus = -fitted.other_view * np.array([view != "left" for view in views])
        want = naive(queries.vectors[query], gallery, minus)[:5]
        assert list(got.identities[place]) == [name for name, _ in want]
        assert got.identities[place][0] == answers[query]
    plain = ranker.rank(FittedRules(rules=rules), report)
    assert all(
        names[0] != right for names, right in zip(plain.identities, answers[4:], strict=True)
    )


def test_a_given_number_for_other_views_is_kept() -> None:
    gallery, queries, answers = sided()
    ranker = QueryRanker(Features(gallery), Features(queries), RankConfig(other_view=0.07))
    assert fit_rules(ranker, answers).other_view == 0.07


def test_the_gain_reaches_the_answers(
    textures: tuple[Features, Features, list[str | None]],
) -> None:
    gallery, queries, answers = textures
    rules = RankConfig(local=LOCAL.model_copy(update={"candidates": 8}))
    assert fits_something(rules)
    ranker = QueryRanker(gallery, queries, rules)
    fit, report = np.array([0, 1, 2, 3, 16]), np.array([4, 5, 6, 7, 12, 13, 14, 15, 17])
    fitted = fit_rules(ranker, [answers[i] for i in fit], fit)
    assert fitted.gain_scale > 0
    assert fitted.gain.scale == fitted.gain_scale
    got = ranker.rank(fitted, report)
    assert gallery.keypoints is not None
    assert queries.keypoints is not None
    for place, query in enumerate(report):
        strengths = [
            match(queries.keypoints[query], gallery.keypoints[row], LOCAL).strength
            for row in range(8)
        ]
        above = np.log1p(strengths) - np.log1p(fitted.gain_floor)
        gains = fitted.gain_scale * np.maximum(above, 0)
        want = naive(queries.embeddings.vectors[query], gallery.embeddings, gains)[:5]
        assert list(got.identities[place]) == [name for name, _ in want]
        assert got.scores[place].tolist() == pytest.approx([s for _, s in want], abs=1e-5)
    right = [answers[i] for i in report[:-1]]
    firsts = [names[0] for names in got.identities[:-1]]
    plain = [names[0] for names in ranker.rank(FittedRules(rules=rules), report[:-1]).identities]
    assert sum(a == b for a, b in zip(firsts, right, strict=True)) == len(right)
    assert sum(a == b for a, b in zip(plain, right, strict=True)) <= len(right) // 2


def test_fitted_rules_are_forgotten_with_the_next(
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
    fit = [9, 2, 17]
    before = fit_rules(ranker, [answers[i] for i in fit], fit)
    assert asked == {9: 4, 2: 4, 17: 4}  # four candidates each
    asked.clear()
    ranker.rank(FittedRules(rules=before.rules, gain_scale=1.0), [5, 1])
    assert asked == {5: 4, 1: 4}
    alone = QueryRanker(gallery, queries.take(fit), RankConfig(local=LOCAL))
    assert fit_rules(alone, [answers[i] for i in fit]) == before


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


def numbered(n: int, seed: int, stamp: str = "s") -> Embeddings:
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(n, 8)))
    names = tuple(f"{seed}-{i}" for i in range(n))
    return Embeddings(vectors, names, tuple(f"w{i % 3}" for i in range(n)), None, stamp)


def test_without_rules_a_pair_scores_its_cosine():
    known, asked = Features(numbered(9, 0)), Features(numbered(4, 1))
    pairs = np.array([[0, 8], [3, 0], [3, 3]])
    score = PairScorer(RankingGallery(known, RankConfig()), FittedRules())
    naive = [float(asked.embeddings.vectors[i] @ known.embeddings.vectors[j]) for i, j in pairs]
    assert score(asked, known, pairs) == pytest.approx(naive, abs=1e-6)


def test_vectors_of_pairs_are_whitened_as_the_gallery_is():
    rules = RankConfig(within=0.7)
    known, asked = Features(numbered(30, 0)), Features(numbered(4, 1))
    prepared = RankingGallery(known, rules)
    got = PairScorer(prepared, FittedRules(rules=rules))(asked, known, np.array([[0, 1], [2, 2]]))
    white = prepared.scorer.whitened
    left, right = white(asked.embeddings.vectors), white(known.embeddings.vectors)
    assert got == pytest.approx([left[0] @ right[1], left[2] @ right[2]], abs=1e-6)
    assert not np.allclose(
        got, [asked.embeddings.vectors[0] @ known.embeddings.vectors[1]] * 2, atol=1e-3
    )


def test_keypoints_add_the_mean_of_both_directions_whichever_comes_first():
    local = LocalConfig(candidates=5)
    rules = RankConfig(local=local)
    greys = [small_textured(0), small_seen_again(small_textured(0)), small_textured(1)]
    photos = [decode_array(grey, "drawn") for grey in greys]
    found = [extract(photo, local) for photo in photos]
    features = Features(numbered(3, 0), KeypointStore.pack(found, local))
    fitted = FittedRules(rules=rules, gain_scale=0.1, gain_floor=0.5)
    score = PairScorer(RankingGallery(features, rules), fitted)
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    got = score(features, features, pairs)
    np.testing.assert_array_equal(got, score(features, features, pairs[:, ::-1]))
    vectors = features.embeddings.vectors.astype(np.float64)
    for value, (i, j) in zip(got, pairs, strict=True):
        both = [match(found[a], found[b], local).strength for a, b in ((i, j), (j, i))]
        extra = 0.1 * max(0.0, np.log1p(sum(both) / 2) - np.log1p(0.5))
        assert value == pytest.approx(vectors[i] @ vectors[j] + extra, abs=1e-6)
    assert got[0] - vectors[0] @ vectors[1] > 0.05  # the same texture agrees


def test_pairs_of_two_networks_are_refused():
    known = Features(numbered(9, 0))
    score = PairScorer(RankingGallery(known, RankConfig()), FittedRules())
    with pytest.raises(
        FlukeprintError,
        match=(
            "two networks do not compare: other made those of the first photographs, "
            "s those of the second photographs"
        ),
    ):
        score(Features(numbered(2, 1, "other")), known, np.array([[0, 0]]))
