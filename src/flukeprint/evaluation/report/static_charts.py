"""Draw a chart of a report as files, PNG and SVG, with matplotlib: for slides, papers and print."""

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.evaluation.report.charts import (
    MOST_NAMED,
    Bars,
    Chart,
    Heatmap,
    Histogram,
    Line,
    Points,
    colours,
    plain,
)
from flukeprint.pictures import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, DPI = (9.6, 5.4), 125  # inches, px an inch: 1200 x 675 px
RASTERISED = 500  # points from which an SVG holds them as pixels, else it grows to megabytes
MOST_INSIDE = 6  # names of a legend that stands in the chart
LABEL = 40  # most characters of a label
_STYLE: Any = {  # keys of matplotlib
    "font.size": 11,
    "axes.titlesize": 13,
    "svg.fonttype": "none",
    "svg.hashsalt": "flukeprint",  # equal charts give equal files
}
_SYMBOLS = {"circle": "o", "cross": "x", "square": "s", "diamond": "D"}


def draw(chart: Chart) -> dict[str, bytes]:
    """Draw a chart; returns the files `png` and `svg`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
        _fill(figure, chart)
        png, svg = BytesIO(), BytesIO()
        figure.savefig(png, format="png")
        figure.set_layout_engine("none")  # it is laid out
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return {"png": png.getvalue(), "svg": svg.getvalue()}


def _fill(figure: "Figure", chart: Chart) -> None:
    axis: Any = figure.add_subplot(projection="3d" if chart.solid else None)
    axis.set_title("\n".join(textwrap.wrap(plain(chart.title), 90)), parse_math=False)
    labels = chart.labels()
    bars = [layer for layer in chart.layers if isinstance(layer, Bars)]
    for layer, colour in zip(chart.layers, colours(chart.layers), strict=True):
        name = _short(layer.name)
        match layer:
            case Line():
                _line(axis, layer, colour, name)
            case Bars():
                _bars(axis, layer, colour, name, labels, (bars.index(layer), len(bars)))
            case Histogram():
                axis.stairs(
                    layer.shares, layer.edges, fill=True, color=colour, alpha=0.5, label=name
                )
            case Points():
                axis.scatter(
                    *layer.at.T, s=18, color=colour, marker=_SYMBOLS[layer.symbol], label=name,
                    alpha=0.8, linewidths=1 if layer.symbol == "cross" else 0,
                    rasterized=len(layer.at) > RASTERISED,
                )  # fmt: skip
            case Heatmap():
                _heatmap(figure, axis, layer)
    if labels:
        notes = {label: note for layer in bars for label, note in _notes(layer).items()}
        shown = [
            _short(label) + (f"\n{notes[label]}" if label in notes else "") for label in labels
        ]
        turn = 90 if len(labels) > 12 else 0
        axis.set_xticks(range(len(labels)), shown, rotation=turn, parse_math=False)
    _finish(axis, chart)


def _finish(axis: Any, chart: Chart) -> None:
    axis.set_xlabel(plain(chart.x), parse_math=False)
    axis.set_ylabel(plain(chart.y), parse_math=False)
    if chart.solid:
        axis.set_zlabel(plain(chart.z), parse_math=False)
    elif not any(isinstance(layer, Heatmap) for layer in chart.layers):
        axis.grid(visible=True, alpha=0.3)
        axis.set_axisbelow(True)
    if chart.log_x:
        axis.set_xscale("log")
    if chart.x_limits is not None:
        axis.set_xlim(*chart.x_limits)
    if (heights := chart.heights()) is not None:
        axis.set_ylim(*heights)
    for place, mark in enumerate(chart.marks):
        line = axis.axvline if mark.axis == "x" else axis.axhline
        line(mark.at, color="#444444", linestyle="--", linewidth=1.2)
        across = axis.get_xaxis_transform() if mark.axis == "x" else axis.get_yaxis_transform()
        at = (mark.at, 0.98 - 0.07 * place) if mark.axis == "x" else (0.99, mark.at)
        axis.annotate(
            f" {plain(mark.label)}", at, xycoords=across, parse_math=False, fontsize=10,
            va="top" if mark.axis == "x" else "bottom", ha="left" if mark.axis == "x" else "right",
        )  # fmt: skip
    if chart.whole_numbers():
        axis.xaxis.get_major_locator().set_params(integer=True)
    if 1 < len(chart.layers) <= MOST_NAMED:
        # Over points there is no free place for many names, and none at all in space.
        beside = chart.solid or len(chart.layers) > MOST_INSIDE
        legend = axis.figure.legend if beside else axis.legend
        where: dict[str, Any] = {"loc": "outside right upper"} if beside else {}
        for text in legend(fontsize=10, **where).get_texts():
            text.set_parse_math(False)


def _line(axis: "Axes", line: Line, colour: str, name: str) -> None:
    if line.low is not None and line.high is not None and line.style == "markers":
        axis.vlines(line.x, line.low, line.high, color=colour, linewidth=1.5, alpha=0.6)
    elif line.low is not None and line.high is not None:
        step: Any = "post" if line.style == "steps" else None
        axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, step=step, lw=0)
    marker = "o" if "markers" in line.style else None
    style = {"markers": "none", "dashed": "--"}.get(line.style, "-")
    axis.plot(
        line.x, line.y, color=colour, marker=marker, linestyle=style, label=name, markersize=5,
        drawstyle="steps-post" if line.style == "steps" else "default",
    )  # fmt: skip


def _bars(
    axis: "Axes", bars: Bars, colour: str, name: str, labels: tuple[str, ...],
    among: tuple[int, int],
) -> None:  # fmt: skip
    place, number = among
    width = 0.8 / number
    at = np.array([labels.index(label) for label in bars.labels]) + (place + 0.5) * width - 0.4
    errors = None
    if bars.low is not None and bars.high is not None:
        errors = np.stack([bars.values - bars.low, bars.high - bars.values])
        errors = np.maximum(errors, 0)  # an interval begins a last bit above its mean
    axis.bar(at, bars.values, width, color=colour, yerr=errors, capsize=3, label=name)


def _notes(bars: Bars) -> dict[str, str]:
    return dict(zip(bars.labels, map(_short, bars.notes), strict=False))


def _heatmap(figure: "Figure", axis: "Axes", heatmap: Heatmap) -> None:
    picture = axis.imshow(heatmap.values, cmap="viridis", aspect="auto")
    figure.colorbar(picture, ax=axis).set_label(plain(heatmap.name), parse_math=False)
    turn = 90 if max(map(len, heatmap.columns), default=0) * len(heatmap.columns) > 90 else 0
    for ticks, names in ((axis.set_xticks, heatmap.columns), (axis.set_yticks, heatmap.rows)):
        ticks(range(len(names)), list(map(_short, names)), parse_math=False)
    axis.tick_params(axis="x", labelrotation=turn)
    known = heatmap.values[np.isfinite(heatmap.values)]
    middle = (known.min() + known.max()) / 2 if known.size else 0.0
    for row, texts in enumerate(heatmap.texts):
        for column, text in enumerate(texts):
            dark = not heatmap.values[row, column] > middle  # of the colour, or nothing there
            nothing = not np.isfinite(heatmap.values[row, column])
            colour = "black" if nothing or not dark else "white"
            axis.text(
                column, row, plain(text), ha="center", va="center", color=colour, fontsize=9,
                parse_math=False,
            )  # fmt: skip


def _short(text: str) -> str:
    short = shortened(plain(text), LABEL)
    return f" {short}" if short.startswith("_") else short  # else no legend names it
