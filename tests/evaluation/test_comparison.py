"""The paired bootstrap against resampling one by one, and what does not compare."""

import numpy as np
import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.evaluation.comparison import Judged, compare_answers, paired_bootstrap, pooled
from flukeprint.evaluation.metrics import open_set_auroc

ORDER = ("a", "b", "c", "d", "e")


def run(places: list[int], first: int = 0, truth: str | None = "a", photos: int = 2) -> QueryTable:
    """Queries whose right answer is at these places (0: missing)."""
    found = []
    for place in places:
        others = [name for name in ORDER if name != truth]
        names = [*others[: place - 1], truth, *others[place - 1 :]] if place else others
        found.append(tuple(names[:5]))
    q = len(places)
    return QueryTable(
        images=tuple(f"{i}.jpg" for i in range(first, first + q)),
        truths=(truth,) * q,
        views=(None,) * q,
        photos=(photos,) * q,
        found=tuple(found),
        first_score=np.linspace(0, 1, q),
        best_known=np.linspace(0, 1, q),
    )


def judged(*runs: QueryTable, folds: tuple[int, ...] | None = None, data: str = "d") -> Judged:
    return Judged("recipe", data, tuple(range(len(runs))) if folds is None else folds, runs)


def test_it_agrees_with_resampling_pairs_one_by_one() -> None:
    rng = np.random.default_rng(0)
    a = rng.choice([0, 0.2, 0.5, 1], 200)
    b = np.where(rng.random(200) < 0.8, a, rng.choice([0, 0.2, 0.5, 1], 200)) + 0.01
    found = paired_bootstrap(a, b)
    means = []
    for _ in range(5000):
        rows = rng.integers(0, 200, 200)
        means.append(b[rows].mean() - a[rows].mean())
    assert (found.a, found.b) == (pytest.approx(a.mean()), pytest.approx(b.mean()))
    assert found.gain.mean == pytest.approx(b.mean() - a.mean())
    assert found.gain.low == pytest.approx(np.quantile(means, 0.025), abs=0.004)
    assert found.gain.high == pytest.approx(np.quantile(means, 0.975), abs=0.004)
    assert found.better == pytest.approx(np.mean(np.array(means) > 0), abs=0.02)
    back = paired_bootstrap(b, a)
    assert back.gain.mean == pytest.approx(-found.gain.mean)
    assert back.better == pytest.approx(1 - found.better, abs=0.02)


def test_the_same_is_never_better_and_always_better_is_always() -> None:
    a = np.random.default_rng(0).choice([0, 1 / 3, 0.2, 1], 50)
    same = paired_bootstrap(a, a)
    assert (same.gain.low, same.gain.mean, same.gain.high, same.better) == (0, 0, 0, 0)
    assert paired_bootstrap(a, a + 0.1).better == 1
    assert "B - A +0.100 [+0.100, +0.100]" in paired_bootstrap(a, a + 0.1).text()


def test_pairing_tells_what_unpaired_intervals_do_not() -> None:
    a = np.tile([0.0, 1.0], 50)
    b = a.copy()
    b[:20:2] = 1  # ten more are right, none is lost
    assert paired_bootstrap(a, b).better > 0.99


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        gains = rng.choice([-1.0, 0.0, 1.0], 100, p=[0.2, 0.5, 0.3])
        gain = paired_bootstrap(np.zeros(100), gains, seed=trial, samples=500).gain
        covered += gain.low <= 0.1 <= gain.high
    assert 0.9 <= covered / 200 <= 0.99


def test_folds_are_pooled_and_seeds_averaged() -> None:
    a = judged(run([1, 2]), run([0, 0, 1]))
    # Fold 0 by two seeds: 1 and 1/2 at the first photo, 1/2 and 0 at the second.
    b = judged(run([1, 2]), run([2, 0]), run([1, 0, 1]), folds=(0, 0, 1))
    found = compare_answers(a, b)
    assert found.queries == 5
    assert found.map5.a == pytest.approx((1 + 0.5 + 0 + 0 + 1) / 5)
    assert found.map5.b == pytest.approx((0.75 + 0.25 + 1 + 0 + 1) / 5)
    assert found.top1.a == pytest.approx(2 / 5)
    assert found.top1.b == pytest.approx((0.5 + 0 + 1 + 0 + 1) / 5)
    assert found.folds == (0, 1)


def test_only_common_queries_count() -> None:
    found = compare_answers(judged(run([1, 1, 2])), judged(run([1, 0, 0, 0], first=1)))
    assert (found.queries, found.left_out) == (2, 3)
    assert found.map5.a == pytest.approx(0.75)
    assert found.map5.b == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (judged(run([1])), judged(run([1]), data="e"), "other photographs or labels"),
        (judged(run([1])), judged(run([1]), run([1])), "run crossvalidate for the missing"),
        (judged(run([1])), judged(run([1], first=5)), "no query in common"),
        (judged(run([1])), judged(run([1], truth="b")), "split differently"),
        (judged(run([1])), judged(run([1], photos=3)), "split differently"),
    ],
)
def test_what_does_not_compare_is_refused(a: Judged, b: Judged, said: str) -> None:
    with pytest.raises(FlukeprintError, match=said):
        compare_answers(a, b)


def test_pooled_figures_count_a_query_once() -> None:
    new = run([1, 0], first=10, truth=None, photos=0)
    known = run([1, 2, 0])
    both = QueryTable(
        known.images + new.images,
        known.truths + new.truths,
        known.views + new.views,
        known.photos + new.photos,
        known.found + new.found,
        np.zeros(5),
        np.array([0.9, 0.5, 0.2, 0.3, 0.1]),
    )
    figures = pooled(judged(both, both, known, folds=(0, 0, 1)))
    assert (figures.queries, figures.new_queries) == (8, 2)
    assert figures.map5.mean == pytest.approx((2.5 + 1.5) / 8)
    assert figures.top1.mean == pytest.approx(3 / 8)
    assert figures.auroc is not None  # of the two open runs; the closed one has none
    assert figures.auroc.mean == open_set_auroc(both.best_known, both.is_new)
