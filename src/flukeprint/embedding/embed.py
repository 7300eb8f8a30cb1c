"""Embed the photographs of a catalogue with a network.

Validation, gallery and queries all go through `embed`, so that their embeddings are made alike.
"""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.embeddings import Embeddings, Floats
from flukeprint.embedding.engine import Engine, Photos
from flukeprint.embedding.engine_choice import PHOTOGRAPHS, pick_engine
from flukeprint.embedding.photos import PhotoCache, varied
from flukeprint.embedding.prefetch import LANE_BATCH, batches, in_lanes
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError, counted
from flukeprint.models.lazy_network import LazyNetwork, built
from flukeprint.output import Stage, say

if TYPE_CHECKING:
    import torch

    from flukeprint.models.network import FlukeNet

Accelerator = Literal["auto", "cpu", "gpu", "mps"]


class PhotoPixels(Protocol):
    """The photographs of a catalogue at `photos.kept_size`, by row; asked by several threads."""

    def __getitem__(self, row: int) -> Pixels: ...


# Files by which Linux shows that there is an accelerator that torch might use.
_ACCELERATORS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
_DIVERGED = "the network's embeddings are no longer numbers; lower train.lr or set train.clip"
_SHORTEST = 1e-12  # no length is taken for less


def pick_device(accelerator: Accelerator) -> "torch.device":
    """Choose the device of this machine for `train.accelerator`."""
    import torch

    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def device_type(accelerator: Accelerator) -> str:
    """The type of that device, such as cpu; torch is asked only where it may be another one."""
    if accelerator == "cpu" or (accelerator == "auto" and _has_only_cpu()):
        return "cpu"
    return pick_device(accelerator).type


def _has_only_cpu() -> bool:
    return sys.platform == "linux" and not any(map(os.path.exists, _ACCELERATORS))


def check_devices(accelerator: Accelerator, devices: int, key: str) -> None:
    """Refuse an accelerator that this machine lacks, or more devices than it has.

    devices: processes of a node, as set by the configuration's `key`.

    Raises:
        FlukeprintError: so.
    """
    device = device_type(accelerator)
    if device == "cpu" and accelerator in ("gpu", "mps"):
        raise FlukeprintError(
            f"train.accelerator={accelerator}, but torch finds none on this machine; set "
            "train.accelerator=auto or cpu"
        )
    most = devices if device == "cpu" else 1
    if device == "cuda":
        import torch

        most = torch.cuda.device_count()
    if devices > most:
        raise FlukeprintError(
            f"{key}={devices}, but this machine has {counted(most, 'GPU')}; set {key}={most} or "
            "train.accelerator=cpu"
        )


def check_finite(vectors: "torch.Tensor") -> None:
    """Refuse embeddings (n, d) that are not finite or are zero: the weights have diverged."""
    import torch

    if not (torch.isfinite(vectors).all() and (vectors.norm(dim=1) > 0).all()):
        raise FlukeprintError(_DIVERGED)


def embed(
    net: "FlukeNet | LazyNetwork",
    catalog: Catalog,
    recipe: EmbeddingRecipe,
    compute: Compute | None = None,
    *,
    device: "torch.device | None" = None,
    progress: str | None = None,
    photos: PhotoPixels | None = None,
) -> Embeddings:
    """Embed every photograph of a catalogue, in its order.

    Args:
        net: left in evaluation mode, on `device`.  A lazy one is built only where no engine is
            kept for it, or `device` is not the CPU.
        recipe: stamped, see `EmbeddingRecipe.stamped`.
        compute: None takes the defaults of `Compute`.
        progress: title of a progress bar; None shows none.
        photos: gives the pixels; None reads and decodes the catalogue's, through the cache.

    Returns:
        Embeddings with unit rows (n, d), or (n, 2 d) for mirrors side by side.

    Raises:
        FlukeprintError: a photograph that cannot be read, or an engine that is not installed.
    """
    compute = compute or Compute()
    if isinstance(net, LazyNetwork) and device is not None and device.type != "cpu":
        net = net.get()
    if not isinstance(net, LazyNetwork):
        net.eval().to(device or next(net.parameters()).device)
    views = Variants(catalog, recipe, photos)
    engine = pick_engine(
        net, views.size, compute.engine, compute.precision, stamp=recipe.stamp,
        sample=views.sample, passes=len(catalog) * views.each,
        report=None if progress is None else say,
    )  # fmt: skip
    sums = _sums(engine, net, views, compute.batch_size, compute.workers, progress)
    sides = unit(sums)
    mean = recipe.mirror_rule == "mean"
    vectors = unit(sides.sum(axis=1) if mean else sides.reshape(len(sides), -1))
    # A row that is not finite, or has no length, is not of length 1 either.
    if not (np.abs(np.einsum("nd,nd->n", vectors, vectors) - 1) < 0.1).all():
        raise FlukeprintError(_DIVERGED)
    return Embeddings(
        vectors=vectors,
        images=catalog.images,
        identities=catalog.identities,
        views=catalog.views,
        stamp=recipe.stamp,
        precision=engine.precision,
    )


def unit(vectors: Floats) -> Floats:
    """Divide vectors (..., d) by their lengths."""
    squares = np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64)
    lengths = np.maximum(np.sqrt(squares), _SHORTEST).astype(np.float32)
    with np.errstate(invalid="ignore"):  # of what is not finite
        return np.asarray(vectors / lengths[..., None], dtype=np.float32)


class Variants:
    """Test-time augmentation: the mirrored and centre-cropped pictures of each photograph.

    `each` is the number of variants (3, *size) of one photograph; they are made together and go
    through the network together.
    """

    def __init__(
        self, catalog: Catalog, recipe: EmbeddingRecipe, photos: PhotoPixels | None = None
    ) -> None:
        image = recipe.image
        self.photos, self.sides = len(catalog), len(recipe.sides)
        self.zooms, self.each = len(recipe.zooms), recipe.variants
        self.size = (image.height, image.width)
        self._parts = [(mirrored, zoom) for mirrored in recipe.sides for zoom in recipe.zooms]
        self._cache = PhotoCache(catalog, image) if photos is None else photos
        self._turned = catalog.in_views(image.mirror_views)

    def fill(self, row: int, out: Photos) -> None:
        """Write the variants of photograph `row` into `out` (each, 3, *size) uint8."""
        pixels = self._cache[row]
        for place, (mirrored, zoom) in enumerate(self._parts):
            seen = varied(pixels, self.size, mirrored=mirrored != self._turned[row], zoom=zoom)
            out[place] = seen.transpose(2, 0, 1)

    def sample(self) -> Photos:
        """Draw photographs to try engines on: (m, 3, *size) uint8, the first variant of each.

        Up to PHOTOGRAPHS of them, evenly spread over the catalogue.
        """
        rows = np.unique(np.linspace(0, self.photos - 1, PHOTOGRAPHS).round().astype(int))
        variants = np.empty((len(rows), self.each, 3, *self.size), np.uint8)
        for out, row in zip(variants, rows, strict=True):
            self.fill(int(row), out)
        return np.ascontiguousarray(variants[:, 0])


def _sums(
    engine: Engine,
    net: "FlukeNet | LazyNetwork",
    views: Variants,
    batch_size: int,
    workers: int,
    progress: str | None,
) -> Floats:
    """Sum the unit embeddings over the zooms: (n, sides, d)."""
    if not views.photos:
        return np.empty((0, views.sides, built(net).dim), np.float32)
    sums = np.empty((0, 0, 0), np.float32)
    with Stage(progress, views.photos) as bar:
        for rows, vectors in _embedded(engine, views, batch_size, workers):
            parts = vectors.reshape(len(rows), views.sides, views.zooms, -1)
            if not sums.size:
                sums = np.empty((views.photos, views.sides, parts.shape[-1]), np.float32)
            sums[rows.start : rows.stop] = parts.sum(axis=2)
            bar.update(len(rows))
    return sums


def _embedded(
    engine: Engine, views: Variants, batch_size: int, workers: int
) -> Iterator[tuple[range, Floats]]:
    """Embed part by part: yields (rows, embeddings of all their variants), in any order."""
    shape = (views.each, 3, *views.size)
    lanes = engine.lanes() if workers and views.photos * views.each > LANE_BATCH else ()
    if len(lanes) > 1:
        size = max(1, min(batch_size, LANE_BATCH) // views.each)
        yield from in_lanes(views.fill, views.photos, shape, lanes, size=size, workers=workers)
        return
    size = max(1, batch_size // views.each)
    for rows, photos in batches(views.fill, views.photos, shape, size=size, workers=workers):
        yield rows, engine.embed(photos.reshape(-1, *shape[1:]))
