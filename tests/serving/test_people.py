"""The file of people: tokens are made, taken back and known again, and mistakes are named."""

import csv
import hashlib
import os
from pathlib import Path

import pytest
import yaml

from flukeprint.serving.people import (
    PeopleFile,
    Person,
    give_token,
    holder,
    read_people,
    take_token,
)
from tests.refusals import refused


def person(name: str, token: str, role: str = "look") -> Person:
    return Person(name, role, hashlib.sha256(token.encode()).hexdigest())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["people.csv", "people.yaml"])
def test_a_token_is_known_by_its_digest_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    ana, bea = give_token(path, "Ana", "keep"), give_token(path, " Bea Ñ. ", "look")
    assert len({ana, bea}) == 2
    assert min(len(ana), len(bea)) > 40
    text = path.read_text()
    assert ana not in text
    assert hashlib.sha256(ana.encode()).hexdigest() in text
    rows = (
        yaml.safe_load(text) if name.endswith("yaml") else list(csv.DictReader(text.splitlines()))
    )
    assert [(row["name"], row["role"]) for row in rows] == [("Ana", "keep"), ("Bea Ñ.", "look")]
    people = read_people(path)
    assert holder(ana, people) == people[0]
    assert holder(bea, people) == people[1]
    for other in ("", ana[:-1], ana + "x", ana.upper()):
        assert holder(other, people) is None
    assert ana not in repr(people)
    assert people[0].sha256 not in repr(people)


def test_a_new_token_ends_the_old_one_and_can_be_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    old, other = give_token(path, "Ana", "look"), give_token(path, "Bea", "review")
    new = give_token(path, "ANA", "keep")
    people = read_people(path)
    assert holder(old, people) is None
    found = holder(new, people)
    assert found is not None
    assert (found.name, found.role, len(people)) == ("ANA", "keep", 2)
    take_token(path, "ana")
    assert holder(new, read_people(path)) is None
    assert holder(other, read_people(path)) is not None
    assert "names nobody Cy" in str(refused(lambda: take_token(path, "Cy")))


def test_roles_include_those_below() -> None:
    may = {
        role: [what for what in ("look", "review", "keep") if person("a", "t", role).may(what)]  # type: ignore[arg-type]
        for role in ("look", "review", "keep")
    }
    assert may == {
        "look": ["look"], "review": ["look", "review"], "keep": ["look", "review", "keep"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,role\nAna,keep\n", "has no column sha256"),
        (f"name,role,sha256\nAna,boss,{'a' * 64}\n", "line 2: role 'boss' is none"),
        ("name,role,sha256\nAna,keep,abc\n", "line 2: sha256 is no digest"),
        (f"name,role,sha256\n,keep,{'a' * 64}\n", "line 2: a name is one line"),
        (f"name,role,sha256\nA,look,{'a' * 64}\na,look,{'b' * 64}\n", "a is there twice"),
        (f"name,role,sha256\nA,look,{'a' * 64}\nB,look,{'a' * 64}\n", "B has the token of another"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(text)
    assert said in str(refused(lambda: read_people(path)))
    assert "cannot be read" in str(refused(lambda: read_people(tmp_path / "none.csv")))


@pytest.mark.parametrize("text", ["a: 1", "- b", "- {name: [", "'"])
def test_yaml_that_is_no_list_of_people_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.yaml"
    path.write_text(text)
    assert "people.yaml" in str(refused(lambda: read_people(path)))


def test_changes_of_the_file_are_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "people.csv"
    first = give_token(path, "Ana", "keep")
    followed = PeopleFile(path)
    assert holder(first, followed.now()) is not None
    second = give_token(path, "Bea", "look")
    assert holder(second, followed.now()) is not None
    path.write_text("name,role,sha256\nAna,boss,1\n")
    os.utime(path, ns=(1, 1))
    assert holder(first, followed.now()) is not None
    assert "the people are as before" in caplog.text
    assert first not in caplog.text
    path.unlink()
    assert holder(second, followed.now()) is not None
    give_token(path, "Cy", "look")
    assert [one.name for one in followed.now()] == ["Cy"]
