"""Dots of encounters: true to scale, over the date line, and told where they cover each other."""

import math
from itertools import pairwise

import pytest

from flukeprint.serving.api.catalogue.bodies import EncounterBody, PositionBody
from flukeprint.serving.page.views.animal_map import map_dots, places_map, unwrapped
from tests.serving.page.page_facts import context, elements, read


def seen(*positions: tuple[float, float] | None) -> list[EncounterBody]:
    """Encounters at latitudes and longitudes."""
    return [
        EncounterBody(
            id=number, date=f"2026-0{number + 1}", precision="month", utc_offset=None,
            position=None if at is None else PositionBody(
                latitude=at[0], longitude=at[1], uncertainty=None
            ),
            place=f"place {number}", observer=None, occasion=None, notes=None,
        )
        for number, at in enumerate(positions)
    ]  # fmt: skip


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Along a great circle (haversine)."""
    (a, b), (c, d) = ((math.radians(x) for x in point) for point in (one, other))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(half))


@pytest.mark.parametrize(
    "at",
    [
        [(-27.0, 32.4), (-27.3, 32.9), (-26.9, 32.6)],
        [(60.0, 10.0), (60.4, 11.5), (60.2, 10.2)],
        [(65.0, 179.6), (65.2, -179.5), (64.9, -179.9)],
    ],
)
def test_distances_are_those_on_the_ground(at: list[tuple[float, float]]) -> None:
    dots = map_dots(seen(*at))
    assert len(dots) == 3
    drawn = [math.dist((a.x, a.y), (b.x, b.y)) for a, b in pairwise(dots)]
    ground = [kilometres(a, b) for a, b in pairwise(at)]
    assert drawn[0] / drawn[1] == pytest.approx(ground[0] / ground[1], rel=0.02)
    assert all(0 < one.x < 300 for one in dots)
    assert all(0 < one.y < 300 for one in dots)
    assert dots[1].x > dots[0].x  # the second is east of the first, over the date line too


def test_longitudes_go_on_over_the_date_line() -> None:
    assert unwrapped([179.0, -179.0, 178.0]) == [179.0, 181.0, 178.0]
    assert unwrapped([10.0, 20.0]) == [10.0, 20.0]
    assert unwrapped([7.0]) == [7.0]
    assert unwrapped([5.0, 5.0]) == [5.0, 5.0]


def test_one_place_is_in_the_middle_and_poles_are_no_trouble() -> None:
    (dot,) = map_dots(seen((5.0, 7.0), None))
    assert (dot.x, dot.y) == (150, 150)
    assert len(map_dots(seen((90.0, 0.0), (89.0, 180.0)))) == 2
    assert map_dots(seen(None)) == ()
    assert places_map(context(), seen(None)) == []


def test_dots_that_cover_each_other_are_told() -> None:
    page = places_map(context(), seen((1.0, 1.0), (1.0001, 1.0), (3.0, 3.0), (1.0, 1.0)))
    (drawn,) = elements(page, "svg")
    assert "2 places" in drawn.get("aria-label", "")
    assert [read(one) for one in elements(drawn, "text")] == ["3"]
    (shared,) = elements(page, id="places-shared")
    assert read(shared) == ("3 encounters here: 2026-01 place 0, 2026-02 place 1, 2026-04 place 3")
    (spanish,) = elements(places_map(context("es"), seen((1, 1), (1, 1))), id="places-shared")
    assert read(spanish).startswith("2 encuentros aquí")
    assert not list(elements(places_map(context(), seen((1, 1), (3, 3))), id="places-shared"))
