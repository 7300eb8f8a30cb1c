"""Examples that only their draw decides."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from flukeprint.config.data import ImageConfig
from flukeprint.data.catalog import Catalog
from flukeprint.embedding.photos import PhotoCache
from flukeprint.training.dataset import Photo, PhotoDataset, single_thread
from flukeprint.training.sampling.batches import Draw
from tests.embedding.noise import folder, pillow, settings


def test_plain_example(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in")
    config = settings(tmp_path / "cache")
    dataset = PhotoDataset(catalog, config, augment=True, labels=[2, -1, 0, 1], classes=3)
    assert len(dataset) == 4
    for row, label in enumerate([2, -1, 0, 1]):
        photo = dataset[row]
        want = PhotoCache(catalog, config)[row]
        assert isinstance(photo, Photo)
        assert photo.image.dtype == torch.uint8
        assert photo.image.is_contiguous()
        np.testing.assert_array_equal(photo.image.permute(1, 2, 0).numpy(), want)
        assert (photo.label.dtype, photo.label.item()) == (torch.int64, label)
        assert (photo.row.dtype, photo.row.item()) == (torch.int64, row)


@pytest.mark.parametrize(
    ("flip", "labels", "want"),
    [("new_identity", [0, 2, -1, 1], [3, 5, -1, 4]), ("same", [0, 2, -1, 1], [0, 2, -1, 1])],
)
def test_mirrored_draws(tmp_path: Path, flip: str, labels: list[int], want: list[int]) -> None:
    catalog = folder(tmp_path / "in")
    config = settings(None, flip=flip)
    dataset = PhotoDataset(catalog, config, augment=False, labels=labels, classes=3)
    turned = PhotoDataset(catalog, config, augment=False, labels=labels, classes=3, mirrored=True)
    for row in range(4):
        plain = dataset[row]
        mirrored = dataset[Draw(row, 5, True)]
        assert torch.equal(mirrored.image, plain.image.flip(2))
        assert mirrored.label.item() == want[row]
        assert dataset[Draw(row, 5, False)].label.item() == labels[row]
        assert torch.equal(turned[row].image, mirrored.image)
        assert turned[row].label == mirrored.label
        assert torch.equal(turned[Draw(row, 5, True)].image, plain.image)
        assert turned[Draw(row, 5, True)].label == plain.label


@pytest.mark.parametrize("flip", ["none", "same", "new_identity"])
def test_photos_of_some_views_are_turned_round(tmp_path: Path, flip: str) -> None:
    views = ("left", "right", None, "left")
    catalog = folder(tmp_path / "in", views=views)
    plain = PhotoDataset(catalog, settings(None, flip=flip), augment=False)
    config = settings(tmp_path / "cache", flip=flip, mirror_views=("left", "back"), augment=0)
    labels, own = [0, 1, 2, 0], 3
    for _ in range(2):  # from the photograph and from the cache
        dataset = PhotoDataset(catalog, config, augment=True, labels=labels, classes=own)
        again = PhotoDataset(
            catalog, config, augment=False, labels=labels, classes=own, mirrored=True
        )
        for row in range(4):
            want = plain[row].image.flip(2) if views[row] == "left" else plain[row].image
            assert torch.equal(dataset[row].image, want)
            assert dataset[row].label == labels[row]  # turned to face one way, it is who it was
            assert torch.equal(again[row].image, want.flip(2))
            if flip != "none":
                drawn = dataset[Draw(row, 1, True)]
                assert torch.equal(drawn.image, want.flip(2))
                assert drawn.label == labels[row] + own * (flip == "new_identity")
    nameless = Catalog(catalog.images, catalog.paths)
    assert torch.equal(PhotoDataset(nameless, config, augment=False)[0].image, plain[0].image)


@pytest.mark.parametrize("reserve", [1, 2])
def test_a_zoom_sees_the_middle(tmp_path: Path, reserve: int) -> None:
    catalog = folder(tmp_path / "in", 1)
    config = settings(None, reserve=reserve)
    kept = PhotoCache(catalog, config)[0]
    height, width = kept.shape[0] // 4, kept.shape[1] // 4
    middle = kept[height:-height, width:-width]
    got = PhotoDataset(catalog, config, augment=False, zoom=0.5)[0].image.permute(1, 2, 0).numpy()
    assert np.abs(got - pillow(middle, 24, 32)).max() <= 1
    if reserve == 2:
        np.testing.assert_array_equal(got, middle)  # nothing is enlarged


def test_training_crops_at_strength_zero(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 1)
    config = settings(None, augment=0, crop=0.3)
    dataset = PhotoDataset(catalog, config, augment=True)
    drawn = [dataset[Draw(0, seed, False)].image for seed in range(6)]
    assert {tuple(image.shape) for image in drawn} == {(3, 24, 32)}
    assert len({image.numpy().tobytes() for image in drawn}) == 6
    plain = PhotoDataset(catalog, settings(None), augment=False)[0].image
    assert torch.equal(dataset[0].image, plain)


def test_mirrored_before_augmented(tmp_path: Path) -> None:
    """The augmentation of a mirrored draw is that of a photograph stored mirrored."""
    catalog = folder(tmp_path / "in", 1)
    other = tmp_path / "other.png"
    Image.open(catalog.paths[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    config = settings(None, flip="same", height=40, width=50)  # as stored: no resizing
    one = PhotoDataset(catalog, config, augment=True)
    two = PhotoDataset(Catalog(("other.png",), (other,)), config, augment=True)
    for seed in range(5):
        assert torch.equal(one[Draw(0, seed, True)].image, two[Draw(0, seed, False)].image)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in")
    dataset = PhotoDataset(catalog, settings(None, flip="none"), augment=False)
    with pytest.raises(ValueError, match="flip is none"):
        dataset[Draw(0, 0, True)]
    for labels, classes in (([0, 1], 2), ([0, 1, 2, 3], 3), ([-2, 0, 0, 0], 1), ([0] * 4, 0)):
        with pytest.raises(ValueError, match="labels"):
            PhotoDataset(catalog, settings(None), augment=False, labels=labels, classes=classes)


@pytest.mark.parametrize("workers", [0, 2])
def test_draws_are_pure_across_processes(tmp_path: Path, workers: int) -> None:
    catalog = folder(tmp_path / "in", 6)
    config = settings(tmp_path / "cache", flip="new_identity", augment=1)
    dataset = PhotoDataset(catalog, config, augment=True, labels=np.arange(6), classes=6)
    draws = [Draw(i % 6, 1000 + i, i % 3 == 0) for i in range(36)]
    alone = {draw: dataset[draw] for draw in reversed(draws)}
    assert len({photo.image.numpy().tobytes() for photo in alone.values()}) == 36
    for size in (4, 9):
        batches = [draws[i : i + size] for i in range(0, 36, size)]
        loader = DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            worker_init_fn=single_thread,
        )
        for batch, photos in zip(batches, loader, strict=True):
            assert isinstance(photos, Photo)
            assert photos.image.shape == (size, 3, 24, 32)
            assert photos.image.dtype == torch.uint8
            for draw, image, label, row in zip(batch, *photos, strict=True):
                assert torch.equal(image, alone[draw].image)
                assert label == draw.row + 6 * draw.mirrored
                assert row == draw.row


def test_spawned_worker_gives_the_same(tmp_path: Path) -> None:
    catalog = folder(tmp_path / "in", 2)
    dataset = PhotoDataset(catalog, settings(tmp_path / "cache", augment=1), augment=True)
    draws = [[Draw(0, 1, False), Draw(1, 2, False)]]
    loader = DataLoader(
        dataset, batch_sampler=draws, num_workers=1, multiprocessing_context="spawn"
    )
    (photos,) = loader
    for draw, image in zip(draws[0], photos.image, strict=True):
        assert torch.equal(image, dataset[draw].image)


@pytest.mark.photos
@pytest.mark.parametrize("name", ["lions", "nyala", "spiders"])
def test_real_photographs(photos: Path, tmp_path: Path, name: str) -> None:
    paths = tuple(sorted((photos / name / "train").iterdir())[:20])
    catalog = Catalog(images=tuple(p.name for p in paths), paths=paths)
    for resize in ("stretch", "pad"):
        config = ImageConfig(cache=tmp_path, resize=resize)
        dataset = PhotoDataset(catalog, config, augment=True)
        for row in range(20):
            plain, drawn = dataset[row].image, dataset[Draw(row, row, False)].image
            assert plain.shape == drawn.shape == (3, 224, 224)
            assert plain.float().std() > 5
            assert drawn.float().std() > 5
