"""A network and a catalogue enter, unit embeddings leave.

One place for validation, gallery and queries, so that all of them are made alike.
"""

import hashlib
import sys
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from flukeprint.config.schema import EngineName, ImageConfig, PrecisionName
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, Floats
from flukeprint.embedding.engine import Engine as Runner
from flukeprint.embedding.engine import Photos
from flukeprint.embedding.engine_choice import PHOTOGRAPHS, pick_engine
from flukeprint.embedding.photos import PhotoCache, varied
from flukeprint.embedding.prefetch import LANE_BATCH, batches, in_lanes
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet


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
    return "mean" if image.mirrored_is_same else "both"


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
    engine: EngineName = "auto",
    precision: PrecisionName = "auto",
) -> Embeddings:
    """Embed every photograph of `catalog`, in its order.

    Args:
        net: left in evaluation mode, on `device`.
        stamp: the network's digest, from `network_digest`.
        mirror: test-time mirror, by `mirror_rule`.
        zooms: shares of both sides of the photograph, in the middle, whose unit embeddings are
            averaged.
        batch_size: most passes of the network that are made together.
        workers: threads that decode ahead of the network; 0: none, all is done by the caller's.
        progress: title of a progress bar; none without.
        engine, precision: what runs the network, see `engine_choice.pick_engine`; torch in
            float32 where nothing faster pays or is sure to see the same.

    Returns:
        Embeddings with unit rows (n, d), or (n, 2 d) for mirrors side by side.

    Raises:
        FlukeprintError: a photograph that cannot be read, or an engine that cannot be had.
    """
    device = device or next(net.parameters()).device
    net.eval().to(device)
    rule = mirror_rule(image, mirror)
    views = Variants(catalog, image, (False,) if rule == "off" else (False, True), zooms)
    runner = pick_engine(
        net, views.size, engine, precision, stamp=stamp, sample=views.sample,
        passes=len(catalog) * views.each, report=None if progress is None else _report,
    )  # fmt: skip
    sums = _sums(runner, net.dim, views, batch_size, workers, progress)
    sides = F.normalize(torch.from_numpy(sums).transpose(0, 1), dim=2)
    vectors = sides.sum(dim=0) if rule == "mean" else torch.cat(list(sides), dim=1)
    check_finite(vectors)
    return Embeddings(
        vectors=F.normalize(vectors, dim=1).numpy().astype(np.float32),
        images=catalog.images,
        identities=catalog.identities,
        views=catalog.views,
        stamp=stamp,
        precision=runner.precision,
    )


def _report(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


class Variants:
    """Every photograph as it is and mirrored, at every zoom: `each` pictures (3, *size) of one.

    The variants of a photograph go through the network together, and are made of it at once.
    """

    def __init__(
        self,
        catalog: Catalog,
        image: ImageConfig,
        sides: tuple[bool, ...],
        zooms: tuple[float, ...],
    ) -> None:
        self.photos, self.sides, self.zooms = len(catalog), len(sides), len(zooms)
        self.each = self.sides * self.zooms
        self.size = (image.height, image.width)
        self._parts = [(mirrored, zoom) for mirrored in sides for zoom in zooms]
        self._cache = PhotoCache(catalog, image)
        turned = set(image.mirror_views)
        self._turned = [view in turned for view in catalog.views or (None,) * len(catalog)]

    def fill(self, row: int, room: Photos) -> None:
        """Write the variants of photograph `row` to (each, 3, *size) uint8."""
        pixels = self._cache[row]
        for place, (mirrored, zoom) in enumerate(self._parts):
            seen = varied(pixels, self.size, mirrored=mirrored != self._turned[row], zoom=zoom)
            room[place] = seen.transpose(2, 0, 1)

    def sample(self) -> Photos:
        """(m, 3, *size): up to PHOTOGRAPHS of the photographs, evenly spread, first variant."""
        rows = np.unique(np.linspace(0, self.photos - 1, PHOTOGRAPHS).round().astype(int))
        rooms = np.empty((len(rows), self.each, 3, *self.size), np.uint8)
        for room, row in zip(rooms, rows, strict=True):
            self.fill(int(row), room)
        return np.ascontiguousarray(rooms[:, 0])


def _sums(
    engine: Runner,
    dim: int,
    views: Variants,
    batch_size: int,
    workers: int,
    progress: str | None,
) -> Floats:
    """(n, sides, d) sums of the unit vectors of all zooms."""
    sums = np.empty((views.photos, views.sides, dim), np.float32)
    with tqdm(total=views.photos, desc=progress, unit="photo", disable=progress is None) as bar:
        for rows, vectors in _embedded(engine, views, batch_size, workers):
            parts = vectors.reshape(len(rows), views.sides, views.zooms, dim)
            sums[rows.start : rows.stop] = parts.sum(axis=2)
            bar.update(len(rows))
    return sums


def _embedded(
    engine: Runner, views: Variants, batch_size: int, workers: int
) -> Iterator[tuple[range, Floats]]:
    """(rows, vectors of all their variants), parts in any order."""
    shape = (views.each, 3, *views.size)
    lanes = engine.lanes() if workers and views.photos * views.each > LANE_BATCH else ()
    if len(lanes) > 1:
        size = max(1, min(batch_size, LANE_BATCH) // views.each)
        yield from in_lanes(views.fill, views.photos, shape, lanes, size=size, workers=workers)
        return
    size = max(1, batch_size // views.each)
    for rows, photos in batches(views.fill, views.photos, shape, size=size, workers=workers):
        yield rows, engine.embed(photos.reshape(-1, *shape[1:]))
