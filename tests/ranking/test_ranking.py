"""Rankings and thresholds against twins that try every place and every threshold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import fit_threshold, threshold_for_false_new
from flukeprint.evaluation.metrics import map_at_5
from flukeprint.ranking.ranking import Ranking, insert_new_individual, rank
from flukeprint.ranking.threshold import threshold_for_share
from flukeprint.search.index import IdentityMatches

# Few distinct values, so that equal scores occur.
SCORES = st.sampled_from([-0.5, 0.0, 0.1, 0.25, 0.3, 0.300001, 0.7, 1.0])


def matched(scores, vocabulary=None):
    """Query i finds its identities in vocabulary order from i on; photo = 10 x identity."""
    scores = np.array(scores, dtype=np.float32)
    q, t = scores.shape
    names = tuple(vocabulary or (f"w{i}" for i in range(t)))
    labels = (np.arange(q)[:, None] + np.arange(t)) % len(names)
    return IdentityMatches(scores, labels, labels * 10, names)


def ranked(matches, threshold=None):
    return rank(matches, [f"{i}.jpg" for i in range(len(matches.scores))], threshold=threshold)


@st.composite
def rankings(draw):
    """A ranking without threshold, and answers: an identity found, one not found, or None."""
    q, t = draw(st.integers(1, 12)), draw(st.integers(1, 7))
    rows = [sorted(draw(st.lists(SCORES, min_size=t, max_size=t)), reverse=True) for _ in range(q)]
    ranking = ranked(matched(rows), threshold=None)
    names = [f"w{i}" for i in range(t)]
    answers = draw(st.lists(st.sampled_from([*names, None, None]), min_size=q, max_size=q))
    return ranking, answers


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


@given(rankings())
def test_the_fitted_threshold_is_the_best_of_all(drawn):
    plain, answers = drawn
    if len({answer is None for answer in answers}) < 2:
        with pytest.raises(FlukeprintError, match="no threshold can be fitted"):
            fit_threshold(plain, answers)
        return
    scores = sorted({float(s) for s in plain.scores.ravel() if not math.isnan(s)})
    # Every threshold answers as one of these: at a score, or above all.
    every = [*scores, 2.0]
    best = max(map_at_5(insert_new_individual(plain, t).identities, answers) for t in every)
    fitted = fit_threshold(plain, answers)
    assert map_at_5(insert_new_individual(plain, fitted).identities, answers) == pytest.approx(
        best, abs=1e-12
    )


def test_of_equal_intervals_the_widest_is_taken():
    # Above 0.2 the second query turns right, above the third's score that one turns wrong, above
    # 0.8 the fourth turns right: the intervals after the first and third change are equally good.
    answers = ["a", None, "a", None]
    plain = ranked(matched([[0.9], [0.2], [0.4], [0.8]], ["a"]), threshold=None)
    assert fit_threshold(plain, answers) == pytest.approx(0.3)  # 0.2 to 0.4, not 0.8 to 0.9
    plain = ranked(matched([[0.9], [0.2], [0.25], [0.8]], ["a"]), threshold=None)
    assert fit_threshold(plain, answers) == pytest.approx(0.85)  # not 0.2 to 0.25


def test_a_threshold_beyond_all_scores_stays_outside_them():
    plain = ranked(matched([[1.0], [1.0], [0.5]], ["a"]), threshold=None)
    assert fit_threshold(plain, ["b", None, None]) > 1.0
    assert -1 < fit_threshold(plain, ["a", "a", None]) < 1.0
    assert fit_threshold(ranked(matched([[0.2], [0.2]], ["a"]), threshold=None), ["a", None]) < 0.2


@given(st.lists(SCORES, min_size=1, max_size=30), st.floats(0, 1))
def test_a_share_is_the_largest_that_does_not_exceed(scores, share):
    scores = np.array(scores, dtype=np.float32)
    threshold = threshold_for_share(scores, share)
    reached = np.mean(scores.astype(float) < threshold)
    every = [*scores.tolist(), 2.0]
    possible = [float(np.mean(scores < t)) for t in every]
    assert reached == max(s for s in possible if s <= share + 1e-9)
    assert all(abs(threshold - s) > 1e-8 for s in scores.astype(float))  # between, not on


def test_shares_by_eye():
    scores = np.arange(10) / 10
    assert threshold_for_share(scores, 0.3) == pytest.approx(0.25)
    assert threshold_for_share(scores, 0) == pytest.approx(-0.5)
    assert threshold_for_share(scores, 1) == pytest.approx(0.95)
    is_new = scores < 0.45
    assert threshold_for_false_new(scores, is_new, 0.2) == pytest.approx(0.55)
    with pytest.raises(ValueError, match="between 0 and 1"):
        threshold_for_share(scores, 1.5)


@given(rankings(), st.floats(0, 1))
def test_a_threshold_keeps_its_promise_on_the_queries_that_chose_it(drawn, share):
    plain, answers = drawn
    first = [
        names[0] is None
        for names in insert_new_individual(
            plain, threshold_for_share(plain.best_known, share)
        ).identities
    ]
    assert np.mean(first) <= share + 1e-9
    is_new = [answer is None for answer in answers]
    if all(is_new):
        with pytest.raises(ValueError, match="no queries"):
            threshold_for_false_new(plain.best_known, is_new, share)
        return
    threshold = threshold_for_false_new(plain.best_known, is_new, share)
    first = [names[0] is None for names in insert_new_individual(plain, threshold).identities]
    known = [f for f, new in zip(first, is_new, strict=True) if not new]
    assert np.mean(known) <= share + 1e-9
    scores = plain.best_known.astype(float)
    rates = [float(np.mean((scores < t)[~np.array(is_new)])) for t in (*scores, 2.0)]
    assert np.mean(known) == max(rate for rate in rates if rate <= share + 1e-9)
