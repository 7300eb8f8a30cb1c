"""The page: one file of bounded size that names no other, whatever names and numbers it holds."""

import base64
import gzip
import hashlib
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from flukeprint.evaluation.report.charts import (
    Chart,
    Part,
    PhotoRow,
    PhotoRows,
    Points,
    Shown,
    Table,
)
from flukeprint.evaluation.report.page import MOST_BYTES, ReportPage, render
from tests.evaluation.report.drawn_run import HOSTILE
from tests.evaluation.report.every_kind import jpeg, parts

VOID = {"meta", "link", "img", "br"}


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed, and what they hold is kept."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict]] = []
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.text: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs)
        self.elements.append((tag, found))
        if tag == "script":
            self.scripts.append((found, ""))
        if tag not in VOID:
            self.open.append((tag, found))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif self.open and self.open[-1][0] != "style":
            self.text.append(data)

    def all(self, tag):
        return [found for name, found in self.elements if name == tag]


@pytest.fixture(scope="module")
def page() -> ReportPage:
    return ReportPage(HOSTILE[0], (HOSTILE[1],), parts(), (HOSTILE[0],))


@pytest.fixture(scope="module")
def reader(page: ReportPage) -> Reader:
    return Reader(render(page))


def test_names_are_shown_and_nothing_of_them_is_run(reader: Reader):
    assert sum("<script>alert(1)</script>" in text for text in reader.text) > 5
    assert {element.get("type") for element in reader.all("script")} == {
        None, "application/json", "text/plain",
    }  # fmt: skip
    assert not any(key.startswith("on") for _, found in reader.elements for key in found)


def test_only_two_scripts_may_run(reader: Reader):
    (policy,) = (
        meta["content"]
        for meta in reader.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    own = next(text for attributes, text in reader.scripts if not attributes)
    packed = next(text for attributes, text in reader.scripts if attributes.get("id") == "plotly")
    plotly = gzip.decompress(base64.b64decode(packed))
    assert b"plotly.js v" in plotly[:100]
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode()}'"
        for code in (own.encode(), plotly)
    ]
    assert f"script-src {' '.join(digests)};" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert policy.count("unsafe-inline") == 1  # of styles


def test_nothing_is_asked_of_any_other_site(page: ReportPage, reader: Reader):
    addresses = [
        value
        for _, found in reader.elements
        for key, value in found.items()
        if key in ("src", "href", "action", "data", "poster", "srcset")
    ]
    assert all(address.startswith(("data:", "#", "report/")) for address in addresses)
    style = re.search(rb"<style>(.*?)</style>", render(page), re.DOTALL)
    assert style is not None
    assert b"url(" not in style[1]
    assert b"@import" not in style[1]


def test_headings_go_down_one_by_one_and_every_picture_has_a_text(reader: Reader):
    levels = [int(name[1]) for name, _ in reader.elements if re.fullmatch("h[1-6]", name)]
    body = levels[levels.index(1) :]
    assert body.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(body))
    assert all("alt" in image for image in reader.all("img"))
    assert reader.all("html")[0]["lang"] == "en"
    anchors = [link["href"][1:] for link in reader.all("a") if link["href"].startswith("#")]
    ids = [found["id"] for _, found in reader.elements if "id" in found]
    assert {"content", "charts", "others"} <= set(anchors) <= set(ids)
    assert len(set(ids)) == len(ids)


def test_a_chart_has_its_data_and_names_its_files(reader: Reader):
    data = {attributes.get("id"): text for attributes, text in reader.scripts}
    for name in ("line", "bars", "histograms", "points", "solid", "heatmap"):
        found = json.loads(data[f"data-{name}"])
        assert found["data"]
        hrefs = {link["href"] for link in reader.all("a")}
        assert {f"report/{name}.png", f"report/{name}.svg"} <= hrefs


def test_a_photograph_of_several_charts_is_in_the_page_once(page: ReportPage, reader: Reader):
    data = {attributes.get("id"): text for attributes, text in reader.scripts}
    table = json.loads(data["photographs"])
    flat, solid = (json.loads(data[f"data-{name}"])["photos"] for name in ("points", "solid"))
    assert flat == solid == [0, 1, 2, 3]
    chart = next(block for block in page.named() if block.name == "points")
    assert isinstance(chart, Chart)
    assert [base64.b64decode(photo) for photo in table] == list(chart.photos)


def many(photos: int, rows: int, points: int) -> ReportPage:
    """A page with far too much on it."""
    rng = np.random.default_rng(0)
    thumbnails = tuple(jpeg(seed) for seed in range(photos))
    places = tuple(place % photos for place in range(points))
    layer = Points("a", rng.normal(size=(points, 3)), ("a name",) * points, places)
    shown = tuple(
        PhotoRow("row", tuple(Shown(("a",), thumbnails[place % photos]) for place in range(7)))
        for _ in range(rows)
    )
    part = Part("p", "P", (), (
        Chart("solid", "t", "c", (layer,), photos=thumbnails), PhotoRows("t", "c", shown),
    ))  # fmt: skip
    return ReportPage("many", (), (part,))


@pytest.mark.parametrize(("rows", "points"), [(3, 500), (60, 500), (0, 40_000)])
def test_the_page_is_never_larger_than_its_bound(rows: int, points: int):
    chart = Chart("solid", "t", "c", (Points("a", np.zeros((1, 3))),))
    bare = len(render(ReportPage("none", (), (Part("p", "P", (), (chart,)),))))
    most = bare + 1_000_000
    page = many(150, rows, points)
    found = render(page, most)
    assert bare < len(found) <= most
    kept = Reader(found)
    data = {attributes.get("id"): text for attributes, text in kept.scripts}
    assert ("data-solid" in data) == (points < 40_000)
    if points == 40_000:
        assert any("Too large for this page" in text for text in kept.text)
    if rows == 3:
        assert sum(map(bool, json.loads(data["photographs"]))) > 20
        assert len(kept.all("img")) == 22


def test_five_megabytes_hold_for_ten_of_photographs():
    page = many(150, 0, 500)
    solid = page.named()[0]
    assert isinstance(solid, Chart)
    heavy = tuple(photo[:-2] + bytes(66_000) + photo[-2:] for photo in solid.photos)
    part = replace(page.parts[0], blocks=(replace(solid, photos=heavy),))
    assert sum(map(len, heavy)) > 10_000_000
    assert len(render(replace(page, parts=(part,)))) <= MOST_BYTES


def test_names_are_told_apart():
    part = parts()[0]
    with pytest.raises(ValueError, match="twice in one page"):
        ReportPage("t", (), (part, replace(part, anchor="other")))
    with pytest.raises(ValueError, match="twice in one page: charts"):
        ReportPage("t", (), (part, replace(part, blocks=())))


def test_a_page_without_charts_runs_no_script():
    page = ReportPage("none", (), (Part("p", "P", (), (Table("c", ("a",), (("b",),)),)),))
    found = render(page)
    assert len(found) < 20_000
    assert b"script-src 'none'" in found
    assert Reader(found).scripts == []
    assert b"plotly" not in found
