"""A network and a catalogue enter, unit embeddings leave.

One place for validation, gallery and queries, so that all of them are made alike.
"""

import hashlib
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
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
    variants = _Variants(catalog, image, (False,) if rule == "off" else (False, True), zooms)
    sides = F.normalize(_sums(net, variants, batch_size, workers, device, progress), dim=2)
    vectors = sides.sum(dim=0) if rule == "mean" else torch.cat(list(sides), dim=1)
    check_finite(vectors)
    return Embeddings(
        vectors=F.normalize(vectors, dim=1).numpy().astype(np.float32),
        images=catalog.images,
        identities=catalog.identities,
        views=catalog.views,
        stamp=stamp,
    )


class _Variants(Dataset[Photo]):
    """Every photograph as it is and mirrored, at every zoom, one photograph after the other.

    So the variants of a single query go through the network together.
    """

    def __init__(
        self,
        catalog: Catalog,
        image: ImageConfig,
        sides: tuple[bool, ...],
        zooms: tuple[float, ...],
    ) -> None:
        self.photos, self.sides, self.zooms = len(catalog), len(sides), len(zooms)
        self._parts = [
            PhotoDataset(catalog, image, augment=False, mirrored=mirrored, zoom=zoom)
            for mirrored in sides
            for zoom in zooms
        ]

    def __len__(self) -> int:
        return self.photos * len(self._parts)

    def __getitem__(self, item: int) -> Photo:
        row, part = divmod(item, len(self._parts))
        return self._parts[part][row]


@torch.inference_mode()
def _sums(
    net: FlukeNet,
    data: _Variants,
    batch_size: int,
    workers: int,
    device: torch.device,
    progress: str | None,
) -> torch.Tensor:
    """(sides, n, d) sums of the unit vectors of all zooms, on the CPU."""
    loader: DataLoader[Photo] = DataLoader(
        data,
        batch_size=batch_size,
        num_workers=min(workers, len(data) // batch_size),
        worker_init_fn=single_thread,
    )
    sums = torch.zeros(data.photos * data.sides, net.dim)
    done = 0
    with tqdm(total=data.photos, desc=progress, unit="photo", disable=progress is None) as bar:
        for photos, _, _ in loader:
            vectors = net.embed(photos.to(device)).float().cpu()
            items = torch.arange(done, done + len(photos))
            sums.index_add_(0, items // data.zooms, vectors)
            done += len(photos)
            bar.update(done // (data.sides * data.zooms) - bar.n)
    return sums.view(data.photos, data.sides, net.dim).transpose(0, 1)
