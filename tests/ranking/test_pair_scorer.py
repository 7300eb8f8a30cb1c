"""Scores of pairs: cosines after the gallery's whitening, and what keypoints add, both ways."""

import numpy as np
import pytest

from flukeprint.config.schema import LocalConfig, RankConfig
from flukeprint.data.decoding import decode_array
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import extract
from flukeprint.ranking.local.sift import match
from flukeprint.ranking.pipeline import FittedRules, PairScorer, RankingGallery
from tests.ranking.local.test_fusion import seen_again, textured


def embeddings(n: int, seed: int, stamp: str = "s") -> Embeddings:
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(n, 8)))
    names = tuple(f"{seed}-{i}" for i in range(n))
    return Embeddings(vectors, names, tuple(f"w{i % 3}" for i in range(n)), None, stamp)


def test_without_rules_it_is_the_cosine():
    known, asked = Features(embeddings(9, 0)), Features(embeddings(4, 1))
    pairs = np.array([[0, 8], [3, 0], [3, 3]])
    score = PairScorer(RankingGallery(known, RankConfig()), FittedRules())
    naive = [float(asked.embeddings.vectors[i] @ known.embeddings.vectors[j]) for i, j in pairs]
    assert score(asked, known, pairs) == pytest.approx(naive, abs=1e-6)


def test_vectors_are_whitened_as_the_gallery_is():
    rules = RankConfig(within=0.7)
    known, asked = Features(embeddings(30, 0)), Features(embeddings(4, 1))
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
    greys = [textured(0), seen_again(textured(0)), textured(1)]
    photos = [decode_array(grey, "drawn") for grey in greys]
    found = [extract(photo, local) for photo in photos]
    evidence = Features(embeddings(3, 0), KeypointStore.pack(found, local))
    method = FittedRules(rules=rules, gain_scale=0.1, gain_floor=0.5)
    score = PairScorer(RankingGallery(evidence, rules), method)
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    got = score(evidence, evidence, pairs)
    np.testing.assert_array_equal(got, score(evidence, evidence, pairs[:, ::-1]))
    vectors = evidence.embeddings.vectors.astype(np.float64)
    for value, (i, j) in zip(got, pairs, strict=True):
        both = [match(found[a], found[b], local).strength for a, b in ((i, j), (j, i))]
        extra = 0.1 * max(0.0, np.log1p(sum(both) / 2) - np.log1p(0.5))
        assert value == pytest.approx(vectors[i] @ vectors[j] + extra, abs=1e-6)
    assert got[0] - vectors[0] @ vectors[1] > 0.05  # the same texture agrees


def test_what_does_not_belong_together_is_refused():
    known = Features(embeddings(9, 0))
    score = PairScorer(RankingGallery(known, RankConfig()), FittedRules())
    with pytest.raises(
        FlukeprintError,
        match=(
            "two networks do not compare: other made those of the first photographs, "
            "s those of the second photographs"
        ),
    ):
        score(Features(embeddings(2, 1, "other")), known, np.array([[0, 0]]))
