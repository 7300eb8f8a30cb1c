"""Small identifiers of drawn shapes and textures, and an embedding by hand."""

from pathlib import Path

import numpy as np
import torch

from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding.embed import embed
from flukeprint.embedding.photos import fit
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.models.network import FlukeNet, build_model
from flukeprint.ranking.features import Features
from tests.ranking.local.textures import small_seen_again as seen_again
from tests.ranking.local.textures import small_textured as textured


def config(tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(
        "image: {height: 32, width: 48, cache: null}\n"
        "model: {backbone: test_resnet, weights: none, embedding_dim: 16}\n"
    )
    return load_config(path, list(overrides))


def shapes(identities: int, photos: int) -> Catalog:
    pixels = [
        np.ascontiguousarray(draw_shape(i, 100 * i + k, 48)[:32, :48])
        for i in range(identities)
        for k in range(photos)
    ]
    pixels = [np.pad(p, ((0, 32 - len(p)), (0, 0), (0, 0)), mode="edge") for p in pixels]
    n = identities * photos
    return Catalog(
        images=tuple(f"p{i:03}.jpg" for i in range(n)),
        identities=tuple(f"w_{i // photos}" for i in range(n)),
        pixels=np.stack(pixels),
    )


def build(settings: Config, catalog: Catalog, threshold: float | None = None) -> Identifier:
    torch.manual_seed(0)
    net = build_model(settings.model, (settings.image.height, settings.image.width))
    recipe = EmbeddingRecipe(settings.image, settings.infer.mirror)
    gallery = embed(net, catalog, recipe.stamped(net))
    return build_identifier(settings, net, Features(gallery), threshold)


def vectors(net: FlukeNet, settings: Config, pixels: np.ndarray) -> np.ndarray:
    """Naive: one photo, fitted, normalised by hand, through the network."""
    fitted = fit(pixels, settings.image).transpose(2, 0, 1)[None]
    with torch.no_grad():
        out = net.eval()(torch.from_numpy(np.ascontiguousarray(fitted)))[0].numpy()
    return out / np.linalg.norm(out)


def textures(shown: list[int], again: bool = False) -> Catalog:
    pixels = [seen_again(textured(i)) if again else textured(i) for i in shown]
    names = tuple(f"{'q' if again else 'g'}{i}.png" for i in shown)
    return Catalog(names, identities=tuple(f"w_{i}" for i in shown), pixels=np.stack(pixels))
