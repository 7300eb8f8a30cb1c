"""Charts as PNG and SVG."""

import xml.etree.ElementTree as ET
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from flukeprint.evaluation.report.charts import Chart, Points
from flukeprint.evaluation.report.static_charts import draw
from tests.evaluation.report.every_kind import charts


@pytest.mark.parametrize("chart", charts(), ids=lambda chart: chart.name)
def test_every_kind_is_drawn_whatever_its_texts(chart):
    before = dict(mpl.rcParams)
    files = draw(chart)
    assert dict(mpl.rcParams) == before
    with Image.open(BytesIO(files["png"])) as picture:
        assert picture.size == (1200, 675)
        assert len(picture.resize((300, 168)).convert("RGB").getcolors(100_000)) > 10
    svg = ET.fromstring(files["svg"])
    texts = "".join(svg.itertext())
    assert "script>" not in {element.tag.rpartition("}")[2] for element in svg.iter()}
    if chart.name == "line":
        assert "<script>alert(1)</script>" in texts
        assert "$x^2$" in texts  # as it is, not as a formula


def test_many_points_do_not_make_an_svg_of_megabytes():
    at = np.random.default_rng(0).normal(size=(20_000, 2))
    assert len(draw(Chart("a", "t", "", (Points("a", at),)))["svg"]) < 500_000


def test_equal_charts_give_equal_files():
    chart = charts()[1]
    assert draw(chart) == draw(chart)
