"""Same and different pairs: against all pairs by hand, and normal distributions in closed form."""

import numpy as np
import pytest
from scipy.stats import norm

from flukeprint.evaluation.report.charts import Chart
from flukeprint.evaluation.report.sections.pairs import (
    by_cosine,
    measure_overlap,
    pairs,
    query_pairs,
)
from flukeprint.evaluation.verification import Pairs
from tests.evaluation.report.drawn_run import drawn_run


def by_hand(run):
    """Similarities of all pairs of a reporting query and a photograph of the gallery."""
    same, other = [], []
    for row, truth in zip(run.queries, run.truths, strict=True):
        for shown in run.split.gallery:
            cosine = sum(
                float(a) * float(b)
                for a, b in zip(run.embeddings.vectors[row], run.embeddings.vectors[shown],
                                strict=True)
            )  # fmt: skip
            (same if run.catalog.identities[shown] == truth else other).append(cosine)
    return same, other


def test_all_pairs_are_those_of_queries_and_gallery(run):
    same, other = by_hand(run)
    found = query_pairs(run)
    np.testing.assert_allclose(np.sort(found.same), np.sort(same), atol=1e-6)
    np.testing.assert_allclose(np.sort(found.other), np.sort(other), atol=1e-6)


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0])
def test_overlap_of_two_normal_distributions(apart):
    rng = np.random.default_rng(0)
    found = measure_overlap(Pairs(rng.normal(apart, 1, 200_000), rng.normal(0, 1, 200_000)))
    # Weitzman 1970; of two normal distributions with one spread 2 * Phi(-|difference| / 2).
    assert found.coefficient == pytest.approx(2 * norm.cdf(-apart / 2), abs=0.02)
    assert found.other_above == pytest.approx(norm.sf(apart), abs=0.005)
    assert found.same_below == pytest.approx(norm.cdf(-apart), abs=0.005)
    assert found.median_same - found.median_other == pytest.approx(apart, abs=0.01)


def test_pairs_that_are_apart_do_not_overlap():
    found = measure_overlap(Pairs(np.array([0.9, 0.8]), np.array([0.1, 0.2, 0.3])))
    assert (found.coefficient, found.other_above, found.same_below) == (0, 0, 0)
    equal = measure_overlap(Pairs(np.array([0.5]), np.array([0.5, 0.5])))
    assert equal.coefficient == 1


def test_the_section_tells_the_numbers(run):
    same, other = map(np.array, by_hand(run))
    part = pairs(run)
    assert part is not None
    above = 100 * (other > np.median(same)).mean()
    assert f"{above:.2g} % of the different pairs are more alike" in part.lines[1]
    (chart,) = part.blocks
    assert isinstance(chart, Chart)
    assert f"{len(same):,} pairs of one animal and {len(other):,}" in chart.caption
    assert [layer.shares.sum() for layer in chart.layers] == pytest.approx([1, 1])
    assert chart.marks[0].at == run.validation.threshold
    at = 100 * (same >= run.validation.threshold).mean()
    assert f"{at:.0f} % of the same pairs" in part.lines[2]


def test_a_threshold_of_another_scale_is_not_drawn(tmp_path):
    run = drawn_run(tmp_path, "rank.reciprocal=4")
    assert not by_cosine(run)
    part = pairs(run)
    assert part is not None
    assert part.blocks[0].marks == ()
    assert "is on the scale of its ranking rules" in part.lines[-1]
