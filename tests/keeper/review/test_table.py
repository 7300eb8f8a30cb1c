"""The table of a review: what is read, and that all that cannot be is named at once."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.names import identity_name
from flukeprint.keeper.review.table import COLUMNS, ReviewDecision, read_decisions
from tests.refusals import refused

ROW = {
    "photo": "a.jpg", "decision": "known", "identity": "n_007", "note": "", "reviewer": "Ada",
    "decided_at": "2026-05-03T14:02:31Z", "first_answer": "n_008", "probability": "0.4",
    "stamp": "abc", "queue": "def", "catalogue_event": "12", "digest": "0" * 32,
    "path": "/photos/a.jpg", "error": "",
}  # fmt: skip


def written(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows({**ROW, **row} for row in rows)
    return path


def test_a_row_is_read(tmp_path: Path) -> None:
    (found,) = read_decisions(written(tmp_path / "review.csv", {"note": " left side "}))
    assert found == ReviewDecision(
        line=2, photo="a.jpg", decision="known", identity="n_007", note="left side",
        reviewer="Ada", decided_at=datetime(2026, 5, 3, 14, 2, 31, tzinfo=UTC),
        first_answer="n_008", probability=0.4, stamp="abc", queue="def", catalogue_event=12,
        digest="0" * 32, path="/photos/a.jpg", error=None,
    )  # fmt: skip


def test_what_was_not_decided_needs_no_moment(tmp_path: Path) -> None:
    nothing = {"identity": "", "decided_at": "", "reviewer": "", "probability": ""}
    path = written(
        tmp_path / "review.csv",
        {**nothing, "decision": "undecided"},
        {
            **nothing, "decision": "unreadable", "photo": "b.jpg", "path": "/photos/b.jpg",
            "digest": "", "first_answer": "", "error": "is empty",
        },
    )  # fmt: skip
    undecided, unreadable = read_decisions(path)
    assert (undecided.decided_at, undecided.probability, undecided.identity) == (None, None, None)
    assert (unreadable.digest, unreadable.first_answer, unreadable.error) == (
        None, None, "is empty",
    )  # fmt: skip


def test_a_spreadsheet_may_have_saved_it(tmp_path: Path) -> None:
    plain = written(tmp_path / "review.csv", {}, {"photo": "b.jpg", "path": "/photos/b.jpg"})
    lines = plain.read_text().splitlines()
    other = tmp_path / "other.csv"
    other.write_text(
        "\n".join(line.replace(",", ";") for line in lines) + "\n" + ";" * 13 + "\n",
        encoding="utf-8-sig",
    )
    assert read_decisions(other) == read_decisions(plain)


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path / "review.csv",
        {"decision": "knwon"},
        {"identity": " "},
        {"decision": "unsure", "path": "/photos/b.jpg"},
        {"decided_at": "yesterday", "digest": "1234"},
        {"probability": "nan", "catalogue_event": "-1", "stamp": ""},
        {"photo": "", "path": ""},
        {},
        {"decision": "wrong_view", "identity": ""},
    )
    error = refused(
        lambda: read_decisions(path), str(path),
        "line 2: decision 'knwon' is none; did you mean known?",
        "line 3: decision known names no identity",
        "line 4: decision unsure has an identity, 'n_007'",
        "line 5: decided_at 'yesterday'", "line 5: digest '1234'",
        "line 6: probability 'nan'", "line 6: catalogue_event '-1'", "line 6: stamp is empty",
        "line 7: photo is empty", "line 7: path is empty",
        "line 8: photo a.jpg stands in line 9 again",
    )  # fmt: skip
    assert str(error).count("line 9") == 1  # which is right by itself


def test_other_tables_are_refused(tmp_path: Path) -> None:
    refused(lambda: read_decisions(tmp_path / "none.csv"), "none.csv is missing", "review")
    path = written(tmp_path / "a.csv", {}, columns=tuple(c for c in COLUMNS if c != "decision"))
    refused(lambda: read_decisions(path), "no column decision")
    refused(lambda: read_decisions(written(tmp_path / "b.csv")), "no rows")
    path = written(tmp_path / "c.csv", *[{"decision": "?"} for _ in range(25)])
    refused(lambda: read_decisions(path), "line 21", "and 5 problems more")


def test_note_and_error_may_be_left_out(tmp_path: Path) -> None:
    fewer = tuple(c for c in COLUMNS if c not in ("note", "error"))
    (found,) = read_decisions(written(tmp_path / "review.csv", {}, columns=fewer))
    assert (found.note, found.error) == (None, None)


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(photo=NAMES, identity=NAMES, path=NAMES)
def test_names_are_read_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, photo: str, identity: str, path: str
) -> None:
    """As the page writes them: with a ' before what a spreadsheet would take for a formula."""

    def guarded(text: str) -> str:
        return "'" + text if text.lstrip("'").lstrip(" ").startswith(tuple("=+-@|")) else text

    row = {"photo": photo, "identity": identity, "path": path}
    file = tmp_path_factory.mktemp("names") / "review.csv"
    written(file, {key: guarded(value) for key, value in row.items()})
    if not identity_name(identity):
        refused(lambda: read_decisions(file), "names no identity")
        return
    (found,) = read_decisions(file)
    assert (found.photo, found.path) == (photo, path)
    assert found.identity == identity_name(identity)
