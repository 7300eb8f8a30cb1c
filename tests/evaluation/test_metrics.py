"""Metrics against double loops and formulas by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.evaluation.metrics import (
    auroc_interval,
    bootstrap_interval,
    cmc,
    commonest_labels,
    evaluate,
    fpr_at_tpr,
    map_at_5,
    open_set_auroc,
    per_query_ap,
    top_k_accuracy,
)
from flukeprint.ranking.ranking import rank
from flukeprint.search.index import IdentityMatches

NAMES = ["a", "b", "c", "d", "e", "f", None]


def kaggle_map5(predictions, answers):
    """The competition's formula: sum over places of precision x relevance, per query."""
    total = 0.0
    for prediction, answer in zip(predictions, answers, strict=True):
        score, hits = 0.0, 0
        for place, guess in enumerate(prediction[:5], start=1):
            if guess == answer and guess not in prediction[: place - 1]:
                hits += 1
                score += hits / place
        total += score / 1
    return total / len(answers)


@st.composite
def answered(draw):
    answers = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=15))
    some = st.lists(st.sampled_from(NAMES), max_size=7, unique_by=str)
    return [draw(some) for _ in answers], answers


@given(answered())
def test_map5_is_kaggles(drawn):
    predictions, answers = drawn
    assert map_at_5(predictions, answers) == pytest.approx(kaggle_map5(predictions, answers))


@given(answered(), st.integers(1, 7))
def test_cmc_and_top_k_count(drawn, k):
    predictions, answers = drawn
    hits = [answer in guess[:k] for guess, answer in zip(predictions, answers, strict=True)]
    assert top_k_accuracy(predictions, answers, k) == pytest.approx(sum(hits) / len(hits))
    curve = cmc(predictions, answers, depth=7)
    assert curve.shape == (7,)
    assert curve[k - 1] == pytest.approx(sum(hits) / len(hits))


def test_places_by_eye():
    predictions = [["a", "b"], ["b", "a"], ["b", None, "a"], ["f", "e", "d", "c", "b", "a"], []]
    assert per_query_ap(predictions, ["a", "a", None, "a", "a"]).tolist() == [1, 0.5, 0.5, 0, 0]
    with pytest.raises(ValueError, match="5 predictions for 1"):
        map_at_5(predictions, ["a"])
    with pytest.raises(ValueError, match="no queries"):
        map_at_5([], [])


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()), max_size=25),
    st.sampled_from([0.5, 0.9, 0.95, 1.0]),
)
def test_open_set_metrics_compare_every_pair(drawn, tpr):
    scores = [score for score, _ in drawn]
    is_new = [new for _, new in drawn]
    known = [score for score, new in drawn if not new]
    fresh = [score for score, new in drawn if new]
    if not known or not fresh:
        with pytest.raises(ValueError):
            open_set_auroc(scores, is_new)
        return
    pairs = [(k > f) + 0.5 * (k == f) for k in known for f in fresh]
    assert open_set_auroc(scores, is_new) == pytest.approx(sum(pairs) / len(pairs))
    kept = [t for t in known if sum(k >= t for k in known) >= tpr * len(known) - 1e-9]
    threshold = max(kept)
    expected = sum(f >= threshold for f in fresh) / len(fresh)
    assert fpr_at_tpr(scores, is_new, tpr) == pytest.approx(expected)


def test_the_bootstrap_agrees_with_resampling_one_by_one():
    values = np.random.default_rng(0).choice([0, 0.2, 0.25, 1 / 3, 0.5, 1], 400)
    interval = bootstrap_interval(values, seed=0)
    rng = np.random.default_rng(1)
    means = [values[rng.integers(0, 400, 400)].mean() for _ in range(2000)]
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(np.quantile(means, 0.025), abs=0.005)
    assert interval.high == pytest.approx(np.quantile(means, 0.975), abs=0.005)
    # The normal approximation by hand.
    spread = 1.96 * values.std() / 20
    assert interval.high - interval.low == pytest.approx(2 * spread, rel=0.08)
    assert interval == bootstrap_interval(values, seed=0)
    wide = bootstrap_interval(values, seed=0, level=0.99)
    assert wide.low < interval.low < interval.mean < interval.high < wide.high


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.random(80) < 0.6, seed=trial, samples=500)
        covered += interval.low <= 0.6 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_bootstrap_of_equal_values():
    interval = bootstrap_interval([0.5] * 7, seed=0)
    assert (interval.low, interval.mean, interval.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_of_the_auroc_agrees_with_resampling_one_by_one():
    rng = np.random.default_rng(0)
    known, new = rng.normal(1, 1, 60).round(1), rng.normal(0, 1, 40).round(1)  # with ties
    scores, is_new = np.concatenate([known, new]), [False] * 60 + [True] * 40
    found = auroc_interval(scores, is_new, seed=0)
    assert found.mean == open_set_auroc(scores, is_new)
    drawn = [
        open_set_auroc(np.concatenate([rng.choice(known, 60), rng.choice(new, 40)]), is_new)
        for _ in range(2000)
    ]
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.015)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.015)
    assert found == auroc_interval(scores, is_new, seed=0)
    with pytest.raises(ValueError):
        auroc_interval([1.0, 2.0], [False, False], seed=0)


def test_evaluate_puts_all_together():
    scores = np.array([[0.9, 0.1], [0.2, 0.1], [0.8, 0.7]], dtype=np.float32)
    labels = np.array([[0, 1], [0, 1], [0, 1]])
    matches = IdentityMatches(scores, labels, labels, ("a", "b"))
    images = ("x", "y", "z")
    found = evaluate(rank(matches, images, threshold=0.5), ["a", None, "b"], seed=0)
    assert found.map5.mean == pytest.approx((1 + 1 + 0.5) / 3)
    assert (found.top1, found.top5) == (pytest.approx(2 / 3), 1)
    assert (found.auroc, found.fpr95) == (1, 0)
    assert (found.queries, found.new_queries) == (3, 1)
    assert found.text().startswith("MAP@5 0.833 [")
    assert found.text().endswith(
        "top-1 0.667, top-5 1.000, new-individual AUROC 1.000 (3 queries, 1 new)"
    )
    closed = evaluate(rank(matches, images, threshold=None), ["a", "a", "b"], seed=0)
    assert (closed.auroc, closed.fpr95) == (None, None)
    assert "AUROC" not in closed.text()


def test_the_commonest_labels():
    identities = ["b"] * 3 + ["a"] * 3 + [None] * 2 + ["c"] * 2 + ["d", "e", "f"]
    assert commonest_labels(identities, with_new=True) == ("a", "b", None, "c", "d")
    assert commonest_labels(identities, with_new=False) == ("a", "b", "c", "d", "e")
