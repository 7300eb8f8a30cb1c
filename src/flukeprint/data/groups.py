"""Groups of photographs: copies of each other, boxes of one picture, series of one animal."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Ints
from flukeprint.errors import FlukeprintError, listed


def photo_groups(catalog: Catalog) -> tuple[Ints, Ints]:
    """Number the groups of photos that a split must not divide, and those that may show one animal.

    Both (n,), from 0 in order of appearance.  Photos share a group if they have the same bytes
    (whatever their identities), or the same burst and the same identity, or are linked by a chain
    of such pairs.  Two boxes of one picture show two animals: they share the first, not the
    second.
    """
    pictures = dict(_contents(catalog))
    boxes = catalog.boxes or (None,) * len(catalog)
    crops = {row: (digest, pixels_of(boxes[row])) for row, digest in pictures.items()}
    series = {
        row: (burst, catalog.identities[row])
        for row, burst in enumerate(catalog.bursts or ())
        if burst is not None
    }
    return (
        _linked(len(catalog), (pictures, crops, series)),
        _linked(len(catalog), (crops, series)),
    )


@dataclass(frozen=True)
class Copies:
    """Groups of two or more photographs that are copies of each other, by name.

    exact: same bytes and box.  near: other bytes, same perceptual hash.
    exact_torn, near_torn: those of them that do not agree on the individual.
    """

    exact: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, ...], ...]
    exact_torn: tuple[tuple[str, ...], ...]
    near_torn: tuple[tuple[str, ...], ...]


def copies_of(catalog: Catalog, digests: Sequence[str], hashes: Sequence[int]) -> Copies:
    """Find the copies in a catalogue by the digest of each photograph's bytes and its hash.

    hashes: 0 is no hash.

    Near copies of a picture with several individuals disagree only where they share none.
    """
    boxes = catalog.boxes or (None,) * len(catalog)
    exact: defaultdict[Hashable, list[int]] = defaultdict(list)
    near: defaultdict[int, list[int]] = defaultdict(list)
    for row, (digest, number) in enumerate(zip(digests, hashes, strict=True)):
        exact[digest, pixels_of(boxes[row])].append(row)
        if number:
            near[number].append(row)
    copies = [rows for rows in exact.values() if len(rows) > 1]
    alike, torn = [], []
    for rows in near.values():
        names: defaultdict[str, set[str | None]] = defaultdict(set)
        for row in rows:
            names[digests[row]].add(catalog.identities[row])
        if len(names) > 1:
            alike.append(rows)
            if any(not one & other for one, other in combinations(names.values(), 2)):
                torn.append(rows)

    def named(groups: Iterable[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(catalog.images[row] for row in rows) for rows in groups)

    return Copies(
        exact=named(copies),
        near=named(alike),
        exact_torn=named(
            rows for rows in copies if len({catalog.identities[row] for row in rows}) > 1
        ),
        near_torn=named(torn),
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
        missing = [path for path in catalog.paths if not path.is_file()]
        if missing:
            raise FlukeprintError(
                f"photos not found: {listed(missing)}; restore them or remove their rows"
            )
        sizes = [path.stat().st_size for path in catalog.paths]
        shared = Counter(sizes)
        digests: dict[Path, bytes] = {}
        for row, (path, size) in enumerate(zip(catalog.paths, sizes, strict=True)):
            if shared[size] > 1:  # a file whose size is unique has no copy and is not read
                if path not in digests:
                    with path.open("rb") as file:
                        digests[path] = hashlib.file_digest(file, "sha256").digest()
                yield row, digests[path]
