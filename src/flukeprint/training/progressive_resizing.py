"""Progressive resizing: train early epochs on smaller photographs, which is faster.

The last epochs have the full size (after Howard 2018, fast.ai's DAWNBench entry; EfficientNetV2,
Tan & Le 2021, section 4).  Validation and inference always have it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.config.training import TrainConfig
from flukeprint.errors import FlukeprintError, counted
from flukeprint.models.network import FlukeNet

STRIDE = 32  # px; distance between the deepest features of most backbones


def size_in(epoch: int, config: TrainConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Size of the training photographs in `epoch` (from 0): (height, width), at most `size`."""
    if not config.sizes:
        return size
    share = config.sizes[epoch * len(config.sizes) // config.epochs]
    if share == 1:
        return size
    height, width = (min(side, max(STRIDE, round(side * share / STRIDE) * STRIDE)) for side in size)
    return height, width


def resize_batch(photos: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a batch, bilinear with antialiasing: (b, 3, h, w) uint8 -> (b, 3, *size) uint8."""
    if tuple(photos.shape[2:]) == size:
        return photos
    # CUDA resizes only floats.
    small = F.interpolate(photos.float(), size, mode="bilinear", antialias=True)
    return small.round().to(torch.uint8)


def check_number_of_sizes(config: TrainConfig) -> None:
    """Refuse more `train.sizes` than epochs."""
    if len(config.sizes) > config.epochs:
        raise FlukeprintError(
            f"train.sizes: {len(config.sizes)} sizes in {counted(config.epochs, 'epoch')}; name "
            "fewer sizes or raise train.epochs"
        )


@torch.no_grad()
def check_sizes(net: FlukeNet, config: TrainConfig) -> None:
    """Refuse `train.sizes` for a network with a fixed input size, by trying a photo of each size.

    Raises:
        FlukeprintError: so.
    """
    if not config.sizes:
        return
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
