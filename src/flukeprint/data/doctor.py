"""Checks photographs for damage, copies and contradictory identities before they are used.

It finds unreadable and truncated photographs, copies (same bytes and box), near copies (same
difference hash), one photograph under two identities, photographs that are in two catalogues, and
names that are nearly equal or cannot be written.
"""

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import PHOTO_FORMATS
from flukeprint.data.groups import copies_of
from flukeprint.data.names import near_equal, unfit_names
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.storage import read_bytes, source

HASH_SIDE = 8  # the difference hash has 8 x 8 bits
Groups = tuple[tuple[str, ...], ...]
Checked = TypeVar("Checked")


@dataclass(frozen=True)
class Findings:
    """What is wrong with the photographs of a catalogue.

    Photos are given by their name in the catalogue, in groups of two or more.

    photos: how many were examined.
    unreadable: (photo, reason) of those that cannot be decoded to the end.
    duplicates: same bytes.  near_duplicates: other bytes, same 64-bit difference hash.
    conflicts: same bytes and box under different identities (or one with, one without).
    near_conflicts: near duplicates under different identities, worth a look but often harmless.
    spellings: different identities that may be one animal's name spelt in several ways.
    unfit_names: what is wrong with each name that training would refuse.
    """

    photos: int
    unreadable: tuple[tuple[str, str], ...] = ()
    duplicates: Groups = ()
    near_duplicates: Groups = ()
    conflicts: Groups = ()
    near_conflicts: Groups = ()
    spellings: Groups = ()
    unfit_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for groups in (
            self.duplicates,
            self.near_duplicates,
            self.conflicts,
            self.near_conflicts,
        ):
            if any(len(set(group)) < 2 for group in groups):
                raise ValueError("a group of copies holds two photos or more")

    @property
    def healthy(self) -> bool:
        """True when nothing has to be repaired: all are readable, without conflict, and named."""
        return not (self.unreadable or self.conflicts or self.unfit_names)

    def text(self) -> str:
        """Format a report of several lines: every finding counted, the first ten of each named."""
        parts = [f"{counted(self.photos, 'photo')} examined"]
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable: {_reasons(self.unreadable)}")
        for one, several, groups in (
            ("group of exact copies", "groups of exact copies", self.duplicates),
            ("group of near copies", "groups of near copies", self.near_duplicates),
            (
                "photograph under two identities",
                "photographs under two identities",
                self.conflicts,
            ),
            (
                "near copy under two identities (look at it)",
                "near copies under two identities (look at them)",
                self.near_conflicts,
            ),
            (
                "name in several spellings (one animal?)",
                "names in several spellings (one animal each?)",
                self.spellings,
            ),
        ):
            if groups:
                number = counted(len(groups), one, several)
                parts.append(f"{number}: {listed(' = '.join(group) for group in groups)}")
        if self.unfit_names:
            number = counted(
                len(self.unfit_names), "name that training refuses", "names that training refuses"
            )
            parts.append(f"{number}: {'; '.join(self.unfit_names[:10])}")
        if len(parts) == 1:
            parts.append("nothing found")
        return "\n".join(parts)


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def difference_hash(image: Image.Image) -> int:
    """Perceptual hash of 64 bits that near copies share.

    For 8 rows of 9 grey means, each bit is whether a mean is darker than its right neighbour.

    Source: N. Krawetz, "Kind of Like That" (dHash), 2013.
    """
    small = image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.int16)
    bits = np.packbits(grey[:, :-1] < grey[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def examine(catalog: Catalog, *, new_label: str | None = None, progress: bool = True) -> Findings:
    """Find damaged photographs and copies in a catalogue, by decoding every photograph.

    new_label: the label of unknown individuals; given, names are examined, too.
    progress: show a bar on a terminal.

    Photographs without any structure (hash 0) are not taken for near copies, nor are several
    boxes of one picture.
    """
    seen = _for_each(_inspect, catalog, progress, "examining")
    readable = [(image, look) for image, look in zip(catalog.images, seen, strict=True)]
    copies = copies_of(catalog, [look.digest for look in seen], [look.hash for look in seen])
    return Findings(
        photos=len(catalog),
        unreadable=tuple((image, look.wrong) for image, look in readable if look.wrong),
        duplicates=copies.exact,
        near_duplicates=copies.near,
        conflicts=copies.exact_torn,
        near_conflicts=copies.near_torn,
        spellings=near_equal(catalog.counts()),
        unfit_names=() if new_label is None else unfit_names(catalog, new_label),
    )


def leaks(first: Catalog, second: Catalog) -> Groups:
    """Pairs (photo of `first`, photo of `second`) with the same bytes."""
    where: defaultdict[str, list[str]] = defaultdict(list)
    for image, digest in zip(first.images, _for_each(_digest, first), strict=True):
        where[digest].append(image)
    digests = _for_each(_digest, second)
    return tuple(
        (twin, image)
        for image, digest in zip(second.images, digests, strict=True)
        for twin in where.get(digest, ())
    )


def check_readable(
    catalog: Catalog, skip_unreadable: bool = False, quick: bool = False, *, progress: bool = True
) -> Catalog:
    """Check that photographs can be read, and return the catalogue of those that can.

    Args:
        skip_unreadable: leave unreadable photos out, with one warning that names them.
        quick: look at the first bytes only, which does not notice a truncated file.

    Raises:
        FlukeprintError: photos are unreadable and not to be skipped (all named at once), or
            none is left.
    """
    if catalog.pixels is not None:
        return catalog
    wrong = _for_each(_wrong_header if quick else _wrong, catalog, progress, "checking photos")
    bad = tuple((image, why) for image, why in zip(catalog.images, wrong, strict=True) if why)
    if not bad:
        return catalog
    message = f"{len(bad)} of {len(catalog)} photos cannot be read: {_reasons(bad)}"
    if len(bad) == len(catalog):
        raise FlukeprintError(f"{message}; no photo is left")
    if not skip_unreadable:
        raise FlukeprintError(
            f"{message}; replace or remove them, or set data.skip_unreadable=true"
        )
    warnings.warn(f"{message}; skipped", stacklevel=2)
    return catalog.take([row for row, why in enumerate(wrong) if not why])


@dataclass(frozen=True)
class _Look:
    digest: str
    hash: int  # 0 where unreadable
    wrong: str  # "" where readable


def _for_each(
    look: Callable[[Catalog, int], Checked],
    catalog: Catalog,
    progress: bool = False,
    title: str = "",
) -> list[Checked]:
    """`look(catalog, row)` for every row, in threads, as Pillow and hashlib release the GIL."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda row: look(catalog, row), range(len(catalog)))
        # disable=None: a bar only on a terminal
        bar = tqdm(
            results,
            total=len(catalog),
            desc=title,
            leave=False,
            disable=None if progress else True,
        )
        return list(bar)


def _inspect(catalog: Catalog, row: int) -> _Look:
    if catalog.pixels is not None:
        pixels = catalog.pixels[row]
        return _Look(_digest(catalog, row), difference_hash(Image.fromarray(pixels)), "")
    assert catalog.paths is not None
    try:
        data = read_bytes(catalog.paths[row])
    except OSError as error:
        # there are no bytes to compare: the digest must match no other
        return _Look(f"row {row}", 0, error.strerror or type(error).__name__)
    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(BytesIO(data), formats=PHOTO_FORMATS) as image:
            return _Look(digest, difference_hash(_loaded(image)), "")
    except Exception as error:  # a parser of foreign bytes may fail in any way
        return _Look(digest if data else f"row {row}", 0, _why(error, len(data)))


def _digest(catalog: Catalog, row: int) -> str:
    if catalog.pixels is not None:
        return hashlib.sha256(catalog.pixels[row].tobytes()).hexdigest()
    assert catalog.paths is not None
    return file_digest(catalog.paths[row])


def _loaded(image: Image.Image) -> Image.Image:
    """Decode to the end; a JPEG at 1/8, which reads all of its bytes but makes few pixels."""
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        raise ValueError(f"{image.width} x {image.height}: more than {most / 1e6:.0f} megapixels")
    if image.format == "JPEG":
        image.draft(None, (64, 64))
    image.load()
    return image


def _wrong(catalog: Catalog, row: int) -> str:
    assert catalog.paths is not None
    path = catalog.paths[row]
    try:
        with Image.open(source(path), formats=PHOTO_FORMATS) as image:
            if image.format == "PNG":
                image.verify()  # the checksums of all chunks; afterwards it must be reopened
                with Image.open(source(path), formats=PHOTO_FORMATS) as again:
                    _loaded(again)
            else:
                _loaded(image)
    except Exception as error:  # a parser of foreign bytes may fail in any way
        return _why(error, _size(path))
    return ""


def _wrong_header(catalog: Catalog, row: int) -> str:
    assert catalog.paths is not None
    path = catalog.paths[row]
    try:
        with Image.open(source(path), formats=PHOTO_FORMATS):
            return ""
    except Exception as error:  # a parser of foreign bytes may fail in any way
        return _why(error, _size(path))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _why(error: Exception, size: int) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not a photograph" if size else "0 bytes"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _reasons(bad: Sequence[tuple[str, str]]) -> str:
    return listed(f"{image} ({why})" for image, why in bad)
