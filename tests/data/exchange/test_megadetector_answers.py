"""Identities in MegaDetector's results, beside all that stood there."""

import copy
import json
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.megadetector import read_megadetector
from flukeprint.data.exchange.megadetector_answers import answer_megadetector
from tests.data.exchange.answering import BY, NEW, OUTSIDE, answers, known
from tests.data.exchange.test_megadetector import found, written

IMAGES: list[Any] = [
    {
        "file": "north\\a.jpg",
        "detections": [found(0.1, 0.2, 0.3, 0.4, mine=[1, None]), found(0.5, 0.5, 0.1, 0.1)],
        "odd": {"é": 1},
    },
    {"file": "b.jpg", "detections": [found(0.1, 0, 0.2, 1), found(0.1, 0, 0.2, 1, 0.9, "2")]},
    {"file": "bad.jpg", "detections": None, "failure": "Image could not be opened"},
    {"file": "c.jpg", "detections": [found(0.1, 0, 0.2, 1)]},
    {"file": "b.jpg", "detections": [found(0.2, 0, 0.2, 1)]},
]
OF = {
    "north/a.jpg#1": known("Zoë", 0.123456), "north/a.jpg#2": NEW, "b.jpg#1": known("B", None),
    "c.jpg": OUTSIDE,
}  # fmt: skip


def without_ours(tree: Any) -> Any:
    """The tree without what may have been added."""
    plain = copy.deepcopy(tree)
    plain["info"].pop("flukeprint", None)
    for entry in plain["images"]:
        for one in entry["detections"] or []:
            one.pop("flukeprint", None)
    return plain


def test_identities_are_read_back_and_all_else_stays(tmp_path: Path) -> None:
    source = written(tmp_path / "md.json", IMAGES, more={"kept": [1.5]}, version="1.6")
    target = tmp_path / "out.json"
    assert answer_megadetector(source, None, answers(OF), target) == ()
    tree, before = json.loads(target.read_text()), json.loads(source.read_text())
    plain = without_ours(tree)
    assert plain.pop("classification_categories") == {"1": "Zoë", "2": "B"}
    first, second = plain["images"][0]["detections"]
    assert first.pop("classifications") == [["1", 0.1235]]
    assert plain["images"][1]["detections"][0].pop("classifications") == [["2", 1.0]]
    assert plain == before
    assert "classifications" not in second
    assert tree["info"]["flukeprint"] == {"individuals": ["1", "2"]}
    assert tree["images"][0]["detections"][1]["flukeprint"]["verdict"] == "new"
    read = read_megadetector(target)
    rows = {one.image: one for one in read.photos}
    assert list(rows) == ["north/a.jpg#1", "north/a.jpg#2", "b.jpg#1", "c.jpg"]
    zoe = rows["north/a.jpg#1"]
    assert (zoe.identity, zoe.probability, zoe.by, zoe.machine) == ("Zoë", 0.1235, BY, True)
    assert (rows["b.jpg#1"].identity, rows["b.jpg#1"].probability) == ("B", None)
    assert rows["north/a.jpg#2"].identity is rows["c.jpg"].identity is None
    assert not rows["c.jpg"].machine
    assert {one.species for one in read.photos} == {None}  # no name is taken for one
    assert [one.confidence for one in read.photos] == [0.9] * 4


def test_species_are_never_mixed_with_individuals(tmp_path: Path) -> None:
    images: list[Any] = [
        {"file": "a.jpg", "detections": [found(0, 0, 1, 1, classifications=[["7", 0.4]])]},
        {"file": "b.jpg", "detections": [found(0, 0, 1, 1)]},
    ]
    species = {"classification_categories": {"7": "leopard", "8": "blank"}}
    source = written(tmp_path / "md.json", images, **species)
    target = tmp_path / "out.json"
    (line,) = answer_megadetector(
        source, None, answers({"a.jpg": known("A", 0.99), "b.jpg": known("B")}), target
    )
    assert "species stand" in line
    assert without_ours(json.loads(target.read_text())) == json.loads(source.read_text())
    first, second = read_megadetector(target).photos
    assert (first.species, first.identity) == ("leopard", "A")
    assert (second.species, second.identity) == (None, "B")


def test_a_second_run_answers_anew_and_keeps_the_keys_of_individuals(tmp_path: Path) -> None:
    source = written(tmp_path / "md.json", IMAGES)
    once, twice = tmp_path / "once.json", tmp_path / "twice.json"
    answer_megadetector(source, None, answers(OF), once)
    again = {"north/a.jpg#1": NEW, "north/a.jpg#2": known("B"), "b.jpg#1": known("Q")}
    answer_megadetector(once, None, answers(again), twice)
    tree = json.loads(twice.read_text())
    assert tree["classification_categories"] == {"1": "Zoë", "2": "B", "3": "Q"}
    first, second = tree["images"][0]["detections"]
    assert (first["classifications"], second["classifications"]) == ([], [["2", 0.75]])
    assert [one.identity for one in read_megadetector(twice).photos] == [None, "B", "Q", None]
    assert {one.species for one in read_megadetector(twice).photos} == {None}


def test_marks_of_other_kinds_are_no_identities(tmp_path: Path) -> None:
    marks = [None, "w_1", {"identity": None}, {"identity": 5, "probability": 7}, {"who": "x"}]
    images = [
        {"file": f"{n}.jpg", "detections": [found(0, 0, 1, 1, flukeprint=mark)]}
        for n, mark in enumerate(marks)
    ]
    read = read_megadetector(written(tmp_path / "md.json", images))
    assert [one.identity for one in read.photos] == [None, None, None, "5", None]
    assert [one.machine for one in read.photos] == [False, False, False, True, False]
    assert read.photos[3].probability is None
