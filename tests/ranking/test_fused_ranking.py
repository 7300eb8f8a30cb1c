"""Ranking with fused parts against a loop: keypoints by pairs or by LNBNN, head, views, new."""

import numpy as np
import pytest

from flukeprint.config.ranking import LocalConfig, RankConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import fit_rules, fits_something
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.sift import match
from flukeprint.ranking.pipeline import PairScorer, QueryRanker, RankingGallery
from flukeprint.ranking.rules import FittedRules, looks_at_all
from flukeprint.ranking.score_parts import Fusion
from tests.ranking.embeddings import embeddings_of
from tests.ranking.local.drawn_descriptors import counted_by_hand
from tests.ranking.local.textures import LOCAL
from tests.refusals import refused

Textures = tuple[Features, Features, list[str | None]]
FUSION = Fusion(embedding=2.0, head=1.5, keypoints=3.0, offset=-1.0)
PAIRWISE = LOCAL.model_copy(update={"candidates": 3, "verify": 0})
LNBNN = LOCAL.model_copy(update={"candidates": 3, "matcher": "lnbnn", "verify": 0})


def probability(**parts: float) -> float:
    """Of the parts' weighted sum, keypoints as log(1 + 10 s)."""
    power = FUSION.offset
    for name, value in parts.items():
        weighted = np.log1p(10 * value) if name == "keypoints" else value
        power += FUSION.weight(name) * weighted
    return float(1 / (1 + np.exp(-power)))


def centers_of(names: list[str], stamp: str, dim: int) -> Embeddings:
    vectors = unit_rows(np.random.default_rng(5).normal(size=(len(names), dim)))
    return Embeddings(vectors, tuple(names), tuple(names), None, stamp)


@pytest.mark.parametrize("matcher", ["none", "sift", "lnbnn"])
@pytest.mark.parametrize("head", [False, True])
def test_every_identity_has_the_probability_of_its_parts(
    textures: Textures, matcher: str, head: bool
) -> None:
    gallery, queries, _ = textures
    local = {"none": LocalConfig(), "sift": PAIRWISE, "lnbnn": LNBNN}[matcher]
    rules = RankConfig(fuse=True, local=local, head=0.3 if head else 0)
    centers = centers_of([f"w{i}" for i in range(6)], "s", 64) if head else None
    if matcher == "none":
        gallery, queries = Features(gallery.embeddings), Features(queries.embeddings)
    ranker = QueryRanker(gallery, queries, rules, centers=centers)
    got = ranker.rank(FittedRules(rules=rules, fusion=FUSION), top=8)
    cosines = queries.embeddings.vectors @ gallery.embeddings.vectors.T
    for query in range(len(queries)):
        best = sorted(range(8), key=lambda row: (-cosines[query, row], row))[:3]
        strengths = np.zeros(8)
        if matcher == "sift":
            assert queries.keypoints is not None
            assert gallery.keypoints is not None
            for row in best:
                found = match(queries.keypoints[query], gallery.keypoints[row], local)
                strengths[row] = found.strength
        elif matcher == "lnbnn":
            assert queries.keypoints is not None
            assert gallery.keypoints is not None
            _, strengths = counted_by_hand(
                queries.keypoints[query], gallery.keypoints, list(range(8)), sorted(best), 3
            )
        heads = np.zeros(8)
        if centers is not None:
            heads[:6] = centers.vectors @ queries.embeddings.vectors[query]
            # Whom the head does not know moves with the mean of the others.
            heads[6:] = cosines[query, 6:] + (heads[:6] - cosines[query, :6]).mean()
        want = {}
        for row in range(8):
            parts = {"embedding": float(cosines[query, row])}
            if head:
                parts["head"] = float(heads[row])
            if matcher != "none":
                parts["keypoints"] = float(strengths[row])
            want[f"w{row}"] = probability(**parts)
        order = sorted(want, key=lambda name: -want[name])
        assert list(got.identities[query]) == order
        assert got.scores[query].tolist() == pytest.approx([want[n] for n in order], abs=1e-4)
        assert [f"w{row}" for row in got.rows[query]] == order
    some = ranker.rank(FittedRules(rules=rules, fusion=FUSION), [5, 2], top=3)
    np.testing.assert_array_equal(some.scores, got.scores[[5, 2], :3])


def test_an_identity_shows_the_photograph_that_the_parts_favour(textures: Textures) -> None:
    """Photographs of two animals; keypoints say which of an animal's four it is."""
    gallery, queries, _ = textures
    names = tuple(f"w{i // 4}" for i in range(8))
    whole = gallery.embeddings
    two = Embeddings(whole.vectors, whole.images, names, None, whole.stamp)
    rules = RankConfig(fuse=True, local=LNBNN.model_copy(update={"candidates": "all"}))
    fitted = FittedRules(rules=rules, fusion=Fusion(embedding=0.0, keypoints=1.0))
    got = QueryRanker(Features(two, gallery.keypoints), queries, rules).rank(fitted)
    assert got.rows[:8, 0].tolist() == list(range(8))
    assert [answers[0] for answers in got.identities[:8]] == list(names)


@pytest.mark.parametrize(
    "local", [PAIRWISE, LNBNN, LNBNN.model_copy(update={"candidates": "all", "verify": 3})]
)
def test_telling_keypoints_get_the_weight(textures: Textures, local: LocalConfig) -> None:
    gallery, queries, answers = textures
    local = local.model_copy(update={"candidates": local.candidates if local.verify else 8})
    rules = RankConfig(fuse=True, local=local)
    assert fits_something(rules)
    assert looks_at_all(rules)
    # 18 queries are too few to weigh parts: each is asked twice.
    many = queries.take([*range(18), *range(18)])
    ranker = QueryRanker(gallery, many, rules)
    fitted = fit_rules(ranker, [*answers, *answers])
    assert fitted.fusion is not None
    assert fitted.fusion.keypoints > 0
    assert (fitted.gain_scale, fitted.gain_floor) == (0, 0)
    got = ranker.rank(fitted)
    firsts = [names[0] for names in got.identities[:8]]
    assert firsts == answers[:8]
    strangers = got.scores[16:18, 0]
    assert strangers.max() < got.scores[:8, 0].min()
    assert fit_rules(ranker, [], []).fusion == Fusion()


def test_other_views_are_fitted_before_the_parts_are_fused() -> None:
    gallery = embeddings_of([f"w{i % 6}" for i in range(12)], 0, ["left", "right"] * 6)
    asked = [f"w{i % 6}" for i in range(24)]
    rng = np.random.default_rng(1)
    # A query is like its animal's own flank, and more like another animal's other flank.
    rows = [i % 6 + (6 if (i % 6) % 2 else 0) for i in range(24)]
    left = [row for row in range(12) if (gallery.views or ())[row] == "left"]
    rows = [
        next(r for r in left if gallery.identities[r] == name)
        if any(gallery.identities[r] == name for r in left)
        else rows[i]
        for i, name in enumerate(asked)
    ]
    wrong = [1 + 2 * int(rng.integers(6)) for _ in range(24)]
    vectors = unit_rows(gallery.vectors[rows] + 1.15 * gallery.vectors[wrong])
    queries = Embeddings(vectors, tuple(f"q{i}" for i in range(24)), tuple(asked), ("left",) * 24,
                         "s")  # fmt: skip
    fitted = {}
    for fuse in (False, True):
        rules = RankConfig(other_view="fit", fuse=fuse)
        fitted[fuse] = fit_rules(QueryRanker(Features(gallery), Features(queries), rules), asked)
    assert fitted[True].other_view == fitted[False].other_view > 0
    assert fitted[True].fusion is not None


def test_what_is_missing_is_said(textures: Textures) -> None:
    gallery, queries, _ = textures
    rules = RankConfig(fuse=True, local=LNBNN)
    bare = Features(queries.embeddings)
    refused(lambda: QueryRanker(gallery, bare, rules), "needs keypoints")
    refused(lambda: QueryRanker(Features(gallery.embeddings), queries, rules), "needs keypoints")
    with pytest.raises(ValueError, match="was not fitted"):
        QueryRanker(gallery, queries, rules).rank(FittedRules(rules=rules))
    with pytest.raises(ValueError, match="need `search_fused`"):
        RankingGallery(gallery, rules).scorer.search(queries.embeddings, 5)
    with pytest.raises(FlukeprintError, match="class centers"):
        QueryRanker(gallery, queries, RankConfig(fuse=True, head=0.1))


def test_a_gallery_is_indexed_only_where_all_are_searched(textures: Textures) -> None:
    gallery, queries, _ = textures
    every = RankConfig(fuse=True, local=LNBNN.model_copy(update={"candidates": "all"}))
    prepared = RankingGallery(gallery, every)
    assert isinstance(prepared.keypoints, DescriptorIndex)
    assert RankingGallery(gallery, RankConfig(fuse=True, local=LNBNN)).keypoints is (
        gallery.keypoints
    )
    # Pairs have no gallery to be weighted against: their cosines alone.
    scorer = PairScorer(prepared, FittedRules(rules=every, fusion=FUSION))
    pairs = np.array([[0, 1], [3, 2]])
    want = [gallery.embeddings.vectors[j] @ queries.embeddings.vectors[i] for i, j in pairs]
    assert scorer(queries, gallery, pairs).tolist() == pytest.approx(want, abs=1e-6)
