"""Resizing, and the cache under every accident."""

import errno
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flukeprint.config.data import ImageConfig
from flukeprint.data import photo_store
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import decode
from flukeprint.embedding import photos as images
from flukeprint.embedding.photos import PhotoCache, fit, kept_size
from flukeprint.errors import FlukeprintError
from flukeprint.training.dataset import PhotoDataset
from flukeprint.training.sampling.batches import Draw
from tests.embedding.noise import entries, folder, kept, noise, pillow, settings


@pytest.mark.parametrize("size", [(48, 96), (31, 50), (240, 8), (10, 300), (5, 7), (24, 33)])
def test_photographs_are_resized_as_pillow_does(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    got = fit(pixels, settings(None))
    assert np.abs(got - pillow(pixels, 24, 32)).max() <= 1
    pixels.flags.writeable = False
    np.testing.assert_array_equal(fit(pixels, settings(None)), got)


def test_shrinking_looks_at_every_pixel() -> None:
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[::2] = 200  # lines that a sample of every tenth would see or miss
    assert np.abs(fit(pixels, settings(None)).astype(int) - 100).max() <= 3


def test_pad_keeps_the_aspect_and_fills_with_the_mean() -> None:
    pixels = noise(16, 64)
    pixels[:, :, 0] //= 8
    got = fit(pixels, settings(None, resize="pad"))
    # 16 x 64 becomes 8 x 32 of 24 x 32
    assert np.abs(got[8:16] - pillow(pixels, 8, 32)).max() <= 1
    for filling in (got[:8], got[16:]):
        np.testing.assert_array_equal(filling, np.broadcast_to(got[0, 0], (8, 32, 3)))
    assert np.abs(got[0, 0] - pixels.mean(axis=(0, 1))).max() <= 1

    tall = fit(pixels.swapaxes(0, 1), settings(None, resize="pad"))  # 64 x 16 becomes 24 x 6
    np.testing.assert_array_equal(tall[:, :13], np.broadcast_to(tall[0, 0], (24, 13, 3)))
    assert tall[:, 13:19].std() > 20


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    resize=st.sampled_from(["stretch", "pad", "crop"]),
)
def test_fit_gives_the_size_for_any_photograph(height: int, width: int, resize: str) -> None:
    flat = np.full((height, width, 3), (10, 100, 250), np.uint8)
    got = fit(flat, settings(None, resize=resize))
    np.testing.assert_array_equal(got, np.broadcast_to((10, 100, 250), (24, 32, 3)))


def test_crop_keeps_the_aspect_and_the_middle() -> None:
    wide, tall = noise(24, 70), noise(50, 32)
    config = settings(None, resize="crop")
    np.testing.assert_array_equal(fit(wide, config), wide[:, 19:51])
    np.testing.assert_array_equal(fit(tall, config), tall[13:37])
    large = noise(48, 100)  # 48 x 64 of it
    assert np.abs(fit(large, config) - pillow(large[:, 18:82], 24, 32)).max() <= 1
    assert fit(noise(1, 90), config).shape == (24, 32, 3)


def test_a_reserve_is_kept_and_shrunk_when_seen(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 2)
    config = settings(tmp_path / "cache", reserve=1.5, augment=0)
    cache = PhotoCache(catalog, config)
    assert kept_size(config) == (36, 48)
    for row in range(2):
        want = fit(decode(catalog.paths[row]), settings(None, height=36, width=48))
        for _ in range(2):
            np.testing.assert_array_equal(cache[row], want)
    assert [entry.parent.name for entry in entries(tmp_path / "cache")] == ["36x48-stretch-v3.2"]
    for example in (0, Draw(0, 5, False)):
        for augment in (True, False):
            photo = PhotoDataset(catalog, config, augment=augment)[example]
            assert photo.image.shape == (3, 24, 32)
            if not augment:
                seen = photo.image.permute(1, 2, 0).numpy()
                assert np.abs(seen - pillow(cache[0], 24, 32)).max() <= 1

    double = settings(None, reserve=2, augment=0)
    photo = PhotoDataset(catalog, double, augment=False)[1].image.permute(1, 2, 0).numpy()
    whole = fit(decode(catalog.paths[1]), settings(None, height=48, width=64))
    assert np.abs(photo - pillow(whole, 24, 32)).max() <= 1


def test_cache_gives_what_decoding_gives(tmp_path: Path) -> None:
    boxes = (None, (3.0, 4.0, 40.0, 30.0), None, (0.0, 0.0, 99.0, 99.0))
    catalog = folder(tmp_path / "in", boxes=boxes)
    for resize in ("stretch", "pad"):
        config = settings(tmp_path / "cache", resize=resize)
        plain = PhotoCache(catalog, settings(None, resize=resize))
        cache = PhotoCache(catalog, config)
        assert len(cache) == 4
        for _ in range(2):
            for row in range(4):
                want = fit(decode(catalog.paths[row], box=boxes[row]), config)
                np.testing.assert_array_equal(cache[row], want)
                np.testing.assert_array_equal(plain[row], want)
    assert len(entries(tmp_path / "cache")) == 2  # a store for each way of resizing
    assert kept(tmp_path / "cache") == 8


def test_second_reading_does_not_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = folder(tmp_path / "in")
    cache = PhotoCache(catalog, settings(tmp_path / "cache"))
    first = [cache[row] for row in range(4)]

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(images, "decode_row", refuse)
    np.testing.assert_array_equal(
        [PhotoCache(catalog, settings(tmp_path / "cache"))[row] for row in range(4)], first
    )
    with pytest.raises(AssertionError, match="again"):
        PhotoCache(catalog, settings(None))[0]


def test_changes_are_noticed(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 1)
    path = catalog.paths[0]
    config = settings(tmp_path / "cache")
    before = PhotoCache(catalog, config)[0]
    times = path.stat()

    # Replaced by one of the same length at the next nanosecond: only the time tells.
    other = 255 - np.asarray(Image.open(path))
    Image.fromarray(other).save(path)
    data = path.read_bytes()
    path.write_bytes(data.ljust(times.st_size, b"\0")[: max(times.st_size, len(data))])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    after = PhotoCache(catalog, config)[0]
    np.testing.assert_array_equal(after, fit(other, config))
    assert not np.array_equal(before, after)
    assert kept(tmp_path / "cache") == 1  # the old entry is replaced

    # Another length under the same time.
    times = path.stat()
    path.write_bytes(path.read_bytes() + b"\0")
    Image.fromarray(noise(9, 9)).save(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    np.testing.assert_array_equal(PhotoCache(catalog, config)[0], fit(noise(9, 9), config))

    # Another box, size, way of resizing.
    boxed = Catalog(catalog.images, catalog.paths, boxes=((0.0, 0.0, 4.0, 4.0),))
    np.testing.assert_array_equal(PhotoCache(boxed, config)[0], fit(noise(9, 9)[:4, :4], config))
    for change in ({"height": 30}, {"width": 20}, {"resize": "pad"}):
        changed = settings(tmp_path / "cache", **change)
        got = PhotoCache(catalog, changed)[0]
        np.testing.assert_array_equal(got, fit(noise(9, 9), changed))


def test_format_version_parts_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = folder(tmp_path / "in", 1)
    PhotoCache(catalog, settings(tmp_path / "cache"))[0]
    monkeypatch.setattr(images, "CACHE_VERSION", images.CACHE_VERSION + 1)
    PhotoCache(catalog, settings(tmp_path / "cache"))[0]
    assert len(entries(tmp_path / "cache")) == kept(tmp_path / "cache") == 2


@pytest.mark.parametrize("damage", ["empty", "half", "longer", "zeros", "text"])
def test_damaged_stores_are_made_anew(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = folder(tmp_path / "in", 1)
    cache = PhotoCache(catalog, settings(tmp_path / "cache"))
    want = cache[0]
    (entry,) = entries(tmp_path / "cache")
    data = entry.read_bytes()
    entry.write_bytes(
        {
            "empty": b"",
            "half": data[: len(data) // 2],
            "longer": data + b"1",
            "zeros": bytes(len(data)),  # what a file system may leave after a power cut
            "text": b"nonsense",
        }[damage]
    )
    np.testing.assert_array_equal(cache[0], want)
    monkeypatch.setattr(images, "decode_row", None)
    np.testing.assert_array_equal(PhotoCache(catalog, settings(tmp_path / "cache"))[0], want)
    assert entry.stat().st_size == len(data)


def test_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = folder(tmp_path / "in", 1)
    cache = PhotoCache(catalog, settings(tmp_path / "cache"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(photo_store, "_write_at", full)
    with pytest.raises(
        FlukeprintError, match=r"image\.cache: .*the disk of /.* is full.*cache=null"
    ):
        cache[0]
    assert kept(tmp_path / "cache") == 0


def test_a_file_where_the_cache_should_be(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 1)
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(FlukeprintError, match=r"image\.cache: cannot write below"):
        PhotoCache(catalog, settings(tmp_path / "cache"))[0]


def test_missing_and_broken_photographs_are_named(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 2)
    cache = PhotoCache(catalog, settings(tmp_path / "cache"))
    catalog.paths[0].unlink()
    with pytest.raises(FlukeprintError, match=r"0\.png: no such file"):
        cache[0]
    catalog.paths[1].write_bytes(b"x")
    with pytest.raises(FlukeprintError, match=r"1\.png"):
        cache[1]
    assert not (tmp_path / "cache").exists()


def _read_all(catalog: Catalog, config: ImageConfig, rounds: int) -> int:
    cache = PhotoCache(catalog, config)
    total = 0
    for turn in range(rounds):
        for row in range(len(catalog)):
            total += int(cache[row].astype(np.int64).sum())
        if turn % 3 == 0:
            for entry in entries(config.cache):
                entry.unlink(missing_ok=True)  # so that everyone keeps writing
    return total


def test_many_writers(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 5)
    config = settings(tmp_path / "cache")
    plain = PhotoCache(catalog, settings(None))
    want = 9 * sum(int(plain[row].astype(np.int64).sum()) for row in range(5))
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        jobs = [pool.submit(_read_all, catalog, config, 9) for _ in range(4)]
        assert [job.result() for job in jobs] == [want] * 4
    assert len(entries(tmp_path / "cache")) <= 1  # no drafts left
    PhotoCache(catalog, config)[0]
    assert kept(tmp_path / "cache") <= 5


def test_a_pickled_cache_reads_the_same(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 1)
    cache = PhotoCache(catalog, settings(tmp_path / "cache"))
    want = cache[0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache))[0], want)
    got = cache[0]
    got[:] = 0  # the caller's own: what is kept stays
    np.testing.assert_array_equal(cache[0], want)


def test_a_bound_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 1)
    with pytest.raises(FlukeprintError, match=r"image\.cache_gb: 1e-05 GB"):
        PhotoCache(catalog, settings(tmp_path / "cache", cache_gb=1e-5))


def test_pixels_need_no_files(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    catalog = Catalog(images=("a", "b", "c"), pixels=grey)
    config = settings(tmp_path / "cache", height=16, width=16)
    got = PhotoCache(catalog, config)[1]
    np.testing.assert_array_equal(got, fit(np.repeat(grey[1][:, :, None], 3, axis=2), config))
    assert not (tmp_path / "cache").exists()
