"""Reads whom photographs show from their XMP keywords, in the files or in sidecars."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.details import detail_in
from flukeprint.data.exchange.json_files import box_name
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.data.exchange.xmp.files import embedded, read_sidecar, sidecar_of
from flukeprint.data.exchange.xmp.patterns import Keyword, KeywordPattern, keyword_patterns
from flukeprint.data.exchange.xmp.properties import Region, Said, parse, said_in
from flukeprint.data.readers.boxes import upright_size
from flukeprint.data.readers.layout import sorted_files
from flukeprint.errors import FlukeprintError, counted

FORM = "XMP keywords"
LOOK = 200  # photographs in which a folder's keywords are looked for
_ANIMALS = ("pet", "animal")  # types of regions whose name is an animal's


def recognises(path: Path) -> bool:
    """Whether the first photographs of a folder have keywords that name an animal."""
    if not path.is_dir():
        return False
    try:
        patterns = keyword_patterns(())
        for name in sorted_files(path)[0][:LOOK]:
            found = _look(path / name, path, name)
            if isinstance(found, _Look) and _names(found.said.keywords, patterns)["identity"]:
                return True
    except (FlukeprintError, OSError):
        return False
    return False


def read_xmp(folder: Path, root: Path | None = None, keywords: Sequence[str] = ()) -> Observed:
    """Read a folder of photographs with XMP keywords.

    root: where the photographs are, if only sidecars are in `folder`.
    keywords: patterns; see `patterns.py`.

    Where the keywords of a sidecar and of its photograph differ, the sidecar's count.

    Raises:
        FlukeprintError: no folder, a pattern that cannot be read, or defusedxml is missing.
    """
    patterns = keyword_patterns(keywords)
    place = root or folder
    if not place.is_dir():
        raise FlukeprintError(f"folder {place} is missing; check the path")
    names = sorted_files(place)[0]
    with ThreadPoolExecutor(8) as pool:
        looks = list(pool.map(lambda name: _look(place / name, folder, name), names))
    left, photos, differ = LeftOut(), [], 0
    for name, look in zip(names, looks, strict=True):
        if isinstance(look, str):
            left.note(look, name)
            continue
        if look is None:
            left.note("photographs without XMP", name)
            continue
        differ += look.differs
        rows = _rows(place, name, look, patterns)
        if not rows:
            left.note("photographs without a keyword of the patterns", name)
        photos += rows
    notes: tuple[str, ...] = ()
    if differ:
        notes = (
            f"{counted(differ, 'photograph')} with other keywords in the sidecar than in the file: "
            "the sidecar's count",
        )
    return Observed(FORM, "", tuple(photos), left.counts, left.examples, notes)


@dataclass(frozen=True)
class _Look:
    """What a photograph's packets say; differs: whether two of them have different keywords."""

    said: Said
    orientation: int
    differs: bool


def _look(photo: Path, folder: Path, name: str) -> _Look | str | None:
    """What is said of a photograph: None for nothing, a text for why it cannot be read."""
    try:
        packet, orientation = embedded(photo)
        inside = None if packet is None else said_in(parse(packet))
        sidecar = sidecar_of(photo, (folder / name).parent)
        beside = None if sidecar is None else said_in(parse(read_sidecar(sidecar)))
    except ValueError as error:
        return str(error)
    if beside is not None and (beside.keywords or beside.flat or beside.records):
        differs = inside is not None and bool(inside.keywords) and (
            set(inside.keywords) != set(beside.keywords)
        )  # fmt: skip
        return _Look(beside, orientation, differs)
    said = inside or beside
    return None if said is None else _Look(said, orientation, False)


def _names(keywords: Iterable[Keyword], patterns: Sequence[KeywordPattern]) -> dict[str, list[str]]:
    """Field -> what keywords say of it, each once."""
    found: dict[str, list[str]] = {"identity": []}
    for keyword in keywords:
        for pattern in patterns:
            for name, text in (pattern.match(keyword) or {}).items():
                if text not in found.setdefault(name, []):
                    found[name].append(text)
    return found


def _rows(
    place: Path, name: str, look: _Look, patterns: Sequence[KeywordPattern]
) -> list[ObservedPhoto]:
    """The records of a photograph: one an animal; none where no keyword says anything."""
    said = look.said
    written = _written(said, place / name)
    if written is not None:
        return written
    found = _names((*said.keywords, *said.flat), patterns)
    regions = {region.name: region for region in said.regions}
    animals = [
        *found["identity"],
        *(
            region.name for region in said.regions
            if region.kind.casefold() in _ANIMALS and region.name not in found["identity"]
        ),
    ]  # fmt: skip
    if not animals and not any(found.values()):
        return []
    # One value is sure; of several nobody knows which is whose.
    shared = {field: texts[0] for field, texts in found.items() if len(texts) == 1}
    shared.pop("identity", None)
    facts: dict[str, Any] = {
        **shared, "path": place / name, "date": said.date, "offset": said.offset
    }  # fmt: skip
    if said.position is not None:
        facts |= dict(zip(("latitude", "longitude"), said.position, strict=True))
    return [
        ObservedPhoto(
            image=box_name(name, number, len(animals)),
            identity=animal,
            box=_upright(regions[animal], place / name, look.orientation)
            if animal in regions else None,
            **facts,
        )
        for number, animal in enumerate(animals or [None], 1)
    ]  # fmt: skip


def _written(said: Said, path: Path) -> list[ObservedPhoto] | None:
    """The records that `write_xmp` wrote of a photograph; None where keywords changed since.

    Also None for another photograph that shares the sidecar.
    """
    if said.records is None:
        return None
    try:
        kept = json.loads(said.records)
        there = {tuple(keyword) for keyword in kept["keywords"]}
        if there != set(said.keywords) & (there | _of_ours(said.keywords)):
            return None
        rows = [
            {key: detail_in(key, value, path.parent) for key, value in row.items()}
            for row in kept["photographs"]
        ]
        if any(row["path"].name != path.name for row in rows):
            return None
        return [ObservedPhoto(**{**row, "path": path}) for row in rows]
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        return None


def _of_ours(keywords: Iterable[Keyword]) -> set[Keyword]:
    """Keywords that the usual patterns read, whoever wrote them."""
    patterns = keyword_patterns(())
    return {word for word in keywords if any(each.match(word) for each in patterns)}


def _upright(region: Region, path: Path, orientation: int) -> Box:
    """A region as a box of the upright photograph.

    MWG leaves open whether regions are of the stored or of the turned picture: the size that they
    were drawn on tells it, where the two differ.
    """
    size = None if region.size is None else upright_size(path)
    if orientation not in (5, 6, 7, 8) or region.size is None or size is None:
        return region.box
    wide = region.size[0] > region.size[1]
    if wide == (size[0] > size[1]):
        return region.box
    x0, y0, x1, y1 = region.box
    corners = {
        5: (y0, x0, y1, x1), 6: (1 - y1, x0, 1 - y0, x1),
        7: (1 - y1, 1 - x1, 1 - y0, 1 - x0), 8: (y0, 1 - x1, y1, 1 - x0),
    }  # fmt: skip
    return corners[orientation]
