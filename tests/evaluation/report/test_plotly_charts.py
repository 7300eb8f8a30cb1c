"""Charts as plotly's JSON: what plotly accepts, with the numbers of the chart."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from flukeprint.evaluation.report.charts import Bars, Chart, Histogram, Line, Mark, Points
from flukeprint.evaluation.report.plotly_charts import figure
from tests.evaluation.report.every_kind import charts

X = np.array([1.0, 2.0, np.nan])


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_plotly_accepts_every_kind(chart):
    found = figure(chart)
    go.Figure(found)  # it refuses unknown keys and values
    text = json.dumps(found, allow_nan=False)
    assert "<script" not in text
    assert "<b>" not in text


def test_a_line_has_its_band_and_gaps():
    line = Line("a", np.arange(3.0), X, X - 1, X + 1)
    band, curve = figure(Chart("a", "", "", (line,)))["data"]
    assert curve["y"] == [1.0, 2.0, None]
    assert band["x"] == [0.0, 1.0, 2.0, 2.0, 1.0, 0.0]
    assert band["y"] == [2.0, 3.0, None, None, 1.0, 0.0]
    assert band["fill"] == "toself"


def test_markers_have_whiskers():
    line = Line("a", np.arange(2.0), X[:2], X[:2] - 0.5, X[:2] + 0.25, style="markers")
    (trace,) = figure(Chart("a", "", "", (line,)))["data"]
    assert trace["mode"] == "markers"
    assert trace["error_y"]["array"] == [0.25, 0.25]
    assert trace["error_y"]["arrayminus"] == [0.5, 0.5]


def test_bars_stand_at_places_so_that_no_label_is_taken_for_a_number_or_a_date():
    one = Bars("a", ("10", "2020-01-01"), np.array([0.5, 1.0]), notes=("n=1", "n=2"))
    two = Bars("b", ("2020-01-01", "9"), np.array([0.25, 0.75]), notes=("n=2", "n=3"))
    found = figure(Chart("a", "", "", (one, two)))
    assert [trace["x"] for trace in found["data"]] == [[0, 1], [1, 2]]
    axis = found["layout"]["xaxis"]
    assert axis["tickvals"] == [0, 1, 2]
    assert axis["ticktext"] == ["10<br>n=1", "2020-01-01<br>n=2", "9<br>n=3"]
    assert found["layout"]["barmode"] == "group"


def test_notes_that_differ_between_layers_are_told_on_hover_alone():
    one = Bars("a", ("x",), np.array([0.5]), notes=("n=1",))
    two = Bars("b", ("x",), np.array([0.5]), notes=("n=2",))
    found = figure(Chart("a", "", "", (one, two)))
    assert found["layout"]["xaxis"]["ticktext"] == ["x"]
    assert [trace["hovertext"] for trace in found["data"]] == [
        ["a<br>x: 0.5<br>n=1"],
        ["b<br>x: 0.5<br>n=2"],
    ]


def test_a_histogram_keeps_the_height_of_its_last_bar():
    layer = Histogram("a", np.array([0.0, 1.0, 3.0]), np.array([0.4, 0.6]))
    (trace,) = figure(Chart("a", "", "", (layer,)))["data"]
    assert (trace["x"], trace["y"]) == ([0.0, 1.0, 3.0], [0.4, 0.6, 0.6])
    assert trace["line"]["shape"] == "hv"


def test_points_name_their_photographs():
    layer = Points("a", np.arange(6.0).reshape(2, 3), photos=(-1, 0))
    (trace,) = figure(Chart("a", "", "", (layer,), photos=(b"x",)))["data"]
    assert trace["type"] == "scatter3d"
    assert trace["customdata"] == [-1, 0]
    assert (trace["x"], trace["y"], trace["z"]) == ([0.0, 3.0], [1.0, 4.0], [2.0, 5.0])


@pytest.mark.parametrize(
    ("at", "sides"),
    [
        ([[0, 0, 0], [4, 3, 1]], {"x": 1.0, "y": 0.75, "z": 0.4}),  # not flatter than that
        ([[0, 0, 0], [1, 2, np.nan], [1, 2, 2]], {"x": 0.5, "y": 1.0, "z": 1.0}),
        ([[1, 1, 1]], {"x": 0.4, "y": 0.4, "z": 0.4}),
        (np.empty((0, 3)), {"x": 1.0, "y": 1.0, "z": 1.0}),
    ],
)
def test_a_box_in_space_is_no_longer_than_what_is_in_view(at, sides):
    layers = (Points("a", np.array(at, dtype=np.float64)), Points("b", np.empty((0, 3))))
    scene = figure(Chart("a", "", "", layers))["layout"]["scene"]
    assert (scene["aspectmode"], scene["aspectratio"]) == ("manual", sides)


def test_marks_on_a_logarithmic_axis():
    line = Line("a", np.array([0.1, 1.0]), np.zeros(2))
    chart = Chart(
        "a", "", "", (line,), marks=(Mark("x", 0.1, "m"),), x_limits=(0.01, 1.0), log_x=True
    )
    layout = figure(chart)["layout"]
    assert layout["xaxis"]["range"] == [-2.0, 0.0]
    assert layout["shapes"][0]["x0"] == 0.1  # of a shape the number itself
    assert layout["annotations"][0]["x"] == -1.0  # of an annotation its logarithm
