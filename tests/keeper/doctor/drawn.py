"""Drawn catalogues: animals are points of a sphere, their photographs lie around them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from flukeprint.config.load import load_config
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features

DIM = 24


def gallery(
    animals: int = 40,
    photos: int = 4,
    views: Sequence[str | None] = ("left", "right"),
    spread: float = 0.55,
    seed: int = 0,
) -> Embeddings:
    """`photos` of each animal in each view; an animal's views are unlike each other."""
    rng = np.random.default_rng(seed)
    vectors, names, seen = [], [], []
    for animal in range(animals):
        for view in views:
            middle = rng.normal(size=DIM)
            for _ in range(photos):
                vectors.append(middle + spread * rng.normal(size=DIM))
                names.append(f"a_{animal:03}")
                seen.append(view)
    return Embeddings(
        unit_rows(np.array(vectors)),
        tuple(f"p{row:04}.jpg" for row in range(len(names))),
        tuple(names),
        tuple(seen) if any(view is not None for view in views) else None,
        "net",
    )


def renamed(embeddings: Embeddings, names: dict[int, str]) -> Embeddings:
    """The same photographs, those of some rows under other names."""
    new = [names.get(row, str(name)) for row, name in enumerate(embeddings.identities)]
    return replace(embeddings, identities=tuple(new))


def rows_of(embeddings: Embeddings, name: str, view: str | None = None) -> list[int]:
    views = embeddings.views or (None,) * len(embeddings)
    return [
        row
        for row, (one, seen) in enumerate(zip(embeddings.identities, views, strict=True))
        if one == name and view in (None, seen)
    ]


def identifier_of(folder: Path, embeddings: Embeddings, thumbnails: bool = True) -> Identifier:
    """An identifier with this gallery and a network that is never asked."""
    path = folder / "c.yaml"
    path.write_text(
        "image: {height: 32, width: 48, cache: null}\n"
        "model: {backbone: test_resnet, weights: none, embedding_dim: 16}\n"
    )
    settings = load_config(path, [])
    torch.manual_seed(0)
    net = build_model(settings.model, (32, 48))
    stamp = EmbeddingRecipe(settings.image, settings.infer.mirror).stamped(net).stamp
    named = replace(embeddings, stamp=stamp)
    known = build_identifier(settings, net, Features(named), None)
    if not thumbnails:
        return replace(known, showcase=None)
    rng = np.random.default_rng(0)
    small = [
        thumbnail(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)) for _ in range(len(named))
    ]
    return replace(
        known, showcase=Showcase(Thumbnails.packed(small), np.zeros((len(named), 2), np.float32))
    )
