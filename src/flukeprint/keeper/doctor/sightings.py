"""Encounters that cannot be: someone at two places at once, an animal seen after its death."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from flukeprint.keeper.doctor.findings import CatalogueFinding
from flukeprint.keeper.doctor.options import DoctorOptions
from flukeprint.records.distances import EARTH_RADIUS, great_circle
from flukeprint.records.kinds import Encounter, Individual, PhotoRecord, Position

NEARBY = 1.0  # km that are no distance, however short the time
_FARTHEST = math.pi * EARTH_RADIUS  # km, half its girth
_HOURS_A_DEGREE = 24 / 360  # local time runs ahead with longitude


def kilometres(one: Position, other: Position) -> float:
    """The least distance between two places on the sphere, their uncertainties taken off."""
    place, other_place = (
        (math.radians(p.latitude), math.radians(p.longitude)) for p in (one, other)
    )
    apart = float(great_circle(*place, *other_place))
    return max(0.0, apart - ((one.uncertainty or 0) + (other.uncertainty or 0)) / 1000)


def hours_between(one: Encounter, other: Encounter) -> float:
    """The most time that can lie between two dated and placed encounters, in hours."""
    if one.moment is None or other.moment is None:
        raise ValueError("an encounter without a date lies at no time")
    longest = max(
        abs(other.moment.latest - one.moment.earliest),
        abs(one.moment.latest - other.moment.earliest),
    )
    hours = longest.total_seconds() / 3600
    if one.moment.offset is not None and other.moment.offset is not None:
        return hours + abs(_hours(one.moment.offset) - _hours(other.moment.offset))
    if one.position is None or other.position is None:
        return hours
    turn = abs(one.position.longitude - other.position.longitude)
    return hours + min(turn, 360 - turn) * _HOURS_A_DEGREE


def two_places(
    encounters: Sequence[Encounter],
    photographs: Sequence[PhotoRecord],
    animal_speed: float = DoctorOptions.animal_speed,
    observer_speed: float = DoctorOptions.observer_speed,
) -> list[CatalogueFinding]:
    """Pairs of encounters that one animal or observer was too slow for, the fastest first.

    A date of a day or less precision counts as the time of it that makes the way easiest.
    """
    placed = {one.id: one for one in encounters if one.moment and one.position}
    shown: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    animals: defaultdict[str, set[int]] = defaultdict(set)
    for photo in photographs:
        if photo.individual is not None and photo.encounter in placed:
            animals[photo.individual].add(photo.encounter)
            shown[photo.individual, photo.encounter].append(photo.image)
    observers: defaultdict[str, set[int]] = defaultdict(set)
    for one in placed.values():
        if one.observer:
            observers[one.observer].add(one.id)
    who: defaultdict[tuple[int, int], list[tuple[bool, str]]] = defaultdict(list)
    for observed, subjects, speed in (
        (False, animals, animal_speed),
        (True, observers, observer_speed),
    ):
        for name, numbers in sorted(subjects.items()):
            for pair in _too_fast([placed[number] for number in sorted(numbers)], speed):
                who[pair].append((observed, name))
    ranked = sorted(who, key=lambda pair: (-_speed(placed[pair[0]], placed[pair[1]]), pair))
    return [_conflict(placed[a], placed[b], who[a, b], shown) for a, b in ranked]


def _conflict(
    one: Encounter,
    other: Encounter,
    who: Sequence[tuple[bool, str]],
    shown: Mapping[tuple[str, int], Sequence[str]],
) -> CatalogueFinding:
    assert one.position is not None
    assert other.position is not None
    names = tuple(name for observed, name in who if not observed)
    observers = [f"observer {name}" for observed, name in who if observed]
    words = (
        f"{', '.join((*names, *observers))}: encounter {one.id} ({one.moment}, {one.position}) and "
        f"{other.id} ({other.moment}, {other.position}) are "
        f"{kilometres(one.position, other.position):,.0f} km and at most "
        f"{hours_between(one, other):,.1f} hours apart"
    )
    groups = tuple(tuple(shown[name, number][0] for number in (one.id, other.id)) for name in names)
    about = names or tuple(observers)
    return CatalogueFinding("place", about, words, groups, encounters=(one.id, other.id))


def _too_fast(encounters: Sequence[Encounter], speed: float) -> Iterable[tuple[int, int]]:
    """Pairs of one animal's or observer's encounters, by number, that need more than `speed`."""
    ordered = sorted(encounters, key=lambda one: (_first(one), one.id))
    window = timedelta(hours=_FARTHEST / speed + 24)
    ends = [one.moment.latest for one in ordered if one.moment is not None]
    for place, one in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if _first(other) - ends[place] > window:
                break  # any place could be reached, and those after it are later
            if _speed(one, other) > speed:
                yield one.id, other.id


def _first(one: Encounter) -> datetime:
    assert one.moment is not None
    return one.moment.earliest


def _speed(one: Encounter, other: Encounter) -> float:
    assert one.position is not None
    assert other.position is not None
    way = kilometres(one.position, other.position)
    if way <= NEARBY:
        return 0.0
    return way / max(hours_between(one, other), 1 / 60)


def after_death(
    individuals: Sequence[Individual],
    encounters: Sequence[Encounter],
    photographs: Sequence[PhotoRecord],
) -> list[CatalogueFinding]:
    """Encounters of animals that were dead before, by animal and date."""
    died = {one.name: one.died for one in individuals if one.died is not None}
    dated = {one.id: one for one in encounters if one.moment is not None}
    shown: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for photo in photographs:
        if photo.individual in died and photo.encounter in dated:
            shown[photo.individual, photo.encounter].append(photo.image)
    found = []
    for (name, number), images in sorted(
        shown.items(), key=lambda item: (item[0][0], _first(dated[item[0][1]]), item[0][1])
    ):
        moment, death = dated[number].moment, died[name]
        assert moment is not None
        if moment.earliest > death.latest:
            found.append(
                CatalogueFinding(
                    "death", (name,),
                    f"seen {moment} (encounter {number}), dead since {death}",
                    (tuple(images),), encounters=(number,),
                )
            )  # fmt: skip
    return found


def _hours(offset: str) -> float:
    sign = -1 if offset.startswith("-") else 1
    return sign * (int(offset[1:3]) + int(offset[4:6]) / 60)
