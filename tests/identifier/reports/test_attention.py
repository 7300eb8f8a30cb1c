"""Maps of what a network looks at: against loops over patches, and against finite differences."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.config.training import ModelConfig
from flukeprint.identifier.reports.attention import cosine_of, gradient_map, occlusion_map
from flukeprint.models.network import FlukeNet, build_model

SIDE = (32, 48)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIDE, 3), dtype=np.uint8)


def quadrants(photos: Tensor) -> Tensor:
    """An embedding by formula: the mean colours of the four quarters of a photograph."""
    means = F.adaptive_avg_pool2d(photos.double() / 255 - 0.3, 2)
    return F.normalize(means.flatten(1), dim=1).float()


def embedded(photo: np.ndarray) -> np.ndarray:
    return quadrants(torch.from_numpy(photo).permute(2, 0, 1)[None])[0].numpy()


@pytest.fixture(scope="module")
def net() -> FlukeNet:
    torch.manual_seed(0)
    config = ModelConfig(backbone="test_resnet", weights="none", pooling="gem", embedding_dim=8)
    return build_model(config, SIDE).eval()


def test_the_cosine_is_that_of_the_embeddings() -> None:
    one, other = noise(0), noise(1)
    expected = float(embedded(one) @ embedded(other))
    assert cosine_of(quadrants, one, other) == pytest.approx(expected, abs=1e-6)
    assert cosine_of(quadrants, one, one) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("cells", [4, 9])
def test_an_occlusion_map_is_the_mean_fall_of_the_patches_over_a_pixel(cells: int) -> None:
    photo, other = noise(2), noise(3)
    rows = [round(SIDE[0] * i / cells) for i in range(cells + 1)]
    columns = [round(SIDE[1] * i / cells) for i in range(cells + 1)]
    whole = float(embedded(photo) @ embedded(other))
    fill = [round(float(photo[..., channel].mean())) for channel in range(3)]
    falls: list[list[list[float]]] = [[[] for _ in range(SIDE[1])] for _ in range(SIDE[0])]
    for top in range(cells - 1):
        for left in range(cells - 1):
            covered = photo.copy()
            covered[rows[top] : rows[top + 2], columns[left] : columns[left + 2]] = fill
            fall = whole - float(embedded(covered) @ embedded(other))
            for y in range(rows[top], rows[top + 2]):
                for x in range(columns[left], columns[left + 2]):
                    falls[y][x].append(fall)
    expected = np.array([[np.mean(one) for one in row] for row in falls])
    found = occlusion_map(quadrants, photo, other, cells)
    assert found.shape == SIDE
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-4


def test_what_the_network_does_not_look_at_has_no_colour() -> None:
    def corner(photos: Tensor) -> Tensor:
        return F.normalize(photos[:, :, :4, :4].float().flatten(1), dim=1)

    found = occlusion_map(corner, noise(4), noise(5), 8)
    # A patch is 8 px high and 12 px wide, and reaches the corner only at the first place.
    assert np.abs(found[:8, :12]).min() > 1e-4
    np.testing.assert_allclose(found[8:], 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 12:], 0, atol=1e-6)


def test_a_gradient_map_is_what_a_cell_adds_to_first_order(net: FlukeNet) -> None:
    photo, other = noise(6), noise(7)
    found = gradient_map(net, photo, other)
    assert found is not None

    def cosine(y: int, x: int, factor: float) -> float:
        """With the features of one cell longer or shorter."""

        def scaled(_, given: tuple[Tensor]) -> tuple[Tensor]:
            features = given[0].clone()
            features[0, :, y, x] *= factor
            return (features,)

        hook = net.pooling.register_forward_pre_hook(scaled)
        batch = torch.from_numpy(photo).permute(2, 0, 1)[None]
        with torch.no_grad():
            one = F.normalize(net(batch), dim=1)[0]
            hook.remove()
            two = net.embed(torch.from_numpy(other).permute(2, 0, 1)[None])[0]
        return float(one.double() @ two.double())

    step = 0.05
    slopes = np.array([
        [(cosine(y, x, 1 + step) - cosine(y, x, 1 - step)) / (2 * step)
         for x in range(found.shape[1])]
        for y in range(found.shape[0])
    ])  # fmt: skip
    assert found.size > 1
    np.testing.assert_allclose(found, slopes, atol=0.01 * np.abs(slopes).max() + 1e-5)
    assert not net.pooling._forward_pre_hooks
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_backbone_of_tokens_has_no_gradient_map() -> None:
    config = ModelConfig(backbone="test_vit", weights="none", embedding_dim=8)
    tokens = build_model(config, SIDE).eval()
    assert tokens.layout.kind == "tokens"
    assert gradient_map(tokens, noise(0), noise(1)) is None
