"""Identities in a Camtrap DP, as observations of a machine beside all that stood there."""

import csv
import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from flukeprint.data.exchange.answered import RowAnswer
from flukeprint.data.exchange.camtrap.answers import answer_camtrap_dp
from flukeprint.data.exchange.camtrap.reading import read_camtrap_dp
from tests.data.exchange.answering import BY, NEW, OUTSIDE, answers, known
from tests.data.exchange.camtrap.packages import (
    FIELDS,
    deployment,
    medium,
    observation,
    schema,
    write_package,
)

BOX = {"bboxX": "0.1", "bboxY": "0.2", "bboxWidth": "0.3", "bboxHeight": "0.4"}
OF: dict[str, RowAnswer] = {
    "media/m1.jpg": known("Zoë, \"the\" cat"), "media/m2.jpg": NEW, "media/m3.jpg": OUTSIDE,
    "media/m4.jpg": known("B", None), "media/m6.jpg": known("C"),
}  # fmt: skip


def full(rows: list[dict[str, str]], table: str = "observations") -> list[dict[str, str]]:
    """Rows with all columns of the standard, and one of its own at the end."""
    names = [name.rstrip("!") for name in FIELDS[table]]
    return [{**dict.fromkeys(names, ""), **row, "remark": "mine; é"} for row in rows]


def package(folder: Path, **resource: Any) -> Path:
    """A package of six photographs: two of an event, one of a person, one without observation."""
    write_package(
        folder,
        {
            "deployments": full([deployment()], "deployments"),
            "media": full(
                [
                    medium(f"m{n}", timestamp=f"2023-04-02T1{n}:00:00+02:00")
                    for n in (1, 2, 3, 4, 5, 6)
                ],
                "media",
            ),
            "observations": full(
                [
                    observation("o1", "m1", classificationMethod="human", classifiedBy="Ana",
                                sex="female", count="1", **BOX),
                    observation("o2", "m2"), observation("o3", "m3"),
                    observation("o4", eventStart="2023-04-02T14:00:00+02:00",
                                eventEnd="2023-04-02T14:00:00+02:00", eventID="e4"),
                    observation("o5", "m5", individualID="Kept", classificationMethod="human"),
                    observation("o7", observationType="human",
                                eventStart="2023-04-03T12:00:00Z", eventEnd="2023-04-03T12:00:00Z"),
                ]
            ),
        },
        version="1.0.2",
        **resource,
    )  # fmt: skip
    (folder / "media").mkdir()
    for n in (1, 2, 3, 4, 5, 6):
        (folder / "media" / f"m{n}.jpg").write_bytes(bytes([n]))
    (folder / "README.md").write_text("about")
    (folder / "own.csv").write_text("a,b\n1,2\n")
    file = folder / "datapackage.json"
    tree = json.loads(file.read_text())
    tree["resources"].append({"name": "own", "path": "own.csv"})
    tree |= {"project": {"title": "P", "deep": [1, {"é": None}]}, "taxonomic": [], "custom": 1.50}
    file.write_text(json.dumps(tree, indent=3))
    return folder


def observations(folder: Path) -> list[dict[str, str]]:
    with (folder / "observations.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def errors(folder: Path) -> list[Any]:
    """What frictionless finds wrong, by the standard's tables with the column `remark`."""
    frictionless = pytest.importorskip("frictionless")
    description = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    del description["profile"]
    for resource in description["resources"]:
        if resource["name"] in FIELDS:
            resource["schema"] = schema(resource["name"])
            resource["schema"]["fields"].append({"name": "remark", "type": "string"})
    found = frictionless.Package.from_descriptor(description, basepath=str(folder)).validate()
    return list(found.flatten(["title", "rowNumber", "fieldName", "message"]))


def test_all_that_stood_there_stays(tmp_path: Path) -> None:
    source, target = package(tmp_path / "source"), tmp_path / "out"
    assert answer_camtrap_dp(source, None, answers(OF), target) == ()
    names = {path.relative_to(source) for path in source.rglob("*")}
    assert {path.relative_to(target) for path in target.rglob("*")} == names
    for path in source.rglob("*.*"):
        there = (target / path.relative_to(source)).read_bytes()
        if path.name == "observations.csv":
            assert there.startswith(path.read_bytes())
        else:
            assert there == path.read_bytes()
    # Tables are copies, which may be edited; photographs are not.
    assert not (source / "own.csv").samefile(target / "own.csv")
    assert (source / "media/m1.jpg").samefile(target / "media/m1.jpg")
    assert errors(source) == errors(target) == []


def test_observations_of_a_machine_are_added_and_read_back(tmp_path: Path) -> None:
    source, target = package(tmp_path / "source"), tmp_path / "out"
    answer_camtrap_dp(source, None, answers(OF), target)
    added = observations(target)[6:]
    assert [row["mediaID"] for row in added] == ["m1", "m2", "m4", "m6"]
    first, new, event, bare = added
    assert len({row["observationID"] for row in observations(target)}) == 10
    said = {
        "individualID": 'Zoë, "the" cat', "classificationMethod": "machine", "classifiedBy": BY,
        "classificationTimestamp": "2026-05-06T07:08:09Z", "classificationProbability": "0.75",
        "observationLevel": "media", "observationType": "animal", "deploymentID": "d1",
        "scientificName": "Lynx lynx", "sex": "female", "count": "", "observationTags": "sameAs:o1",
        "eventStart": "2023-04-02T08:00:00Z", **BOX,
    }  # fmt: skip
    assert {name: first[name] for name in said} == said
    assert (new["individualID"], new["observationTags"]) == ("", "individual:new | sameAs:o2")
    assert (event["individualID"], event["eventID"]) == ("B", "e4")
    assert event["observationTags"] == event["classificationProbability"] == ""
    assert bare["eventStart"] == bare["eventEnd"] == "2023-04-02T16:00:00+02:00"
    before, after = read_camtrap_dp(source), read_camtrap_dp(target)
    assert [one.image for one in after.photos] == [one.image for one in before.photos]
    rows = {Path(one.image).stem: one for one in after.photos}
    assert {name: (one.identity, one.machine) for name, one in rows.items()} == {
        "m1": ('Zoë, "the" cat', True), "m2": (None, False), "m3": (None, False),
        "m4": ("B", True), "m5": ("Kept", False), "m6": ("C", True),
    }  # fmt: skip
    assert (rows["m1"].probability, rows["m1"].by, rows["m1"].sex) == (0.75, BY, "female")
    assert rows["m1"].box == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert rows["m4"].encounter == "e4"


def test_an_older_answer_is_replaced(tmp_path: Path) -> None:
    source, once, twice = package(tmp_path / "source"), tmp_path / "once", tmp_path / "twice"
    answer_camtrap_dp(source, None, answers(OF), once)
    again = {
        "media/m1.jpg": known("X"), "media/m2.jpg": known("Y"), "media/m4.jpg": NEW,
        "media/m6.jpg": OUTSIDE,
    }  # fmt: skip
    answer_camtrap_dp(once, None, answers(again), twice)
    rows = observations(twice)
    assert rows[:6] == observations(source)
    assert [(row["mediaID"], row["individualID"]) for row in rows[6:]] == [
        ("m1", "X"), ("m2", "Y"), ("m4", ""),
    ]  # fmt: skip
    assert {one.image[6:8]: one.identity for one in read_camtrap_dp(twice).photos} == {
        "m1": "X", "m2": "Y", "m3": None, "m4": None, "m5": "Kept", "m6": None,
    }  # fmt: skip
    assert errors(twice) == []


def test_a_person_who_names_the_animal_later_is_right(tmp_path: Path) -> None:
    source, target = package(tmp_path / "source"), tmp_path / "out"
    answer_camtrap_dp(source, None, answers(OF), target)
    rows = observations(target)
    rows[0]["individualID"] = "Truth"
    with (target / "observations.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    first = read_camtrap_dp(target).photos[0]
    assert (first.identity, first.machine) == ("Truth", False)


def test_a_zip_stays_one(tmp_path: Path) -> None:
    folder, source = package(tmp_path / "source"), tmp_path / "source.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"made by a program"
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, f"deep/{path.relative_to(folder)}")
    target = tmp_path / "out.zip"
    answer_camtrap_dp(source, folder, answers(OF), target)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target) as new:
        assert new.comment == old.comment
        assert new.namelist() == old.namelist()
        for name in old.namelist():
            if not name.endswith("observations.csv"):
                assert new.read(name) == old.read(name)
        assert new.testzip() is None
        table = new.read("deep/observations.csv").decode()
    assert [row["individualID"] for row in csv.DictReader(io.StringIO(table))][6:] == [
        'Zoë, "the" cat', "", "B", "C",
    ]  # fmt: skip
    assert read_camtrap_dp(target, folder).photos[0].identity == 'Zoë, "the" cat'


@pytest.mark.parametrize(
    "how",
    [
        {"dialect": {"delimiter": ";"}},
        {"encoding": "utf-16"},
        {"bytes": 1, "hash": "sha256:0"},
        {"hash": "0"},
        {"compression": "gz"},
    ],
)
def test_tables_stay_written_as_they_are(tmp_path: Path, how: dict[str, Any]) -> None:
    source, target = package(tmp_path / "source", **how), tmp_path / "out"
    if "compression" in how:
        for name in FIELDS:
            file = source / f"{name}.csv"
            file.write_bytes(gzip.compress(file.read_bytes()))
    answer_camtrap_dp(source, None, answers(OF), target)
    identities = [one.identity for one in read_camtrap_dp(target).photos]
    assert identities == ['Zoë, "the" cat', None, None, "B", "Kept", "C"]
    content = (target / "observations.csv").read_bytes()
    (resource,) = (
        one
        for one in json.loads((target / "datapackage.json").read_text())["resources"]
        if one["name"] == "observations"
    )
    if "bytes" in how:
        assert resource["bytes"] == len(content)
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    elif "hash" in how:
        assert resource["hash"] == hashlib.md5(content).hexdigest()
    else:
        assert {key: resource[key] for key in how} == how


def test_columns_that_the_table_lacks_come_where_the_standard_has_them(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "out"
    rows = [observation("o1", "m1") | {"remark": "two\r\nlines", "observationComments": "c"}]
    del rows[0]["individualID"]
    write_package(
        source, {"deployments": [deployment()], "media": [medium("m1")], "observations": rows}
    )
    answer_camtrap_dp(source, None, answers({"media/m1.jpg": known("A")}), target)
    old, new = observations(target)
    assert {name: old[name] for name in rows[0]} == rows[0]
    names = list(old)
    assert names.index("scientificName") < names.index("individualID")
    assert names.index("classificationProbability") < names.index("observationTags")
    assert names.index("observationTags") < names.index("observationComments")
    assert new["individualID"] == "A"
    assert read_camtrap_dp(target).photos[0].identity == "A"
