"""Depthwise gradients through float32: the forward pass is the same, gradients are exact."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flukeprint.config.training import ModelConfig
from flukeprint.models.network import build_model
from flukeprint.training.passes.depthwise import QuickDepthwise

# channels, kernel, stride, padding, dilation, bias
LAYERS = [
    (16, 3, 2, 1, 1, False),
    (16, 3, (2, 1), 0, 1, True),
    (24, 5, 1, 2, 1, False),
    (24, 5, 2, (2, 1), 1, True),
    (8, 7, 1, 3, 1, True),
    (8, 5, 1, 4, 2, False),
]


def passed(layer: nn.Conv2d, x: Tensor, slope: Tensor, quick: bool) -> list[Tensor | None]:
    """Output, and the gradients of photographs, weights and bias."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        if quick:
            with QuickDepthwise():
                out = layer(x)
        else:
            out = layer(x)
    out.backward(slope.to(out.dtype))
    return [
        out.detach(),
        x.grad,
        layer.weight.grad,
        None if layer.bias is None else layer.bias.grad,
    ]


@pytest.mark.parametrize(("channels", "kernel", "stride", "padding", "dilation", "bias"), LAYERS)
def test_gradients_are_those_of_a_double_precision_twin(
    channels: int, kernel: int, stride: int, padding: int, dilation: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=bias
    )
    x = torch.randn(3, channels, 12, 14).contiguous(memory_format=torch.channels_last)
    slope = torch.randn_like(layer(x)).bfloat16()
    quick = passed(layer, x, slope, quick=True)
    plain = passed(layer, x, slope, quick=False)
    assert quick[0] is not None
    assert quick[0].dtype == torch.bfloat16
    assert torch.equal(quick[0], plain[0])  # type: ignore[arg-type]
    # The twin sees what bfloat16 left of the numbers, and rounds no more.
    seen = x.bfloat16().double().requires_grad_()
    weight = layer.weight.detach().bfloat16().double().requires_grad_()
    shift = None if layer.bias is None else layer.bias.detach().double().requires_grad_()
    exact = F.conv2d(seen, weight, shift, stride, padding, dilation, channels)
    exact.backward(slope.double())
    wanted = [seen.grad, weight.grad, None if shift is None else shift.grad]
    for got, want in zip(quick[1:], wanted, strict=True):
        if want is None:
            assert got is None
            continue
        assert got is not None
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    layer = nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False)
    x = torch.randn(2, 8, 9, 9)
    with torch.autocast("cpu", torch.bfloat16), QuickDepthwise():
        layer(x).sum().backward()
    assert x.grad is None
    assert layer.weight.grad is not None
    layer.weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16), QuickDepthwise():
        assert not layer(x).requires_grad
        out = layer(x.requires_grad_())
    out.sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("autocast", [False, True])
def test_elsewhere_nothing_changes(autocast: bool) -> None:
    """Without autocast, and for convolutions that are quick in bfloat16."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(8, 8, 5, 2, 2, groups=8)] if not autocast else [
        nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 12, 5, 2), nn.Conv2d(8, 8, 5, 2, groups=2),
    ]  # fmt: skip
    x = torch.randn(2, 8, 9, 9)
    for layer in layers:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            plain = layer(x)
            with QuickDepthwise():
                assert type(layer(x).grad_fn) is type(plain.grad_fn)
                assert torch.equal(layer(x), plain)


def test_a_whole_network_gives_the_same_and_learns_the_same() -> None:
    torch.manual_seed(0)
    net = build_model(ModelConfig(weights="none", embedding_dim=8), (64, 64)).train()
    photos = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    results = []
    for quick in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if quick:
                with QuickDepthwise():
                    out = net(photos)
            else:
                out = net(photos)
        out.square().mean().backward()
        results.append((out.detach(), [p.grad.clone() for p in net.parameters()]))  # type: ignore[union-attr]
    (one, first), (two, second) = results
    assert torch.equal(one, two)
    likeness = [
        F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()
        for a, b in zip(first, second, strict=True)
        if a.norm() > 1e-6
    ]
    assert np.median(likeness) > 0.99
