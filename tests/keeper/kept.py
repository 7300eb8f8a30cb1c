"""Tiny identifiers of drawn animals that keep a catalogue, and photographs for them."""

from pathlib import Path

import cv2
import numpy as np
import torch

from flukeprint.config.load import load_config
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.embedding.embed import embed
from flukeprint.embedding.photos import fit
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.class_cards import ClassDescription
from flukeprint.identifier.gallery_map import project
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.showcase import Showcase
from flukeprint.identifier.taxonomy import Taxonomy
from flukeprint.models.network import build_model
from flukeprint.ranking.features import extract_features
from flukeprint.ranking.rules import FittedRules
from tests.ranking.local.textures import textured

SETTINGS = (
    "image: {height: 32, width: 48, cache: null}\n"
    "model: {backbone: test_resnet, weights: none, embedding_dim: 16}\n"
)
KEYPOINTS = "rank.local={candidates: 4, side: 96, keypoints: 60}"


def frame(animal: int, number: int) -> Pixels:
    """A photograph (180, 240, 3) of an animal, moved and lit otherwise in each frame."""
    if number == 0:
        return textured(animal, 180, 240)
    rng = np.random.default_rng([animal, number])
    angle, shift = rng.uniform(-0.12, 0.12), rng.uniform(-25, 25, 2)
    turned = np.array([[1, -angle, shift[0]], [angle, 1, shift[1]]])
    moved = cv2.warpAffine(frame(animal, 0), turned, (240, 180), borderMode=cv2.BORDER_REFLECT)
    return np.clip(rng.uniform(0.8, 1.1) * moved + rng.uniform(-15, 15), 0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, quality: int = 95) -> bytes:
    """A JPEG file of RGB pixels."""
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def written(folder: Path, animal: int, number: int) -> Path:
    """The JPEG of a frame, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{animal}-{number}.jpg"
    path.write_bytes(jpeg(frame(animal, number)))
    return path


def identifier(
    folder: Path, *overrides: str, animals: int = 5, frames: int = 2, pictures: bool = True
) -> Path:
    """Save an identifier that knows animals n_1, n_2 and so on, without a catalogue yet.

    pictures: with thumbnails, a map, a taxonomy and cards of the first two.
    """
    file = folder / "c.yaml"
    file.write_text(SETTINGS)
    settings = load_config(file, list(overrides))
    torch.manual_seed(0)
    net = build_model(settings.model, (32, 48))
    shown = [(animal, number) for animal in range(animals) for number in range(frames)]
    photos = Catalog(
        tuple(f"g{animal}-{number}.jpg" for animal, number in shown),
        identities=tuple(f"n_{animal + 1}" for animal, _ in shown),
        pixels=np.stack([fit(frame(*one), settings.image) for one in shown]),
    )
    gallery = embed(net, photos, EmbeddingRecipe(settings.image, False).stamped(net))
    names = photos.vocabulary()
    showcase = None
    if pictures:
        whole = Catalog(
            photos.images, identities=photos.identities,
            pixels=np.stack([frame(*one) for one in shown]),
        )  # fmt: skip
        showcase = Showcase(
            Thumbnails.of(whole),
            project(gallery.vectors),
            taxonomy=Taxonomy(("herd",), {name: (f"herd of {name}",) for name in names}),
            cards={name: ClassDescription(name=f"card of {name}") for name in names[:2]},
        )
    known = build_identifier(
        settings, net, extract_features(gallery, photos, settings.image, settings.rank), None,
        fitted=FittedRules(rules=settings.rank), showcase=showcase,
    )  # fmt: skip
    known.save(folder / "kept")
    return folder / "kept"


def owners(known: Identifier) -> dict[str, str | None]:
    """Image -> name, of the gallery in memory."""
    assert len(set(known.gallery.images)) == len(known.gallery)
    return dict(zip(known.gallery.images, known.gallery.identities, strict=True))
