"""Out as a table and in again gives the same photographs."""

from pathlib import Path
from tempfile import TemporaryDirectory

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.exchange.any_table.reading import read_any_table
from flukeprint.data.exchange.forms import read_observed, write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from tests.data.exchange.drawn import photographs
from tests.refusals import refused

SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")


@settings(deadline=None, max_examples=100)
@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
def test_drawn_photographs_come_back_the_same(data: st.DataObject, suffix: str) -> None:
    with TemporaryDirectory() as folder:
        photos = data.draw(photographs(Path(folder)))
        path = Path(folder) / f"out{suffix}"
        write_observed(Observed("drawn", "", photos), path, "table")
        assert read_observed(path).photos == photos


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_texts_that_look_like_something_else_stay(tmp_path: Path, suffix: str) -> None:
    texts = ["=1+1", "#N/A", "#7", "_x000D_", "1.50", "00123", "TRUE", "2024-05-03", "?", "unknown",
             "a\r\nb", "\x00", "\ufffe", "+1", "-", "None", "1e5", "''"]  # fmt: skip
    photos = tuple(
        ObservedPhoto(f"{place}.jpg", None, identity=text, notes=text, encounter=text)
        for place, text in enumerate(texts)
    )
    path = tmp_path / f"t{suffix}"
    write_observed(Observed("x", "", photos), path, "table")
    assert read_any_table(path).photos == photos


def test_a_cell_that_a_person_changed_counts(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    photos = (ObservedPhoto("a", None, place=" Dam "), ObservedPhoto("b", None, place=" Hill "))
    write_observed(Observed("x", "", photos), path, "table")
    path.write_text(path.read_text().replace(",Hill,", ",River,"))
    assert [photo.place for photo in read_any_table(path).photos] == [" Dam ", "River"]
    path.write_text(path.read_text().replace(",place,", ",plaza,"))
    assert [photo.place for photo in read_any_table(path).photos] == [None, None]


def test_other_programs_read_it(tmp_path: Path) -> None:
    photos = (
        ObservedPhoto("a.jpg", tmp_path / "s" / "a.jpg", identity="Ada", box=(0.1, 0.2, 0.3, 0.4)),
        ObservedPhoto("b.jpg", Path("/elsewhere/b.jpg"), latitude=1.0, longitude=2.5, machine=True),
    )
    for suffix, read in (
        (".csv", pd.read_csv), (".xlsx", pd.read_excel), (".parquet", pd.read_parquet),
    ):  # fmt: skip
        path = tmp_path / f"t{suffix}"
        assert write_observed(Observed("x", "", photos), path, "table") == ()
        table = read(path)
        assert list(table["file_path"]) == ["s/a.jpg", "/elsewhere/b.jpg"]
        assert table["share_x1"][0] == 0.3
        assert table["longitude"][1] == 2.5
        assert bool(table["machine"][1]) is True
        assert "exactly" not in table


def test_what_no_form_holds_is_refused(tmp_path: Path) -> None:
    photos = (ObservedPhoto("a", None, notes="x" * 40_000),)
    observed = Observed("x", "", photos)
    refused(lambda: write_observed(observed, tmp_path / "t.xlsx", "table"), "line 2", "32,767")
    refused(lambda: write_observed(observed, tmp_path / "t.ods", "table"), ".csv", ".xlsx")
    assert not list(tmp_path.iterdir())
    write_observed(observed, tmp_path / "t.csv", "table")
    assert read_any_table(tmp_path / "t.csv").photos == photos


def test_formulas_in_texts_are_texts_in_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    photos = (ObservedPhoto("a", None, notes="=cmd()"),)
    write_observed(Observed("x", "", photos), path, "table")
    sheet = openpyxl.load_workbook(path).active
    assert sheet is not None
    assert [cell.data_type for cell in sheet[2]] == ["s", "n", "s"]
