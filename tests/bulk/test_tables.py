"""Tables are cut into partitions whose rows together are those of the tables."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flukeprint.bulk.tables import plan_source, read_rows
from flukeprint.errors import FlukeprintError
from flukeprint.storage import parse_path

ROWS = [(f"p{n}.jpg", f"w{n % 5}", 'a "quoted", cell\nof two lines' if n % 3 == 0 else "plain")
        for n in range(23)]  # fmt: skip


def written(path: Path, *, separator: str = ",", group: int = 100, mark: str = "") -> Path:
    names = ("image", "identity", "remarks")
    if path.suffix == ".parquet":
        table = pa.table(dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True)))
        pq.write_table(table, path, row_group_size=group)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            file.write(mark)
            writer = csv.writer(file, delimiter=separator)
            writer.writerow(names)
            writer.writerows(ROWS)
    return path


@pytest.mark.parametrize("rows", [1, 7, 23, 100])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("t.csv", {}), ("t.csv", {"separator": ";", "mark": "\ufeff"}),
        ("t.parquet", {}), ("t.parquet", {"group": 3}), ("t.parquet", {"group": 10}),
    ],
)  # fmt: skip
def test_partitions_together_are_the_table(
    name: str, how: dict[str, object], rows: int, tmp_path: Path
) -> None:
    source = plan_source(written(tmp_path / name, **how), rows)  # type: ignore[arg-type]
    found = [read_rows(source.tables[0], part) for part in source.partitions]
    assert [len(part) for part in found] == [part.rows for part in source.partitions]
    assert max(len(part) for part in found) <= rows
    together = [tuple(row.values()) for part in found for row in part.to_pylist()]
    assert together == ROWS
    assert [part.first for part in source.partitions] == [*range(0, 23, rows)]


def test_a_folder_of_tables_is_numbered_through(tmp_path: Path) -> None:
    for name in ("b.parquet", "a/c.parquet", "_of_spark.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(tmp_path / name)
    source = plan_source(tmp_path, 10)
    assert [table.name for table in source.tables] == ["a/c.parquet", "b.parquet"]
    assert [part.first for part in source.partitions] == [0, 10, 20, 23, 33, 43]
    assert len({part.file for part in source.partitions}) == 6


def test_a_table_of_an_object_storage_is_read_in_parts(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("t.csv", "t.parquet"):
        memory.pipe(f"/bulk/{name}", written(tmp_path / name).read_bytes())
        source = plan_source(parse_path(f"memory://bulk/{name}"), 10)
        found = [read_rows(source.tables[0], part).num_rows for part in source.partitions]
        assert found == [10, 10, 3]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("t.csv", "image,id\n", "names no photographs"),
        (
            "t.csv",
            "image,id\na.jpg,1\nb.jpg,2,3\n",
            r"rows 1 to 2. cannot be read as a table.*got 3",
        ),
        ("t.csv", "image,embedding\na.jpg,1\n", "column embedding, which is written here"),
        ("t.parquet", "no table", "cannot be read as a table"),
        ("t.jpg", "x", "no table and no folder"),
    ],
)
def test_wrong_tables_are_refused(name: str, text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FlukeprintError, match=wanted):
        plan_source(path, 10)


def test_a_table_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    source = plan_source(written(tmp_path / "t.csv"), 10)
    with (tmp_path / "t.csv").open("a") as file:
        file.write("new.jpg,w1,x\n")
    with pytest.raises(FlukeprintError, match="has changed while it was being embedded"):
        read_rows(source.tables[0], source.partitions[0])


def test_tables_of_other_columns_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("image\nx.jpg\n")
    with pytest.raises(FlukeprintError, match="other columns or types"):
        plan_source(tmp_path, 10)
