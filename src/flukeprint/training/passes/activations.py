"""Less memory for the activations of a training step, with the same gradients.

Frozen layers, whose outputs need no gradients, are passed a few photographs at a time, so that
their wide inner layers never hold a whole batch.  Blocks that learn can be passed again in the
backward pass, instead of keeping what they computed (gradient checkpointing, Chen et al. 2016,
arXiv 1604.06174).
"""

import contextlib
import posixpath
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from flukeprint.errors import FlukeprintError
from flukeprint.models.backbones import layer_groups
from flukeprint.training.passes.depthwise import QuickDepthwise

AT_ONCE = 4  # photographs that pass a frozen layer at once
Forward = Callable[..., Any]


class LeanActivations:
    """A way to pass a backbone that takes less memory, entered around each forward pass.

    Gradients of depthwise convolutions are those of `QuickDepthwise`, in either pass.
    """

    def __init__(self, backbone: nn.Module, name: str, *, recompute: bool) -> None:
        """Find the backbone's blocks.

        Args:
            name: of the backbone, for the error.
            recompute: whether blocks that learn are passed again in the backward pass.

        Raises:
            FlukeprintError: timm does not know the blocks that are to be passed again.
        """
        self._recompute = recompute
        self._parts = _parts(backbone)
        if recompute and not any(_is_block(part) for part in self._parts):
            raise FlukeprintError(
                f"train.recompute: timm does not know the blocks of {name}; set it to false"
            )

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Within it the backbone's parts are passed in their leaner ways."""
        changed = []
        try:
            for part in self._parts:
                if (forward := self._leaner(part)) is not None:
                    part.forward = forward
                    changed.append(part)
            with QuickDepthwise():
                yield
        finally:
            for part in changed:
                del part.forward  # so that the one of its class is found again

    def _leaner(self, part: nn.Module) -> Forward | None:
        learns = any(parameter.requires_grad for parameter in part.parameters())
        if not learns and not _counting_norms(part):
            return _in_shares(part.forward)
        if learns and self._recompute and _is_block(part):
            return _recomputed(part)
        return None


def _in_shares(forward: Forward) -> Forward:
    def passed(photos: Tensor, *more: Any) -> Any:
        whole = more or photos.ndim != 4 or photos.requires_grad or photos.device.type != "cpu"
        if whole or len(photos) <= AT_ONCE:
            return forward(photos, *more)
        with torch.no_grad():
            return torch.cat([forward(share) for share in torch.split(photos, AT_ONCE)])

    return passed


def _recomputed(block: nn.Module) -> Forward:
    forward = block.forward

    def passed(*inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs)
        return checkpoint(
            forward, *inputs, use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), _again(block)),
        )  # fmt: skip

    return passed


@contextlib.contextmanager
def _again(block: nn.Module) -> Iterator[None]:
    """The second pass: by the same kernels, and no norm counts a batch twice."""
    norms = _counting_norms(block)
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        with QuickDepthwise():
            yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


def _counting_norms(part: nn.Module) -> list[_BatchNorm]:
    """The norms whose statistics a pass changes."""
    return [
        module
        for module in part.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]


def _is_block(part: nn.Module) -> bool:
    """Whether a part has layers of its own: a single layer keeps its input in either case."""
    return next(part.children(), None) is not None


def _parts(backbone: nn.Module) -> list[nn.Module]:
    """The blocks of a backbone, as timm groups its layers, and the layers outside of blocks."""
    names = set()
    for group in layer_groups(backbone, coarse=False):
        layers = [posixpath.dirname(name.replace(".", "/")) for name in group]
        shared = posixpath.commonpath(layers)
        names |= {shared} if shared else set(layers)
    # A stage whose first layers stand outside of its blocks would hold parts of its own.
    inner = [
        name for name in sorted(names - {""})
        if not any(other.startswith(f"{name}/") for other in names)
    ]  # fmt: skip
    return [backbone.get_submodule(name.replace("/", ".")) for name in inner]
