"""A network and a catalogue enter, unit embeddings leave.

One place for validation, gallery and queries, so that all of them are made alike.
"""

import hashlib
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from flukeprint.catalog import Catalog
from flukeprint.config import ImageConfig
from flukeprint.errors import FlukeprintError
from flukeprint.gallery import Embeddings
from flukeprint.images import Photo, PhotoDataset, single_thread
from flukeprint.model import FlukeNet


def pick_device(accelerator: Literal["auto", "cpu", "gpu", "mps"]) -> torch.device:
    """The device that `train.accelerator` stands for on this machine."""
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def check_finite(vectors: torch.Tensor) -> None:
    """Refuse embeddings (n, d) that are no directions: the network's weights have diverged."""
    if not (torch.isfinite(vectors).all() and (vectors.norm(dim=1) > 0).all()):
        raise FlukeprintError(
            "the network's embeddings are no longer numbers; lower train.lr or set train.clip"
        )


def network_digest(
    net: FlukeNet, image: ImageConfig, mirror: bool, zooms: tuple[float, ...] = (1.0,)
) -> str:
    """First 16 hex digits of the SHA-256 of all that an embedding depends on but the photograph.

    Embeddings are stamped with it: those of two networks must never be compared.
    """
    digest = hashlib.sha256()
    model = (net.config.backbone, net.config.pooling, net.config.grid, net.config.neck)
    size = (image.height, image.width, image.resize, image.reserve, image.mirror_views)
    beside = tuple(named.backbone for named in net.config.beside)
    how = (*model, *beside, *size, mirror_rule(image, mirror), zooms)
    digest.update(repr(how).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]


def mirror_rule(image: ImageConfig, mirror: bool) -> Literal["off", "mean", "both"]:
    """How the mirrored photograph enters an embedding.

    Where a mirrored animal is itself, the mean of both embeddings.  Where it is not, both side by
    side: the cosine is then the mean of photo with photo and mirror with mirror, and never
    compares a left with a right.
    """
    if not mirror:
        return "off"
    return "mean" if image.flip == "same" else "both"


def embed(
    net: FlukeNet,
    catalog: Catalog,
    image: ImageConfig,
    *,
    stamp: str,
    mirror: bool = False,
    zooms: tuple[float, ...] = (1.0,),
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | None = None,
    progress: str | None = None,
) -> Embeddings:
    """Embed every photograph of `catalog`, in its order.

    Args:
        net: left in evaluation mode, on `device`.
        stamp: the network's digest, from `network_digest`.
        mirror: test-time mirror, by `mirror_rule`.
        zooms: shares of both sides of the photograph, in the middle, whose unit embeddings are
            averaged.
        progress: title of a progress bar; none without.

    Returns:
        Embeddings with unit rows (n, d), or (n, 2 d) for mirrors side by side.

    Raises:
        FlukeprintError: a photograph that cannot be read.
    """
    device = device or next(net.parameters()).device
    net.eval().to(device)
    rule = mirror_rule(image, mirror)
    sides = []
    for mirrored in (False, True)[: 1 if rule == "off" else 2]:
        total = torch.zeros(len(catalog), net.dim)
        for zoom in zooms:
            what = [progress, "mirrored" * mirrored, f"{zoom:.0%} of it" * (zoom != 1)]
            title = ", ".join(filter(None, what)) if progress else None
            data = PhotoDataset(catalog, image, augment=False, mirrored=mirrored, zoom=zoom)
            total += _vectors(net, data, batch_size, workers, device, title)
        sides.append(F.normalize(total, dim=1))
    vectors = sides[0] + sides[1] if rule == "mean" else torch.cat(sides, dim=1)
    check_finite(vectors)
    return Embeddings(
        vectors=F.normalize(vectors, dim=1).numpy().astype(np.float32),
        images=catalog.images,
        identities=catalog.identities,
        views=catalog.views,
        stamp=stamp,
    )


@torch.inference_mode()
def _vectors(
    net: FlukeNet,
    data: PhotoDataset,
    batch_size: int,
    workers: int,
    device: torch.device,
    progress: str | None,
) -> torch.Tensor:
    """(n, d) unit vectors on the CPU."""
    loader: DataLoader[Photo] = DataLoader(
        data,
        batch_size=batch_size,
        num_workers=min(workers, len(data) // batch_size),
        worker_init_fn=single_thread,
    )
    parts = [torch.empty(0, net.dim)]
    with tqdm(total=len(data), desc=progress, unit="photo", disable=progress is None) as bar:
        for photos, _, _ in loader:
            parts.append(net.embed(photos.to(device)).float().cpu())
            bar.update(len(photos))
    return torch.cat(parts)
