"""Encounters too far apart, and sightings after a death: distances, precision and offsets."""

from dataclasses import replace

import pytest

from flukeprint.keeper.doctor.sightings import (
    after_death,
    hours_between,
    kilometres,
    two_places,
)
from flukeprint.records.kinds import Encounter, Individual, Moment, PhotoRecord, Position


def seen(number: int, moment: str, place: tuple[float, float] | None, **more) -> Encounter:
    offset = more.pop("offset", None)
    return Encounter(
        number, Moment(moment, offset), None if place is None else Position(*place), **more
    )


def photo(number: int, who: str | None, encounter: int) -> PhotoRecord:
    return PhotoRecord(number, f"p{number}.jpg", number, who, encounter=encounter)


HOME, FAR = (-26.5, 32.0), (-25.5, 32.0)  # 111 km apart


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("2023", "2023-12-31T23:59:59"), ("2024-02", "2024-02-29T23:59:59"),
        ("2023-02-03", "2023-02-03T23:59:59"), ("2023-02-03T14:02", "2023-02-03T14:02:59"),
        ("2023-02-03T14:02:31", "2023-02-03T14:02:31"),
    ],
)  # fmt: skip
def test_the_last_moment_that_a_date_can_mean(text: str, last: str):
    assert Moment(text).latest.isoformat() == last


def test_distances_on_the_sphere():
    assert kilometres(Position(0, 0), Position(0, 90)) == pytest.approx(10_007.5, abs=1)
    assert kilometres(Position(0, 179.5), Position(0, -179.5)) == pytest.approx(111.2, abs=0.1)
    near = kilometres(Position(0, 0, 50_000), Position(0, 1, 30_000))
    assert near == pytest.approx(111.2 - 80, abs=0.1)
    assert kilometres(Position(0, 0, 200_000), Position(0, 1)) == 0


def test_the_most_time_that_lies_between():
    one = seen(1, "2024-05-03T10:00", HOME)
    assert hours_between(one, seen(2, "2024-05-03T12:00", HOME)) == pytest.approx(2, abs=0.02)
    assert hours_between(one, seen(2, "2024-05-03", HOME)) == pytest.approx(14, abs=0.02)
    # Local times without an offset may differ by the sun's way between the two.
    east = seen(2, "2024-05-03T12:00", (-26.5, 62.0))
    assert hours_between(one, east) == pytest.approx(4, abs=0.02)
    told = replace(one, moment=Moment("2024-05-03T10:00", "+02:00"))
    both = seen(2, "2024-05-03T12:00", (-26.5, 62.0), offset="+04:30")
    assert hours_between(told, both) == pytest.approx(4.5, abs=0.02)


def test_an_animal_at_two_places_is_told_once_with_its_photographs():
    encounters = [seen(1, "2024-05-03T10:00", HOME), seen(2, "2024-05-03T12:00", FAR)]
    photos = [photo(1, "a", 1), photo(2, "a", 2), photo(3, "a", 2), photo(4, "b", 2)]
    (found,) = two_places(encounters, photos)
    assert found.individuals == ("a",)
    assert found.encounters == (1, 2)
    assert found.photographs == (("p1.jpg", "p2.jpg"),)
    assert "111 km" in found.words


@pytest.mark.parametrize(
    ("moment", "place"),
    [
        ("2024-05-04T12:00", FAR),  # 26 hours for 111 km
        ("2024-05", FAR),  # it may have been any day of the month
        ("2024-05-03T10:30", (-26.5, 32.005)),  # half a kilometre
        ("2024-05-03T12:00", None),
    ],
)
def test_what_can_be_is_not_told(moment: str, place: tuple[float, float] | None):
    encounters = [seen(1, "2024-05-03T10:00", HOME), seen(2, moment, place)]
    assert two_places(encounters, [photo(1, "a", 1), photo(2, "a", 2)]) == []


def test_an_observer_is_faster_than_an_animal_but_not_that_fast():
    encounters = [
        seen(1, "2024-05-03T10:00", HOME, observer="Ana"),
        seen(2, "2024-05-03T12:00", FAR, observer="Ana"),  # an hour's drive
        seen(3, "2024-05-03T12:30", (-20.0, 32.0), observer="Ana"),
    ]
    found = two_places(encounters, [])
    assert [one.encounters for one in found] == [(2, 3), (1, 3)]
    assert found[0].individuals == ("observer Ana",)
    assert two_places(encounters, [], observer_speed=2000) == []


def test_speeds_can_be_chosen():
    encounters = [seen(1, "2024-05-03T10:00", HOME), seen(2, "2024-05-03T12:00", FAR)]
    photos = [photo(1, "a", 1), photo(2, "a", 2)]
    assert two_places(encounters, photos, animal_speed=60) == []
    assert len(two_places(encounters, photos, animal_speed=50)) == 1


def test_a_pair_further_on_is_found_too():
    """One encounter in between, at the first place, does not hide the pair."""
    encounters = [
        seen(1, "2024-05-03T08:00", HOME),
        seen(2, "2024-05-03T09:00", HOME),
        seen(3, "2024-05-03T10:00", FAR),
    ]
    photos = [photo(number, "a", number) for number in (1, 2, 3)]
    assert {one.encounters for one in two_places(encounters, photos)} == {(1, 3), (2, 3)}


def test_sightings_after_a_death():
    dead = Individual(1, "a", died=Moment("2024-05"))
    alive = Individual(2, "b")
    encounters = [
        seen(1, "2024-05-31T23:00", None),  # in its last month
        seen(2, "2024-06-01", None),
        seen(3, "2024", None),  # perhaps before
        Encounter(4),
    ]
    photos = [photo(number, "a", number) for number in (1, 2, 3, 4)]
    photos += [photo(5, "a", 2), photo(6, "b", 2), photo(7, None, 2)]
    (found,) = after_death([dead, alive], encounters, photos)
    assert found.individuals == ("a",)
    assert found.encounters == (2,)
    assert found.photographs == (("p2.jpg", "p5.jpg"),)
