"""Parquet files with what Arrow has beyond texts and numbers."""

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flukeprint.data.exchange.any_table import parquet
from flukeprint.data.exchange.any_table.reading import read_any_table, recognises
from flukeprint.data.exchange.options import ReadOptions
from tests.refusals import refused


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_types_of_arrow_are_read(tmp_path: Path) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    path = written(
        tmp_path / "t.parquet",
        image=pa.array(["a.jpg", "b.jpg", "c.jpg"]),
        identity=pa.array([12.0, None, float("nan")]),
        site=pa.array(["Dam", None, "Dam"]).dictionary_encode(),
        date=pa.array(
            [datetime(2024, 7, 3, 14, 2, 1, tzinfo=berlin), None,
             datetime(2024, 1, 3, 14, 2, 1, tzinfo=berlin)],
            pa.timestamp("ns", tz="Europe/Berlin"),
        ),
        lat=pa.array([Decimal("-27.50"), None, Decimal(3)]),
        lon=pa.array([32, None, 7], pa.int16()),
        bbox=pa.array([[0.25, 0.5, 0.5, 0.25], None, None], pa.list_(pa.float64())),
    )  # fmt: skip
    assert recognises(path)
    first, second, third = read_any_table(path, options=ReadOptions(box_unit="share")).photos
    assert (first.identity, second.identity, third.identity) == ("12", None, None)
    assert (first.place, second.place) == ("Dam", None)
    assert (first.date, first.offset) == ("2024-07-03T14:02:01", "+02:00")
    assert (second.date, second.offset) == (None, None)
    assert (third.date, third.offset) == ("2024-01-03T14:02:01", "+01:00")
    assert (first.latitude, first.longitude, third.longitude) == (-27.5, 32.0, 7.0)
    assert (first.box, second.box) == ((0.25, 0.5, 0.75, 0.75), None)


def test_midnights_are_days_where_all_are(tmp_path: Path) -> None:
    days = [datetime(2024, 7, 3), None, datetime(2024, 7, 4)]
    path = written(
        tmp_path / "t.pq", image=["a", "b", "c"], date=pa.array(days, pa.timestamp("ns")),
        time=pa.array([time(7, 2), None, None], pa.time64("ns")),
    )  # fmt: skip
    assert [photo.date for photo in read_any_table(path).photos] == [
        "2024-07-03T07:02:00", None, "2024-07-04",
    ]  # fmt: skip
    moments = [*days[:2], datetime(2024, 7, 4, 1)]
    written(path, image=["a", "b", "c"], date=pa.array(moments, pa.timestamp("ms")))
    assert [photo.date for photo in read_any_table(path).photos] == [
        "2024-07-03T00:00:00", None, "2024-07-04T01:00:00",
    ]  # fmt: skip
    written(path, image=["a"], date=[date(2024, 7, 3)])
    assert read_any_table(path).photos[0].date == "2024-07-03"


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.parquet", image=["a", "b"], identity=[b"\xff", None])
    refused(lambda: read_any_table(path), "row 1: bytes is no text")
    monkeypatch.setattr(parquet, "_MOST_ROWS", 1)
    refused(lambda: read_any_table(path), "2 rows", "split it")
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-9])
    refused(lambda: read_any_table(path), "t.parquet cannot be read as a Parquet file")
    assert not recognises(path)
    path.write_bytes(b"")
    refused(lambda: read_any_table(path), "t.parquet cannot be read as a Parquet file")
