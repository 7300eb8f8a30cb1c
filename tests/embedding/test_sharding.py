"""Embedding by several processes: shares, what is kept of a killed job, and two real processes."""

import os
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.data import ImageConfig
from flukeprint.config.training import ModelConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.embedding.sharding import Parts, embed_sharded, first_process
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet, build_model
from tests.processes import ROOT, start

TORCH = Compute(engine="torch", precision="fp32")
STAMP = "0123456789abcdef"
IMAGE = ImageConfig(height=32, width=48, cache=None)


def network() -> FlukeNet:
    torch.manual_seed(0)
    model = ModelConfig(backbone="test_resnet", weights="none", embedding_dim=8)
    return build_model(model, (32, 48)).eval()


def photographs(n: int, seed: int = 0) -> Catalog:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 32, 48, 3), dtype=np.uint8)
    return Catalog(
        images=tuple(f"{row}.jpg" for row in range(n)),
        identities=tuple(f"w{row // 2}" if row % 5 else None for row in range(n)),
        views=tuple("left" if row % 2 else None for row in range(n)),
        pixels=pixels,
    )


def numbered(catalog: Catalog) -> Embeddings:
    """Embeddings that tell which photographs they are of."""
    vectors = np.zeros((len(catalog), 2), np.float32)
    angles = [int(image.partition(".")[0]) / 1000 for image in catalog.images]
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return Embeddings(vectors, catalog.images, catalog.identities, catalog.views, STAMP)


@given(n=st.integers(0, 200), world=st.integers(1, 9), part=st.integers(1, 40))
def test_every_row_is_in_one_share(n: int, world: int, part: int) -> None:
    parts = Parts(Path("nowhere"), photographs(0).take([]), STAMP, world, part=part)
    assert parts.ranges == []
    parts = Parts(Path("nowhere"), _named(n), STAMP, world, part=part)
    dealt = [row for rank in range(world) for rows in parts.ranges[rank::world] for row in rows]
    assert sorted(dealt) == list(range(n))
    assert all(len(rows) <= part for rows in parts.ranges)
    loads = [sum(map(len, parts.ranges[rank::world])) for rank in range(world)]
    assert max(loads) - min(loads) <= part


def _named(n: int) -> Catalog:
    return Catalog(
        images=tuple(f"{row}.jpg" for row in range(n)),
        paths=tuple(Path(f"{row}.jpg") for row in range(n)),
    )


def test_parts_are_joined_in_order_with_all_that_is_known(tmp_path: Path) -> None:
    catalog = photographs(23)
    for rank in (2, 0, 1):
        parts = Parts(tmp_path, catalog, STAMP, 3, part=4)
        assert parts.make(rank, 3, numbered) in (8, 7)
    joined, whole = Parts(tmp_path, catalog, STAMP, 3, part=4).joined(), numbered(catalog)
    np.testing.assert_array_equal(joined.vectors, whole.vectors)
    assert (joined.images, joined.identities, joined.views) == (
        whole.images, whole.identities, whole.views,
    )  # fmt: skip
    assert (joined.stamp, joined.precision) == (STAMP, "fp32")


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    catalog, seen = photographs(20), 0

    def stops(part: Catalog) -> Embeddings:
        nonlocal seen
        seen += len(part)
        if seen > 12:
            raise KeyboardInterrupt
        return numbered(part)

    parts = Parts(tmp_path, catalog, STAMP, 1, part=4)
    with pytest.raises(KeyboardInterrupt):
        parts.make(0, 1, stops)
    with pytest.raises(FlukeprintError, match=r"000000012-000000016.*missing"):
        parts.joined()
    # Two processes go on with what one began: parts are the same for any number of them.
    again = [Parts(tmp_path, catalog, STAMP, 2, part=4).make(rank, 2, numbered) for rank in (0, 1)]
    assert sum(again) == 8
    np.testing.assert_array_equal(parts.joined().vectors, numbered(catalog).vectors)
    parts.remove()
    assert not tmp_path.exists()


@pytest.mark.parametrize("how", ["cut", "empty", "network", "photographs", "order", "precision"])
def test_a_part_of_anything_else_is_made_anew(tmp_path: Path, how: str) -> None:
    catalog, stamp, precision = photographs(8), STAMP, "fp32"
    Parts(tmp_path, catalog, STAMP, 1, part=4).make(0, 1, numbered)
    first = min(tmp_path.iterdir())
    anew = 8
    if how == "cut":
        first.write_bytes(first.read_bytes()[:-100])
        anew = 4
    elif how == "empty":
        first.write_bytes(b"")
        anew = 4
    elif how == "network":
        stamp = "another"
    elif how == "photographs":
        catalog = photographs(8, seed=1)
    elif how == "order":
        catalog = catalog.take(range(7, -1, -1))
    else:
        precision = "bf16"
    parts = Parts(tmp_path, catalog, stamp, 1, part=4)
    assert parts.make(0, 1, numbered, precision) == anew


def test_labels_may_have_changed_meanwhile(tmp_path: Path) -> None:
    catalog = photographs(4)
    Parts(tmp_path, catalog, STAMP, 1).make(0, 1, numbered)
    named = Catalog(catalog.images, identities=("a", "b", "c", None), views=catalog.views,
                    pixels=catalog.pixels)  # fmt: skip
    parts = Parts(tmp_path, named, STAMP, 1)
    assert parts.make(0, 1, numbered) == 0
    assert parts.joined().identities == ("a", "b", "c", None)


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0"}, False),  # Lightning, one node
        ({"NODE_RANK": "1"}, False),  # Lightning, the first process of another node
        ({"RANK": "4", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),  # torchrun
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_is_the_first(
    variables: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert first_process() is first


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    net, catalog = network(), photographs(21)
    recipe = EmbeddingRecipe(IMAGE, mirror=True, zooms=(1.0, 0.8), stamp=STAMP)
    compute = Compute(batch_size=8, workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = embed_sharded(net, catalog, recipe, tmp_path, compute, accelerator="cpu", devices=2)
    assert got is not None
    want = embed(net, catalog, recipe, TORCH)
    np.testing.assert_allclose(got.vectors, want.vectors, atol=1e-6)
    assert (got.images, got.identities, got.views) == (want.images, want.identities, want.views)
    assert [file.name[:19] for file in sorted(tmp_path.iterdir())] == [
        "000000000-000000011", "000000011-000000021",
    ]  # fmt: skip


NODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.embedding.test_sharding import IMAGE, STAMP, network, photographs
from flukeprint.embedding.sharding import embed_sharded
from flukeprint.embedding.recipe import EmbeddingRecipe
if __name__ == "__main__":
    folder = Path(sys.argv[2])
    found = embed_sharded(
        network(), photographs(9), EmbeddingRecipe(IMAGE, stamp=STAMP), folder / "parts",
        accelerator="cpu", devices=1, num_nodes=2,
    )
    if found is not None:
        found.save(folder / "joined.npz")
"""


def test_two_nodes_give_what_one_gives(tmp_path: Path) -> None:
    script = tmp_path / "node.py"
    script.write_text(NODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        place.pop(name, None)
    command = ("python", script, ROOT, tmp_path)
    outputs = [str(tmp_path / f"node{rank}.txt") for rank in (0, 1)]
    nodes = [
        start(*command, output=(file, file), environment={**place, "NODE_RANK": str(rank)})
        for rank, file in enumerate(outputs)
    ]
    try:
        for node, file in zip(nodes, outputs, strict=True):
            node.join(timeout=120)
            assert node.exitcode == 0, Path(file).read_text()[-2000:]
    finally:
        for node in nodes:
            node.kill()
    joined = Embeddings.load(tmp_path / "joined.npz")
    want = embed(network(), photographs(9), EmbeddingRecipe(IMAGE, stamp=STAMP), TORCH)
    np.testing.assert_allclose(joined.vectors, want.vectors, atol=1e-6)
    assert len(list((tmp_path / "parts").iterdir())) == 2


def test_a_user_s_mistake_in_a_process_is_one_line(tmp_path: Path) -> None:
    missing = Catalog(("a.jpg", "b.jpg"), paths=(tmp_path / "a.jpg", tmp_path / "b.jpg"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FlukeprintError, match=r"photograph .*jpg: no such file") as caught:
            embed_sharded(
                network(), missing, EmbeddingRecipe(IMAGE, stamp=STAMP), tmp_path / "parts",
                accelerator="cpu", devices=2,
            )  # fmt: skip
    assert "\n" not in str(caught.value)
