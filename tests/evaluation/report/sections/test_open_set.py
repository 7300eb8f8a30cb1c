"""Known against new: rates at every threshold by counting, and AUROC as the area."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.evaluation.metrics import open_set_auroc
from flukeprint.evaluation.report.sections.open_set import open_set, open_set_curve
from tests.evaluation.report.drawn_run import drawn_run

QUERY = st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans(), st.booleans())


@given(st.lists(QUERY, min_size=2, max_size=30).filter(lambda q: len({new for _, new, _ in q}) > 1))
def test_rates_are_those_of_counting(queries):
    best, new, right = (np.array(column) for column in zip(*queries, strict=True))
    curve = open_set_curve(best, new, right)
    rows = zip(curve.thresholds, curve.false_alarm, curve.accepted, curve.identified, strict=True)
    for threshold, alarm, accepted, identified in rows:
        known = [(score, hit) for score, is_new, hit in queries if not is_new]
        strangers = [score for score, is_new, _ in queries if is_new]
        assert alarm == pytest.approx(sum(s >= threshold for s in strangers) / len(strangers))
        assert accepted == pytest.approx(sum(s >= threshold for s, _ in known) / len(known))
        assert identified == pytest.approx(
            sum(s >= threshold and hit for s, hit in known) / len(known)
        )
    assert (curve.false_alarm[0], curve.accepted[0]) == (0, 0)
    assert (curve.false_alarm[-1], curve.accepted[-1]) == (1, 1)
    area = np.trapezoid(curve.accepted, curve.false_alarm)
    assert area == pytest.approx(open_set_auroc(best, new))


def test_the_loosest_threshold_of_a_rate():
    best = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    new = np.array([False, True, False, True, False, False])
    curve = open_set_curve(best, new, ~new)
    assert curve.thresholds[curve.at_most(0.5)] == 0.7
    assert curve.thresholds[curve.at_most(0.49)] == 0.9
    assert curve.thresholds[curve.at_most(0)] == 0.9
    assert curve.thresholds[curve.at_most(1)] == 0.4
    all_new_above = open_set_curve(best, best > 0.65, best < 0.65)
    assert np.isinf(all_new_above.thresholds[all_new_above.at_most(0.1)])


def test_the_section_marks_the_threshold_where_the_counts_are(run):
    part = open_set(run)
    assert part is not None
    scores, roc, identified, table = part.blocks
    new = np.array([truth is None for truth in run.truths])
    best = run.validation.ranking.best_known
    at = roc.layers[2].at[0]
    assert at[0] == pytest.approx((best[new] >= run.validation.threshold).mean())
    assert at[1] == pytest.approx((best[~new] >= run.validation.threshold).mean())
    assert scores.marks[0].at == run.validation.threshold
    assert run.validation.expectation is not None
    missed = run.validation.expectation.missed_new.mean
    assert f"{100 * missed:.2g} % [" in part.lines[1]
    plain = run.validation.queries.ranking.take(run.validation.report)
    hits = [names[0] == truth for names, truth in zip(plain.identities, run.truths, strict=True)]
    assert identified.layers[0].y[-1] == pytest.approx(sum(hits) / (~new).sum())
    assert len(table.rows) >= 2


def test_a_closed_set_has_no_such_section(tmp_path):
    assert open_set(drawn_run(tmp_path, "data.closed_set=true", animals=12)) is None
