"""Groups of photographs that belong together: copies, boxes of a picture, series of an animal."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Ints
from flukeprint.errors import FlukeprintError, listed
from flukeprint.storage import digest, fingerprint

Answer = TypeVar("Answer")


def photo_groups(catalog: Catalog) -> tuple[Ints, Ints]:
    """Number the groups of photos that a split must not divide, and those that may show one animal.

    Both (n,), from 0 in order of appearance.  Photos share a group if they have the same bytes
    (whatever their identities), or the same burst and the same identity, or are linked by a chain
    of such pairs.  Two boxes of one picture show two animals: they share the first, not the
    second.
    """
    pictures = dict(_contents(catalog))
    boxes = catalog.boxes or (None,) * len(catalog)
    crops = {row: (content, pixels_of(boxes[row])) for row, content in pictures.items()}
    series = {
        row: (burst, catalog.identities[row])
        for row, burst in enumerate(catalog.bursts or ())
        if burst is not None
    }
    return (
        _linked(len(catalog), (pictures, crops, series)),
        _linked(len(catalog), (crops, series)),
    )


def pixels_of(box: tuple[float, ...] | None) -> tuple[int, ...] | None:
    """The pixels that a box is rounded to, so that boxes can be compared."""
    if box is None:
        return None
    return (*(int(np.floor(low)) for low in box[:2]), *(int(np.ceil(high)) for high in box[2:]))


def _linked(count: int, links: Iterable[Mapping[int, Hashable]]) -> Ints:
    """Number the groups of rows that share a key in one of `links`, or are chained by such rows."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[Hashable, int] = {}
    for number, keys in enumerate(links):
        for row, key in keys.items():
            a, b = root(first.setdefault((number, key), row)), root(row)
            parent[max(a, b)] = min(a, b)  # the root is the first row of its group
    roots = [root(row) for row in range(count)]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64).reshape(-1)


def _contents(catalog: Catalog) -> Iterable[tuple[int, bytes]]:
    """(row, digest of the bytes) of every photo that may have a copy."""
    if catalog.pixels is not None:
        for row, image in enumerate(catalog.pixels):
            yield row, hashlib.sha256(image.tobytes()).digest()
    elif catalog.paths is not None:
        sizes = _sizes(catalog.paths)
        shared = Counter(sizes)
        digests: dict[Path, bytes] = {}
        for row, (path, size) in enumerate(zip(catalog.paths, sizes, strict=True)):
            if shared[size] > 1:  # a file whose size is unique has no copy and is not read
                if path not in digests:
                    digests[path] = bytes.fromhex(_asked(digest, path))
                yield row, digests[path]


def _sizes(paths: Sequence[Path]) -> list[int]:
    """Bytes of every file; FlukeprintError names those that are missing."""
    sizes, missing = [], []
    for path in paths:
        try:
            sizes.append(_asked(fingerprint, path).size)
        except FileNotFoundError:
            missing.append(path)
    if missing:
        raise FlukeprintError(
            f"photos not found: {listed(missing)}; restore them or remove their rows"
        )
    return sizes


def _asked(ask: Callable[[Path], Answer], path: Path) -> Answer:
    """`ask(path)`; what the disk or the storage refuses, but for a missing file, in one line."""
    try:
        return ask(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"photograph {path}: cannot be read ({reason})") from error
