"""Decoding of large JPEGs at an eighth of their size, beside Pillow's."""

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from flukeprint.data.decoding import look
from flukeprint.data.formats.jpeg import eighth
from flukeprint.data.formats.photo_formats import UnusableError

pytest.importorskip("numba")
Pixels = npt.NDArray[np.uint8]


def _photo(seed: int, width: int, height: int, grain: float = 30) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    noisy = soft + rng.normal(0, grain, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _encoded(image: Image.Image, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def _pillow(data: bytes) -> Pixels:
    with Image.open(BytesIO(data)) as image:
        width, height = image.size
        image.draft("", (width // 8, height // 8))
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((320, 240), {"quality": 90, "subsampling": "4:2:0"}),
        ((331, 253), {"quality": 100, "subsampling": "4:2:0"}),
        ((331, 253), {"quality": 75, "subsampling": "4:2:0", "optimize": True}),
        ((333, 247), {"quality": 95, "subsampling": "4:2:2"}),
        ((333, 247), {"quality": 30, "subsampling": "4:4:4"}),
        ((329, 250), {"quality": 98, "subsampling": "4:2:0", "restart_marker_blocks": 7}),
        ((329, 250), {"quality": 90, "subsampling": "4:4:4", "restart_marker_rows": 1}),
    ],
)
@pytest.mark.parametrize("grain", [0, 30, 120])
def test_pixels_are_pillows(size: tuple[int, int], options: dict[str, Any], grain: float) -> None:
    data = _encoded(_photo(1, *size, grain), **options)
    found = eighth(data)
    assert found is not None
    np.testing.assert_array_equal(found, _pillow(data))


def test_upright_and_cut_as_without() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _encoded(_photo(2, 400, 320), exif=exif, quality=90) + b"further pictures of an MPO"
    for box in (None, (40.0, 17.0, 301.5, 390.0)):
        slow = look(data, box=box, min_size=(20, 20))
        fast = look(data, box=box, min_size=(20, 20), many=True)
        np.testing.assert_array_equal(fast.pixels, slow.pixels)
        assert fast.size == slow.size


@pytest.mark.parametrize(
    "data",
    [
        _encoded(_photo(3, 160, 160), progressive=True),
        _encoded(_photo(3, 160, 160).convert("L")),
        _encoded(_photo(3, 160, 160).convert("CMYK")),
        _encoded(_photo(3, 160, 160), keep_rgb=True),
        b"",
        b"\xff\xd8",
    ],
)
def test_left_to_pillow(data: bytes) -> None:
    assert eighth(data) is None


def test_damage_is_judged_by_pillow() -> None:
    data = _encoded(_photo(4, 320, 240), quality=90)
    for cut in range(0, len(data), 997):
        assert eighth(data[:cut]) is None
    with pytest.raises(UnusableError, match="truncated"):
        look(data[: len(data) // 2], min_size=(20, 20), many=True)


@pytest.mark.parametrize("interval", [0, 5])
def test_changed_bytes_give_pillows_pixels_or_nothing(interval: int) -> None:
    rng = np.random.default_rng(interval)
    options = {"restart_marker_blocks": interval} if interval else {}
    data = _encoded(_photo(5, 120, 104), quality=85, **options)
    accepted = 0
    for _ in range(1000):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            changed[rng.integers(2, len(data))] = rng.integers(0, 256)
        found = eighth(bytes(changed))
        if found is not None:
            accepted += 1
            np.testing.assert_array_equal(found, _pillow(bytes(changed)))
    assert accepted > 0
