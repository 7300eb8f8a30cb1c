"""The photographs of a pretraining and their views: no labels, no mirror that lies, all drawn."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.training.check import split_of
from flukeprint.training.pretraining.photos import Unlabelled, unlabelled_photos
from flukeprint.training.pretraining.views import ViewBatches, ViewDataset, ViewDraw
from tests.refusals import refused
from tests.tiny import TinyConfig

PLAIN = (
    "image.cache=null", "pretrain=simclr", "pretrain.crop=1", "pretrain.colour=0",
    "pretrain.grey=0", "pretrain.blur=0",
)  # fmt: skip


def halves(n: int = 3) -> Unlabelled:
    """Photographs whose left half is dark and whose right half is light."""
    pixels = np.zeros((n, 32, 48, 3), np.uint8)
    pixels[:, :, 24:] = 200
    names = tuple(f"{row}.jpg" for row in range(n))
    return Unlabelled(Catalog(names, pixels=pixels), n, np.arange(n))


def views_of(tiny: TinyConfig, *overrides: str) -> tuple[ViewDataset, Config]:
    config = tiny(*PLAIN, *overrides)
    assert config.pretrain is not None
    return ViewDataset(halves(), config.image, config.pretrain), config


@pytest.mark.parametrize(
    ("flip", "pairs"),
    [
        ("none", {(False, False)}),
        ("new_identity", {(False, False), (True, True)}),  # never a positive of its mirror image
        ("same", {(False, False), (True, True), (True, False), (False, True)}),
    ],
)
def test_views_are_mirrored_as_flip_allows(
    tiny_config: TinyConfig, flip: str, pairs: set[tuple[bool, bool]]
) -> None:
    views, _ = views_of(tiny_config, f"image.flip={flip}")
    seen = Counter()
    for seed in range(60):
        pair = views[ViewDraw(1, seed)]
        mirrored = tuple(
            bool(view[:, :, :12].float().mean() > view[:, :, -12:].float().mean())
            for view in (pair.first, pair.second)
        )
        assert mirrored == views.mirrored(ViewDraw(1, seed))
        seen[mirrored] += 1
    assert set(seen) == pairs
    assert all(count > 5 for count in seen.values())


def test_a_view_depends_on_its_draw_alone_and_two_views_differ(tiny_config: TinyConfig) -> None:
    config = tiny_config("image.cache=null", "pretrain=simclr")
    assert config.pretrain is not None
    catalog = read_labelled(config.data)
    photos = unlabelled_photos(config, catalog, None)
    views = ViewDataset(photos, config.image, config.pretrain)
    one, again, other = (views[ViewDraw(3, seed)] for seed in (7, 7, 8))
    assert one.first.shape == (3, 32, 48)
    assert one.first.dtype == torch.uint8
    assert torch.equal(one.first, again.first)
    assert torch.equal(one.second, again.second)
    assert not torch.equal(one.first, one.second)
    assert not torch.equal(one.first, other.first)


@pytest.mark.parametrize(
    ("photos", "batch", "world"), [(10, 4, 1), (11, 4, 2), (3, 8, 2), (2, 2, 1)]
)
def test_an_epoch_draws_every_photograph(photos: int, batch: int, world: int) -> None:
    orders = [ViewBatches(photos, batch, seed=5, rank=rank, world=world) for rank in range(world)]
    for epoch in (0, 1):
        for order in orders:
            order.set_epoch(epoch)
        blocks = [list(order) for order in orders]
        draws = [draw for of_rank in blocks for block in of_rank for draw in block]
        assert {draw.row for draw in draws} == set(range(photos))
        assert len({draw.seed for draw in draws}) == len(draws)
        assert len({tuple(map(len, of_rank)) for of_rank in blocks}) == 1  # processes keep step
        assert all(len(block) >= 2 for of_rank in blocks for block in of_rank)
        assert all(len(order) == len(blocks[0]) for order in orders)
        assert max(len(block) for block in blocks[0]) <= max(2, batch // world + 1)
    first = [draw.row for block in blocks[0] for draw in block]
    orders[0].set_epoch(0)
    assert [draw.row for block in orders[0] for draw in block] != first or photos < 4


def test_all_photographs_are_seen_without_labels(tiny_config: TinyConfig) -> None:
    config = tiny_config("pretrain=simclr")
    catalog = read_labelled(config.data)
    photos = unlabelled_photos(config, catalog, None)
    assert photos.labelled == len(catalog)
    assert photos.catalog.images == (*catalog.images, *read_test(config.data).images)
    assert set(photos.catalog.identities) == {None}
    assert photos.catalog.bursts is None
    with pytest.raises(ValueError, match="must not see labels"):
        Unlabelled(catalog, len(catalog), np.arange(len(catalog)))


def test_the_queries_can_be_left_out(tiny_config: TinyConfig) -> None:
    config = tiny_config("pretrain=simclr", "pretrain.photos=train")
    catalog = read_labelled(config.data)
    split = split_of(config, catalog)
    photos = unlabelled_photos(config, catalog, split)
    assert photos.catalog.images == catalog.take(split.train).images
    assert not {catalog.images[row] for row in split.queries} & set(photos.catalog.images)


def test_copies_and_names_that_stand_twice(tmp_path: Path) -> None:
    """A copy of a labelled photograph among the test ones, under the same name."""
    rng = np.random.default_rng(0)
    for folder, names in (("train/a", "xy"), ("train/b", "z"), ("test", "xw")):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            source = tmp_path / "train" / "a" / "x.png"
            if name == "x" and source.exists():
                (tmp_path / folder / "x.png").write_bytes(source.read_bytes())
            else:
                write_png(tmp_path / folder / f"{name}.png", pixels)
    config = load_config(
        None,
        ["pretrain=simclr", "data.reader=folders", f"data.root={tmp_path}",
         "data.sample_submission=null"],
    )  # fmt: skip
    photos = unlabelled_photos(config, read_labelled(config.data), None)
    assert len(photos.catalog) == 5
    assert len(np.unique(photos.copies)) == 4
    few = config.model_copy(update={"data": config.data.model_copy(update={"test": None})})
    one = read_labelled(config.data).take([0])
    refused(lambda: unlabelled_photos(few, one, None), "nothing to tell it from", "pretrain=null")


def write_png(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)
