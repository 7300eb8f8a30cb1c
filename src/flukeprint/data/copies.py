"""Recognises copies of a photograph: by its bytes, and near copies by a perceptual hash."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels
from flukeprint.data.groups import pixels_of

HASH_SIDE = 8  # the difference hash has 8 x 8 bits
# Differing bits of near copies.  Of 300 photographs of nyala and lions, turned and saved again,
# 98 % keep within them; of 2,488 different ones, no two do.
NEAR_BITS = 3
Groups = tuple[tuple[str, ...], ...]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Copies:
    """Groups of two or more photographs that are copies of each other, by name.

    exact: same bytes and box.  near: other bytes, nearly the same perceptual hash.
    exact_torn, near_torn: those of them that do not agree on the individual.
    """

    exact: Groups
    near: Groups
    exact_torn: Groups
    near_torn: Groups


def difference_hash(pixels: Pixels) -> int:
    """Perceptual hash of 64 bits that near copies share, of upright RGB pixels (h, w, 3).

    For 8 rows of 9 grey means, each bit is whether a mean is darker than its right neighbour.
    Source: N. Krawetz, "Kind of Like That" (dHash), 2013.
    """
    image = Image.fromarray(pixels).convert("L")
    small = image.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.int16)
    bits = np.packbits(grey[:, :-1] < grey[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def copies_of(catalog: Catalog, digests: Sequence[str], hashes: Sequence[int]) -> Copies:
    """Find the copies in a catalogue by the digest of each photograph's bytes and its hash.

    hashes: of the pixels in each photograph's box.

    Near copies of a picture with several individuals disagree only where they share none.
    """
    boxes = catalog.boxes or (None,) * len(catalog)
    exact: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        exact[digest, pixels_of(boxes[row])].append(row)
    copies = [rows for rows in exact.values() if len(rows) > 1]
    alike, torn = [], []
    for rows in near_copies(dict(enumerate(hashes))):
        names: defaultdict[str, set[str | None]] = defaultdict(set)
        for row in rows:
            names[digests[row]].add(catalog.identities[row])
        if len(names) > 1:
            alike.append(rows)
            if any(not one & other for one, other in combinations(names.values(), 2)):
                torn.append(rows)

    def named(groups: Iterable[Sequence[int]]) -> Groups:
        return tuple(tuple(catalog.images[row] for row in rows) for rows in groups)

    return Copies(
        exact=named(copies),
        near=named(alike),
        exact_torn=named(
            rows for rows in copies if len({catalog.identities[row] for row in rows}) > 1
        ),
        near_torn=named(torn),
    )


def near_copies(hashes: Mapping[Key, int]) -> tuple[tuple[Key, ...], ...]:
    """Groups of photographs whose difference hashes differ in at most NEAR_BITS bits.

    hashes: name or row of a photograph -> its hash.  A chain of such pairs links a group.
    Photographs without structure, of at most NEAR_BITS bits in all, are in none.
    """
    structured = [value for value in hashes.values() if value.bit_count() > NEAR_BITS]
    values = np.unique(np.array(structured, dtype=np.uint64))
    groups = {int(value): [int(value)] for value in values}
    # Two hashes that differ in fewer bits than there are bands have a band in common.
    bands, width = NEAR_BITS + 1, 64 // (NEAR_BITS + 1)
    for band in range(bands):
        part = (values >> np.uint64(band * width)) & np.uint64(2**width - 1)
        order = np.argsort(part, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            for place, one in enumerate(run[:-1]):
                rest = values[run[place + 1 :]]
                for other in rest[np.bitwise_count(rest ^ values[one]) <= NEAR_BITS]:
                    _join(groups, int(values[one]), int(other))
    found: defaultdict[int, list[Key]] = defaultdict(list)
    for image, value in hashes.items():
        if value in groups:
            found[groups[value][0]].append(image)
    return groups_of_several(found.values())


def _join(groups: dict[int, list[int]], one: int, other: int) -> None:
    """Make one group of two, in place of both."""
    small, large = sorted((groups[one], groups[other]), key=len)
    if small is not large:
        large += small
        groups.update(dict.fromkeys(small, large))


def groups_of_several(groups: Iterable[Sequence[Key]]) -> tuple[tuple[Key, ...], ...]:
    """The groups that hold two photographs or more."""
    return tuple(tuple(group) for group in groups if len(group) > 1)


def leaks(train: Mapping[str, str], test: Mapping[str, str]) -> Groups:
    """Pairs (training photograph, test photograph) with the same bytes, whose answer is known.

    train, test: name of a photograph -> digest of its bytes.
    """
    where: defaultdict[str, list[str]] = defaultdict(list)
    for image, digest in train.items():
        where[digest].append(image)
    return tuple((twin, image) for image, digest in test.items() for twin in where.get(digest, ()))
