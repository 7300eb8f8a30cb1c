"""A prior by time and place: its properties, and that what was put in is found again."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.ranking.encounters.priors import (
    EncounterPrior,
    PriorNumbers,
    fit_prior,
)
from flukeprint.records.kinds import Encounter, Moment, Position

NAMES = ("a", "b", "c", "d")
YEARS = st.integers(1904, 2020)


@st.composite
def moments(draw):
    parts = [f"{draw(YEARS)}", f"{draw(st.integers(1, 12)):02d}", f"{draw(st.integers(1, 28)):02d}"]
    text = "-".join(parts[: draw(st.integers(1, 3))])
    if len(text) == 10 and draw(st.booleans()):
        text += f"T{draw(st.integers(0, 23)):02d}:30"
    return Moment(text)


def positions():
    return st.builds(
        Position, st.floats(-90, 90), st.floats(-180, 180), st.none() | st.floats(0, 1e5)
    )


@st.composite
def sightings(draw):
    times, places = st.none() | moments(), st.none() | positions()
    return [
        (draw(st.sampled_from(NAMES)), Encounter(number, draw(times), draw(places)))
        for number in range(draw(st.integers(1, 8)))
    ]


def numbers():
    return st.builds(
        PriorNumbers,
        kilometres=st.floats(0.1, 1000),
        near_floor=st.floats(0.01, 1),
        years=st.floats(0.02, 30),
        recent_floor=st.floats(0.01, 1),
        weight=st.floats(0, 1),
    )


def later(moment: Moment, years: int) -> Moment:
    return Moment(f"{int(moment.text[:4]) + years:04d}{moment.text[4:]}")


@given(sightings(), numbers(), st.none() | moments(), st.none() | positions())
def test_no_animal_is_impossible_and_the_average_one_is_neutral(seen, fitted, when, where):
    prior = EncounterPrior.of(seen, fitted)
    logs = prior.log_weights(prior.names, when, where)
    assert np.isfinite(logs).all()
    assert np.exp(logs).mean() == pytest.approx(1)
    # Two floors bound how far apart two animals can be.
    most = -fitted.weight * (math.log(fitted.near_floor) + math.log(fitted.recent_floor))
    assert np.ptp(logs) <= most + 1e-9
    assert prior.log_weights(["nobody"], when, where).tolist() == [0.0]


@given(sightings(), numbers(), moments(), st.none() | positions(), st.integers(-8, 8))
def test_only_gaps_in_time_count(seen, fitted, when, where, steps):
    # Four years have 1461 days from 1901 to 2099.
    moved = [
        (name, Encounter(e.id, e.moment and later(e.moment, 4 * steps), e.position))
        for name, e in seen
    ]
    if not all(1902 <= int(str(m)[:4]) <= 2098 for _, e in moved if (m := e.moment)):
        return
    if not 1902 <= int(later(when, 4 * steps).text[:4]) <= 2098:
        return
    one = EncounterPrior.of(seen, fitted).log_weights(NAMES, when, where)
    other = EncounterPrior.of(moved, fitted).log_weights(NAMES, later(when, 4 * steps), where)
    np.testing.assert_allclose(one, other, atol=1e-6)


@given(numbers(), moments(), moments(), positions(), positions())
def test_it_is_symmetric(fitted, when, then, here, there):
    beside = ("b", Encounter(2, Moment("1950"), Position(0, 0)))
    one = EncounterPrior.of([("a", Encounter(1, then, there)), beside], fitted)
    other = EncounterPrior.of([("a", Encounter(1, when, here)), beside], fitted)
    for mine, theirs in zip(one.parts(when, here), other.parts(then, there), strict=True):
        assert mine[0] == pytest.approx(theirs[0], abs=1e-9)


@given(sightings(), numbers(), st.none() | moments(), st.none() | positions())
def test_without_weight_or_without_knowledge_all_are_alike(seen, fitted, when, where):
    silent = EncounterPrior.of(seen, fitted.model_copy(update={"weight": 0.0}))
    np.testing.assert_allclose(silent.log_weights(NAMES, when, where), 0, atol=1e-9)
    told = EncounterPrior.of(seen, fitted)
    np.testing.assert_allclose(told.log_weights(NAMES, None, None), 0, atol=1e-9)


@given(sightings(), numbers(), moments(), positions(), st.randoms())
def test_the_order_of_the_sightings_does_not_matter(seen, fitted, when, where, random):
    mixed = list(seen)
    random.shuffle(mixed)
    np.testing.assert_allclose(
        EncounterPrior.of(seen, fitted).log_weights(NAMES, when, where),
        EncounterPrior.of(mixed, fitted).log_weights(NAMES, when, where),
        atol=1e-9,
    )


def test_the_weights_are_those_of_the_formula() -> None:
    fitted = PriorNumbers(kilometres=50, near_floor=0.1, years=2, recent_floor=0.2, weight=0.5)
    seen = [
        ("a", Encounter(1, Moment("2020-06-01"), Position(0, 0))),
        ("a", Encounter(2, Moment("2010-06-01"), Position(0, 1))),
        ("b", Encounter(3, Moment("2019-06-02"), None)),
        ("c", Encounter(4, None, Position(0, 0.5))),
    ]
    degree = 6371.0 * math.pi / 180
    day, gap = 1 / 365.2425, Moment("2020-12-01").earliest.toordinal()
    near = {
        "a": 0.1 + 0.9 * (1 + math.exp(-((degree / 50) ** 2) / 2)) / 2,
        "c": 0.1 + 0.9 * math.exp(-((degree / 100) ** 2) / 2),
    }
    recent = {
        name: 0.2 + 0.8 * math.exp(-((gap - Moment(last).earliest.toordinal() - 1) * day) / 2)
        for name, last in (("a", "2020-06-01"), ("b", "2019-06-02"))
    }
    near["b"], recent["c"] = sum(near.values()) / 2, sum(recent.values()) / 2
    weights = {name: (near[name] * recent[name]) ** 0.5 for name in "abc"}
    mean = sum(weights.values()) / 3
    got = EncounterPrior.of(seen, fitted).log_weights("cab", Moment("2020-12-01"), Position(0, 0))
    np.testing.assert_allclose(got, [math.log(weights[name] / mean) for name in "cab"], atol=1e-9)


def test_uncertain_dates_and_places_are_as_near_as_they_can_be() -> None:
    fitted = PriorNumbers(kilometres=1, near_floor=0.01, years=0.1, recent_floor=0.01, weight=1)
    prior = EncounterPrior.of(
        [("a", Encounter(1, Moment("2020"), Position(10, 10, 20_000)))], fitted
    )
    near, recent = prior.parts(Moment("2020-07-03"), Position(10.1, 10))
    assert (near[0], recent[0]) == (0, 0)
    near, recent = prior.parts(Moment("2021-02"), Position(10.3, 10))
    assert near[0] < -1
    assert recent[0] == pytest.approx(math.log(0.01 + 0.99 * math.exp(-31 / 365.2425 / 0.1)))


def drawn(homes: float, seed: int = 0) -> list[tuple[str, Encounter]]:
    """Sightings of 25 animals within some 2 km of their homes, which lie within `homes` degrees."""
    rng = np.random.default_rng(seed)
    found = []
    for animal in range(25):
        latitude, longitude = rng.uniform(-homes, homes, 2)
        for _ in range(6):
            day = f"{rng.integers(2000, 2024)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
            place = Position(latitude + rng.normal(0, 0.02), longitude + rng.normal(0, 0.02))
            found.append((f"n_{animal}", Encounter(len(found), Moment(day), place)))
    return found


def foretold(prior: EncounterPrior, seen: list[tuple[str, Encounter]]) -> float:
    """Mean log-likelihood of the animal seen, each encounter left out."""
    total = 0.0
    for name, encounter in seen:
        rest = [each for each in seen if each[1].id != encounter.id]
        without = EncounterPrior.of(rest, prior.numbers)
        logs = without.log_weights(without.names, encounter.moment, encounter.position)
        total += logs[without.names.index(name)] - np.log(np.exp(logs).sum())
    return total / len(seen)


def test_animals_with_homes_are_foretold_by_place() -> None:
    seen = drawn(homes=1.0)
    prior = fit_prior(seen)
    fitted = prior.numbers
    assert fitted.weight > 0
    assert fitted.near_floor < 0.3
    assert 0.5 <= fitted.kilometres <= 30
    assert fitted.encounters == len(seen)
    # The gain that it tells is that of leaving each encounter out.
    assert fitted.gain == pytest.approx(foretold(prior, seen) + math.log(25), abs=1e-6)
    assert fitted.gain > 1
    other = drawn(homes=1.0, seed=5)
    assert foretold(EncounterPrior.of(other, fitted), other) + math.log(25) > 1
    assert (
        EncounterPrior.of(seen, PriorNumbers.model_validate_json(fitted.model_dump_json()))
        is not None
    )


def test_animals_that_are_everywhere_at_any_time_get_no_prior() -> None:
    rng = np.random.default_rng(3)
    seen = drawn(homes=0.0)
    names = [name for name, _ in seen]
    rng.shuffle(names)
    mixed = [(name, encounter) for name, (_, encounter) in zip(names, seen, strict=True)]
    assert fit_prior(mixed).numbers == PriorNumbers(encounters=len(mixed))


def test_few_encounters_fit_nothing() -> None:
    seen = drawn(homes=1.0)[:18]
    assert fit_prior(seen).numbers == PriorNumbers()
    assert fit_prior([]).log_weights(["a"], Moment("2020"), None).tolist() == [0.0]
    same = [(name, Encounter(1, encounter.moment, None)) for name, encounter in drawn(1.0)]
    assert fit_prior(same).numbers.weight == 0  # one encounter tells nothing of another


@settings(max_examples=10, deadline=None)
@given(sightings())
def test_any_catalogue_can_be_fitted(seen):
    prior = fit_prior(seen * 5)
    assert np.isfinite(prior.log_weights(NAMES, Moment("2000-01-01"), Position(0, 0))).all()
