"""The command that gives a person a token."""

from pathlib import Path

from flukeprint.serving.people import holder, read_people
from tests.says import Says


def test_a_token_is_printed_once_and_taken_back(tmp_path: Path, says: Says) -> None:
    file = tmp_path / "people.csv"
    said, error = says("token", "Ana", "--role", "keep", "--people", str(file))
    assert error is None
    found = holder(said.strip(), read_people(file))
    assert found is not None
    assert (found.name, found.role) == ("Ana", "keep")
    assert said.strip() not in file.read_text()
    _, error = says("token", "Bea", "--role", "boss", "--people", str(file))
    assert error is not None
    assert "--role boss is none" in error
    said, error = says("token", "Ana", "--revoke", "--people", str(file))
    assert error is None
    assert "no token any more" in said
    assert read_people(file) == ()
