"""The table of back ends, and the choice by size and settings."""

from pathlib import Path

import pytest

from flukeprint.config.schema import GalleryConfig
from flukeprint.errors import FlukeprintError
from flukeprint.search.backends import BACKENDS, choose, find_backend
from tests.search.animals import drawn

pytest.importorskip("faiss")


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
