"""Keypoints of a whole catalogue, and their cache."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local import keypoint_store
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.keypoints import Keypoints, empty, extract, extraction_digest
from tests.ranking.local.textures import CONFIG, Pixels, flat, same, textured


def test_a_store_has_every_photograph_in_order_also_those_of_nothing(tmp_path: Path):
    photos = [flat(), textured(0), flat(30, 40), textured(1, 90, 50), flat()]
    store = KeypointStore.of(folder(tmp_path / "photos", photos), CONFIG, cache=None)
    assert len(store) == 5
    for row, photo in enumerate(photos):
        assert same(store[row], extract(photo, CONFIG))
    taken = store.take([3, 0])
    assert same(taken[0], store[3])
    assert len(taken[1]) == 0
    assert len(store.take(np.array([False, True, False, True, False]))) == 2
    with pytest.raises(IndexError):
        store[5]


def test_a_store_of_no_photographs_and_of_no_keypoints():
    pixels = np.stack([flat(), flat()])
    nothing = KeypointStore.of(Catalog(("a", "b"), pixels=pixels), CONFIG, cache=None)
    assert len(nothing) == 2
    assert len(nothing[1]) == 0
    assert len(nothing.take([])) == 0


def test_photographs_of_turned_views_are_turned_round(tmp_path: Path):
    catalog = folder(tmp_path / "p", [textured(0), textured(0)], views=("left", "right"))
    store = KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c", mirror_views=("right",))
    assert same(store[0], extract(textured(0), CONFIG))
    assert same(store[1], extract(np.ascontiguousarray(textured(0)[:, ::-1]), CONFIG))
    plain = KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c")
    assert same(plain[1], store[0])


def test_what_is_saved_comes_back(tmp_path: Path):
    pixels = np.stack([textured(0), flat(), textured(1)])
    store = KeypointStore.of(Catalog(("a", "b", "c"), pixels=pixels), CONFIG, cache=None)
    store.save(tmp_path / "k.npz")
    again = KeypointStore.load(tmp_path / "k.npz")
    assert again.stamp == store.stamp == extraction_digest(CONFIG)
    assert all(same(again[row], store[row]) for row in range(3))


def test_files_that_hold_no_keypoints_are_refused(tmp_path: Path):
    path = tmp_path / "k.npz"
    with pytest.raises(FlukeprintError, match="no keypoints at"):
        KeypointStore.load(path)
    pixels = np.stack([textured(0)])
    store = KeypointStore.of(Catalog(("a",), pixels=pixels), CONFIG, cache=None)
    store.save(path)
    whole = path.read_bytes()
    for broken in (b"", b"no zip", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(FlukeprintError, match="no whole keypoints"):
            KeypointStore.load(path)
    np.savez(path, points=store.points)
    with pytest.raises(FlukeprintError, match="no whole keypoints"):
        KeypointStore.load(path)
    np.savez(path, points=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FlukeprintError, match="no whole keypoints"):
        KeypointStore.load(path)
    with pytest.raises(ValueError, match="offsets"):
        replace(store.whole, offsets=np.array([0, 10_000]))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def counting(pixels: Pixels, config: LocalConfig) -> Keypoints:
        calls.append(1)
        return extract(pixels, config)

    monkeypatch.setattr(keypoint_store, "extract", counting)
    return calls


def test_a_photograph_is_searched_once(tmp_path: Path, counted: list[int]):
    catalog = folder(tmp_path / "p", [textured(0), flat(), textured(1)])
    first = KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c")
    again = KeypointStore.of(catalog.take([2, 1, 0]), CONFIG, cache=tmp_path / "c")
    assert len(counted) == 3
    assert all(same(first[row], again[2 - row]) for row in range(3))
    KeypointStore.of(catalog, CONFIG.model_copy(update={"ratio": 0.5}), cache=tmp_path / "c")
    assert len(counted) == 3
    KeypointStore.of(catalog, CONFIG.model_copy(update={"side": 100}), cache=tmp_path / "c")
    assert len(counted) == 6
    assert not list((tmp_path / "c").rglob(".*"))


def test_a_changed_photograph_and_a_damaged_entry_are_searched_again(
    tmp_path: Path, counted: list[int]
):
    catalog = folder(tmp_path / "p", [textured(0)])
    assert catalog.paths is not None

    def now() -> Keypoints:
        return KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c")[0]

    before = now()
    Image.fromarray(textured(5)).save(catalog.paths[0])
    os.utime(catalog.paths[0], ns=(1, 1))
    assert same(now(), extract(textured(5), CONFIG))
    assert not same(now(), before)
    assert len(counted) == 2
    (entry,) = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    whole = entry.read_bytes()
    for broken in (b"", whole[:40], whole[:-200] + whole[-100:], whole[:-1] + b"?"):
        entry.write_bytes(broken)
        calls = len(counted)
        assert same(now(), extract(textured(5), CONFIG))
        assert len(counted) == calls + 1
    assert entry.read_bytes() == whole


def test_another_box_is_another_entry(tmp_path: Path, counted: list[int]):
    catalog = folder(tmp_path / "p", [textured(0)])
    boxed = replace(catalog, boxes=((0.0, 0.0, 80.0, 60.0),))
    whole = KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c")
    part = KeypointStore.of(boxed, CONFIG, cache=tmp_path / "c")
    assert len(counted) == 2
    assert not same(whole[0], part[0])
    assert same(part[0], extract(np.ascontiguousarray(textured(0)[:60, :80]), CONFIG))


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path):
    (tmp_path / "c").write_text("a file")
    catalog = folder(tmp_path / "p", [textured(0)])
    with pytest.raises(FlukeprintError, match=r"image\.cache: cannot write below"):
        KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c")


def test_a_missing_photograph_is_named(tmp_path: Path):
    catalog = Catalog(("a.png",), paths=(tmp_path / "a.png",))
    with pytest.raises(FlukeprintError, match=r"a\.png: no such file"):
        KeypointStore.of(catalog, CONFIG, cache=tmp_path / "c")


def test_another_extractor_takes_sifts_place(tmp_path: Path):
    config = CONFIG.model_copy(update={"matcher": "lightglue"})
    catalog = folder(tmp_path / "p", [textured(0), textured(1)])
    with pytest.raises(ValueError, match="extractor of its own"):
        KeypointStore.of(catalog, config, cache=None)

    def learned(pixels: Pixels) -> Keypoints:
        if pixels[0, 0, 0] == textured(0)[0, 0, 0]:
            return empty((120, 160), matcher="lightglue")
        return Keypoints(np.ones((2, 2), np.float32), np.full((2, 128), 0.25, np.float16), (3, 4))

    for _ in range(2):  # the second time from the cache
        store = KeypointStore.of(catalog, config, cache=tmp_path / "c", extractor=learned)
        assert store.descriptors.dtype == np.float16
        assert len(store[0]) == 0
        assert np.all(store[1].descriptors == 0.25)


def folder(path: Path, photos: list[Pixels], **columns: object) -> Catalog:
    path.mkdir(exist_ok=True)
    paths = tuple(path / f"{i}.png" for i in range(len(photos)))
    for file, photo in zip(paths, photos, strict=True):
        Image.fromarray(photo).save(file)
    return Catalog(images=tuple(p.name for p in paths), paths=paths, **columns)
