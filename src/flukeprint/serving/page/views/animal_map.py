"""Where an animal was seen, as dots to the north up; no map of anybody else is needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import htpy as html

from flukeprint.serving.api.catalogue.bodies import EncounterBody, PositionBody
from flukeprint.serving.page.context import Content, PageContext, aria, shown

_SIDE, _EDGE = 300, 28  # of the map, px
_DOT = 6  # radius of the dot of one encounter, px
_COVERED = 14  # px between two dots below which they are one
_FLATTEST = 0.05  # least cosine of a latitude, near a pole


@dataclass(frozen=True)
class MapDot:
    """A dot at x, y px from the map's left and top, for encounters that are close to each other."""

    x: float
    y: float
    encounters: tuple[EncounterBody, ...]


def places_map(context: PageContext, seen: Sequence[EncounterBody]) -> Content:
    """The map of encounters with a position; nothing where there are none."""
    dots = map_dots(seen)
    if not dots:
        return []
    drawn = []
    for dot in dots:
        count = len(dot.encounters)
        radius = _DOT if count == 1 else _DOT + 3
        parts: Content = [
            html.title[_told(context, dot)],
            html.circle(cx=f"{dot.x:.1f}", cy=f"{dot.y:.1f}", r=str(radius)),
        ]
        if count > 1:
            parts.append(html.text(x=f"{dot.x:.1f}", y=f"{dot.y + 4:.1f}")[context.number(count)])
        drawn.append(html.g[parts])
    shared = [
        html.li[_told(context, dot)]
        for dot in sorted(dots, key=lambda one: -len(one.encounters))
        if len(dot.encounters) > 1
    ]
    return [
        html.h2(class_="quiet")[context.text("animal_places")],
        html.svg(
            aria(label=context.text("animal_map", count=context.number(len(dots)))),
            viewBox=f"0 0 {_SIDE} {_SIDE}", role="img", class_="places",
        )[drawn],
        html.p(class_="hint")[_corners([one for dot in dots for one in _positions(dot)])],
        html.ul(class_="hint", id="places-shared")[shared] if shared else None,
    ]  # fmt: skip


def map_dots(seen: Sequence[EncounterBody]) -> tuple[MapDot, ...]:
    """The dots of encounters with a position, in one scale for both directions.

    Degrees of longitude are as short as they are at the middle latitude (equirectangular
    projection).  Dots that would cover each other are one, in the middle of theirs.
    """
    placed = [(one, one.position) for one in seen if one.position is not None]
    if not placed:
        return ()
    east = unwrapped([position.longitude for _, position in placed])
    north = [position.latitude for _, position in placed]
    shrunk = max(_FLATTEST, math.cos(math.radians((min(north) + max(north)) / 2)))
    across = [longitude * shrunk for longitude in east]
    middle = [(min(side) + max(side)) / 2 for side in (across, north)]
    wide = max(max(across) - min(across), max(north) - min(north)) or 1.0
    scale = (_SIDE - 2 * _EDGE) / wide
    groups: list[tuple[list[tuple[float, float]], list[EncounterBody]]] = []
    for (one, _), x, y in zip(placed, across, north, strict=True):
        spot = _SIDE / 2 + (x - middle[0]) * scale, _SIDE / 2 - (y - middle[1]) * scale
        near = next((group for group in groups if math.dist(group[0][0], spot) < _COVERED), None)
        if near is None:
            groups.append(([spot], [one]))
        else:
            near[0].append(spot)
            near[1].append(one)
    return tuple(
        MapDot(sum(x for x, _ in spots) / len(spots), sum(y for _, y in spots) / len(spots),
               tuple(those))
        for spots, those in groups
    )  # fmt: skip


def unwrapped(longitudes: Sequence[float]) -> list[float]:
    """Longitudes without a jump at 180 degrees: from east of their widest gap on, eastwards."""
    ordered = sorted({longitude % 360 for longitude in longitudes})
    following = [*ordered[1:], ordered[0] + 360]
    gaps = [after - before for before, after in zip(ordered, following, strict=True)]
    first = ordered[(gaps.index(max(gaps)) + 1) % len(ordered)]
    return [first + (longitude % 360 - first) % 360 for longitude in longitudes]


def _positions(dot: MapDot) -> list[PositionBody]:
    return [one.position for one in dot.encounters if one.position is not None]


def _corners(positions: Sequence[PositionBody]) -> str:
    """The south-western and the north-eastern corner, as latitude and longitude."""
    north = [position.latitude for position in positions]
    east = unwrapped([position.longitude for position in positions])
    west_end, east_end = ((side + 180) % 360 - 180 for side in (min(east), max(east)))
    return f"{min(north):.4f}, {west_end:.4f} - {max(north):.4f}, {east_end:.4f}"


def _told(context: PageContext, dot: MapDot) -> str:
    words = [" ".join(filter(None, (shown(one.date or "?"), one.place))) for one in dot.encounters]
    if len(words) == 1:
        return words[0]
    count = context.number(len(words))
    return f"{context.text('animal_map_shared', count=count)}: {', '.join(words)}"
