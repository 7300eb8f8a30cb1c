"""Tables of photographs are embedded once each, whatever interrupts it."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flukeprint.bulk.embed_all import EmbedAllOptions, LocalEngine, Work, embed_all
from flukeprint.bulk.partitions import EmbeddedPartition
from flukeprint.bulk.tables import Partition
from flukeprint.config.ranking import GalleryConfig
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.search.qdrant_index import QdrantIndex
from tests.says import Says
from tests.tiny import TinyConfig

OPTIONS = EmbedAllOptions(partition_rows=8, batch_size=4, readers=1)


@pytest.fixture
def table(tiny_config: TinyConfig, tmp_path: Path) -> Path:
    """Photographs of the tiny configuration with further columns, and three damaged ones."""
    folder = tmp_path / "photos"
    folder.mkdir()
    found = sorted((tiny_config.data / "shapes" / "train").iterdir())[:20]
    names = [path.name for path in found]
    for path in found:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / names[3]).write_bytes(b"no photograph")
    (folder / names[9]).write_bytes(found[9].read_bytes()[:200])
    (folder / names[17]).unlink()
    rows = {"image": names, "identity": [f"w{n % 4}" for n in range(20)], "depth": [*range(20)]}
    pq.write_table(pa.table(rows), folder / "table.parquet", row_group_size=6)
    return folder / "table.parquet"


def files(target: Path) -> dict[str, bytes]:
    """What counts of a target: embeddings and the list of damaged photographs."""
    found = [*(target / "embeddings").iterdir(), target / "damaged.csv"]
    return {path.name: path.read_bytes() for path in found}


def test_every_photograph_is_there_once_as_the_identifier_embeds_it(
    tiny_run: Run, table: Path, tmp_path: Path
) -> None:
    result = embed_all(table, tiny_run.identifier, tmp_path / "to", OPTIONS)
    assert (result.photographs, result.files, result.damaged, result.made) == (17, 3, 3, 17)
    known = Identifier.load(tiny_run.identifier)
    rows = pq.read_table(table).to_pylist()
    damaged = (3, 9, 17)
    kept = [n for n in range(20) if n not in damaged]
    found = pq.read_table(tmp_path / "to" / "embeddings")
    assert found["source_row"].to_pylist() == kept
    for name in ("image", "identity", "depth"):
        assert found[name].to_pylist() == [rows[n][name] for n in kept]
    wanted = known.embed([table.parent / rows[n]["image"] for n in kept]).vectors
    vectors = np.array(found["embedding"].to_pylist(), dtype=np.float32)
    assert np.abs(vectors - wanted).max() < 1e-5
    with (tmp_path / "to" / "damaged.csv").open() as file:
        listed = [*csv.DictReader(file)]
    assert [int(row["source_row"]) for row in listed] == [*damaged]
    assert [row["image"] for row in listed] == [rows[n]["image"] for n in damaged]
    assert listed[2]["reason"] == "No such file or directory"


def test_half_the_space_loses_only_the_last_digits(
    tiny_run: Run, table: Path, tmp_path: Path
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    embed_all(table, tiny_run.identifier, whole, OPTIONS)
    embed_all(table, tiny_run.identifier, half, replace(OPTIONS, numbers="float16"))
    vectors = [
        np.array(pq.read_table(folder / "embeddings")["embedding"].to_pylist(), dtype=np.float32)
        for folder in (whole, half)
    ]
    assert (
        pq.read_table(half / "embeddings").schema.field("embedding").type.value_type == "halffloat"
    )
    assert 0 < np.abs(vectors[0] - vectors[1]).max() < 1e-3


class Interrupted(LocalEngine):
    """Is killed after a number of partitions."""

    def __init__(self, after: int) -> None:
        super().__init__("cpu")
        self._after = after

    def embed(self, work: Work, partitions: Sequence[Partition]) -> Iterator[EmbeddedPartition]:
        for number, made in enumerate(super().embed(work, partitions)):
            if number == self._after:
                raise KeyboardInterrupt
            yield made


@pytest.mark.parametrize("fault", ["killed", "corrupt", "deleted", "half a line", "no line"])
def test_what_is_interrupted_ends_as_if_it_had_not_been(
    fault: str, tiny_run: Run, table: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    embed_all(table, tiny_run.identifier, whole, OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        embed_all(table, tiny_run.identifier, broken, OPTIONS, Interrupted(2))
    part = broken / "embeddings" / "part-00000-000000000008.parquet"
    lines = broken / "finished.jsonl"
    if fault == "corrupt":
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(bytes(data))
    elif fault == "deleted":
        part.unlink()
    elif fault == "half a line":
        lines.write_bytes(lines.read_bytes()[:-40])
    elif fault == "no line":
        lines.unlink()
    made = embed_all(table, tiny_run.identifier, broken, OPTIONS).made
    assert files(broken) == files(whole)
    assert made == {"killed": 3, "no line": 17}.get(fault, 10)
    again = embed_all(table, tiny_run.identifier, broken, OPTIONS)
    assert (again.made, again.photographs) == (0, 17)


def test_another_identifier_table_or_setting_is_refused(
    tiny_run: Run, table: Path, tmp_path: Path
) -> None:
    target = tmp_path / "to"

    def again(options: EmbedAllOptions = OPTIONS) -> None:
        embed_all(table, tiny_run.identifier, target, options)

    again()
    before = files(target)
    with pytest.raises(FlukeprintError, match="begun with numbers float32, not float16"):
        again(replace(OPTIONS, numbers="float16"))
    with pytest.raises(FlukeprintError, match="begun with batch_size 4, not 5"):
        again(replace(OPTIONS, batch_size=5))
    manifest = target / "manifest.json"
    text = manifest.read_text()
    found = json.loads(text)
    manifest.write_text(json.dumps({**found, "identifier": "0123"}))
    with pytest.raises(
        FlukeprintError, match=r"embeddings of another identifier's network .0123, now"
    ):
        again()
    manifest.write_text(text)
    kept = table.read_bytes()
    pq.write_table(pq.read_table(table).slice(0, 19), table)
    with pytest.raises(
        FlukeprintError, match=r"an earlier state of the tables .table.parquet with 20 rows, now"
    ):
        again()
    table.write_bytes(kept)
    manifest.write_text("{")
    with pytest.raises(FlukeprintError, match=r"manifest\.json is damaged"):
        again()
    manifest.unlink()
    with pytest.raises(FlukeprintError, match="holds something else"):
        again()
    assert files(target) == before


def test_the_command_says_what_it_made(
    says: Says, tiny_run: Run, table: Path, tmp_path: Path
) -> None:
    command = ("embed-all", table, "--identifier", tiny_run.identifier, "--to", tmp_path / "to")
    out, error = says(*command, "--partition", "8", "--column", "image=image")
    assert error is None
    assert out.splitlines() == [
        f"embeddings: 17 photographs in 3 files: {tmp_path / 'to' / 'embeddings'}",
        f"damaged: 3 photographs: {tmp_path / 'to' / 'damaged.csv'}",
    ]
    out, _ = says(*command, "--partition", "8")
    assert "there before: 17 photographs" in out
    assert "heeds the section gallery alone" in str(says(*command, "train.epochs=1")[1])
    assert "add gallery.backend=qdrant" in str(says(*command, "gallery.collection=a")[1])
    assert "is not FIELD=NAME" in str(says(*command, "--column", "image")[1])
    assert "Known: local, ray" in str(says(*command, "--engine", "rays")[1])


def test_qdrant_gets_every_photograph_once(tiny_run: Run, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    from tests.search.qdrant_server import Server

    with Server() as server:
        gallery = GalleryConfig(backend="qdrant", url=server.url, collection="whales")
        options = replace(OPTIONS, gallery=gallery, first_row=100)
        with pytest.raises(KeyboardInterrupt):
            embed_all(table, tiny_run.identifier, tmp_path / "to", options, Interrupted(2))
        # The last upsert was not noted, and the first partition is damaged on the disk.
        finished = tmp_path / "to" / "finished.jsonl"
        finished.write_text("".join(finished.read_text().splitlines(keepends=True)[:-1]))
        (tmp_path / "to" / "embeddings" / "part-00000-000000000000.parquet").write_bytes(b"")
        embed_all(table, tiny_run.identifier, tmp_path / "to", options)
        stamp = Identifier.load(tiny_run.identifier).card.stamp
        index = QdrantIndex.connect(gallery, stamp, 16)
        rows = pq.read_table(tmp_path / "to" / "embeddings").to_pylist()
        assert len(index) == len(rows) == 17
        for row in rows[::5]:
            query = np.array([row["embedding"]], dtype=np.float32)
            assert index.search(query, 1).rows[0, 0] == 100 + row["source_row"]
        with pytest.raises(FlukeprintError, match="whales from row 100 on, not into whales from 0"):
            embed_all(table, tiny_run.identifier, tmp_path / "to", replace(options, first_row=0))
        with pytest.raises(FlukeprintError, match="has photographs under rows 110 to 129"):
            embed_all(
                table, tiny_run.identifier, tmp_path / "other", replace(options, first_row=110)
            )
