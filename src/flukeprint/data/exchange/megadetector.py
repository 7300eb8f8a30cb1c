"""Reads what MegaDetector found: a batch JSON with boxes of animals, people and vehicles.

The format is 1.0 to 1.6, https://lila.science/megadetector-output-format.  Boxes are shares of the
upright photograph.  Individuals stand in an object `flukeprint` of a detection, which
`megadetector_answers.py` writes.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.coco.boxes import SHARE_DECIMALS, Rectangle, shares_of
from flukeprint.data.exchange.json_files import (
    box_name,
    file_of,
    keys_in,
    local_date,
    number,
    numbers,
    objects,
    posix_name,
    read_object,
    text,
)
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.errors import FlukeprintError, counted, listed

FORM = "MegaDetector"
ANIMAL = "animal"
MARK = "flukeprint"  # key of what we add to detections and to `info`
_WHAT = "results of MegaDetector"
_LATEST = (1, 6)
_VIDEOS = (".mp4", ".avi", ".mpeg", ".mpg", ".mov", ".mkv", ".flv", ".m4v", ".webm")
# What classifiers answer where they name no species.
_NO_SPECIES = {"animal", "blank", "empty", "unknown", "unreliable", "other", "no cv result"}


def recognises(path: Path) -> bool:
    """Whether a file looks like MegaDetector's results; it is searched, not parsed."""
    wanted = ("images", "detection_categories")
    return keys_in(path, wanted) == frozenset(wanted)


def read_megadetector(path: Path, *, root: Path | None = None, confidence: float = 0.2) -> Observed:
    """Read a batch JSON: one row for each box of an animal.

    root: where relative names of files begin; the folder of `path` by default.
    confidence: of boxes that are taken, at least.

    Raises FlukeprintError for a file that is not such results.
    """
    if not 0 <= confidence <= 1:
        raise FlukeprintError(f"confidence {confidence:g} is not between 0 and 1")
    # Another program of that name, Microsoft's, writes a list of boxes in pixels.
    tree = read_object(path, _WHAT, "; only the format with `detection_categories` is read")
    images = objects(tree, "images", path, _WHAT)
    animals = _animals(tree, path)
    version, notes = _version(tree, path)
    reader = _Reader(
        root or path.parent, confidence, animals, _texts(tree.get("detection_categories")),
        _species(tree),
    )  # fmt: skip
    for place, entry in enumerate(images, 1):
        reader.read(entry, place)
    if reader.odd_dates:
        notes = (*notes, f"{counted(reader.odd_dates, 'date')} could not be read")
    return Observed(
        FORM, version, tuple(reader.photos), reader.left.counts, reader.left.examples, notes
    )


class _Reader:
    """Gathers the rows of one file.

    animals: keys of the category of animals.  kinds, species: names of categories.
    """

    def __init__(
        self,
        root: Path,
        confidence: float,
        animals: frozenset[str],
        kinds: Mapping[str, str],
        species: Mapping[str, str],
    ) -> None:
        self.photos: list[ObservedPhoto] = []
        self.left = LeftOut()
        self.odd_dates = 0
        self._root, self._confidence = root, confidence
        self._animals, self._kinds, self._species = animals, kinds, species
        self._seen: set[str] = set()
        self._names: set[str] = set()

    def read(self, entry: object, place: int) -> None:
        """Add the rows of an entry of `images`, or note why it has none."""
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            self.left.note("entries that name no file", f"entry {place}")
            return
        name = posix_name(entry["file"])
        detections = entry.get("detections")
        if name in self._seen:
            self.left.note("photographs listed twice", name)
        elif _is_video(name, entry):
            self.left.note("videos", name)
        elif entry.get("failure") is not None or not isinstance(detections, list):
            why = (text(entry.get("failure")) or "no reason given")[:80]
            self.left.note(f"photographs that MegaDetector could not use ({why})", name)
        elif not self._add(name, entry, detections):
            why = f"photographs without an animal of confidence {self._confidence:g} or more"
            self.left.note(why, name)
        self._seen.add(name)

    def _add(self, name: str, entry: Mapping[str, Any], detections: list[Any]) -> bool:
        """Add a photograph's boxes of animals; whether there was one."""
        before = len(self.photos)
        date: tuple[str | None, str | None] | None = None
        file: Path | None = None
        for place, found in enumerate(detections, 1):
            image = box_name(name, place, len(detections))
            taken = self._box(found, image)
            if taken is None:
                continue
            if image in self._names:
                self.left.note("boxes whose name another photograph has", image)
                continue
            if file is None:
                file, date = file_of(name, self._root), local_date(entry.get("datetime"))
                self.odd_dates += date is None
            self._names.add(image)
            box, confidence = taken
            when, offset = date or (None, None)
            species = self._best(found.get("classifications"))
            identity, probability, by = _named(found.get(MARK))
            self.photos.append(
                ObservedPhoto(
                    image,
                    file,
                    identity,
                    box,
                    date=when,
                    offset=offset,
                    species=species,
                    probability=probability,
                    confidence=confidence,
                    by=by,
                    machine=identity is not None,
                )
            )
        return len(self.photos) > before

    def _box(
        self, found: object, image: str
    ) -> tuple[tuple[float, float, float, float], float] | None:
        """The box and confidence of a detection; None, noted, where it is not taken."""
        if not isinstance(found, dict):
            self.left.note("malformed boxes", image)
            return None
        kind = text(found.get("category"))
        if kind not in self._animals:
            self.left.note(f"boxes of {self._kinds.get(kind or '', f'category {kind}')}", image)
            return None
        confidence, sides = number(found.get("conf")), numbers(found.get("bbox"), 4)
        if confidence is None or not 0 <= confidence <= 1 or sides is None:
            self.left.note("malformed boxes", image)
            return None
        if confidence < self._confidence:
            self.left.note(f"boxes of a confidence below {self._confidence:g}", image)
            return None
        box = shares_of(Rectangle(*sides), 1.0, 1.0, SHARE_DECIMALS)
        if box is None:
            self.left.note("boxes that hold nothing of their photograph", image)
            return None
        return box, confidence

    def _best(self, classifications: object) -> str | None:
        """The name of the most probable species; None where none is given."""
        if not isinstance(classifications, list):
            return None
        pairs = [
            (number(pair[1]) or 0.0, -place, text(pair[0]) or "")
            for place, pair in enumerate(classifications)
            if isinstance(pair, list) and len(pair) == 2
        ]
        name = self._species.get(max(pairs)[2]) if pairs else None
        return None if name is None or name.casefold() in _NO_SPECIES else name


def _animals(tree: Mapping[str, Any], path: Path) -> frozenset[str]:
    """The keys of the category "animal", which may be any."""
    if not isinstance(tree.get("detection_categories"), dict):
        raise FlukeprintError(f"{path} is no {_WHAT}: it has no object `detection_categories`")
    kinds = _texts(tree["detection_categories"])
    found = frozenset(key for key, name in kinds.items() if name.casefold() == ANIMAL)
    if not found:
        raise FlukeprintError(
            f"{path} has no category `{ANIMAL}` in detection_categories, but "
            f"{listed(kinds.values()) or 'none at all'}; rename the one of the animals"
        )
    return found


def _version(tree: Mapping[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    """The version of the format, "" where the file has none, and what to say of it."""
    info = tree.get("info")
    # Not `text`, which would make 1.0 a 1.
    version = str(info.get("format_version") or "").strip() if isinstance(info, dict) else ""
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.\d+)*", version)
    if version and (found is None or int(found[1]) != _LATEST[0]):
        raise FlukeprintError(
            f"{path} is of format {version} of {_WHAT}; 1.0 to {_LATEST[0]}.{_LATEST[1]} are read"
        )
    if found is not None and int(found[2] or 0) > _LATEST[1]:
        return version, (
            f"format {version} is newer than {_LATEST[0]}.{_LATEST[1]}, which is known",
        )
    return version, ()


def _texts(tree: object) -> dict[str, str]:
    """Names of categories by their keys."""
    if not isinstance(tree, dict):
        return {}
    return {key.strip(): name for key, value in tree.items() if (name := text(value)) is not None}


def individuals_of(tree: Mapping[str, Any]) -> frozenset[str]:
    """The keys of classification categories that are individuals and no species."""
    info = tree.get("info")
    mark = info.get(MARK) if isinstance(info, dict) else None
    keys = mark.get("individuals") if isinstance(mark, dict) else None
    return (
        frozenset(key for one in keys if (key := text(one)))
        if isinstance(keys, list)
        else (frozenset())
    )


def _species(tree: Mapping[str, Any]) -> dict[str, str]:
    """Names of species by their keys."""
    own = individuals_of(tree)
    named = _texts(tree.get("classification_categories"))
    return {key: name for key, name in named.items() if key not in own}


def _named(mark: object) -> tuple[str | None, float | None, str | None]:
    """Identity, its probability and who gave it, of a detection's object of ours."""
    identity = text(mark.get("identity")) if isinstance(mark, dict) else None
    if identity is None or not isinstance(mark, dict):
        return None, None, None
    share = number(mark.get("probability"))
    fit = share is not None and 0 <= share <= 1
    return identity, share if fit else None, text(mark.get("by"))


def _is_video(name: str, entry: Mapping[str, Any]) -> bool:
    if name.lower().endswith(_VIDEOS) or "frame_rate" in entry or "frames_processed" in entry:
        return True
    detections = entry.get("detections")
    return isinstance(detections, list) and any(
        isinstance(found, dict) and found.get("frame_number") is not None for found in detections
    )
