"""Places of the own identity by a naive ranking, ties included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.evaluation.studies.places import NearestPhotograph


def naive(row: list[float], labels: list[int], truth: int) -> int:
    """Go through the photographs, best first and lower rows first, and count identities."""
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))
    seen: list[int] = []
    for i in order:
        if labels[i] not in seen:
            seen.append(labels[i])
    return seen.index(truth) + 1


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 8))
def test_places_are_those_of_going_through_all(data: st.DataObject, n: int) -> None:
    labels = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    level = st.integers(0, 3).map(float)
    rows = data.draw(st.lists(st.lists(level, min_size=n, max_size=n), min_size=1, max_size=4))
    truths = [data.draw(st.sampled_from(labels)) for _ in rows]
    ranks = NearestPhotograph(np.array(labels))
    similarities = np.array(rows)
    found = ranks.places(similarities, np.array(truths))
    want = [naive(row, labels, truth) for row, truth in zip(rows, truths, strict=True)]
    assert found.tolist() == want
    own = ranks.own(similarities, np.array(truths))
    assert own.tolist() == [
        max(score for score, label in zip(row, labels, strict=True) if label == truth)
        for row, truth in zip(rows, truths, strict=True)
    ]


@pytest.mark.parametrize("absent", [1, 7])
def test_an_identity_that_is_not_there_is_refused(absent: int) -> None:
    ranks = NearestPhotograph(np.array([0, 2]))
    with pytest.raises(ValueError, match="not in the gallery"):
        ranks.places(np.zeros((1, 2)), np.array([absent]))
