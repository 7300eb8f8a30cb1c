"""What a chart refuses, and what its texts keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.evaluation.report.charts import (
    COLOURS,
    Bars,
    Chart,
    Line,
    Listing,
    Part,
    Points,
    check_name,
    colours,
    plain,
)

FLAT, DEEP = np.zeros((2, 2)), np.zeros((2, 3))
LINE = Line("a", np.zeros(2), np.zeros(2))


@pytest.mark.parametrize(
    ("layers", "photos", "word"),
    [
        ((Points("a", FLAT), Points("b", DEEP)), (), "two and of three"),
        ((Points("a", DEEP), LINE), (), "only points"),
        ((Points("a", FLAT, photos=(0, 1)),), (b"x",), "photograph 1 of 1"),
    ],
)
def test_layers_that_do_not_go_together(layers, photos, word):
    with pytest.raises(ValueError, match=word):
        Chart("a", "", "", layers, photos=photos)


def test_points_without_a_photograph_need_none():
    chart = Chart("a", "", "", (Points("a", FLAT, photos=(-1, 0)), LINE), photos=(b"x",))
    assert not chart.solid
    assert Chart("a", "", "", (Points("a", DEEP),)).solid


@pytest.mark.parametrize("name", ["", "A", "a_b", "a b", "-a", "a--b", "../a", "a.png", "ä"])
def test_names_that_are_no_file_and_anchor(name):
    with pytest.raises(ValueError, match="hyphens"):
        check_name(name)


def test_names_of_a_part_are_distinct():
    chart = Chart("a", "", "", (LINE,))
    assert Part("p", "", (), (chart, Listing("", ""))).names() == ("a",)
    with pytest.raises(ValueError, match="one name"):
        Part("p", "", (), (chart, chart))


def test_points_may_share_a_colour_or_bring_their_own():
    layers = [Points("a", FLAT), Points("b", FLAT, colour=0), Points("c", FLAT, colour="#e62828"),
              Points("d", FLAT)]  # fmt: skip
    assert colours(layers) == [COLOURS[0], COLOURS[0], "#e62828", COLOURS[3]]


def test_labels_of_all_bars_in_order():
    one, two = Bars("a", ("x", "y"), np.zeros(2)), Bars("b", ("z", "x"), np.zeros(2))
    assert Chart("a", "", "", (one, two)).labels() == ("x", "y", "z")


@given(st.text())
def test_plain_texts_can_be_written(text):
    found = plain(text)
    found.encode()
    assert not any(ord(letter) < 32 for letter in found)
    assert plain(found) == found
