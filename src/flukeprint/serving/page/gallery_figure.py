"""Draws the map of the gallery as a Plotly figure, its photos grouped and coloured.

It is drawn as SVG, since Plotly's WebGL compiles code at run time, which the page's
Content-Security-Policy forbids.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flukeprint.serving.api.schemas import GalleryMap
from flukeprint.serving.page.context import PageContext

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


# Colours with a contrast of at least 3:1 on a light and on a dark page, each with a symbol of its
# own for people who cannot tell the colours apart (after Okabe and Ito, 2008).
GROUPS: Final = (
    ("#1f86c2", "circle", "●"),
    ("#d1590a", "square", "■"),
    ("#0f8f6e", "diamond", "◆"),
    ("#b8588f", "triangle-up", "▲"),
    ("#8a7a12", "triangle-down", "▼"),
    ("#7566d6", "cross", "✚"),
    ("#c24848", "star", "★"),
    ("#5b7f8c", "hexagon", "⬢"),
)
REST: Final = ("#7d8688", "circle-open", "○")
MARKED: Final = "#e0355f"
FEW = 8  # classes that can have a colour each


@dataclass(frozen=True)
class Group:
    """Photos that are drawn alike: those of a family or of a class; name "" for the rest."""

    name: str
    colour: str
    symbol: str
    sign: str  # of the symbol, as text
    rows: tuple[int, ...]  # of the map


@dataclass(frozen=True)
class Grouping:
    """The groups of the map, largest first, and the rank that they stand for, "" for none."""

    rank: str
    groups: tuple[Group, ...]


def grouping(context: PageContext, map_: GalleryMap) -> Grouping:
    """Group the photos of the map by family, or by class if there are few, or not at all."""
    for rank in ("family", "superfamily", "order"):
        names = [_of_rank(context, identity, rank) for identity in map_.identities]
        if len(set(filter(None, names))) > 1:
            return Grouping(rank, _groups(names))
    if 1 < len(set(map_.identities)) <= FEW:
        return Grouping(context.kind, _groups([context.name_of(name) for name in map_.identities]))
    return Grouping("", _groups([""] * len(map_.identities)))


def gallery_figure(context: PageContext, map_: GalleryMap, groups: Iterable[Group]) -> "Figure":
    """The figure: a trace for each group, and an empty one for what a visitor highlights.

    The customdata of a point are its photo's id, its identity, and the name of that.
    """
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=[map_.x[row] for row in group.rows],
            y=[map_.y[row] for row in group.rows],
            customdata=[
                [map_.photos[row], map_.identities[row], context.name_of(map_.identities[row])]
                for row in group.rows
            ],
            mode="markers",
            marker={"color": group.colour, "symbol": group.symbol, "size": 8, "opacity": 0.85},
            hoverinfo="none",
            name=group.name,
        )
        for group in groups
    ]
    marker = {
        "color": "rgba(0,0,0,0)",
        "symbol": "circle",
        "size": 16,
        "line": {"color": MARKED, "width": 3},
    }
    traces.append(
        go.Scatter(x=[], y=[], customdata=[], mode="markers", marker=marker, hoverinfo="none")
    )
    hidden = {"visible": False, "fixedrange": False}
    return go.Figure(
        data=traces,
        layout={
            "template": "none",
            "showlegend": False,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
            "xaxis": hidden,
            "yaxis": {
                **hidden,
                "scaleanchor": "x",
            },  # equal scales: only distances count
            "hovermode": "closest",
            "dragmode": "pan",
            "uirevision": "0",
        },
    )


def _of_rank(context: PageContext, identity: str, rank: str) -> str:
    card = context.card_of(identity)
    return "" if card is None else card.lineage.get(rank, "")


def _groups(names: Sequence[str]) -> tuple[Group, ...]:
    counts = Counter(name for name in names if name)
    chosen = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    shown = chosen if len(chosen) <= len(GROUPS) else chosen[: len(GROUPS)]
    rows: dict[str, list[int]] = {name: [] for name in shown}
    rest: list[int] = []
    for row, name in enumerate(names):
        rows.get(name, rest).append(row)
    groups = [
        Group(name, *look, tuple(rows[name])) for name, look in zip(shown, GROUPS, strict=False)
    ]
    if rest:
        look = REST if groups else GROUPS[0]
        groups.append(Group("", *look, tuple(rest)))
    return tuple(groups)
