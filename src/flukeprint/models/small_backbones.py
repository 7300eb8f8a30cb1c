"""Small backbones of our own, for pictures of some 28 x 28 pixels, beside those of timm.

They start at random: nobody has published weights for them.  Like timm's they offer
`forward_features`, `num_features`, `pretrained_cfg` and `group_matcher`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

PIXELS: dict[str, tuple[float, ...]] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # to -1..1


class Small(nn.Module):
    """Base of the small backbones: blocks in a row, each a stage that can be frozen."""

    num_features: int
    blocks: nn.Sequential
    pretrained_cfg: ClassVar[dict[str, tuple[float, ...]]] = PIXELS

    def forward_features(self, photos: Tensor) -> Tensor:
        """(b, 3, h, w) normalised pixels -> feature map (b, num_features, h', w')."""
        features: Tensor = self.blocks(photos)
        return features

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns of the parameters' names by stage, as timm's models have them."""
        return {"blocks": r"^blocks\.(\d+)"}


class SmallCnn(Small):
    """Three convolutions of 3 x 3, each with batch norm, ReLU and pooling of 2 x 2.

    (b, 3, h, w) -> (b, 64, h // 8, w // 8), for sides from 8 px.
    """

    num_features = 64

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        channels = (3, 16, 32, self.num_features)
        self.blocks = nn.Sequential(*(_convolution(*ends) for ends in pairwise(channels)))


def _convolution(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),  # batch norm has a shift
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class Dense(Small):
    """Three dense layers of 128 units with ReLU, dropout between them, on the flattened pixels.

    The net of the siamese digits of Hadsell et al. 2006 as Keras' examples have it; it sees
    photographs of `size` (height, width) only.  (b, 3, *size) -> (b, 128, 1, 1).
    """

    num_features = 128
    dropout = 0.1

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        units = self.num_features
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Flatten(), nn.Linear(3 * size[0] * size[1], units), nn.ReLU()),
            nn.Sequential(nn.Dropout(self.dropout), nn.Linear(units, units), nn.ReLU()),
            nn.Sequential(
                nn.Dropout(self.dropout),
                nn.Linear(units, units),
                nn.ReLU(),
                nn.Unflatten(1, (units, 1, 1)),
            ),
        )


SMALL_BACKBONES: dict[str, Callable[[tuple[int, int]], Small]] = {
    "small_cnn": SmallCnn,
    "dense": Dense,
}
