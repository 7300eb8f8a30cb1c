"""The table of back ends, the choice by size and settings, and repair after a killed process."""

from pathlib import Path
from typing import get_args

import pytest

from flukeprint.config.ranking import BackendName, GalleryConfig
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.files import read_index
from flukeprint.search.backends import BACKENDS, Backend, choose, find_backend
from flukeprint.search.faiss_kinds import FaissFlat
from flukeprint.search.qdrant_index import QdrantIndex
from tests.search.animals import built, drawn


def test_the_table_has_the_names_of_the_configuration() -> None:
    assert set(BACKENDS) == set(get_args(BackendName)) - {"auto"}


def test_a_row_is_all_that_a_new_back_end_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    photos = drawn(20)
    plain = Backend(lambda embeddings, config, report: built(FaissFlat, embeddings), FaissFlat.load)
    monkeypatch.setitem(BACKENDS, "mine", plain)
    config = GalleryConfig().model_copy(update={"backend": "mine"})
    assert choose(20, 24, config).backend == "mine"
    index = find_backend("mine").build(photos, config, None)
    assert index is not None
    assert len(index) == 20
    assert not plain.repair(index, 10)
    assert len(index) == 20


def test_exact_search_has_no_index_to_load(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no index to load"):
        BACKENDS["exact"].load(tmp_path)


def test_qdrant_gives_up_rows_that_its_gallery_lacks() -> None:
    photos = drawn(12)
    index = QdrantIndex.build(photos, GalleryConfig(backend="qdrant"))
    assert BACKENDS["qdrant"].repair(index, 9)
    assert len(index) == 9
    assert index.search(photos.vectors, 12).rows.max() == 8


@pytest.mark.parametrize("name", ["faiss_flat", "hnsw"])
def test_an_index_of_more_photographs_is_refused(name: str, tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    photos = drawn(40)
    index = BACKENDS[name].build(photos, GalleryConfig(), None)
    assert index is not None
    (tmp_path / "index").mkdir()
    index.save(tmp_path / "index")
    found, saved = read_index(tmp_path, name, len(photos))
    assert (len(found), saved) == (40, 40)
    with pytest.raises(FlukeprintError, match="holds 40 photographs and the gallery 30; build it"):
        read_index(tmp_path, name, 30)


def test_the_choice_follows_size_and_memory() -> None:
    plain = GalleryConfig()
    assert choose(10_000, 512, plain).backend == "exact"
    assert choose(5_000_000, 512, plain, memory=10**11).backend == "hnsw"
    assert choose(5_000_000, 512, plain, memory=10**9).backend == "ivf_pq"
    assert choose(5_000_000, 512, plain, looks_at_all=True).backend == "exact"
    assert "ms" in choose(5_000_000, 512, plain, memory=10**11).reason
    asked = GalleryConfig(backend="hnsw")
    assert choose(10, 8, asked).backend == "hnsw"
    with pytest.raises(FlukeprintError, match=r"gallery\.backend=exact"):
        choose(10, 8, asked, looks_at_all=True)
    tight = GalleryConfig(memory_gb=0.5)
    assert choose(5_000_000, 512, tight).backend == "ivf_pq"


def test_what_is_built_is_tuned_and_says_so(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    photos, said = drawn(500), []
    assert BACKENDS["exact"].build(photos, GalleryConfig(), said.append) is None
    index = BACKENDS["hnsw"].build(photos, GalleryConfig(recall_at_5=0.9), said.append)
    assert index is not None
    assert len(index) == 500
    assert len(said) == 1
    assert said[0].startswith("hnsw: recall@5 ")
    folder = tmp_path / "i"
    folder.mkdir()
    index.save(folder)
    with pytest.raises(FlukeprintError, match="no whole index"):
        BACKENDS["ivf_pq"].load(folder)
    (folder / "index.faiss").write_bytes(b"not an index")
    with pytest.raises(FlukeprintError, match="no whole index") as caught:
        BACKENDS["hnsw"].load(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(FlukeprintError, match="no 'hnws'"):
        find_backend("hnws")
