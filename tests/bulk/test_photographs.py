"""Photographs of a partition: damaged ones are listed, storages that fail are asked again."""

import errno
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from flukeprint.bulk import photographs
from flukeprint.bulk.photographs import WAITS, PartitionPhotos, find_columns
from flukeprint.config.data import ImageConfig
from flukeprint.data.catalog import Catalog
from flukeprint.embedding.photos import PhotoCache
from flukeprint.errors import FlukeprintError
from flukeprint.storage import parse_path

IMAGE = ImageConfig(height=16, width=24, cache=None)


def jpeg(seed: int) -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def test_columns_are_found_by_known_names_or_as_asked() -> None:
    headers = ("Image", "Id", "when", "side")
    assert find_columns(headers, {}, "t") == {"image": "Image", "identity": "Id", "view": "side"}
    assert find_columns(("path", "name"), {}, "t") == {"image": "path", "identity": "name"}
    assert find_columns(("a", "image"), {"image": "a"}, "t")["image"] == "a"
    with pytest.raises(FlukeprintError, match="no column that names photographs"):
        find_columns(("who",), {}, "t")
    with pytest.raises(FlukeprintError, match="no such field"):
        find_columns(("image",), {"colour": "image"}, "t")
    with pytest.raises(FlukeprintError, match="boxes in shares"):
        find_columns(("image", "share_x0", "share_y0", "share_x1", "share_y1"), {}, "t")
    with pytest.raises(FlukeprintError, match="a box needs"):
        find_columns(("image", "x0"), {}, "t")


def test_pixels_are_those_of_the_cache_and_damage_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(jpeg(1))
    (tmp_path / "cut.jpg").write_bytes(jpeg(2)[:300])
    (tmp_path / "folder").mkdir()
    box = (2.0, 3.0, 40.0, 35.0)
    names = ["a b.jpg", "cut.jpg", "none.jpg", "", str(tmp_path / "a b.jpg"), "folder", "a b.jpg"]
    corners = {f"{axis}{end}": [None] * 6 + [value] for (axis, end), value in
               zip((("x", 0), ("y", 0), ("x", 1), ("y", 1)), box, strict=True)}  # fmt: skip
    rows = pa.table({"image": names, **corners})
    columns = find_columns(rows.column_names, {}, "t")
    photos = PartitionPhotos(rows, columns, tmp_path, IMAGE)
    pixels = [photos[row] for row in range(len(names))]
    whole = Catalog(("a", "b"), (tmp_path / "a b.jpg",) * 2, boxes=(None, box))
    wanted = PhotoCache(whole, IMAGE)
    assert (pixels[0] == wanted[0]).all()
    assert (pixels[4] == wanted[0]).all()
    assert (pixels[6] == wanted[1]).all()
    assert sorted(photos.damaged) == [1, 2, 3, 5]
    assert "truncated" in photos.damaged[1]
    assert photos.damaged[2] == "No such file or directory"
    assert photos.damaged[3] == "the row names no photograph"


def flaky(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    left = [failures]

    def read(path: Path) -> bytes:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "its storage does not answer (503)", str(path))
        return jpeg(1)

    monkeypatch.setattr(photographs, "read_bytes", read)


@pytest.mark.parametrize("place", ["memory://bucket/a", "local"])
def test_a_storage_that_fails_for_a_while_is_asked_again(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky(monkeypatch, len(WAITS))
    waited: list[float] = []
    photos = PartitionPhotos(
        pa.table({"image": ["x.jpg"]}), {"image": "image"}, parse_path(place), IMAGE,
        wait=waited.append,
    )  # fmt: skip
    assert photos[0].any()
    assert waited == list(WAITS)
    assert not photos.damaged


def test_a_storage_that_fails_for_good_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, root = pa.table({"image": ["x.jpg"]}), parse_path("memory://bucket/a")
    flaky(monkeypatch, 1000)
    photos = PartitionPhotos(rows, {"image": "image"}, root, IMAGE, wait=lambda pause: None)
    with pytest.raises(FlukeprintError, match=r"not answer.*asked 9 times.*--list-unreachable"):
        photos[0]
    photos = PartitionPhotos(
        rows, {"image": "image"}, root, IMAGE, wait=lambda pause: None, list_unreachable=True
    )
    assert not photos[0].any()
    assert "503" in photos.damaged[0]
