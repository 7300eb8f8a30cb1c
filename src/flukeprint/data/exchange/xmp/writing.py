"""Writes whom photographs show as XMP keywords into sidecars, never into photographs.

What stands in a sidecar stays; only keywords that were written here before are replaced.  What
keywords have no room for stands in a namespace of its own, as JSON.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from flukeprint.data.exchange.camtrap.writing import root_of
from flukeprint.data.exchange.details import FIELDS
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.xmp.files import SUFFIX, read_sidecar, sidecar_of
from flukeprint.data.exchange.xmp.patterns import WRITTEN, Keyword
from flukeprint.data.exchange.xmp.properties import (
    DC,
    DESCRIPTION,
    DIGIKAM,
    LIGHTROOM,
    OWN,
    PREFIXES,
    RDF,
    bag,
    descriptions,
    parse,
    said_in,
    values_of,
)
from flukeprint.errors import FlukeprintError, counted
from flukeprint.files import written_whole
from flukeprint.storage import is_local

_ILLEGAL = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
_SEPARATORS = re.compile(r"[|/]")  # of the levels of keywords


def write_xmp(observed: Observed, folder: Path, *, root: Path | None = None) -> tuple[str, ...]:
    """Write a sidecar of each photograph into a tree like that of the photographs.

    folder: may be the photographs' own.  root: where theirs begins; the deepest folder that holds
        them all by default.

    Returns lines for people.

    Raises:
        FlukeprintError: no photograph is a file here, a sidecar that cannot be read, or the folder
            cannot be written.
    """
    rows: defaultdict[Path, list[ObservedPhoto]] = defaultdict(list)
    for photo in observed.photos:
        if photo.path is not None and is_local(photo.path):
            rows[photo.path.absolute()].append(photo)
    if not rows:
        raise FlukeprintError("none of these photographs is a file here; nothing was written")
    begin = (
        root or root_of([each for group in rows.values() for each in group], folder)
    ).absolute()
    outside = [path for path in rows if not path.is_relative_to(begin)]
    if outside:
        raise FlukeprintError(f"{outside[0]} is not below {begin}; name another folder with --root")
    targets = _targets(list(rows), begin, folder)
    trees = {}
    for path, target in targets.items():  # all are read before the first one is written
        try:
            there = parse(read_sidecar(target)) if target.is_file() else None
        except ValueError as error:
            raise FlukeprintError(f"{target}: {error}; mend or remove it") from None
        trees[path] = _tree(there, rows[path], begin)
    for name, space in PREFIXES.items():
        register_namespace(name, space)
    try:
        for path, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            indent(trees[path])
            with written_whole(target) as partial:
                partial.write_bytes(tostring(trees[path], "utf-8") + b"\n")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FlukeprintError(f"{folder} cannot be written: {reason}") from None
    without = sum(photo.path is None or not is_local(photo.path) for photo in observed.photos)
    if not without:
        return ()
    return (f"{counted(without, 'record')} without a file here left out: they have no sidecar",)


def _targets(paths: Sequence[Path], begin: Path, folder: Path) -> dict[Path, Path]:
    """Photograph -> its sidecar: the one that is there, else `a.xmp` where no other would share it.

    Two photographs of one stem get `a.jpg.xmp` and `a.png.xmp`.
    """
    stems: defaultdict[Path, int] = defaultdict(int)
    for path in paths:
        stems[path.with_suffix("")] += 1
    targets = {}
    for path in paths:
        place = folder / path.relative_to(begin).parent
        shared = stems[path.with_suffix("")] > 1
        there = sidecar_of(path, place)
        if there is not None and not (shared and there.stem != path.name):
            targets[path] = there
        else:
            targets[path] = place / ((path.name if shared else path.stem) + SUFFIX)
    return targets


def _keywords(photos: Sequence[ObservedPhoto]) -> list[Keyword]:
    """The keywords of a photograph's records, each once."""
    found: dict[Keyword, None] = {}
    for field, level in WRITTEN.items():
        for photo in photos:
            text = _ILLEGAL.sub("", str(getattr(photo, field) or ""))
            text = " ".join(_SEPARATORS.sub(" ", text).split())
            if text:
                found[level, text] = None
    return list(found)


def _tree(tree: Element | None, photos: Sequence[ObservedPhoto], begin: Path) -> Element:
    """The packet with the keywords and the records of a photograph."""
    if tree is None:
        tree = Element("{adobe:ns:meta/}xmpmeta")
        SubElement(SubElement(tree, f"{{{RDF}}}RDF"), DESCRIPTION, {f"{{{RDF}}}about": ""})
    before = _written_before(tree)
    fresh = _keywords(photos)
    for name, separator in (
        (f"{{{LIGHTROOM}}}hierarchicalSubject", "|"), (f"{{{DIGIKAM}}}TagsList", "/"),
    ):  # fmt: skip
        old = {separator.join(keyword) for keyword in before}
        _replace(tree, name, old, [separator.join(keyword) for keyword in fresh])
    _replace(
        tree, f"{{{DC}}}subject", {keyword[-1] for keyword in before},
        [keyword[-1] for keyword in fresh],
    )  # fmt: skip
    kept = json.dumps(
        {
            "keywords": fresh,
            "photographs": [_record(photo, begin) for photo in photos],
        }
    )
    _set(tree, f"{{{OWN}}}records", kept)
    return tree


def _record(photo: ObservedPhoto, begin: Path) -> dict[str, Any]:
    record = {name: getattr(photo, name) for name in FIELDS}
    assert photo.path is not None
    record["path"] = photo.path.absolute().relative_to(begin).as_posix()
    return {name: value for name, value in record.items() if value is not None}


def _written_before(tree: Element) -> list[Keyword]:
    records = said_in(tree).records
    try:
        return [tuple(keyword) for keyword in json.loads(records or "{}")["keywords"]]
    except (ValueError, TypeError, KeyError):
        return []


def _replace(tree: Element, name: str, old: set[str], fresh: Sequence[str]) -> None:
    """Set a property to its values without `old`, followed by `fresh`, each once."""
    values = [text for text in values_of(tree, name) if text not in old]
    values += [text for text in dict.fromkeys(fresh) if text not in values]
    _remove(tree, name)
    if values:
        _first(tree).append(bag(name, values))


def _set(tree: Element, name: str, text: str) -> None:
    _remove(tree, name)
    SubElement(_first(tree), name).text = text


def _remove(tree: Element, name: str) -> None:
    for one in descriptions(tree):
        one.attrib.pop(name, None)
        for child in [child for child in one if child.tag == name]:
            one.remove(child)


def _first(tree: Element) -> Element:
    for one in descriptions(tree):
        return one
    raise FlukeprintError("a sidecar without a description cannot be added to; mend or remove it")
