"""Images: a catalogue enters, `Photo`s leave: image uint8 (3, height, width) RGB, label, row.

Photographs are decoded (`decoding.py`) and resized once, kept in a cache on disk, mirrored and
augmented (`augment.py`) as a `Draw` says.  They stay uint8: the network owns its normalisation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from flukeprint.augment import augmented, build_augment
from flukeprint.catalog import Catalog
from flukeprint.config import ImageConfig
from flukeprint.decoding import Pixels, decode, decode_array, decode_bytes, decode_row
from flukeprint.photo_entries import find_entry
from flukeprint.photo_store import PhotoStore
from flukeprint.sampling import Draw

__all__ = [
    "Photo",
    "PhotoCache",
    "PhotoDataset",
    "decode",
    "decode_array",
    "decode_bytes",
    "decode_row",
    "fit",
    "single_thread",
    "varied",
]

# Raise it when `fit` or decoding gives other pixels than before: older entries are then left.
CACHE_VERSION = 3


def kept_size(config: ImageConfig) -> tuple[int, int]:
    """(height, width) at which photographs are kept: the network's size times `reserve`."""
    return round(config.height * config.reserve), round(config.width * config.reserve)


def fit(pixels: Pixels, config: ImageConfig) -> Pixels:
    """(height, width, 3) as `kept_size` says, of RGB pixels (h, w, 3).

    `stretch` changes the aspect ratio; `pad` keeps it and fills the rest, evenly on both sides,
    with the photograph's mean colour; `crop` keeps it and leaves out what sticks out on both
    sides.
    """
    height, width = kept_size(config)
    if config.resize == "crop":
        pixels = _middle(pixels, height, width)
    if config.resize != "pad":
        return _resized(pixels, height, width)
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    inner_height = min(height, max(1, round(pixels.shape[0] * scale)))
    inner_width = min(width, max(1, round(pixels.shape[1] * scale)))
    inner = _resized(pixels, inner_height, inner_width)
    filled = np.empty((height, width, 3), np.uint8)
    filled[:] = np.rint(inner.mean(axis=(0, 1)))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    filled[top : top + inner_height, left : left + inner_width] = inner
    return filled


def _middle(pixels: Pixels, height: int, width: int) -> Pixels:
    """The largest middle part with the aspect ratio of height x width."""
    scale = min(pixels.shape[0] / height, pixels.shape[1] / width)
    return _part(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _part(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bilinear; where a side shrinks, over as many pixels as become one.

    As Pillow's, whose photographs pretrained networks have seen, in a fifth of the time.
    """
    if not pixels.flags.writeable:  # torch takes no others
        pixels = pixels.copy()
    seen = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    smaller = F.interpolate(seen, (height, width), mode="bilinear", antialias=True)
    return np.asarray(smaller[0].permute(1, 2, 0).numpy(), dtype=np.uint8)


def varied(pixels: Pixels, size: tuple[int, int], *, mirrored: bool, zoom: float) -> Pixels:
    """(height, width, 3) as `size` says: the middle of kept pixels, by `zoom` of both sides."""
    if zoom != 1:
        height, width = (max(1, round(side * zoom)) for side in pixels.shape[:2])
        pixels = _part(pixels, height, width)
    if pixels.shape[:2] != size:
        pixels = _resized(pixels, *size)
    return pixels[:, ::-1] if mirrored else pixels


class PhotoCache:
    """The photographs of a catalogue at the network's size, decoded once and kept on disk.

    `cache[row]` is (height, width, 3) uint8 RGB, the caller's own.  Threads and processes share
    what is kept (`photo_store.py`), at most `config.cache_gb`, in GB of 10^9 bytes.  With
    `config.cache` none, or a catalogue of pixels, nothing is written.

    Raises FlukeprintError where `decode` does, where nothing can be written, and where
    `cache_gb` is too little for a handful of photographs.
    """

    def __init__(self, catalog: Catalog, config: ImageConfig) -> None:
        self._catalog = catalog
        self._config = config
        self._folder: Path | None = None
        self._store: PhotoStore | None = None
        if config.cache is not None and catalog.paths is not None:
            height, width = kept_size(config)
            size = f"{height}x{width}-{config.resize}-v{CACHE_VERSION}"
            self._folder = config.cache.absolute() / size
            max_bytes = int(config.cache_gb * 1e9)
            self._store = PhotoStore(self._folder, (height, width, 3), max_bytes)

    def __len__(self) -> int:
        return len(self._catalog)

    def __getitem__(self, row: int) -> Pixels:
        entry = find_entry(self._folder, self._catalog, row)
        if entry is None or self._store is None:
            return self._made(row)
        pixels = self._store.get(entry)
        if pixels is None:
            pixels = self._made(row)
            self._store.put(entry, pixels)
        return pixels

    def _made(self, row: int) -> Pixels:
        need = kept_size(self._config)
        return fit(decode_row(self._catalog, row, min_size=need), self._config)


class Photo(NamedTuple):
    """One example; a DataLoader stacks them into a Photo with a batch axis in front of each field.

    image: uint8 (3, height, width) RGB.  label: int64 class, -1 for an individual without one.
    row: int64, of the catalogue.
    """

    image: torch.Tensor
    label: torch.Tensor
    row: torch.Tensor


class PhotoDataset(Dataset[Photo]):
    """The photographs of a catalogue as examples; a pure function of what it is asked for.

    `dataset[row]` is the photograph as it is; `dataset[draw]` is it mirrored and, with `augment`,
    varied by `draw.seed`: the same in every process, whatever was asked before.

    labels: (n,) class of each photograph in 0..classes-1, or -1; all -1 when left out.
    Photographs of `config.mirror_views` are turned round before anything else.
    mirrored: turn every photograph round (and a mirrored draw back), for a test-time mirror.
    zoom: the share of both sides that is seen, in the middle, where nothing is drawn at random.
    With `config.flip` new_identity a mirrored photograph of class c has label c + classes.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: ImageConfig,
        *,
        augment: bool,
        labels: npt.NDArray[np.int64] | Sequence[int] | None = None,
        classes: int = 0,
        mirrored: bool = False,
        zoom: float = 1.0,
    ) -> None:
        n = len(catalog)
        self._labels = np.asarray([-1] * n if labels is None else labels, dtype=np.int64)
        if self._labels.shape != (n,):
            raise ValueError(f"labels are {self._labels.shape} for {n} photos")
        if n and not -1 <= self._labels.min() <= self._labels.max() <= classes - 1:
            raise ValueError(f"labels outside -1..{classes - 1}")
        self._cache = PhotoCache(catalog, config)
        self._classes = classes
        self._flip = config.flip
        self._mirrored = mirrored
        self._size = (config.height, config.width)
        self._zoom = zoom
        turned = set(config.mirror_views)
        self._turned = [view in turned for view in catalog.views or (None,) * n]
        # Built here, so that workers inherit it instead of importing Albumentations each.
        self._augment = build_augment(config) if augment else None

    def __len__(self) -> int:
        return len(self._cache)

    def __getitem__(self, draw: "Draw | int") -> Photo:
        row = draw.row if isinstance(draw, Draw) else int(draw)
        mirrored = self._mirrored
        if isinstance(draw, Draw) and draw.mirrored:
            if self._flip == "none":
                raise ValueError("a mirrored draw, but image.flip is none")
            mirrored = not mirrored
        pixels = self._cache[row]
        around = mirrored != self._turned[row]
        if isinstance(draw, Draw) and self._augment is not None:
            if around:
                pixels = np.ascontiguousarray(pixels[:, ::-1])
            pixels = augmented(self._augment, pixels, draw.seed)
        else:
            pixels = varied(pixels, self._size, mirrored=around, zoom=self._zoom)
        label = int(self._labels[row])
        if mirrored and self._flip == "new_identity" and label >= 0:
            label += self._classes
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return Photo(image, torch.tensor(label), torch.tensor(row))


def single_thread(worker: int) -> None:
    """`worker_init_fn` of a DataLoader: its processes share the cores, so OpenCV starts no more."""
    cv2.setNumThreads(0)
