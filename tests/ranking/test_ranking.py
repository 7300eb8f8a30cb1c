"""Rankings, insertion of a new individual and encounters, against plain twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.ranking import RankConfig
from flukeprint.evaluation.fitting import fit_threshold
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import (
    Ranking,
    insert_new_individual,
    merge_rankings,
)
from flukeprint.ranking.rules import FittedRules
from tests.ranking.embeddings import embeddings_of
from tests.ranking.rankings import matched, ranked, rankings


def naive_insert(identities, scores, threshold, top=5):
    out = []
    for name, score in zip(identities, scores, strict=False):
        if float(score) < threshold and None not in out:
            out.append(None)
        out.append(name)
    if None not in out:
        out.append(None)
    return tuple(out[:top])


def test_an_example_by_eye():
    matches = matched([[0.9, 0.5, 0.4, 0.3, 0.2, 0.1], [0.35, 0.2, 0.1, 0.0, -0.1, -0.2]])
    plain = ranked(matches, threshold=None)
    assert plain.identities[0] == ("w0", "w1", "w2", "w3", "w4")
    assert plain.images == ("0.jpg", "1.jpg")
    ranking = ranked(matches, threshold=0.4)
    assert ranking.identities[0] == ("w0", "w1", "w2", None, "w3")  # 0.4 reaches 0.4
    assert ranking.identities[1] == (None, "w1", "w2", "w3", "w4")
    assert ranking.rows.tolist() == [[0, 10, 20, -1, 30], [-1, 10, 20, 30, 40]]
    assert ranking.scores[0] == pytest.approx([0.9, 0.5, 0.4, 0.4, 0.3])
    assert ranking.scores[1] == pytest.approx([0.4, 0.35, 0.2, 0.1, 0.0])
    assert ranking.best_known == pytest.approx([0.9, 0.35])


@given(rankings(), st.floats(-1, 1.1))
def test_insertion_is_the_naive_one(drawn, threshold):
    plain, _ = drawn
    ranking = insert_new_individual(plain, threshold)
    for i in range(len(plain)):
        expected = naive_insert(plain.identities[i], plain.scores[i], threshold)
        assert ranking.identities[i] == expected
        photo = dict(zip(plain.identities[i], plain.rows[i].tolist(), strict=False))
        score = dict(zip(plain.identities[i], plain.scores[i].tolist(), strict=False))
        photo[None], score[None] = -1, np.float32(threshold)
        missing = 5 - len(expected)
        assert ranking.rows[i].tolist() == [photo[n] for n in expected] + [-1] * missing
        given_scores = [score[name] for name in expected]
        assert ranking.scores[i, : len(expected)].tolist() == given_scores
        assert given_scores == sorted(given_scores, reverse=True)
        assert np.isnan(ranking.scores[i, len(expected) :]).all()
    assert np.array_equal(ranking.best_known, plain.scores[:, 0])


def test_fewer_identities_than_answers():
    ranking = ranked(matched([[0.9, 0.8]]), threshold=0.1)
    assert ranking.identities == (("w0", "w1", None),)  # a free place costs nothing
    assert ranking.rows.tolist() == [[0, 10, -1, -1, -1]]
    assert ranking.scores[0, 2] == np.float32(0.1)
    assert np.isnan(ranking.scores[0, 3:]).all()
    assert ranked(matched([[0.9, 0.8]]), threshold=None).identities == (("w0", "w1"),)


def test_a_threshold_between_two_neighbouring_scores():
    high = np.float32(0.3)
    low = np.nextafter(high, np.float32(0))
    plain = ranked(matched([[high], [low]], ["a"]), threshold=None)
    threshold = (float(low) + float(high)) / 2
    assert insert_new_individual(plain, threshold).identities == (("a", None), (None, "a"))
    assert fit_threshold(plain, ["a", None]) == threshold


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ValueError, match="cannot fill"):
        ranked(matched([[0.9, 0.8]], ["a", "b", "c"]), threshold=None)
    done = ranked(matched([[0.9, 0.8]]), threshold=0.5)
    with pytest.raises(ValueError, match="already"):
        insert_new_individual(done, 0.4)
    with pytest.raises(ValueError, match="already"):
        fit_threshold(done, ["w0"])
    with pytest.raises(ValueError, match="not a number"):
        ranked(matched([[0.9]]), threshold=math.nan)
    scores, rows = np.zeros((1, 2), dtype=np.float32), np.zeros((1, 2), dtype=np.int64)
    with pytest.raises(ValueError, match="distinct"):
        Ranking(("x",), (("a", "a"),), scores, rows, scores[:, 0])


def test_taking_queries():
    ranking = ranked(matched([[0.9, 0.8], [0.7, 0.1], [0.5, 0.2]]), threshold=0.6)
    half = ranking.take(np.array([True, False, True]))
    assert half.images == ("0.jpg", "2.jpg")
    assert half.identities == (ranking.identities[0], ranking.identities[2])
    assert half.best_known.tolist() == [np.float32(0.9), np.float32(0.5)]


def test_merged_answers_stand_in_the_order_of_the_queries() -> None:
    gallery = embeddings_of([f"w{i % 7}" for i in range(20)], 0)
    whole = QueryRanker(
        Features(gallery), Features(embeddings_of([None] * 9, 1)), RankConfig()
    ).rank(FittedRules())
    parts = [np.array([8, 1, 4]), np.array([0, 7]), np.array([], np.int64), np.array([6, 2, 5, 3])]
    got = merge_rankings([(places, whole.take(places)) for places in parts])
    same_ranking(got, whole)


def same_ranking(one: Ranking, other: Ranking) -> None:
    assert (one.images, one.identities) == (other.images, other.identities)
    for name in ("scores", "rows", "best_known"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
