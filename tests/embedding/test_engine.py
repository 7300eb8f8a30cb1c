"""Every engine computes the embeddings of the network, in one batch, in lanes and in `embed`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Precision
from flukeprint.embedding.embed import embed
from flukeprint.embedding.engine import TorchEngine
from flukeprint.embedding.engine_table import ENGINES, build_engine
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.models import network as network_module
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import BOTH, LEAST, MODELS, SIZE, drawn, image, on_disk, seen

RECIPE = EmbeddingRecipe(image(flip="new_identity"), mirror=True, zooms=(1.0, 0.7), stamp="s")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [name for name in ENGINES if name != "torch-compile"])
def test_an_engine_sees_what_the_network_sees(
    name: str, model: str, shared_nets: dict[str, FlukeNet]
) -> None:
    net = shared_nets[model]
    photos = drawn(5)
    want = seen(net, photos)
    for precision in ENGINES[name].offers("cpu"):
        engine = build_engine(name, precision, net, SIZE)
        for count in (1, 2, 5):
            got = engine.embed(photos[:count])
            assert got.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
            assert (got * want[:count]).sum(axis=1).min() >= LEAST[precision]
        one = [engine.embed(photo[None])[0] for photo in photos]
        assert (np.stack(one) * want).sum(axis=1).min() >= LEAST[precision]


def test_torch_passes_few_photographs_at_once(
    shared_net: FlukeNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, sizes = drawn(9), []
    want = seen(shared_net, photos)
    hook = shared_net.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    monkeypatch.setattr(network_module, "MOST_PIXELS", 4 * SIZE[0] * SIZE[1] + 1)
    got = build_engine("torch", "fp32", shared_net, SIZE).embed(photos)
    monkeypatch.setattr(network_module, "MOST_PIXELS", 1)  # less than a photograph has
    alone = build_engine("torch", "fp32", shared_net, SIZE).embed(photos[:2])
    hook.remove()
    assert sizes == [4, 4, 1, 1, 1]
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(alone, want[:2], atol=1e-5)


@BOTH
def test_another_size_than_the_networks_own(engine: str, shared_net: FlukeNet) -> None:
    photos = drawn(2, 64, 40)
    got = build_engine(engine, "fp32", shared_net, (64, 40)).embed(photos)
    np.testing.assert_allclose(got, seen(shared_net, photos), atol=1e-4)


@BOTH
def test_lanes_give_what_one_batch_gives(
    engine: str, shared_net: FlukeNet, two_cores: None
) -> None:
    runner = build_engine(engine, "fp32", shared_net, SIZE)
    assert len(runner.lanes()) == 2
    photos = drawn(12)
    parts = [photos[start : start + 3] for start in range(0, 12, 3)]
    np.testing.assert_allclose(
        np.concatenate(runner.embed_many(parts)), runner.embed(photos), atol=1e-5
    )
    again = runner.embed_many(parts)
    for one, other in zip(runner.embed_many(parts), again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_core_has_one_lane(shared_net: FlukeNet) -> None:
    for name in ("torch", "openvino", "onnxruntime"):
        assert len(build_engine(name, "fp32", shared_net, SIZE).lanes()) == 1


@pytest.fixture(scope="module")
def by_torch(shared_net: FlukeNet, shared_photos: Catalog) -> Embeddings:
    return embed(shared_net, shared_photos, RECIPE, Compute(engine="torch", precision="fp32"))


@BOTH
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_embed_by_any_engine(
    engine: str,
    workers: int,
    shared_net: FlukeNet,
    shared_photos: Catalog,
    by_torch: Embeddings,
    own_notes: Path,
    two_cores: None,
) -> None:
    how = Compute(engine=engine, precision="fp32", workers=workers)  # type: ignore[arg-type]
    got, want = embed(shared_net, shared_photos, RECIPE, how), by_torch
    np.testing.assert_allclose(got.vectors, want.vectors, atol=1e-4)
    assert (got.images, got.precision) == (want.images, "fp32")


@pytest.mark.parametrize("workers", [0, 3])
def test_a_damaged_photograph_is_told_of(
    workers: int, shared_net: FlukeNet, tmp_path: Path, own_notes: Path, two_cores: None
) -> None:
    catalog = on_disk(tmp_path / "photos", 100)
    assert catalog.paths is not None
    catalog.paths[50].write_bytes(catalog.paths[50].read_bytes()[:200])
    how = Compute(workers=workers, engine="openvino", precision="fp32")
    with pytest.raises(FlukeprintError, match=r"050\.png"):
        embed(shared_net, catalog, EmbeddingRecipe(image(), stamp="s"), how)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_torch_on_a_gpu(precision: Precision, net: FlukeNet) -> None:
    photos = drawn(5)
    want = seen(net, photos)
    net.to("cuda")
    got = TorchEngine(net, SIZE, precision).embed(photos)
    assert (got * want).sum(axis=1).min() >= (0.9999 if precision == "fp32" else 0.995)
