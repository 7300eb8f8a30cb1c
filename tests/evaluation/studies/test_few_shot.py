"""Episodes without leakage, and accuracies that are known beforehand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.evaluation.studies import few_shot
from flukeprint.evaluation.studies.few_shot import (
    CLASSIFIERS,
    check_cells,
    few_shot_lines,
    few_shots,
)
from flukeprint.evaluation.studies.fold import Fold
from tests.evaluation.studies.folds import drawn_fold
from tests.refusals import refused


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_separable_clusters_are_always_right(classifier: str) -> None:
    fold = drawn_fold(animals=25, each=7, noise=0.001, trained=False)
    study = few_shots(fold, episodes=60)
    assert [(cell.ways, cell.shots) for cell in study.cells] == [(5, 1), (5, 5), (20, 1), (20, 5)]
    for cell in study.cells:
        assert cell.over_episodes[classifier].mean == 1
        # 25 animals that are always right: the rule of 3.
        assert cell.over_animals[classifier].low == pytest.approx(1 - 3 / 25)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("alike", [False, True])
def test_random_vectors_are_right_by_chance(classifier: str, alike: bool) -> None:
    fold = drawn_fold(animals=60, each=8, noise=1e6, trained=False)
    if alike:  # all photographs the same: every animal ties
        fold = replace(fold, vectors=np.tile(fold.vectors[:1], (len(fold.vectors), 1)))
    for cell in few_shots(fold, episodes=400).cells:
        found = cell.over_episodes[classifier]
        # Within three standard errors; photographs repeat, so by more than binomial ones.
        assert found.mean == pytest.approx(1 / cell.ways, abs=3 / np.sqrt(60 * cell.ways))
        if alike:
            assert found.mean == pytest.approx(1 / cell.ways)
        else:
            over_animals = cell.over_animals[classifier]
            assert over_animals.low - 0.02 < 1 / cell.ways < over_animals.high + 0.02


def test_more_shots_are_better_and_more_ways_worse() -> None:
    fold = drawn_fold(animals=60, each=8, noise=1.2, trained=False)
    of = {(c.ways, c.shots): c.over_episodes["prototype"] for c in few_shots(fold).cells}
    assert of[5, 5].low > of[5, 1].high
    assert of[20, 5].low > of[20, 1].high
    assert of[5, 1].low > of[20, 1].high


def test_one_shot_is_the_same_by_both() -> None:
    fold = drawn_fold(animals=30, noise=1.2, trained=False)
    cell = few_shots(fold, [5], [1], episodes=200).cells[0]
    first, second = (cell.over_episodes[name] for name in CLASSIFIERS)
    assert first == second
    assert 0.3 < first.mean < 0.99


def test_classifiers_by_their_definition() -> None:
    support = np.array([[[1, 0], [0, 1]], [[0.6, 0.8], [-0.6, 0.8]]])
    queries = np.array([[1, 0], [0.6, 0.8], [0, 1]])
    # Prototypes at 45 and at 90 degrees, the second query at 53.
    assert CLASSIFIERS["prototype"](support, queries).tolist() == [0, 0, 1]
    # The third photograph of the queries is the second of the first animal.
    assert CLASSIFIERS["nearest photograph"](support, queries).tolist() == [0, 1, 0]
    queries = np.array([[0.0, 1]])
    tied = np.array([[[0.0, 1]], [[0.0, 1]]])
    for classify in CLASSIFIERS.values():
        assert classify(tied, queries).tolist() == [0]


def episodes_of(fold: Fold, ways: int, shots: int, number: int) -> list[tuple[np.ndarray, ...]]:
    """The rows of support and of queries that a study looked at."""
    seen = []
    draw = few_shot._episode

    def spy(*arguments: object):
        found = draw(*arguments)  # type: ignore[arg-type]
        seen.append(found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_shot, "_episode", spy)
        few_shots(fold, [ways], [shots], episodes=number)
    return seen


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.integers(2, 4), st.integers(1, 3))
def test_no_two_photographs_of_an_episode_are_of_one_group(
    seed: int, ways: int, shots: int
) -> None:
    rng = np.random.default_rng(seed)
    fold = drawn_fold(animals=8, each=8, dimension=4, unnamed=3, trained=False)
    # Bursts of an animal, and pictures that show several.
    fold = replace(fold, groups=rng.integers(40, size=len(fold.groups)), seed=seed)
    for _, support, queries in episodes_of(fold, ways, shots, 10):
        assert support.shape == (ways, shots)
        rows = [*support.ravel().tolist(), *queries.tolist()]
        assert len({int(fold.groups[row]) for row in rows}) == len(rows)
        names = [fold.identities[row] for row in queries]
        assert len(set(names)) == ways
        assert None not in names
        for name, mine in zip(names, support, strict=True):
            assert {fold.identities[row] for row in mine} == {name}


def test_unseen_animals_are_taken_where_they_are_enough() -> None:
    fold = drawn_fold(animals=30, each=4, unseen=6)
    study = few_shots(fold, [5, 20], [1], episodes=20)
    assert [cell.source for cell in study.cells] == ["unseen", "seen"]
    assert [cell.animals for cell in study.cells] == [6, 24]
    for _, support, queries in episodes_of(fold, 5, 1, 20):
        assert not any(fold.trained[row] for row in [*support.ravel(), *queries])
    # Seen animals are asked for with photographs that training did not see.
    for _, support, queries in episodes_of(fold, 20, 1, 5):
        assert np.isin(queries, fold.queries).all()
        assert np.isin(support, fold.gallery).all()
        assert all(fold.trained[row] for row in queries)
    text = "\n".join(few_shot_lines(study))
    assert "training saw these animals" in text
    assert "training saw no photograph of these animals" in text
    assert "Episodes share animals and photographs" in text


def test_too_few_animals_are_refused_with_their_number() -> None:
    fold = drawn_fold(animals=7, each=3, trained=False)
    for call in (
        lambda: few_shots(fold, [5, 20], [2], strict=True),
        lambda: few_shots(fold, [20], [2]),
        lambda: check_cells(fold, [5, 20], [2], strict=True),
    ):
        refused(call, "20-way 2-shot", "found 7 animals", "3 photographs")
    refused(lambda: few_shots(fold, [5], [3]), "found 0 animals")
    study = few_shots(fold, [5, 20], [2], episodes=10)
    assert len(study.cells) == 1
    assert "20-way" in study.refused[0]
    check_cells(fold, [5, 20], [2], strict=False)
    seen = drawn_fold(animals=12, each=4, unseen=2)
    refused(
        lambda: few_shots(seen, [11], [1], strict=True),
        "2 animals that training never saw", "10 animals in the gallery",
    )  # fmt: skip


@pytest.mark.parametrize(("ways", "shots"), [(1, 1), (5, 0)])
def test_numbers_that_make_no_episode_are_refused(ways: int, shots: int) -> None:
    refused(lambda: few_shots(drawn_fold(), [ways], [shots]), "at least 2 ways and 1 shot")


def test_a_burst_counts_once() -> None:
    fold = drawn_fold(animals=6, each=4, trained=False)
    bursts = np.arange(len(fold.groups)) // 4  # every animal has one burst
    refused(lambda: few_shots(replace(fold, groups=bursts), [5], [1]), "found 0 animals")
    bursts = np.arange(len(fold.groups)) // 2
    study = few_shots(replace(fold, groups=bursts), [5], [1], episodes=5)
    assert study.cells[0].animals == 6
    refused(lambda: few_shots(replace(fold, groups=bursts), [5], [2]), "found 0 animals")


def test_pictures_that_all_animals_share_are_refused() -> None:
    fold = drawn_fold(animals=6, each=2, trained=False)
    shared = np.arange(len(fold.groups)) % 2  # two pictures, a box of every animal in each
    refused(lambda: few_shots(replace(fold, groups=shared), [5], [1]), "fewer ways")


def test_the_same_seed_gives_the_same_figures() -> None:
    fold = drawn_fold(animals=20, noise=1.2, trained=False)
    first, again = (few_shots(fold, [5], [1], episodes=50).cells for _ in range(2))
    assert first == again
    assert few_shots(replace(fold, seed=1), [5], [1], episodes=50).cells != first
