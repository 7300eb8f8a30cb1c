"""Faster training with bfloat16 on a CPU, by float32 gradients of depthwise convolutions.

oneDNN computes some of these gradients in bfloat16 by its unoptimised reference, up to thirty
times as slowly as in float32: those of the input where the stride is not 1, and those of kernels
of 5 or more.  The mode `QuickDepthwise` computes these in float32 and changes nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class QuickDepthwise(TorchFunctionMode):
    """Context in which gradients of slow depthwise convolutions are computed in float32.

    It has an effect only under autocast to bfloat16 on the CPU with gradients enabled.  The result
    of the forward pass is exactly that of autocast.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is torch.conv2d and _in_bfloat16() and torch.is_grad_enabled():
            return _conv2d(*args, **given)
        return func(*args, **given)


def _in_bfloat16() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | str | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Replaces torch.conv2d, with the same arguments."""
    slow = _pair(stride) != (1, 1) or max(weight.shape[2:]) >= 5
    depthwise = groups > 1 and weight.shape[1] == 1
    on_cpu = input.device.type == "cpu"
    if not (slow and depthwise and on_cpu) or isinstance(padding, str):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    geometry = (_pair(stride), _pair(padding), _pair(dilation), groups)
    out: Tensor = _FloatGradients.apply(input, weight, bias, *geometry)
    return out


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    return value[0], value[-1]


class _FloatGradients(torch.autograd.Function):
    """A convolution in bfloat16 whose gradients are computed in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Tensor:
        ctx.geometry = (stride, padding, dilation, groups)
        ctx.kind = input.dtype
        halved = input.bfloat16()
        ctx.save_for_backward(halved, weight)
        ctx.biased = None if bias is None else list(bias.shape)
        with torch.autocast("cpu", enabled=False):
            return torch.conv2d(
                halved,
                weight.bfloat16(),
                None if bias is None else bias.bfloat16(),
                *ctx.geometry,
            )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        wanted = [*ctx.needs_input_grad[:2], ctx.biased is not None and ctx.needs_input_grad[2]]
        of_input, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradients[0].float(),
            input.float(),
            weight.bfloat16().float(),  # what the forward pass multiplied by
            ctx.biased,
            stride,
            padding,
            dilation,
            False,
            (0, 0),
            groups,
            wanted,
        )
        of_input = of_input.to(ctx.kind) if wanted[0] else None
        return of_input, of_weight, of_bias, None, None, None, None
