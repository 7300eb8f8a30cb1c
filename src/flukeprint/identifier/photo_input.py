"""Load and preprocess query photographs given as paths, bytes or arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Box
from flukeprint.data.decoding import Pixels, decode, decode_array, decode_bytes
from flukeprint.data.embeddings import PRECISIONS, Embeddings
from flukeprint.embedding.photos import fit, kept_size
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local.keypoints import Keypoints
from flukeprint.ranking.local.sift import KeypointBackend
from flukeprint.search.gallery import Gallery

# A file, an encoded photograph in memory, or RGB or grey pixels (h, w[, 3]) uint8.
Photograph = Path | str | bytes | Pixels


@dataclass(frozen=True)
class Prepared:
    """A photograph ready for the network and for keypoint matching.

    pixels: uint8 RGB of `photos.kept_size`.  keypoints: None if no ranking rule matches them.
    """

    name: str
    pixels: Pixels
    keypoints: Keypoints | None


def prepare(
    photo: Photograph,
    name: str,
    image: ImageConfig,
    local: LocalConfig,
    backend: KeypointBackend | None,
    box: Box | None = None,
) -> Prepared:
    """Decode and resize a query photograph, like the photographs of a catalogue.

    backend: extracts the keypoints; None if no ranking rule matches them.
    box: x0, y0, x1, y1 in pixels of the upright photograph; None for all of it.

    Raises FlukeprintError for a photograph that cannot be read.
    """
    keypoints = None
    if backend is not None:
        keypoints = backend.extract(decoded(photo, name, (local.side, local.side), box))
    return Prepared(name, fit(decoded(photo, name, kept_size(image), box), image), keypoints)


def decoded(
    photo: Photograph,
    name: str,
    min_size: tuple[int, int] | None = None,
    box: Box | None = None,
) -> Pixels:
    """Decode a photograph to (h, w, 3) uint8 RGB, upright; the rest as in `decoding.decode`."""
    if isinstance(photo, np.ndarray):
        return decode_array(photo, name, box=box)
    if isinstance(photo, bytes):
        return decode_bytes(photo, name, min_size=min_size, box=box)
    # `Path(photo)` would make a local path of one in an object storage.
    return decode(Path(photo) if isinstance(photo, str) else photo, min_size=min_size, box=box)


def names_of(photos: Sequence[Photograph]) -> list[str]:
    """Names of photographs, made unique."""
    taken: set[str] = set()
    return [free_name(_name(photo, row), taken) for row, photo in enumerate(photos)]


def told_names(photos: Sequence[Photograph]) -> list[str]:
    """What messages call photographs: their files as they were given, others by their number."""
    return [
        str(photo) if isinstance(photo, Path | str) else f"photograph {number}"
        for number, photo in enumerate(photos, 1)
    ]


def _name(photo: Photograph, row: int) -> str:
    if isinstance(photo, Path | str):
        return Path(photo).name
    return f"array_{row}" if isinstance(photo, np.ndarray) else f"photograph_{row}"


def free_name(name: str, taken: set[str]) -> str:
    """Make `name` unique with a number if it is in `taken`, and add it there."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{Path(name).stem}~{count}{Path(name).suffix}"
    taken.add(free)
    return free


# How far from 1 the cosine of a photograph to itself may be, by rounding.
SAME_PHOTO: dict[str, float] = {"fp32": 1e-5, "fp16": 1e-3, "bf16": 1e-3, "int8": 1e-2}


def check_unseen(gallery: Gallery, fresh: Embeddings, images: Sequence[str]) -> None:
    """Refuse photographs that are in the gallery already, or that were given twice.

    fresh: their embeddings; images: what the message calls them.

    Raises FlukeprintError for the first of them.
    """
    held = gallery.embeddings
    alike = 1 - SAME_PHOTO[max(fresh.precision, held.precision, key=PRECISIONS.index)]
    nearest = gallery.search(fresh, 1)
    for place, (image, vector) in enumerate(zip(images, fresh.vectors, strict=True)):
        twin = np.flatnonzero(fresh.vectors[:place] @ vector > 1 - SAME_PHOTO["fp32"])
        if len(twin):
            raise FlukeprintError(f"{image} is the same photo as {images[int(twin[0])]}")
        if nearest.scores[place, 0] > alike:
            row = int(nearest.rows[place, 0])
            raise FlukeprintError(
                f"{image} is in the gallery already, as {held.images[row]} "
                f"of {held.identities[row]}"
            )
