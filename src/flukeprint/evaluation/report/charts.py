"""What a section of a report consists of, described once and drawn twice.

`plotly_charts.py` draws a chart for the page, `static_charts.py` the same chart as PNG and SVG.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from flukeprint.data.embeddings import Values

NOTHING: tuple[str, ...] = ()

# Of the layers of a chart, in turn: Okabe and Ito, Color Universal Design (2008), told apart by
# colour-blind people, on light and on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
MOST_NAMED = 12  # layers that a legend names; more of them are told by hovering

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Line:
    """A curve through (x, y), both float64 (n,), with a band from `low` to `high` where given.

    Of the style `markers` a whisker at each point takes the place of the band.
    hover: a text for each point.
    """

    name: str
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None
    style: Literal["line", "steps", "markers", "line+markers", "dashed"] = "line"
    hover: tuple[str, ...] = NOTHING

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.high) if end is not None]
        if self.x.ndim != 1 or any(values.shape != self.x.shape for values in (self.y, *ends)):
            raise ValueError(f"{self.name}: x, y, low and high must be rows of one length")
        if len(ends) == 1 or len(self.hover) not in (0, len(self.x)):
            raise ValueError(f"{self.name}: a band has two ends, and every point a hover text")


@dataclass(frozen=True)
class Bars:
    """A bar for each label, with an interval from `low` to `high` where given.

    notes: a short text for each bar, such as the number it was measured on.
    """

    name: str
    labels: tuple[str, ...]
    values: Values
    low: Values | None = None
    high: Values | None = None
    notes: tuple[str, ...] = NOTHING

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.high) if end is not None]
        if any(values.shape != (len(self.labels),) for values in (self.values, *ends)):
            raise ValueError(f"{self.name}: a value and both ends for each of the labels")
        if len(ends) == 1 or len(self.notes) not in (0, len(self.labels)):
            raise ValueError(f"{self.name}: an interval has two ends, and every bar a note")


@dataclass(frozen=True)
class Histogram:
    """Shares (n,) of what lies between neighbouring edges (n + 1,)."""

    name: str
    edges: Values
    shares: Values

    def __post_init__(self) -> None:
        if self.edges.shape != (len(self.shares) + 1,):
            raise ValueError(f"{self.name}: one edge more than shares")


@dataclass(frozen=True)
class Points:
    """A cloud of points (n, 2) or (n, 3).

    hover: a text for each.  photos: for each the place of its photograph among `Chart.photos`, -1
    for none; shown on hover.  colour: its place among the colours, for layers that share one, or a
    colour like #e62828; None takes the next.
    """

    name: str
    at: Values
    hover: tuple[str, ...] = NOTHING
    photos: tuple[int, ...] = ()
    symbol: Literal["circle", "cross", "square", "diamond"] = "circle"
    colour: int | str | None = None

    def __post_init__(self) -> None:
        if self.at.ndim != 2 or self.at.shape[1] not in (2, 3):
            raise ValueError(f"{self.name}: points are (n, 2) or (n, 3)")
        if {len(self.hover), len(self.photos)} - {0, len(self.at)}:
            raise ValueError(f"{self.name}: a hover text and a photograph for every point, or none")


@dataclass(frozen=True)
class Heatmap:
    """A matrix (rows, columns) in colour; NaN is left empty.

    texts: what is written into each cell, row by row; empty writes nothing.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Values
    texts: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.rows), len(self.columns)):
            raise ValueError(f"{self.name}: a value for every row and column")


Layer = Line | Bars | Histogram | Points | Heatmap


@dataclass(frozen=True)
class Mark:
    """A straight line across the chart at `at` of one axis, with a label."""

    axis: Literal["x", "y"]
    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """One chart: axes, layers and what to see in it.

    name: its file name and its anchor in the page: lower-case letters, digits and hyphens.
    caption: what one sees, in words with numbers; also read out instead of the chart.
    photos: JPEG files (thumbnails) that points show on hover.
    limits: of an axis, where they are not those of the data.
    """

    name: str
    title: str
    caption: str
    layers: tuple[Layer, ...]
    x: str = ""
    y: str = ""
    z: str = ""
    marks: tuple[Mark, ...] = ()
    photos: tuple[bytes, ...] = field(default=(), repr=False)
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    log_x: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        deep = {layer.at.shape[1] for layer in self.layers if isinstance(layer, Points)}
        if deep - {2} and any(not isinstance(layer, Points) for layer in self.layers):
            raise ValueError(f"{self.name}: only points stand in a chart of three dimensions")
        if len(deep) > 1:
            raise ValueError(f"{self.name}: points of two and of three dimensions")
        most = max(
            (max(layer.photos, default=-1) for layer in self.layers if isinstance(layer, Points)),
            default=-1,
        )
        if most >= len(self.photos):
            raise ValueError(f"{self.name}: photograph {most} of {len(self.photos)}")

    @property
    def solid(self) -> bool:
        """Whether it has three dimensions."""
        return any(isinstance(layer, Points) and layer.at.shape[1] == 3 for layer in self.layers)

    def whole_numbers(self) -> int:
        """How far its lines reach along x where that counts something, such as epochs; else 0."""
        lines = [layer.x for layer in self.layers if isinstance(layer, Line) and len(layer.x)]
        if self.log_x or not lines or len(lines) < len(self.layers):
            return 0
        x = np.concatenate(lines)
        return int(x.max() - x.min()) if np.array_equal(x, np.rint(x)) else 0

    def heights(self) -> tuple[float, float] | None:
        """The limits of y; above histograms with room for the labels of marks."""
        tops = [float(one.shares.max()) for one in self.layers if isinstance(one, Histogram)]
        if self.y_limits is None and tops and any(mark.axis == "x" for mark in self.marks):
            return 0.0, (1 + 0.08 * (len(self.marks) + 1)) * max(tops)
        return self.y_limits

    def labels(self) -> tuple[str, ...]:
        """The labels of its bars, of all layers, in order of appearance."""
        found = [name for layer in self.layers if isinstance(layer, Bars) for name in layer.labels]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Table:
    """Rows of texts under a header; the first column names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"{self.caption}: every row has {len(self.header)} cells")


@dataclass(frozen=True)
class Picture:
    """A drawn picture, JPEG or PNG.

    name: its file name, as of a chart.  alt: what it shows, read out instead of it.
    """

    name: str
    alt: str
    caption: str
    file: bytes = field(repr=False)
    kind: Literal["jpeg", "png"] = "jpeg"

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True)
class Shown:
    """A photograph as a small picture, with a few lines below it.

    photo: a JPEG file; None where there is none, such as for a new animal.
    mark: what it stands for, shown by frame and sign.
    """

    lines: tuple[str, ...]
    photo: bytes | None = field(default=None, repr=False)
    mark: Literal["", "query", "right", "wrong"] = ""


@dataclass(frozen=True)
class PhotoRow:
    """Photographs side by side under a heading, such as a query with its answers."""

    title: str
    photos: tuple[Shown, ...]


@dataclass(frozen=True)
class PhotoRows:
    """Rows of small photographs, under a heading."""

    title: str
    caption: str
    rows: tuple[PhotoRow, ...]


@dataclass(frozen=True)
class Listing:
    """A long text of fixed width, such as a configuration, folded away under its title."""

    title: str
    text: str


Block = Chart | Table | Picture | PhotoRows | Listing


@dataclass(frozen=True)
class Part:
    """One section of a report: a heading, what it says in words, and its blocks in order."""

    anchor: str
    title: str
    lines: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.anchor)
        names = self.names()
        if len(set(names)) != len(names):
            raise ValueError(f"{self.anchor}: two of its charts or pictures have one name")

    def names(self) -> tuple[str, ...]:
        """The file names of its charts and pictures."""
        return tuple(block.name for block in self.blocks if isinstance(block, Chart | Picture))


def check_name(name: str) -> None:
    """Refuse, with ValueError, what cannot be a file name and an anchor alike."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no lower-case letters and digits with hyphens between them")


def plain(text: str) -> str:
    """A text from data without what no file can hold or show: control and half characters."""
    kept = text.encode("utf-8", "replace").decode()
    return "".join(" " if ord(letter) < 32 or ord(letter) == 127 else letter for letter in kept)


def colours(layers: Iterable[Layer]) -> list[str]:
    """A colour for each layer: that of its place, where points do not name another."""
    named = [
        layer.colour if isinstance(layer, Points) and layer.colour is not None else place
        for place, layer in enumerate(layers)
    ]
    return [one if isinstance(one, str) else COLOURS[one % len(COLOURS)] for one in named]
