"""Progressive resizing: a batch (b, 3, h, w) enters, the smaller one that its epoch sees leaves.

Early epochs on small photographs are cheap, and the last ones see all there is (after Howard
2018, fast.ai's DAWNBench entry; EfficientNetV2, Tan & Le 2021, section 4).  Only training is
resized: validation and answers keep the full size.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.config.schema import TrainConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet

STRIDE = 32  # px; the deepest features of most backbones stand this far apart


def size_in(epoch: int, config: TrainConfig, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in px that training sees in `epoch` (from 0), of the full `size`."""
    if not config.sizes:
        return size
    share = config.sizes[epoch * len(config.sizes) // config.epochs]
    if share == 1:
        return size
    height, width = (min(side, max(STRIDE, round(side * share / STRIDE) * STRIDE)) for side in size)
    return height, width


def resize_batch(photos: Tensor, size: tuple[int, int]) -> Tensor:
    """(b, 3, h, w) uint8 -> (b, 3, *size) uint8: linear, and averaging what it shrinks."""
    if tuple(photos.shape[2:]) == size:
        return photos
    # CUDA resizes floats alone.
    small = F.interpolate(photos.float(), size, mode="bilinear", antialias=True)
    return small.round().to(torch.uint8)


@torch.no_grad()
def check_sizes(net: FlukeNet, config: TrainConfig) -> None:
    """Refuse `train.sizes` for a network that takes one size only: show it a grey photo of each.

    Raises:
        FlukeprintError: so; or more sizes than epochs.
    """
    if not config.sizes:
        return
    if len(config.sizes) > config.epochs:
        raise FlukeprintError(
            f"train.sizes: {len(config.sizes)} sizes in {config.epochs} epochs; name fewer sizes "
            "or raise train.epochs"
        )
    device, was_training = net.mean.device, net.training
    net.eval()
    seen = {size_in(epoch, config, net.size) for epoch in range(config.epochs)}
    for height, width in sorted(seen - {net.size}):
        try:
            net(torch.zeros(1, 3, height, width, dtype=torch.uint8, device=device))
        except (AssertionError, RuntimeError, ValueError):
            raise FlukeprintError(
                f"train.sizes: {net.config.backbone} takes photos of {net.size[0]} x "
                f"{net.size[1]} px only, not {height} x {width}; leave train.sizes empty or choose "
                "a convolutional model.backbone"
            ) from None
    net.train(was_training)
