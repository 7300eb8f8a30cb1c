"""The command doctor, of a configuration and of an identifier's catalogue."""

import json
from pathlib import Path

import pytest

from tests.keeper.doctor.drawn import gallery, identifier_of, renamed, rows_of
from tests.says import Says
from tests.tiny import TinyConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An identifier in which an animal is twice, under names that are nearly equal."""
    place = tmp_path_factory.mktemp("doctor")
    known = gallery()
    twice = renamed(known, dict.fromkeys(rows_of(known, "a_003")[::2], "A-003"))
    identifier_of(place, twice).save(place / "identifier")
    return place / "identifier"


def test_a_catalogue_is_examined(folder: Path, tmp_path: Path, says: Says) -> None:
    table, page = tmp_path / "d.csv", tmp_path / "d.html"
    text, error = says("doctor", folder, "--csv", table, "--html", page)
    assert error is None
    assert "320 photographs of 41 individuals examined" in text
    assert "A-003 = a_003 99%" in text
    assert "1 name in several spellings" in text
    assert table.read_text().count("\n") == 3
    assert "data:image/jpeg" in page.read_text()


def test_json_is_all_that_is_printed(folder: Path, tmp_path: Path, says: Says) -> None:
    printed, error = says("doctor", folder, "--json", "--csv", tmp_path / "d.csv")
    assert error is None
    assert json.loads(printed)["counts"]["doublet"] == 1


def test_a_higher_bar_names_less(folder: Path, says: Says) -> None:
    printed, _ = says("doctor", folder, "--json", "--least", "0.999")
    found = json.loads(printed)["findings"]
    assert all(one["probability"] is None or one["probability"] >= 0.999 for one in found)


def test_a_configuration_is_examined_as_before(tiny_config: TinyConfig, says: Says) -> None:
    text, error = says("doctor", "-c", tiny_config.path)
    assert error is None
    assert "examined" in text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((), "give the folder of one identifier"),
        (("train.epochs=3",), "give the folder of one identifier"),
        (("one", "two"), "give the folder of one identifier"),
        (("-c", "tiny", "--json"), "leave them out"),
        (("nowhere",), "nowhere"),
        (("nowhere", "--csv", "d.txt"), "must end in .csv"),
        (("nowhere", "--html", "d.txt"), "must end in .html"),
    ],
)
def test_it_refuses_in_words(asked: tuple[str, ...], words: str, says: Says) -> None:
    printed, error = says("doctor", *asked)
    assert printed == ""
    assert error is not None
    assert words in error
