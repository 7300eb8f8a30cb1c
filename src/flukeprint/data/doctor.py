"""Checks photographs for damage, copies and contradictory identities before they are used.

It finds photographs that cannot be used, by the function that training and inference decode with;
boxes that keep too few pixels; copies (same bytes and box), near copies (nearly the same difference
hash), one photograph under two identities, test photographs that are among those to train on, and
names that are nearly equal or cannot be written.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.copies import Groups, copies_of, difference_hash, leaks
from flukeprint.data.decoding import JUDGED, look_at_row, read_photo
from flukeprint.data.formats.photo_formats import UnusableError
from flukeprint.data.names import near_equal, unfit_names
from flukeprint.data.readers.read import photos_to_identify, read_labelled
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.output import Notice, followed

FEW_PIXELS = 32  # a box with a shorter side hardly shows an animal
_ENOUGH = (64, 64)  # height, width of the pixels that are hashed
Checked = TypeVar("Checked")


@dataclass(frozen=True)
class Findings:
    """What is wrong with the photographs of a catalogue.

    Photos are given by their name in the catalogue, in groups of two or more.

    photos: how many were examined.
    unreadable: (photo, reason) of those that training and inference refuse.
    small_boxes: (photo, size) of those of whose box less than FEW_PIXELS is in the photograph.
    duplicates: same bytes and box.  near_duplicates: other bytes, nearly the same 64-bit difference
        hash.
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
    small_boxes: tuple[tuple[str, str], ...] = ()
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
        if self.small_boxes:
            boxes = counted(len(self.small_boxes), "box keeps", "boxes keep")
            parts.append(
                f"{boxes} fewer than {FEW_PIXELS} pixels on a side: {_reasons(self.small_boxes)}"
            )
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


@dataclass(frozen=True)
class Report:
    """What is wrong with the photographs of a configuration.

    test: None where there are no test photographs.
    leaks: pairs (training photograph, test photograph) with the same bytes.
    """

    train: Findings
    test: Findings | None = None
    leaks: Groups = ()

    @property
    def healthy(self) -> bool:
        """True when nothing has to be repaired; leaks are for a person to judge."""
        return self.train.healthy and (self.test is None or self.test.healthy)

    def text(self) -> str:
        """Format a report of several lines."""
        if self.test is None:
            return self.train.text()
        parts = ["labelled photographs:", self.train.text(), "test photographs:", self.test.text()]
        if self.leaks:
            found = len({image for _, image in self.leaks})
            parts.append(
                f"{counted(found, 'test photograph is', 'test photographs are')} among the "
                "labelled ones (same bytes), so answers to them prove nothing: "
                + listed(" = ".join(pair) for pair in self.leaks)
            )
        return "\n".join(parts)


def examine_data(config: DataConfig, *, progress: bool = True) -> Report:
    """Examine the labelled photographs of a configuration and, where there are some, those to test.

    Raises FlukeprintError for tables and folders that cannot be read.
    """
    train, test = read_labelled(config), photos_to_identify(config)
    seen = _seen(train, progress)
    if test is None:
        return Report(_findings(train, seen, config.new_label))
    test_seen = _seen(test, progress)
    return Report(
        _findings(train, seen, config.new_label),
        _findings(test, test_seen),
        leaks(_digests(train, seen), _digests(test, test_seen)),
    )


def examine(catalog: Catalog, *, new_label: str | None = None, progress: bool = True) -> Findings:
    """Find damaged photographs and copies in a catalogue, by decoding every photograph.

    new_label: the label of unknown individuals; given, names are examined, too.
    progress: show a bar on a terminal.

    Photographs without any structure are not taken for near copies, nor are several boxes of one
    picture.
    """
    return _findings(catalog, _seen(catalog, progress), new_label)


def _seen(catalog: Catalog, progress: bool) -> "list[_Look]":
    return _for_each(_inspect, catalog, progress, "examining")


def _findings(catalog: Catalog, seen: "Sequence[_Look]", new_label: str | None = None) -> Findings:
    readable = [(image, look) for image, look in zip(catalog.images, seen, strict=True)]
    copies = copies_of(catalog, [look.digest for look in seen], [look.hash for look in seen])
    return Findings(
        photos=len(catalog),
        unreadable=tuple((image, look.wrong) for image, look in readable if look.wrong),
        duplicates=copies.exact,
        near_duplicates=copies.near,
        conflicts=copies.exact_torn,
        near_conflicts=copies.near_torn,
        small_boxes=tuple((image, look.small) for image, look in readable if look.small),
        spellings=near_equal(catalog.counts()),
        unfit_names=() if new_label is None else unfit_names(catalog, new_label),
    )


def check_readable(
    catalog: Catalog, skip_unreadable: bool = False, *, progress: bool = True
) -> Catalog:
    """Check that photographs can be used, and return the catalogue of those that can.

    Every file is read to its end, a JPEG at an eighth of its size.

    Args:
        skip_unreadable: leave unreadable photos out, with one warning that names them.

    Raises:
        FlukeprintError: photos are unreadable and not to be skipped (all named at once), or
            none is left.
    """
    if catalog.pixels is not None and catalog.boxes is None:
        return catalog
    wrong = _for_each(_wrong, catalog, progress, "checking photos")
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
    warnings.warn(f"{message}; skipped", Notice, stacklevel=2)
    return catalog.take([row for row, why in enumerate(wrong) if not why])


@dataclass(frozen=True)
class _Look:
    digest: str
    hash: int  # 0 where unreadable
    wrong: str  # "" where readable
    small: str = ""  # size of a box that keeps few pixels


def _for_each(
    look: Callable[[Catalog, int], Checked],
    catalog: Catalog,
    progress: bool = False,
    title: str = "",
) -> list[Checked]:
    """`look(catalog, row)` for every row, in threads, as Pillow and hashlib release the GIL."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda row: look(catalog, row), range(len(catalog)))
        return list(followed(results, title if progress else None, len(catalog), leave=False))


def _inspect(catalog: Catalog, row: int) -> _Look:
    digest = f"row {row}"  # without bytes to compare, it must match no other
    try:
        data = None
        if catalog.pixels is not None:
            digest = hashlib.sha256(catalog.pixels[row].tobytes()).hexdigest()
        elif catalog.paths is not None and (data := read_photo(catalog.paths[row])):
            digest = hashlib.sha256(data).hexdigest()
        look = look_at_row(catalog, row, data, min_size=_ENOUGH)
    except UnusableError as error:
        return _Look(digest, 0, error.reason)
    boxed = catalog.boxes is not None and catalog.boxes[row] is not None
    small = "{:.3g} x {:.3g}".format(*look.size) if min(look.size) < FEW_PIXELS and boxed else ""
    return _Look(digest, difference_hash(look.pixels), "", small)


def _digests(catalog: Catalog, seen: "Sequence[_Look]") -> dict[str, str]:
    return {image: one.digest for image, one in zip(catalog.images, seen, strict=True)}


def _wrong(catalog: Catalog, row: int) -> str:
    try:
        look_at_row(catalog, row, None, min_size=JUDGED)
    except UnusableError as error:
        return error.reason
    return ""


def _reasons(bad: Sequence[tuple[str, str]]) -> str:
    return listed(f"{image} ({why})" for image, why in bad)
