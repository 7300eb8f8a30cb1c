"""Names in a catalogue: whom they mean, and the next free one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.data.names import spelling
from flukeprint.errors import FlukeprintError
from flukeprint.records import names as module
from flukeprint.records.names import (
    find_individual,
    ids_of_names,
    new_name,
    next_name,
    suggested_name,
)
from tests.catalogues import NEW, begun


@pytest.mark.parametrize(
    ("names", "free"),
    [
        (["n_236", "n_237"], "n_238"), (["n_9"], "n_10"), (["n_09", "n_08"], "n_10"),
        (["n_008", "n_009"], "n_010"), (["n_999", "n_001"], "n_1000"), (["x"], "animal_1"),
        ([], "animal_1"), (["animal_1", "x"], "animal_2"), (["a1", "a2", "b7"], "a3"),
        (["n_1_12", "n_1_13"], "n_1_14"), (["7", "9"], "10"), (["Nr. 4b", "Nr. 5b"], "Nr. 6b"),
        (["n_1", "n_2", "N-3"], "n_4"), (["Animal 1"], "Animal 2"),
    ],
)  # fmt: skip
def test_the_next_name(names: list[str], free: str) -> None:
    assert next_name(names) == free


@given(st.lists(st.text(min_size=1, max_size=8) | st.from_regex(r"n_\d{1,3}", fullmatch=True)))
def test_the_next_name_is_free(names: list[str]) -> None:
    free = next_name(names)
    assert spelling(free) not in set(map(spelling, names))
    assert re.search(r"\d", free)


def test_a_name_of_thousands_of_digits_does_no_harm() -> None:
    assert next_name(["n_" + "9" * 5000, "n_1"]) == "n_2"


def test_a_suggestion_is_free_though_only_the_latest_names_tell_the_pattern(
    tmp_path: Path, catalogue_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["n_12", "n_13", "k_1", "n_10", "n_11"]
    database = begun(tmp_path / "kept", catalogue_url, [(name, 1) for name in names])
    with database.reading() as connection:
        assert suggested_name(connection) == "n_14"
        monkeypatch.setattr(module, "_LATEST", 2)  # n_12 and n_13 are not among them
        assert suggested_name(connection) == "n_14"
        monkeypatch.setattr(module, "_LATEST", 4)
        assert suggested_name(connection) == "n_14"


def test_whom_names_mean(tmp_path: Path, catalogue_url: str | None) -> None:
    database = begun(
        tmp_path / "kept", catalogue_url, [("Zo\u00eb", 1), ("n_1_12", 1), ("n_11_2", 1)]
    )
    with database.reading() as connection:
        assert find_individual(connection, "zoe ") == 1
        assert find_individual(connection, "N-1-12") == 2
        assert find_individual(connection, "n 11 2") == 3
        assert ids_of_names(connection, ["Zoe\u0308", "who"]) == {"Zoe\u0308": 1}
        assert ids_of_names(connection, ["ZOE"], exactly=True) == {}
        with pytest.raises(FlukeprintError, match="no animal is called Zo; did you mean"):
            find_individual(connection, "Zo")
        assert new_name(connection, " Kai ", NEW) == "Kai"
        for name in ("Zo\u00eb", "Zoe\u0308"):
            with pytest.raises(FlukeprintError, match="taken"):
                new_name(connection, name, NEW, force=True)
        assert new_name(connection, "zoe", NEW, force=True) == "zoe"
        assert new_name(connection, "zoe", NEW, own=1) == "zoe"
