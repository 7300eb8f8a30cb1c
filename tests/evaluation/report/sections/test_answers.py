"""Which queries are shown with their answers, and which animals are confused."""

from collections import Counter

import numpy as np
import pytest

from flukeprint.evaluation.report.charts import PhotoRows
from flukeprint.evaluation.report.sections.answers import KINDS, answers, nearest_of, pick
from flukeprint.evaluation.report.sections.confusions import confused_pairs, confusions
from tests.evaluation.report.drawn_run import drawn_run


def test_every_query_is_of_one_kind_or_a_new_animal_that_was_told(run):
    every = [pick(run, wanted, highest, most=10_000) for wanted, highest, _ in KINDS.values()]
    told = [
        place
        for place, (truth, names) in enumerate(
            zip(run.truths, run.validation.ranking.identities, strict=True)
        )
        if truth is None and names[0] is None
    ]
    assert sorted(place for places in [*every, told] for place in places) == list(
        range(len(run.truths))
    )
    assert all(every)


@pytest.mark.parametrize("title", KINDS)
def test_the_surest_come_first(run, title):
    wanted, highest, _ = KINDS[title]
    scores = run.validation.ranking.best_known[pick(run, wanted, highest, most=10_000)]
    assert (np.diff(scores) <= 0).all() if highest else (np.diff(scores) >= 0).all()


def test_rows_show_query_answers_and_the_right_animal(run):
    part = answers(run)
    blocks = {block.title: block for block in part.blocks if isinstance(block, PhotoRows)}
    assert set(blocks) == set(KINDS)
    for row in blocks["Surest right answers"].rows:
        query, first, *_ = row.photos
        assert query.mark == "query"
        assert first.mark == "right"
        assert query.lines[1] == f"is {first.lines[0]}"
        assert query.photo is not None
    for row in blocks["Missed new animals"].rows:
        assert row.photos[1].mark == "wrong"
        assert "new_whale" in row.photos[0].lines[1]
    for row in blocks["False new animals"].rows:
        assert row.photos[1].photo is None
        marks = [shown.mark for shown in row.photos]
        assert ("right" in marks) != row.photos[-1].lines[0].startswith("right: ")
    number = sum(int(line.split(": ")[1].split()[0]) for line in part.lines[1:])
    assert number <= len(run.truths)


def test_the_nearest_photograph_of_an_animal(run):
    query = next(place for place, truth in enumerate(run.truths) if truth is not None)
    name = run.truths[query]
    row = nearest_of(run, query, name)
    own = [g for g in run.split.gallery if run.catalog.identities[g] == name]
    cosines = {g: float(run.embeddings.vectors[g] @ run.embeddings.vectors[run.queries[query]])
               for g in own}  # fmt: skip
    assert row in own
    assert cosines[row] == max(cosines.values())


def test_confusions_are_counted(run):
    plain = run.validation.queries.ranking.take(run.validation.report)
    wrong = Counter(
        (truth, names[0])
        for truth, names in zip(run.truths, plain.identities, strict=True)
        if truth is not None and names[0] != truth
    )
    found = confused_pairs(run)
    assert found
    assert {(pair.first, pair.second): pair.one for pair in found} | {
        (pair.second, pair.first): pair.other for pair in found if pair.other
    } == dict(wrong)
    totals = [pair.one + pair.other for pair in found]
    assert totals == sorted(totals, reverse=True)
    assert all(pair.one >= pair.other for pair in found)


def test_similarity_of_confused_animals_is_the_mean_of_all_pairs(run):
    pair = confused_pairs(run)[0]
    used = [*run.split.gallery, *run.queries]
    vectors = run.embeddings.vectors.astype(float)
    one, other = (
        [row for row in used if run.catalog.identities[row] == name]
        for name in (pair.first, pair.second)
    )
    between = np.mean([vectors[a] @ vectors[b] for a in one for b in other])
    within = [vectors[a] @ vectors[b] for rows in (one, other) for a in rows for b in rows if a < b]
    assert pair.similarity == pytest.approx(between)
    assert pair.within == pytest.approx(np.mean(within))
    assert {run.catalog.identities[pair.query], run.catalog.identities[pair.answer]} == {
        pair.first, pair.second,
    }  # fmt: skip


def test_a_fold_without_errors_has_no_confusions(tmp_path):
    assert confusions(drawn_run(tmp_path, spread=0.01)) is None
