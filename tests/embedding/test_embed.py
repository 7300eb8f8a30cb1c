"""Embeddings by hand: zooms, mirrors, and all that their digest must tell apart."""

from itertools import product

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import InferConfig
from flukeprint.config.training import ModelConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.models.network import FlukeNet, build_model

Vector = npt.NDArray[np.float64]
MODEL = ModelConfig(backbone="test_resnet", weights="none", embedding_dim=8)
HEIGHT, WIDTH = 32, 48
ROUNDED = 3e-3  # where pixels were made between others: libraries differ by a level of 256


def image(**changes: object) -> ImageConfig:
    return ImageConfig.model_validate({"height": HEIGHT, "width": WIDTH, "cache": None, **changes})


@pytest.fixture(scope="module")
def net() -> FlukeNet:
    torch.manual_seed(0)
    return build_model(MODEL, (HEIGHT, WIDTH)).eval()


@pytest.fixture(scope="module")
def photos() -> Catalog:
    """As large as the network's input."""
    drawn = [cv2.resize(draw_shape(i, i, 64), (WIDTH, HEIGHT)) for i in range(3)]
    pixels = np.stack(drawn).astype(np.uint8)
    return Catalog(("a", "b", "c"), pixels=pixels, views=("left", "right", None))


def seen(net: FlukeNet, pixels: npt.NDArray[np.uint8]) -> Vector:
    """The unit embedding of pixels of the network's size."""
    with torch.no_grad():
        out = net(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None])[0]
    vector = out.double().numpy()
    return np.asarray(vector / np.linalg.norm(vector))


def middle_half(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    part = pixels[HEIGHT // 4 : -HEIGHT // 4, WIDTH // 4 : -WIDTH // 4]
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector))


def test_zooms_are_the_mean_of_the_whole_and_its_middle(net: FlukeNet, photos: Catalog) -> None:
    got = embed(net, photos, EmbeddingRecipe(image(), zooms=(1.0, 0.5), stamp="s"))
    whole = embed(net, photos, EmbeddingRecipe(image(), stamp="s"))
    assert photos.pixels is not None
    for row, pixels in enumerate(photos.pixels):
        want = unit(seen(net, pixels) + seen(net, middle_half(pixels)))
        np.testing.assert_allclose(got.vectors[row], want, atol=ROUNDED)
        np.testing.assert_allclose(whole.vectors[row], seen(net, pixels), atol=1e-5)
    alone = embed(net, photos, EmbeddingRecipe(image(), zooms=(0.5,), stamp="s"))
    np.testing.assert_allclose(
        alone.vectors[0], seen(net, middle_half(photos.pixels[0])), atol=ROUNDED
    )


@pytest.mark.parametrize("flip", ["same", "new_identity", "none"])
def test_each_side_of_a_mirror_has_its_zooms(net: FlukeNet, photos: Catalog, flip: str) -> None:
    got = embed(
        net, photos, EmbeddingRecipe(image(flip=flip), mirror=True, zooms=(1.0, 0.5), stamp="s")
    )
    assert photos.pixels is not None
    for row, pixels in enumerate(photos.pixels):
        turned = np.ascontiguousarray(pixels[:, ::-1])
        one, other = (unit(seen(net, p) + seen(net, middle_half(p))) for p in (pixels, turned))
        both = one + other if flip == "same" else np.concatenate([one, other])
        np.testing.assert_allclose(got.vectors[row], unit(both), atol=ROUNDED)


def test_some_views_are_turned_before_anything_else(net: FlukeNet, photos: Catalog) -> None:
    got = embed(
        net, photos, EmbeddingRecipe(image(mirror_views=["left"]), zooms=(1.0, 0.5), stamp="s")
    )
    plain = embed(net, photos, EmbeddingRecipe(image(), zooms=(1.0, 0.5), stamp="s"))
    np.testing.assert_array_equal(got.vectors[1:], plain.vectors[1:])
    assert photos.pixels is not None
    turned = np.ascontiguousarray(photos.pixels[0, :, ::-1])
    want = unit(seen(net, turned) + seen(net, middle_half(turned)))
    np.testing.assert_allclose(got.vectors[0], want, atol=ROUNDED)


def test_without_a_zoom_there_is_nothing_to_see() -> None:
    for zooms in ((), (0.0,), (1.5,)):
        with pytest.raises(ValidationError):
            InferConfig(zooms=zooms)


def test_whatever_changes_an_embedding_changes_the_digest(net: FlukeNet) -> None:
    settings = [
        image(),
        image(resize="pad"),
        image(resize="crop"),
        image(reserve=1.5),
        image(mirror_views=["left"]),
        image(mirror_views=["left", "right"]),
    ]
    wishes = list(product(settings, [(1.0,), (1.0, 0.5), (0.5,)]))
    digests = [
        network_digest(net, EmbeddingRecipe(setting, False, zooms)) for setting, zooms in wishes
    ]
    digests += [
        network_digest(net, EmbeddingRecipe(image(flip=flip), True)) for flip in ("same", "none")
    ]
    assert len(set(digests)) == len(digests)


def test_how_photographs_are_trained_on_or_kept_is_no_part_of_it(net: FlukeNet) -> None:
    plain = network_digest(net, EmbeddingRecipe(image()))
    for same in (image(augment=0.9), image(crop=0.5), image(cache="elsewhere")):
        assert network_digest(net, EmbeddingRecipe(same, False, (1.0,))) == plain


def test_a_grid_changes_the_digest() -> None:
    """Two cells one above or one beside the other: the tensors are the same."""
    nets = []
    for grid in ((1, 1), (1, 2), (2, 1)):
        torch.manual_seed(0)
        model = MODEL.model_copy(update={"grid": grid, "neck": False})
        nets.append(build_model(model, (HEIGHT, WIDTH)))
    for one in nets[1:]:
        one.load_state_dict(nets[0].state_dict())
    assert len({network_digest(one, EmbeddingRecipe(image())) for one in nets}) == 3
