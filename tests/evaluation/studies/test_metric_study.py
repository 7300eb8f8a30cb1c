"""Metrics on one fold: figures by a naive twin, and paired differences that are nothing or sure."""

from dataclasses import replace

import numpy as np
import pytest

from flukeprint.data.embeddings import Floats
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.studies.distances import METRICS
from flukeprint.evaluation.studies.error_rates import equal_error_rate, true_accept_at
from flukeprint.evaluation.studies.fold import Fold, number_individuals
from flukeprint.evaluation.studies.metric_study import (
    FIGURES,
    compare_metrics,
    metric_lines,
    of_one_length,
)
from flukeprint.evaluation.studies.pairs import fold_pairs
from flukeprint.evaluation.verification import Pairs, roc
from tests.evaluation.studies.folds import drawn_fold
from tests.refusals import refused

FOLD = drawn_fold(animals=30, each=4, noise=0.8, dimension=8, unseen=4, unnamed=3)


@pytest.fixture(scope="module")
def study():
    return compare_metrics(FOLD, samples=200)


@pytest.mark.parametrize("name", METRICS)
def test_figures_are_those_of_ranking_all_photographs(name: str, study) -> None:
    labels = number_individuals(FOLD.identities)
    gallery = FOLD.vectors[FOLD.gallery].astype(np.float64)
    metric = METRICS[name](gallery, labels[FOLD.gallery])
    ap, first = [], []
    for query in FOLD.known_queries():
        row = metric(FOLD.vectors[[query]].astype(np.float64), gallery)[0]
        order = labels[FOLD.gallery][np.argsort(-row, kind="stable")]
        place = list(dict.fromkeys(order.tolist())).index(labels[query]) + 1
        ap.append(1 / place if place <= 5 else 0)
        first.append(place == 1)
    assert 0.3 < np.mean(first) < 0.98  # neither hopeless nor trivial
    drawn = fold_pairs(FOLD)
    scores = [
        np.array(
            [metric(FOLD.vectors[[a]].astype(float), FOLD.vectors[[b]].astype(float))[0, 0]
             for a, b in pairs]
        )
        for pairs in (drawn.same, drawn.other)
    ]  # fmt: skip
    curve = roc(Pairs(*scores))
    values = study.metrics[name].values
    assert values["MAP@5"].mean == pytest.approx(np.mean(ap))
    assert values["top-1"].mean == pytest.approx(np.mean(first))
    assert values["EER"].mean == pytest.approx(equal_error_rate(curve), abs=1e-9)
    want = true_accept_at(curve, np.array([0.01]))[0]
    assert values["true accepts at 0.01"].mean == pytest.approx(want, abs=1e-9)
    for found in values.values():
        assert found.low <= found.mean <= found.high
    assert (study.queries, study.same, study.other) == (52, len(drawn.same), len(drawn.other))


def test_on_unit_vectors_euclidean_is_cosine_and_this_is_said(study) -> None:
    euclidean = study.metrics["euclidean"]
    assert set(euclidean.over_cosine) == set(FIGURES)
    for gain in euclidean.over_cosine.values():
        assert gain.gain == Interval(0, 0, 0)
    assert not study.metrics["cosine"].over_cosine
    assert any("rank alike" in note for note in study.notes)
    text = "\n".join(metric_lines(study))
    for name in METRICS:
        assert name in text
    assert "rank alike" in text


def stretched() -> Fold:
    """The same directions, with lengths that mean nothing."""
    rng = np.random.default_rng(0)
    long = np.exp(rng.normal(size=len(FOLD.vectors))).astype(np.float32)
    return replace(FOLD, vectors=FOLD.vectors * long[:, None])


def test_on_other_vectors_they_differ_and_this_is_said() -> None:
    fold = stretched()
    study = compare_metrics(fold, ["euclidean"], samples=200)
    assert list(study.metrics) == ["cosine", "euclidean"]
    gain = study.metrics["euclidean"].over_cosine["MAP@5"].gain
    assert gain.high < -0.1
    assert study.metrics["euclidean"].over_cosine["EER"].gain.low > 0.1
    assert any("not normalised" in note for note in study.notes)
    assert of_one_length(FOLD.vectors.astype(float))
    assert not of_one_length(fold.vectors.astype(float))


def test_a_metric_without_anything_to_learn_from_is_left_out_with_the_reason() -> None:
    fold = drawn_fold(animals=30, each=2, queries=1)
    study = compare_metrics(fold, samples=50)
    assert "mahalanobis" not in study.metrics
    assert "two different photographs" in study.left_out["mahalanobis"]
    assert "mahalanobis: left out" in "\n".join(metric_lines(study))


def test_mahalanobis_is_fitted_on_the_gallery_alone() -> None:
    fold = drawn_fold(animals=30, each=4, noise=0.8)
    turned = fold.vectors.copy()
    # Queries that differ in one direction would teach the metric to ignore it.
    turned[fold.queries, 0] += 9 * np.random.default_rng(0).normal(size=len(fold.queries)).astype(
        np.float32
    )
    seen: list[Floats] = []

    def spy(vectors: Floats, labels: np.ndarray):
        seen.append(vectors)
        return METRICS["cosine"](vectors, labels)

    study_of = replace(fold, vectors=turned)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "spy", spy)
        compare_metrics(study_of, ["spy"], samples=20)
    assert len(seen) == 1
    assert (seen[0] == fold.vectors[fold.gallery]).all()


def test_few_pairs_leave_identification() -> None:
    fold = drawn_fold(animals=9, each=4, queries=1)
    fold = replace(fold, queries=fold.queries[:3])
    study = compare_metrics(fold, samples=50)
    assert set(study.metrics["cosine"].values) == {"MAP@5", "top-1"}
    assert any("not measured" in note for note in study.notes)
    assert (study.same, study.other) == (0, 0)
    assert "EER" not in "\n".join(metric_lines(study))


def test_many_queries_are_drawn_from() -> None:
    fold = drawn_fold(animals=80, each=4)
    study = compare_metrics(fold, ["cosine"], most_differences=1, samples=20)
    assert study.queries == 100
    assert any("100 queries are drawn" in note for note in study.notes)


def test_nobody_to_find_is_refused() -> None:
    fold = drawn_fold(animals=4, each=2, unseen=3)
    refused(lambda: compare_metrics(replace(fold, queries=fold.unseen())), "nobody to find")
