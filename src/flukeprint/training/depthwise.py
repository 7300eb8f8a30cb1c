"""Depthwise convolutions in a training by bfloat16 on a CPU: a mode enters, faster steps leave.

oneDNN computes some of their gradients in bfloat16 by its plain reference, up to thirty times as
slowly as in float32: those of photographs where the stride is not 1, those of kernels of 5 or
more.  Under the mode these go through float32, and all else stays as autocast has it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class QuickDepthwise(TorchFunctionMode):
    """While it holds, gradients of slow depthwise convolutions are computed in float32.

    Only where autocast to bfloat16 is on for the CPU, and something asks for a gradient; elsewhere
    nothing changes.  The forward pass is autocast's own, number by number.
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
    """As torch.conv2d."""
    slow = _pair(stride) != (1, 1) or max(weight.shape[2:]) >= 5
    depthwise = groups > 1 and weight.shape[1] == 1
    on_cpu = input.device.type == "cpu"
    if not (slow and depthwise and on_cpu) or isinstance(padding, str):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    how = (_pair(stride), _pair(padding), _pair(dilation), groups)
    out: Tensor = _FloatGradients.apply(input, weight, bias, *how)
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
        ctx.how = (stride, padding, dilation, groups)
        ctx.kind = input.dtype
        halved = input.bfloat16()
        ctx.save_for_backward(halved, weight)
        ctx.biased = None if bias is None else list(bias.shape)
        with torch.autocast("cpu", enabled=False):
            return torch.conv2d(
                halved,
                weight.bfloat16(),
                None if bias is None else bias.bfloat16(),
                *ctx.how,
            )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.how
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
