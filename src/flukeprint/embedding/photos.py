"""Resize photographs to the network's input, and cache them on disk.

Photographs are decoded (`decoding.py`), resized once and cached; zooms and mirrored variants are
made of cached pixels.  Pixels stay uint8 RGB: the network normalises them.
"""

from pathlib import Path

import numpy as np

from flukeprint.config.data import ImageConfig
from flukeprint.data.cache_entries import find_entry
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import DECODING_VERSION, Pixels, decode_row
from flukeprint.data.formats.jpeg import MANY
from flukeprint.data.photo_store import PhotoStore
from flukeprint.data.resizing import resized

# Raise it when `fit` gives other pixels than before: older entries are then unused.
CACHE_VERSION = 3


def kept_size(config: ImageConfig) -> tuple[int, int]:
    """(height, width) of cached photographs: the network's input size times `reserve`."""
    return round(config.height * config.reserve), round(config.width * config.reserve)


def fit(pixels: Pixels, config: ImageConfig) -> Pixels:
    """Resize RGB pixels (h, w, 3) to `kept_size`, by `config.resize`.

    `stretch` changes the aspect ratio; `pad` keeps it and fills the rest, evenly on both sides,
    with the photograph's mean colour; `crop` keeps it and cuts off the excess, evenly on both
    sides.
    """
    height, width = kept_size(config)
    if config.resize == "crop":
        pixels = _middle(pixels, height, width)
    if config.resize != "pad":
        return resized(pixels, height, width)
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    inner_height = min(height, max(1, round(pixels.shape[0] * scale)))
    inner_width = min(width, max(1, round(pixels.shape[1] * scale)))
    inner = resized(pixels, inner_height, inner_width)
    filled = np.empty((height, width, 3), np.uint8)
    filled[:] = np.rint(inner.mean(axis=(0, 1)))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    filled[top : top + inner_height, left : left + inner_width] = inner
    return filled


def _middle(pixels: Pixels, height: int, width: int) -> Pixels:
    """The largest centre crop with the aspect ratio of height x width."""
    scale = min(pixels.shape[0] / height, pixels.shape[1] / width)
    return _part(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _part(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def varied(pixels: Pixels, size: tuple[int, int], *, mirrored: bool, zoom: float) -> Pixels:
    """One variant of cached pixels at `size`: the middle `zoom` of both sides, maybe mirrored."""
    if zoom != 1:
        height, width = (max(1, round(side * zoom)) for side in pixels.shape[:2])
        pixels = _part(pixels, height, width)
    if pixels.shape[:2] != size:
        pixels = resized(pixels, *size)
    return pixels[:, ::-1] if mirrored else pixels


class PhotoCache:
    """The photographs of a catalogue at `kept_size`, decoded once and cached on disk.

    `cache[row]` is (height, width, 3) uint8 RGB, a copy for the caller.  Threads and processes
    share the cache (`photo_store.py`), which takes at most `config.cache_gb`, in GB of 10^9 bytes.
    With `config.cache` none, or a catalogue of pixels, nothing is written.

    Raises FlukeprintError for a photograph that cannot be decoded, a cache that cannot be written,
    and a `cache_gb` that is too small for a handful of photographs.
    """

    def __init__(self, catalog: Catalog, config: ImageConfig) -> None:
        self._catalog = catalog
        self._config = config
        self._many = len(catalog) >= MANY
        self._folder: Path | None = None
        self._store: PhotoStore | None = None
        if config.cache is not None and catalog.paths is not None:
            height, width = kept_size(config)
            size = f"{height}x{width}-{config.resize}-v{CACHE_VERSION}.{DECODING_VERSION}"
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
        return fit(decode_row(self._catalog, row, min_size=need, many=self._many), self._config)
