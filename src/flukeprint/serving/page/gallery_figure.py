"""The map as a figure: a GalleryMap and the classes' cards enter, a Plotly figure leaves.

Drawn as SVG, since WebGL in Plotly compiles code at run time, which a strict page forbids.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flukeprint.serving.api.schemas import GalleryMap
from flukeprint.serving.page.context import PageContext

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


# Colours that stand out from a light and from a dark page (3:1 and more on both), each with a
# sign of its own for those who do not tell the colours apart (after Okabe and Ito, 2008).
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
    """Photos that are drawn alike: a family, or a class where there are few; "" for the rest."""

    name: str
    colour: str
    symbol: str
    sign: str  # of the symbol, as text
    rows: tuple[int, ...]  # of the map


@dataclass(frozen=True)
class Grouping:
    """By what the photos are told apart, and the groups, largest first; rank "" without any."""

    rank: str
    groups: tuple[Group, ...]


def grouping(context: PageContext, map_: GalleryMap) -> Grouping:
    """Photos of the map by family, else by class where these are few, else all alike."""
    for rank in ("family", "superfamily", "order"):
        names = [_of_rank(context, identity, rank) for identity in map_.identities]
        if len(set(filter(None, names))) > 1:
            return Grouping(rank, _groups(names))
    if 1 < len(set(map_.identities)) <= FEW:
        return Grouping(context.kind, _groups([context.name_of(name) for name in map_.identities]))
    return Grouping("", _groups([""] * len(map_.identities)))


def gallery_figure(context: PageContext, map_: GalleryMap, groups: Iterable[Group]) -> "Figure":
    """A trace for each group; the last, empty one is for what a visitor highlights.

    Each point carries its photo's id, its identity and the name of that (customdata).
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
            "yaxis": {**hidden, "scaleanchor": "x"},  # one scale: only nearness is meant
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
