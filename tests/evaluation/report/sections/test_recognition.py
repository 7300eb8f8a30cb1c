"""CMC and MAP@5: against places counted by hand."""

import numpy as np
import pytest

from flukeprint.evaluation.report.sections.recognition import cmc_of, recognition
from tests.evaluation.report.drawn_run import drawn_run


def test_cmc_is_the_share_of_right_animals_among_the_first(run):
    similar = run.embeddings.vectors[run.queries] @ run.embeddings.vectors[run.split.gallery].T
    owners = np.array([run.catalog.identities[row] for row in run.split.gallery])
    places = []
    for line, truth in zip(similar, run.truths, strict=True):
        if truth is not None:
            best = {name: line[owners == name].max() for name in set(owners)}
            places.append(sorted(best, key=lambda name: -best[name]).index(truth))
    found = cmc_of(run)
    by_hand = [np.mean(np.array(places) < k) for k in range(1, 21)]
    np.testing.assert_allclose(found, by_hand)
    assert 0 < found[0] < found[-1]


def test_cmc_ends_with_the_last_animal(tmp_path):
    run = drawn_run(tmp_path, "data.closed_set=true", animals=12)
    animals = len({run.catalog.identities[row] for row in run.split.gallery})
    found = cmc_of(run)
    assert len(found) == animals < 20
    assert found[-1] == 1
    part = recognition(run)
    assert [row[0] for row in part.blocks[-1].rows] == ["all"]


def test_the_table_tells_known_from_new(run):
    part = recognition(run)
    cmc, map5, table = part.blocks
    rows = {row[0]: row for row in table.rows}
    new = sum(truth is None for truth in run.truths)
    assert rows["of new animals"][1] == str(new)
    assert rows["of known animals"][1] == str(len(run.truths) - new)
    assert rows["all"][2] == run.validation.scores.map5.text()
    both = zip(run.validation.ranking.identities, run.truths, strict=True)
    right = [names[0] is None for names, truth in both if truth is None]
    assert rows["of new animals"][3].startswith(f"{np.mean(right):.3f} ")
    assert map5.layers[0].labels == (
        "this network", "never new", "always new first", "five commonest labels",
    )  # fmt: skip
    assert map5.layers[0].values[0] == pytest.approx(run.validation.scores.map5.mean)
    assert cmc.layers[0].y[0] == cmc_of(run)[0]
