"""The embedding network: maps photographs (b, 3, h, w) uint8 RGB to embeddings (b, d).

backbone (any timm CNN or transformer) -> pooling (GeM, average or maximum)
-> neck (dropout, linear, batch norm) -> embedding.  Frozen auxiliary backbones may be added: then
the pooled features of each backbone are normalised to length 1 and concatenated.  The network
normalises the pixels itself, so they cannot be passed at a wrong scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from flukeprint.config.training import ModelConfig
from flukeprint.errors import FlukeprintError
from flukeprint.models.backbones import Backbone, empty_backbone, layer_groups, load_backbone

# Of photographs that are embedded at once on a CPU, 16 of 384 x 512: more take gigabytes, and up to
# twice the time, as the heap gives such large blocks back to the system after each layer.
MOST_PIXELS = 3_300_000
Pooling = Literal["gem", "avg", "max"]
Grid = tuple[int, int]  # rows and columns of cells that are pooled separately


class GeM(nn.Module):
    """Generalised-mean pooling, (mean x**p)**(1/p), p learned (Radenovic et al. 2018, eq. 3).

    p = 1 is the average, p towards infinity the maximum.  (b, c, h, w) -> (b, c, *grid).
    """

    def __init__(self, grid: Grid, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.grid = grid
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        p = self.p.clamp(min=1.0)  # below 1 the gradient at 0 is unbounded
        powers = x.float().clamp(min=self.eps).pow(p)
        return F.adaptive_avg_pool2d(powers, self.grid).pow(1.0 / p)


class Average(nn.Module):
    """Average pooling: (b, c, h, w) -> (b, c, *grid), mean over the positions of each cell."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x.float(), self.grid)


class Maximum(nn.Module):
    """Maximum pooling: (b, c, h, w) -> (b, c, *grid), maximum over the positions of each cell."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x.float(), self.grid)


POOLING: dict[str, Callable[[Grid], nn.Module]] = {"gem": GeM, "avg": Average, "max": Maximum}


@dataclass(frozen=True)
class Layout:
    """Axes of the features that a backbone returns."""

    kind: Literal["map", "map_last", "tokens"]  # (b, c, h, w), (b, h, w, c), (b, n, c)
    channels: int
    prefix: int  # number of class and register tokens, which have no position


def _features(
    backbone: nn.Module, layout: Layout, photos: Tensor, mean: Tensor, std: Tensor
) -> Tensor:
    """Feature map (b, c, h', w') of photos (b, 3, h, w) uint8; mean, std (1, 3, 1, 1) in 0..255."""
    # Convolutions on CPU are a third faster with channels last.
    x = (photos.to(mean.dtype, memory_format=torch.channels_last) - mean) / std
    out: Tensor = backbone.forward_features(x)  # type: ignore[operator]
    if layout.kind == "map_last":
        return out.permute(0, 3, 1, 2)
    if layout.kind == "tokens":
        return out[:, layout.prefix :].transpose(1, 2).unsqueeze(-1)
    return out


class FrozenNet(nn.Module):
    """A frozen auxiliary backbone: (b, 3, h, w) uint8 RGB -> pooled unit features (b, c)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, loaded: Backbone, name: str, pooling: Pooling, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.backbone = loaded.net
        self.layout = _probe(loaded.net, size, name)
        self.pooling = POOLING[pooling]((1, 1))
        self.register_buffer("mean", _of_channels(loaded.mean))
        self.register_buffer("std", _of_channels(loaded.std))
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> "FrozenNet":
        """Stay in evaluation mode, norms and dropout included."""
        return self

    @torch.no_grad()
    def forward(self, photos: Tensor) -> Tensor:
        x = _features(self.backbone, self.layout, photos, self.mean, self.std)
        pooled: Tensor = self.pooling(x)
        return F.normalize(pooled.flatten(1), dim=1)


def _of_channels(numbers: tuple[float, float, float]) -> Tensor:
    return torch.tensor(numbers).view(1, 3, 1, 1) * 255.0


class FlukeNet(nn.Module):
    """The network that embeds photographs: backbones, pooling and neck.

    `forward` returns the neck's output, not normalised, for the losses, which normalise where
    their paper does.  `embed` returns unit vectors.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        loaded: Backbone,
        config: ModelConfig,
        size: tuple[int, int],
        beside: Sequence[Backbone] = (),
    ) -> None:
        """`beside`: the loaded auxiliary backbones that `config.beside` names, in that order."""
        super().__init__()
        backbone = loaded.net
        self.backbone = backbone
        self.size = size
        self.config = config
        self.hold_backbone = False  # set while only neck and loss are trained
        self.layout = _probe(backbone, size, config.backbone)
        if self.layout.kind == "tokens" and config.grid != (1, 1):
            raise FlukeprintError(
                f"model.grid: backbone {config.backbone} has no feature map; set it to [1, 1]"
            )
        self.pooling = POOLING[config.pooling](config.grid)
        frozen = [
            FrozenNet(further, named.backbone, config.pooling, size)
            for further, named in zip(beside, config.beside, strict=True)
        ]
        self.beside = nn.ModuleList(frozen)
        pooled = self.layout.channels * config.grid[0] * config.grid[1]
        pooled += sum(net.layout.channels for net in frozen)
        self.neck: nn.Module = nn.Identity()
        if config.neck:
            # Batch norm has a shift, so the linear layer needs no bias.
            self.neck = nn.Sequential(
                nn.Dropout(config.dropout),
                nn.Linear(pooled, config.embedding_dim, bias=False),
                nn.BatchNorm1d(config.embedding_dim),
            )
        self.dim = config.embedding_dim if config.neck else pooled
        self.register_buffer("mean", _of_channels(loaded.mean))
        self.register_buffer("std", _of_channels(loaded.std))
        _freeze_stages(self.backbone, config.freeze_stages, config.backbone)
        # The layout of the photographs; otherwise every step would convert every kernel.
        self.to(memory_format=torch.channels_last)

    def pool(self, photos: Tensor) -> Tensor:
        """(b, 3, h, w) uint8 RGB -> pooled features (b, c) float32, of all cells and backbones."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.hold_backbone):
            x = _features(self.backbone, self.layout, photos, self.mean, self.std)
        pooled: Tensor = self.pooling(x).flatten(1)
        if not self.beside:
            return pooled
        return torch.cat([F.normalize(pooled, dim=1), *(net(photos) for net in self.beside)], dim=1)

    def forward(self, photos: Tensor) -> Tensor:
        """(b, 3, h, w) uint8 RGB -> embeddings (b, d) float32, not normalised."""
        out: Tensor = self.neck(self.pool(photos))
        return out.float()

    def embed(self, photos: Tensor) -> Tensor:
        """(b, 3, h, w) uint8 RGB -> unit embeddings (b, d) float32."""
        return F.normalize(self(photos), dim=-1)

    def train(self, mode: bool = True) -> "FlukeNet":
        """Set training or evaluation mode; frozen norms keep their statistics in either."""
        super().train(mode)
        if mode and self.hold_backbone:
            self.backbone.eval()
        elif mode:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    frozen = not any(p.requires_grad for p in module.parameters())
                    if self.config.freeze_norm or frozen:
                        module.eval()
        return self


def embed_in_shares(net: FlukeNet, photos: Tensor) -> Tensor:
    """Embed a batch, on a CPU not more than `MOST_PIXELS` at once; for passes without gradients.

    Args:
        net: in evaluation mode.
        photos: (b, 3, h, w) uint8 RGB, any b.

    Returns:
        Unit embeddings (b, d) float32.
    """
    at_once = max(1, MOST_PIXELS // (photos.shape[-2] * photos.shape[-1]))
    if photos.device.type != "cpu" or len(photos) <= at_once:
        return net.embed(photos)
    return torch.cat([net.embed(share) for share in torch.split(photos, at_once)])


def build_model(config: ModelConfig, size: tuple[int, int]) -> FlukeNet:
    """Build the network of `config` with its weights, for photographs of `size` (height, width).

    Raises:
        FlukeprintError: see `backbones.load_backbone`; or a backbone without a feature map.
    """
    first = load_backbone(config.backbone, config.weights, size)
    beside = [load_backbone(named.backbone, named.weights, size) for named in config.beside]
    return FlukeNet(first, config, size, beside)


def empty_model(config: ModelConfig, size: tuple[int, int]) -> FlukeNet:
    """Build the architecture alone, to load a saved state into; that has the normalisation, too."""
    names = [config.backbone, *(named.backbone for named in config.beside)]
    first, *beside = [Backbone(empty_backbone(name, size), (0, 0, 0), (1, 1, 1)) for name in names]
    return FlukeNet(first, config, size, beside)


def untrained_embedder(config: ModelConfig, size: tuple[int, int]) -> FlukeNet:
    """Build the baseline: the backbone with its pretrained weights, average-pooled, no neck."""
    plain = config.model_copy(
        update={
            "beside": (),
            "pooling": "avg",
            "grid": (1, 1),
            "neck": False,
            "freeze_stages": 0,
            "freeze_norm": False,
        }
    )
    return build_model(plain, size)


@torch.no_grad()
def _probe(backbone: nn.Module, size: tuple[int, int], name: str) -> Layout:
    """Find the layout of a backbone's features by passing one grey photograph."""
    was_training = backbone.training
    features = backbone.eval().forward_features(torch.zeros(1, 3, *size))  # type: ignore[operator]
    backbone.train(was_training)
    channels = int(backbone.num_features)  # type: ignore[arg-type]
    if torch.is_tensor(features) and features.ndim == 4 and features.shape[1] == channels:
        return Layout("map", channels, 0)
    if torch.is_tensor(features) and features.ndim == 4 and features.shape[-1] == channels:
        return Layout("map_last", channels, 0)
    if torch.is_tensor(features) and features.ndim == 3 and features.shape[-1] == channels:
        return Layout("tokens", channels, int(getattr(backbone, "num_prefix_tokens", 0)))
    raise FlukeprintError(
        f"backbone {name} gives neither a feature map nor tokens; choose another model.backbone"
    )


def _freeze_stages(backbone: nn.Module, stages: int, name: str) -> None:
    """Freeze the first `stages` groups of layers, counted from the stem."""
    if not stages:
        return
    groups = layer_groups(backbone, coarse=True)
    if not groups:
        raise FlukeprintError(f"model.freeze_stages: timm does not know the stages of {name}")
    if stages >= len(groups):
        raise FlukeprintError(
            f"model.freeze_stages={stages}: {name} has {len(groups)} stages, the last must learn"
        )
    parameters = dict(backbone.named_parameters())
    for group in groups[:stages]:
        for key in group:
            parameters[key].requires_grad_(False)
