"""Draw a chart of a report for the page: the data and layout that plotly.js draws.

Colours of text, lines and background are added by the page's script, which knows whether the
reader's colour scheme is light or dark.
"""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Values
from flukeprint.evaluation.report.charts import (
    MOST_NAMED,
    Bars,
    Chart,
    Heatmap,
    Histogram,
    Layer,
    Line,
    Mark,
    Points,
    colours,
    plain,
)

HEIGHT, SOLID_HEIGHT = 420, 600  # px
THINNEST = 0.4  # side of a box of points, of its longest one
FEW_TICKS = 12  # whole numbers that each have a tick
_DASHES = {"dashed": "dash"}


def figure(chart: Chart) -> dict[str, Any]:
    """A chart as plotly's JSON: `data` and `layout`.

    The `customdata` of points are the places of their photographs among `Chart.photos`, -1 for
    none.  Texts from data are escaped, because plotly.js reads tags in them.
    """
    places = {label: place for place, label in enumerate(chart.labels())}
    data: list[dict[str, Any]] = []
    for layer, colour in zip(chart.layers, colours(chart.layers), strict=True):
        data += _traces(layer, colour, places, single=len(chart.layers) == 1)
    return {"data": data, "layout": _layout(chart, places)}


def _traces(
    layer: Layer, colour: str, places: dict[str, int], *, single: bool
) -> list[dict[str, Any]]:
    match layer:
        case Line():
            return _line(layer, colour)
        case Bars():
            return [_bars(layer, colour, places, single)]
        case Histogram():
            return [_histogram(layer, colour)]
        case Points():
            return [_points(layer, colour)]
        case Heatmap():
            return [_heatmap(layer)]


def _line(line: Line, colour: str) -> list[dict[str, Any]]:
    traces = []
    whiskers = line.style == "markers"
    if line.low is not None and line.high is not None and not whiskers:
        traces.append({
            "type": "scatter", "mode": "lines", "name": _text(line.name), "hoverinfo": "skip",
            "x": [*_numbers(line.x), *_numbers(line.x[::-1])],
            "y": [*_numbers(line.high), *_numbers(line.low[::-1])],
            "fill": "toself", "fillcolor": _faint(colour, 0.18), "line": {"width": 0},
            "showlegend": False, "legendgroup": _text(line.name),
        })  # fmt: skip
    mode = {"markers": "markers", "line+markers": "lines+markers"}.get(line.style, "lines")
    shape = "hv" if line.style == "steps" else "linear"
    trace: dict[str, Any] = {
        "type": "scatter", "mode": mode, "name": _text(line.name), "x": _numbers(line.x),
        "y": _numbers(line.y), "legendgroup": _text(line.name),
        "line": {"color": colour, "width": 2, "shape": shape,
                 "dash": _DASHES.get(line.style, "solid")},
        "marker": {"color": colour, "size": 7},
    }  # fmt: skip
    if line.low is not None and line.high is not None and whiskers:
        trace["error_y"] = _whiskers(line.y, line.low, line.high)
    if line.hover:
        trace |= {"hoverinfo": "text", "hovertext": _texts(line.hover)}
    return [*traces, trace]


def _bars(bars: Bars, colour: str, places: dict[str, int], single: bool) -> dict[str, Any]:
    hover = []
    for place, (label, value) in enumerate(zip(bars.labels, bars.values, strict=True)):
        lines = [f"{label}: {value:.4g}"]
        if bars.low is not None and bars.high is not None:
            lines[0] += f" [{bars.low[place]:.4g}, {bars.high[place]:.4g}]"
        if not single:
            lines.insert(0, bars.name)
        if bars.notes:
            lines.append(bars.notes[place])
        hover.append("<br>".join(_texts(lines)))
    trace: dict[str, Any] = {
        "type": "bar", "name": _text(bars.name), "x": [places[label] for label in bars.labels],
        "y": _numbers(bars.values), "marker": {"color": colour}, "hoverinfo": "text",
        "hovertext": hover,
    }  # fmt: skip
    if bars.low is not None and bars.high is not None:
        trace["error_y"] = _whiskers(bars.values, bars.low, bars.high)
    return trace


def _whiskers(middle: Values, low: Values, high: Values) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": _numbers(high - middle),
        "arrayminus": _numbers(middle - low), "thickness": 1.5, "width": 5,
    }  # fmt: skip


def _histogram(histogram: Histogram, colour: str) -> dict[str, Any]:
    """Steps filled down to zero, so that two of them may overlap."""
    edges, shares = histogram.edges, histogram.shares
    hover = [
        _text(f"{histogram.name}: {share:.2%} from {low:.3g} to {high:.3g}")
        for low, high, share in zip(edges, edges[1:], shares, strict=False)
    ]
    last = shares[-1:]
    return {
        "type": "scatter", "mode": "lines", "name": _text(histogram.name), "x": _numbers(edges),
        "y": _numbers(np.concatenate([shares, last])), "fill": "tozeroy",
        "fillcolor": _faint(colour, 0.35), "line": {"color": colour, "shape": "hv", "width": 1.5},
        "hoverinfo": "text", "hovertext": [*hover, *hover[-1:]],
    }  # fmt: skip


def _points(points: Points, colour: str) -> dict[str, Any]:
    solid = points.at.shape[1] == 3
    trace: dict[str, Any] = {
        "type": "scatter3d" if solid else "scatter", "mode": "markers", "name": _text(points.name),
        "x": _numbers(points.at[:, 0]), "y": _numbers(points.at[:, 1]),
        "marker": {"color": colour, "size": 3 if solid else 8, "symbol": points.symbol,
                   "opacity": 0.85},
    }  # fmt: skip
    if solid:
        trace["z"] = _numbers(points.at[:, 2])
    if points.hover:
        trace |= {"hoverinfo": "text", "hovertext": _texts(points.hover)}
    if points.photos:
        trace["customdata"] = list(points.photos)
    return trace


def _heatmap(heatmap: Heatmap) -> dict[str, Any]:
    hover = [
        [
            _text(f"{row}, {column}: " + _cell(heatmap, y, x))
            for x, column in enumerate(heatmap.columns)
        ]
        for y, row in enumerate(heatmap.rows)
    ]
    trace: dict[str, Any] = {
        "type": "heatmap", "name": _text(heatmap.name),
        "z": [_numbers(row) for row in heatmap.values],
        "x": list(range(len(heatmap.columns))), "y": list(range(len(heatmap.rows))),
        "colorscale": "Viridis", "hoverinfo": "text", "hovertext": hover, "xgap": 2, "ygap": 2,
        "colorbar": {"title": {"text": _text(heatmap.name), "side": "right"}, "thickness": 12},
    }  # fmt: skip
    if heatmap.texts:
        trace |= {"text": [_texts(row) for row in heatmap.texts], "texttemplate": "%{text}"}
    return trace


def _cell(heatmap: Heatmap, row: int, column: int) -> str:
    if heatmap.texts:
        return heatmap.texts[row][column]
    value = float(heatmap.values[row, column])
    return "nothing measured" if math.isnan(value) else f"{value:.4g}"


def _layout(chart: Chart, places: dict[str, int]) -> dict[str, Any]:
    named = 1 < len(chart.layers) <= MOST_NAMED
    layout: dict[str, Any] = {
        "height": SOLID_HEIGHT if chart.solid else HEIGHT,
        "showlegend": named,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0,
                   "itemsizing": "constant"},
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10} if chart.solid
        else {"l": 60, "r": 15, "t": 30, "b": 60},
        "hovermode": "closest",
    }  # fmt: skip
    if chart.solid:
        # Below the legend, which plotly.js draws over a scene.
        layout["legend"] |= {"y": 1, "yanchor": "top", "itemsizing": "constant"}
        layout["scene"] = {
            f"{axis}axis": {"title": {"text": _text(title)}}
            for axis, title in (("x", chart.x), ("y", chart.y), ("z", chart.z))
        }
        layout["scene"] |= {"aspectmode": "manual", "aspectratio": _proportions(chart)}
        return layout
    x: dict[str, Any] = {
        "title": {"text": _text(chart.x), "standoff": 12}, "automargin": True,
        "ticklabeloverflow": "allow",
    }  # fmt: skip
    y: dict[str, Any] = {"title": {"text": _text(chart.y)}, "automargin": True}
    if chart.log_x:
        x |= {"type": "log", "exponentformat": "none"}
    if 0 < chart.whole_numbers() <= FEW_TICKS:
        x["dtick"] = 1
    if chart.x_limits is not None:
        x["range"] = [math.log10(end) if chart.log_x else end for end in chart.x_limits]
    if (heights := chart.heights()) is not None:
        y["range"] = list(heights)
    if places:
        x |= {"tickvals": list(places.values()), "ticktext": _bar_labels(chart)}
    for layer in chart.layers:
        if isinstance(layer, Heatmap):
            x |= {"tickvals": list(range(len(layer.columns))), "ticktext": _texts(layer.columns),
                  "showgrid": False}  # fmt: skip
            y |= {"tickvals": list(range(len(layer.rows))), "ticktext": _texts(layer.rows),
                  "autorange": "reversed", "showgrid": False}  # fmt: skip
    layout |= {"xaxis": x, "yaxis": y, "barmode": "group"}
    layout["shapes"] = [_shape(mark) for mark in chart.marks]
    layout["annotations"] = [
        _annotation(mark, place, chart.log_x)
        for place, mark in enumerate(chart.marks)
        if mark.label
    ]
    return layout


def _proportions(chart: Chart) -> dict[str, float]:
    """Sides of the box around points in space: theirs, the longest 1, so that all is in view."""
    at = np.concatenate([layer.at for layer in chart.layers if isinstance(layer, Points)])
    at = at[np.isfinite(at).all(axis=1)]
    widths = np.ptp(at, axis=0) if len(at) else np.ones(3)
    sides = np.maximum(widths / max(float(widths.max()), 1e-12), THINNEST)
    return dict(zip("xyz", np.round(sides, 3).tolist(), strict=True))


def _bar_labels(chart: Chart) -> list[str]:
    """The labels of bars, with the note below where all layers have the same one."""
    notes: dict[str, set[str]] = {label: set() for label in chart.labels()}
    for layer in chart.layers:
        if isinstance(layer, Bars):
            for place, label in enumerate(layer.labels):
                notes[label].add(layer.notes[place] if layer.notes else "")
    return [
        "<br>".join(_texts([label, *(found if len(found) == 1 and found != {""} else ())]))
        for label, found in notes.items()
    ]


def _shape(mark: Mark) -> dict[str, Any]:
    along, across = ("x", "y") if mark.axis == "x" else ("y", "x")
    return {
        "type": "line", f"{along}0": mark.at, f"{along}1": mark.at, f"{along}ref": along,
        f"{across}0": 0, f"{across}1": 1, f"{across}ref": "paper",
        "line": {"dash": "dash", "width": 1.5},
    }  # fmt: skip


def _annotation(mark: Mark, place: int, log: bool) -> dict[str, Any]:
    common = {"text": _text(mark.label), "showarrow": False, "font": {"size": 12}}
    if mark.axis == "x":
        at = math.log10(mark.at) if log else mark.at
        return common | {
            "x": at, "y": 0.99 - 0.07 * place, "yref": "paper", "yanchor": "top",
            "xanchor": "left", "xshift": 4,
        }  # fmt: skip
    return common | {
        "x": 0.99, "y": mark.at, "xref": "paper", "xanchor": "right", "yanchor": "bottom",
    }  # fmt: skip


def _text(text: str) -> str:
    return html.escape(plain(text), quote=False)


def _texts(texts: Sequence[str]) -> list[str]:
    return [_text(text) for text in texts]


def _numbers(values: npt.ArrayLike) -> list[float | None]:
    """Numbers with five digits, None where one is not finite."""
    flat = np.asarray(values, dtype=np.float64).tolist()
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in flat]


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
