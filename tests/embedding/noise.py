"""Photographs of noise in files, and what a cache holds of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from flukeprint.config.data import ImageConfig
from flukeprint.data.catalog import Catalog

Pixels = npt.NDArray[np.uint8]


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def folder(path: Path, n: int = 4, **columns: object) -> Catalog:
    """n PNG photographs of noise, of different sizes."""
    path.mkdir(exist_ok=True)
    paths = tuple(path / f"{i}.png" for i in range(n))
    for i, file in enumerate(paths):
        Image.fromarray(noise(40 + i, 50 + 3 * i, seed=i)).save(file)
    return Catalog(images=tuple(p.name for p in paths), paths=paths, **columns)


def settings(cache: Path | None, **changes: object) -> ImageConfig:
    return ImageConfig(
        **{"height": 24, "width": 32, "cache": cache, "cache_gb": 0.01, "augment": 0.5, **changes}
    )


def entries(cache: Path) -> list[Path]:
    return sorted(p for p in cache.rglob("*") if p.is_file())


def kept(cache: Path) -> int:
    """Photographs in all stores: headers of 64 bytes with a stamp."""
    total = 0
    for path in entries(cache):
        table = np.memmap(path, np.uint8, "r", shape=(int(path.stem.removeprefix("photos-")), 64))
        total += int(table[:, 16:32].any(axis=1).sum())
    return total


def pillow(pixels: Pixels, height: int, width: int) -> npt.NDArray[np.int64]:
    """What another library makes of it: bilinear, over all pixels that become one."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.int64)
