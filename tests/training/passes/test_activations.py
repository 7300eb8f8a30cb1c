"""Leaner passes of a backbone: the same outputs, gradients and norms, of fewer kept numbers."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flukeprint.config.training import ModelConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet, build_model
from flukeprint.training.passes.activations import AT_ONCE, LeanActivations
from flukeprint.training.passes.depthwise import QuickDepthwise

PHOTOS = 2 * AT_ONCE + 1


def network(backbone: str, freeze_stages: int = 0) -> FlukeNet:
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, weights="none", freeze_stages=freeze_stages)
    return build_model(config, (32, 32)).train()


def photographs() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (PHOTOS, 3, 32, 32), dtype=torch.uint8, generator=generator)


def passed(
    net: FlukeNet, lean: Callable[[], Any] = QuickDepthwise, bf16: bool = False
) -> dict[str, Tensor]:
    """Output, gradients and norms after a step."""
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), lean():
        out = net(photographs())
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    gradients = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
    norms = [value.flatten().float() for value in net.buffers()]
    return {"output": out.detach(), "gradients": torch.cat(gradients), "norms": torch.cat(norms)}


@pytest.mark.parametrize(
    ("backbone", "frozen", "recompute", "bf16"),
    [
        ("test_efficientnet", 2, False, False),
        ("test_efficientnet", 2, True, False),
        ("test_efficientnet", 0, True, True),
        ("test_resnet", 1, True, False),
        ("test_resnet", 0, True, True),
        ("test_vit", 2, True, False),
        ("test_convnext", 1, True, False),
        ("vgg11_bn", 3, False, False),
    ],
)
def test_a_step_is_the_same(backbone: str, frozen: int, recompute: bool, bf16: bool) -> None:
    wanted = passed(network(backbone, frozen), bf16=bf16)
    net = network(backbone, frozen)
    found = passed(net, LeanActivations(net.backbone, backbone, recompute=recompute), bf16)
    for name, value in wanted.items():
        # Other numbers of photographs may be multiplied by other kernels, that round otherwise.
        apart = (found[name] - value).norm() / value.norm()
        assert apart < (0.05 if bf16 else 1e-4), (name, float(apart))


def test_norms_count_a_batch_once() -> None:
    net = network("test_resnet")
    passed(net, LeanActivations(net.backbone, "test_resnet", recompute=True))
    counted = [int(v) for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")]
    assert set(counted) == {1}
    assert len(counted) > 5


class Seen(TorchFunctionMode):
    """Numbers of photographs that convolutions see, by their weights."""

    def __init__(self) -> None:
        self.sizes: dict[int, set[int]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.conv2d:
            self.sizes.setdefault(id(args[1]), set()).add(len(args[0]))
        return func(*args, **(kwargs or {}))


def test_frozen_layers_see_few_photographs_at_once_and_others_the_batch() -> None:
    net = network("test_efficientnet", 2)
    lean = LeanActivations(net.backbone, "test_efficientnet", recompute=False)
    with Seen() as seen, lean():
        net(photographs())
    weights = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert {weight.requires_grad for weight in weights} == {False, True}
    for weight in weights:
        shares = {PHOTOS} if weight.requires_grad else {AT_ONCE, PHOTOS % AT_ONCE}
        assert seen.sizes[id(weight)] == shares


def test_recomputing_keeps_fewer_numbers() -> None:
    def kept(recompute: bool) -> int:
        net = network("test_efficientnet")
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            passed(net, LeanActivations(net.backbone, "test_efficientnet", recompute=recompute))
        return sum(sizes)

    assert kept(True) < kept(False) / 2


class Wet(nn.Module):
    """Two blocks with dropout, grouped as timm groups its own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 6)) for _ in range(2))
        )

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"blocks": r"^blocks\.(\d+)"}


def test_a_block_drops_the_same_numbers_again() -> None:
    torch.manual_seed(0)
    net = Wet()
    inputs = torch.randn(5, 6)

    def gradients(lean: Callable[[], Any]) -> list[Tensor]:
        torch.manual_seed(3)
        net.zero_grad()
        with lean():
            out = net.blocks(inputs)
        out.square().sum().backward()
        return [parameter.grad.clone() for parameter in net.parameters()]  # type: ignore[union-attr]

    wanted = gradients(nullcontext)
    for found, other in zip(
        gradients(LeanActivations(net, "wet", recompute=True)), wanted, strict=True
    ):
        torch.testing.assert_close(found, other)


def test_a_backbone_is_as_before_after_an_error() -> None:
    net = network("test_resnet", 1)
    lean = LeanActivations(net.backbone, "test_resnet", recompute=True)
    changed = []

    def broken() -> None:
        with lean():
            changed.extend(module for module in net.backbone.modules() if "forward" in vars(module))
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        broken()
    assert changed
    assert not any("forward" in vars(module) for module in net.backbone.modules())


@pytest.mark.parametrize("backbone", ["vgg11_bn", "small_cnn"])
def test_blocks_that_are_unknown(backbone: str) -> None:
    net = (
        timm.create_model(backbone, pretrained=False)
        if backbone.startswith("vgg")
        else nn.Linear(2, 2)
    )
    LeanActivations(net, backbone, recompute=False)
    with pytest.raises(FlukeprintError, match=r"train\.recompute: .*" + backbone):
        LeanActivations(net, backbone, recompute=True)
