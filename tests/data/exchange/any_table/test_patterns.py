"""Folders whose names tell of their photographs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.exchange.any_table.patterns import pattern_of
from flukeprint.data.exchange.any_table.reading import read_any_table
from flukeprint.data.exchange.observed import Observed
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.errors import ProblemsError
from tests.data.readers.layouts import touch
from tests.refusals import refused


def read(folder: Path, pattern: str, **options: Any) -> Observed:
    return read_any_table(folder, options=ReadOptions(pattern=pattern, **options))


def test_several_groups_are_read(tmp_path: Path) -> None:
    touch(
        *(tmp_path / name for name in (
            "Dam/Ada/left_1.jpg", "Dam/Bo/right_.JPG", "Dam/unknown/left_3.jpg", "Dam/x.jpg",
            "Dam/Ada/old/left_4.jpg", "Dam/Ada/notes.txt", "Dam/Ada/_5.jpg", "Dam/Ada/left_6.png",
            ".hidden/Ada/left_1.jpg",
        ))
    )  # fmt: skip
    found = read(tmp_path, "{site}/{identity}/{view}_*.jpg")
    assert [(one.image, one.path, one.place, one.identity, one.view) for one in found.photos] == [
        ("Dam/Ada/left_1.jpg", tmp_path / "Dam/Ada/left_1.jpg", "Dam", "Ada", "left"),
        ("Dam/Bo/right_.JPG", tmp_path / "Dam/Bo/right_.JPG", "Dam", "Bo", "right"),
        ("Dam/unknown/left_3.jpg", tmp_path / "Dam/unknown/left_3.jpg", "Dam", None, "left"),
    ]
    assert found.left_out == {
        "files that are no photographs by name": 1,
        "photographs that {site}/{identity}/{view}_*.jpg does not match": 4,
    }
    assert "Dam/Ada/_5.jpg" in found.text()
    refused(lambda: read(tmp_path, "{site}/x/{identity}.jpg"), "matches none of 7 photographs")


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("**/{identity}/*", "a/b/Ada/x.jpg", {"identity": "Ada"}),
        ("**/{identity}/*", "Ada/x.jpg", {"identity": "Ada"}),
        ("{site}/**/{identity}.jpg", "s/Ada.jpg", {"place": "s", "identity": "Ada"}),
        ("{site}/**/{identity}.jpg", "s/a/b/Ada.jpg", {"place": "s", "identity": "Ada"}),
        ("{identity}/**", "Ada/x/y.jpg", {"identity": "Ada"}),
        ("{identity}/{identity} *.jpg", "Ada/Ada 7.jpg", {"identity": "Ada"}),
        ("{identity}/{identity} *.jpg", "Ada/Bo 7.jpg", None),
        ("{identity} (*.jpg", "Ada (2).jpg", {"identity": "Ada"}),
        ("{identity}.*.jpg", "Adaxjpg.jpg", None),
        ("{date}/{identity}.jpg", "2024-05-03/A.JPG", {"date": "2024-05-03", "identity": "A"}),
        (r"(?P<identity>.+)_\d{3}\.jpg", "lion_7_001.jpg", {"identity": "lion_7"}),
    ],
)
def test_patterns_match(pattern: str, name: str, fields: dict[str, str] | None) -> None:
    assert pattern_of(pattern).read(name) == fields


def test_names_that_can_be_divided_in_two_ways_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "lion_7_001.jpg", tmp_path / "Ada_1.jpg")
    error = refused(
        lambda: read(tmp_path, "{identity}_*.jpg"), "lion_7_001.jpg", "identity lion and",
        "identity lion_7", "regular expression",
    )  # fmt: skip
    assert not isinstance(error, ProblemsError) or not error.problems
    assert [one.identity for one in read(tmp_path, r"(?P<identity>.+)_\d+\.jpg").photos] == [
        "Ada", "lion_7",
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["a", "b", "_", "aa"]), min_size=1, max_size=9))
def test_only_the_one_reading_is_ever_given(letters: list[str]) -> None:
    """Compared with all places at which a name can be divided."""
    name = "".join(letters)
    readings = [
        (name[:at], name[at + 1 :])
        for at, letter in enumerate(name)
        if letter == "_" and name[:at] and name[at + 1 :]
    ]
    pattern = pattern_of("{identity}_{view}.jpg")
    if len(readings) > 1:
        refused(lambda: pattern.read(f"{name}.jpg"), "two ways")
    else:
        expected = {"identity": readings[0][0], "view": readings[0][1]} if readings else None
        assert pattern.read(f"{name}.jpg") == expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{identity}{view}.jpg", "nothing stands between {identity} and {view}"),
        ("{identity}*.jpg", "nothing stands between {identity} and *"),
        ("{}/{identity}.jpg", "{} names nothing"),
        ("{ }/{identity}.jpg", "{} names nothing"),
        ("*/*.jpg", "no field in braces"),
        ("{identiy}/*.jpg", "did you mean identity"),
        ("{identity/*.jpg", "a brace without its other"),
        ("{site}/{place}/{identity}.jpg", "twice"),
        ("{box}/{identity}.jpg", "no name can tell"),
        ("a**/{identity}.jpg", "** stands alone"),
        ("{time}/{identity}.jpg", "a time without a date"),
        ("(?P<identity>.+", "not a regular expression"),
        (r"(?P<lion>.+)\.jpg", "nothing is called 'lion'"),
    ],
)
def test_patterns_that_say_too_little_are_refused(pattern: str, words: str) -> None:
    refused(lambda: pattern_of(pattern), words)


def test_dates_and_numbers_in_names_are_checked(tmp_path: Path) -> None:
    touch(tmp_path / "Ada 03-04-2021 07:05.jpg")
    (photo,) = read(tmp_path, "{identity} {date} {time}.jpg", dates="day-first").photos
    assert (photo.identity, photo.date) == ("Ada", "2021-04-03T07:05")
    refused(lambda: read(tmp_path, "{identity} {date} {time}.jpg"), "Ada 03-04-2021", "2021-03-04")
