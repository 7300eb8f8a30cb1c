"""A gallery is filled from the files of an embedding job: each photograph once, or nothing."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flukeprint.bulk import embedded_files
from flukeprint.bulk import fill_gallery as filling
from flukeprint.bulk.fill_gallery import fill_gallery
from flukeprint.bulk.partitions import ABOUT
from flukeprint.config.ranking import GalleryConfig
from flukeprint.data.embeddings import Floats, unit_rows
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.records.pointer import has_catalogue
from tests.refusals import refused

EXACT = GalleryConfig(backend="exact")


@pytest.fixture
def folder(tiny_run: Run, tmp_path: Path) -> Path:
    Identifier.load(tiny_run.identifier).save(tmp_path / "known")
    return tmp_path / "known"


def drawn(n: int, known: Identifier, seed: int = 0) -> Floats:
    width = known.gallery.vectors.shape[1]
    return unit_rows(np.random.default_rng(seed).normal(size=(n, width)))


def written(
    path: Path, known: Identifier, vectors: Floats, first: int = 0, **about: object
) -> list[str]:
    """A file as embed-all writes one, of photographs of 3 animals and one of nobody."""
    names = [f"new{first + row}.jpg" for row in range(len(vectors))]
    nobody = "Unknown" if first else None
    owners = [nobody if row == 1 else f"n{row % 3}" for row in range(len(vectors))]
    facts = {
        "stamp": known.card.stamp, "precision": "fp32",
        "columns": {"image": "path", "identity": "identity"},
    }  # fmt: skip
    table = pa.table(
        {
            "path": names,
            "identity": owners,
            "source_row": pa.array(range(first, first + len(names)), pa.int64()),
            "embedding": pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel()), vectors.shape[1]
            ),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table = table.replace_schema_metadata({ABOUT: json.dumps(facts | about)})
    pq.write_table(table, path)
    return [name for name, owner in zip(names, owners, strict=True) if owner != nobody]


def test_photographs_join_the_gallery_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_files, "_AT_ONCE", 4)
    known = Identifier.load(folder)
    before, vectors = known.gallery, drawn(10, known)
    parts = tmp_path / "job" / "embeddings"
    names = written(parts / "part-0.parquet", known, vectors[:7])
    names += written(parts / "part-1.parquet", known, vectors[7:].astype(np.float16), first=7)
    filled = fill_gallery(folder, tmp_path / "job", EXACT)
    assert (filled.added, filled.there, filled.nameless) == (8, 0, 2)
    now = Identifier.load(folder)
    assert now.gallery.images == (*before.images, *names)
    assert now.gallery.identities[len(before) :] == (
        "n0", "n2", "n0", "n1", "n2", "n0", "n0", "n2",
    )  # fmt: skip
    assert np.array_equal(now.gallery.vectors[: len(before)], before.vectors)
    kept = np.delete(vectors, [1, 8], axis=0)
    assert np.abs(now.gallery.vectors[len(before) :] - kept).max() < 1e-3
    again = fill_gallery(folder, tmp_path / "job", EXACT)
    assert (again.added, again.there) == (0, 8)
    assert len(Identifier.load(folder).gallery) == len(before) + 8


def test_its_rows_are_the_numbers_of_an_index(folder: Path, tmp_path: Path) -> None:
    known = Identifier.load(folder)
    vectors = drawn(6, known)
    written(tmp_path / "job" / "a.parquet", known, vectors)
    filled = fill_gallery(folder, tmp_path / "job", GalleryConfig(backend="qdrant"))
    index = Identifier.load(folder).index
    assert index is not None
    assert len(index) == len(known.gallery) + 5
    assert index.search(vectors[:1], 1).rows.tolist() == [[len(known.gallery)]]
    assert filled.identifier.indexed == len(known.gallery) + 5


def test_what_does_not_fit_changes_nothing(folder: Path, tmp_path: Path) -> None:
    known = Identifier.load(folder)
    vectors = drawn(4, known)
    job = tmp_path / "job"
    path = job / "a.parquet"
    (tmp_path / "empty").mkdir()
    refused(lambda: fill_gallery(folder, tmp_path / "empty", EXACT), "holds no .parquet")
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "empty" / "a.parquet")
    refused(lambda: fill_gallery(folder, tmp_path / "empty", EXACT), "which network", "embed-all")
    written(path, known, vectors, stamp="another")
    refused(lambda: fill_gallery(folder, job, EXACT), "two networks", "another")
    written(path, known, vectors)
    fill_gallery(folder, job, EXACT)
    there = len(Identifier.load(folder).gallery)
    written(job / "b.parquet", known, drawn(4, known, seed=1))
    refused(lambda: fill_gallery(folder, job, EXACT), "b.parquet", "new0.jpg", "rename")
    path.write_bytes(path.read_bytes()[:-30])
    refused(lambda: fill_gallery(folder, job, EXACT), "a.parquet", "no whole embeddings")
    assert len(Identifier.load(folder).gallery) == there


def test_a_catalogue_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, has_catalogue.__name__, lambda _: True)
    refused(lambda: fill_gallery(folder, tmp_path, EXACT), "keeps a catalogue", "enroll")
