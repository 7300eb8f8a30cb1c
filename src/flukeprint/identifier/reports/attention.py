"""Which parts of two photographs make a network call them alike: occlusion and gradient maps.

Both are of the cosine of the two embeddings; the network sees each photograph as it is, without
test-time augmentation.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Values
from flukeprint.models.network import FlukeNet

CELLS = 9  # of each side; two of them are covered at a time
_BATCH = 32

Embedder = Callable[[Tensor], Tensor]  # (b, 3, h, w) uint8 -> unit (b, d)


@torch.inference_mode()
def cosine_of(embed: Embedder, photo: Pixels, other: Pixels) -> float:
    """Cosine of the embeddings of two photographs (h, w, 3) of the network's input size."""
    one, two = embed(_batch([photo, other]))
    return float(one @ two)


@torch.inference_mode()
def occlusion_map(embed: Embedder, photo: Pixels, other: Pixels, cells: int = CELLS) -> Values:
    """How much the cosine of `photo` and `other` falls when a part of `photo` is covered: (h, w).

    A patch of 2 x 2 cells, of `cells` x `cells`, is filled with the photograph's mean colour, at
    each place that a step of one cell reaches; a pixel's value is the mean over the patches that
    cover it.  Above 0: what is there makes the two alike; below 0: it makes them less alike.
    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (ECCV 2014),
    section 4.2, for the similarity of two photographs.

    photo, other: (h, w, 3) uint8 RGB, of the network's input size, at least `cells` px a side.
    """
    height, width = photo.shape[:2]
    rows = np.linspace(0, height, cells + 1).round().astype(int)
    columns = np.linspace(0, width, cells + 1).round().astype(int)
    patches = [
        (slice(rows[y], rows[y + 2]), slice(columns[x], columns[x + 2]))
        for y in range(cells - 1)
        for x in range(cells - 1)
    ]
    target = embed(_batch([other]))[0]
    whole = float(embed(_batch([photo]))[0] @ target)
    fill = np.rint(photo.mean(axis=(0, 1))).astype(np.uint8)
    total, times = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(patches), _BATCH):
        some = patches[start : start + _BATCH]
        covered = []
        for patch in some:
            masked = photo.copy()
            masked[patch] = fill
            covered.append(masked)
        falls = whole - (embed(_batch(covered)) @ target).double().cpu().numpy()
        for patch, fall in zip(some, falls.tolist(), strict=True):
            total[patch] += fall
            times[patch] += 1
    return np.asarray(total / times, dtype=np.float64)


def gradient_map(net: FlukeNet, photo: Pixels, other: Pixels) -> Values | None:
    """What each cell of the feature map of `photo` adds to its cosine with `other`: (h', w').

    The sum over channels of feature times gradient of the cosine (Draelos and Carin, HiResCAM,
    arXiv:2011.08891, 2020).  Where pooling and neck are linear it is exactly what the cell adds to
    the dot product, up to the length of the embedding; else it is that to first order.  None for a
    backbone without a feature map.

    photo, other: as of `occlusion_map`.
    """
    if net.layout.kind == "tokens":
        return None
    kept: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        features = given[0].detach().requires_grad_()
        kept.append(features)
        return (features,)

    with torch.no_grad():
        target = net.embed(_batch([other]))[0]
    hook = net.pooling.register_forward_pre_hook(keep)
    try:
        with torch.enable_grad():
            cosine = F.normalize(net(_batch([photo])), dim=-1)[0] @ target
            (gradient,) = torch.autograd.grad(cosine, kept[0])
    finally:
        hook.remove()
    return np.asarray((kept[0] * gradient).sum(dim=1)[0].detach().double().cpu().numpy())


def _batch(photos: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
