"""Time to decode and resize a photograph, with and without the cache, beside Pillow.

    python -m benchmarks.speed.decoding [--quick]

Milliseconds a photograph at 224 px, of synthetic JPEGs: 480 px, as catalogues have them, and 12
megapixels, as cameras take them.  The plain way is Pillow's: decode in full, resize bilinearly.
Files are in the operating system's page cache, as in every epoch but the first.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.harness.arguments import options
from benchmarks.harness.timing import in_turns, ratio, save
from flukeprint.config.data import ImageConfig
from flukeprint.data.cache_entries import find_entry
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import decode, decode_bytes, look
from flukeprint.embedding.photos import PhotoCache, fit

SIDE = 224
SIZES = {"480 px": (320, 480), "12 megapixels": (3000, 4000)}


def measure(quick: bool) -> dict[str, Any]:
    """Time all contestants on both sizes: rows in milliseconds a photograph, and speed-ups."""
    counts = {"480 px": 40, "12 megapixels": 4} if quick else {"480 px": 200, "12 megapixels": 16}
    rounds = 5 if quick else 7
    torch.set_num_threads(1)  # each thread resizes a photograph of its own, as in `embed`
    cv2.setNumThreads(1)
    rows: list[dict[str, Any]] = []
    gains: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for what, (height, width) in SIZES.items():
            print(f"drawing {counts[what]} photographs of {what}", flush=True)
            folder = Path(name) / what.replace(" ", "-")
            paths = _write_jpegs(folder, counts[what], height, width)
            seconds = in_turns(_contestants(paths, folder / "cache"), rounds)
            for way, took in seconds.items():
                each = [second * 1000 / len(paths) for second in took]
                rows.append(
                    {
                        "what": f"{what}: {way}",
                        "photos": len(paths),
                        "median": statistics.median(each),
                        "all": each,
                    }
                )
            plain = seconds["plain, Pillow"]
            for way in ("decode and fit", "decode and fit, of many", "cache, hit"):
                gains[f"{what}: {way} against plain"] = ratio(plain, seconds[way])
            gains[f"{what}: 2 threads against 1"] = ratio(
                seconds["decode and fit"], seconds["decode and fit, 2 threads"]
            )
    return {"unit": "ms a photograph", "rows": rows, "gains": gains}


def _contestants(paths: Sequence[Path], cache: Path) -> dict[str, Callable[[], object]]:
    config = ImageConfig(height=SIDE, width=SIDE, cache=cache)
    catalog = Catalog(images=tuple(path.name for path in paths), paths=tuple(paths))
    kept = PhotoCache(catalog, config)
    batch = np.empty((len(paths), 3, SIDE, SIDE), np.uint8)
    data = [path.read_bytes() for path in paths]
    need = (SIDE, SIDE)
    decoded = [decode(path, min_size=need) for path in paths[:16]]
    fitted = [fit(pixels, config) for pixels in decoded]
    pool = ThreadPoolExecutor(2)

    def ours(path: Path) -> npt.NDArray[np.uint8]:
        return fit(decode(path, min_size=need), config)

    def miss() -> None:
        for path in cache.rglob("photos-*.bin"):
            path.unlink()
        for row in range(len(paths)):
            kept[row]

    def copy() -> None:
        for row in range(len(paths)):
            batch[row] = fitted[row % len(fitted)].transpose(2, 0, 1)

    def place() -> None:
        for row in range(len(paths)):
            find_entry(cache, catalog, row)

    return {
        "plain, Pillow": lambda: [_plain(path) for path in paths],
        "decode and fit": lambda: [ours(path) for path in paths],
        "decode and fit, of many": lambda: [
            fit(look(path.read_bytes(), min_size=need, many=True).pixels, config) for path in paths
        ],
        "decode and fit, 2 threads": lambda: list(pool.map(ours, paths)),
        "cache, miss": miss,
        "cache, hit": lambda: [kept[row] for row in range(len(paths))],
        "stage: read": lambda: [path.read_bytes() for path in paths],
        "stage: decode": lambda: [decode_bytes(one, "", min_size=need) for one in data],
        "stage: fit": lambda: [fit(decoded[i % len(decoded)], config) for i in range(len(paths))],
        "stage: copy into a batch": copy,
        "stage: stamp of a hit": place,
    }


def _plain(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _write_jpegs(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Write JPEGs of soft shapes under texture, quality 90: as large as photographs are."""
    folder.mkdir()
    grain = np.random.default_rng(0).integers(-12, 13, (height + 64, width + 64, 1), dtype=np.int16)
    paths = []
    for number in range(count):
        rng = np.random.default_rng([1, number])
        coarse = rng.integers(30, 226, (height // 80 + 2, width // 80 + 2, 3), dtype=np.uint8)
        shapes = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        y, x = rng.integers(0, 64, 2)
        pixels = shapes + grain[y : y + height, x : x + width]
        path = folder / f"{number:04d}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(path)
    return paths


def main() -> None:
    """Measure and write the result file."""
    quick = options("speed.decoding", __doc__, ["quick"]).parse_args().quick
    result = measure(quick)
    for row in result["rows"]:
        print(f"{row['what']:48} {row['median']:8.3f} ms")
    for what, gain in result["gains"].items():
        print(f"{what:48} {gain:8.2f} x")
    print(f"{len(os.sched_getaffinity(0))} cores")
    save("decoding", result, quick)


if __name__ == "__main__":
    main()
