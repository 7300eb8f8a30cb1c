"""Adds identities to MegaDetector's results, of which everything else stays as it was.

The format has no place for individuals.  Each answered detection gets an object `flukeprint` with
verdict, identity and probability, which `read_megadetector` reads back and other programs skip.
Where no classifier has named species, the individuals are classification categories as well, so
that Timelapse and others show them.  They are never mixed with species: a program takes the most
probable classification, and would show a name where it showed a species before.
"""

import json
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.answered import RowAnswer, RowAnswers
from flukeprint.data.exchange.json_files import box_name, posix_name, read_object, text
from flukeprint.data.exchange.megadetector import MARK, individuals_of
from flukeprint.files import written_whole

_DECIMALS = 4  # as the format has them


def answer_megadetector(
    source: Path, root: Path | None, answers: RowAnswers, target: Path
) -> tuple[str, ...]:
    """Write the results in `source` to `target` with the answers to its boxes.

    Returns lines for people.  Raises FlukeprintError where it cannot be read or written.
    """
    tree = read_object(source, "results of MegaDetector")
    shown = not _species(tree)
    keys = _Keys(tree) if shown else None
    seen: set[str] = set()
    named: set[str] = set()
    for entry in tree["images"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            continue
        name, detections = posix_name(entry["file"]), entry.get("detections")
        if name in seen or not isinstance(detections, list):
            continue
        seen.add(name)
        for place, found in enumerate(detections, 1):
            image = box_name(name, place, len(detections))
            if image in answers.of and image not in named and isinstance(found, dict):
                named.add(image)
                _mark(found, answers.of[image], answers, keys)
    if keys is not None:
        keys.write()
    with written_whole(target) as partial, partial.open("w", encoding="ascii") as file:
        json.dump(tree, file, indent=1, allow_nan=False)
    if shown:
        return ()
    return (
        "species stand in `classifications` as before; individuals only under `flukeprint` of each "
        "detection",
    )


class _Keys:
    """The classification categories of individuals: those there are, and new ones."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree = tree
        there = tree.get("classification_categories")
        self._categories: dict[str, Any] = there if isinstance(there, dict) else {}
        own = individuals_of(tree)
        self._keys = {str(self._categories[key]): key for key in own if key in self._categories}

    def of(self, identity: str) -> str:
        if identity not in self._keys:
            used = [int(key) for key in self._categories if key.strip().isdecimal()]
            key = str(max(used, default=0) + 1)
            self._categories[key] = identity
            self._keys[identity] = key
        return self._keys[identity]

    def write(self) -> None:
        if not self._keys:
            return
        self._tree["classification_categories"] = self._categories
        # The format's validator warns of keys at the top that it does not know, not of these.
        if not isinstance(self._tree.get("info"), dict):
            self._tree["info"] = {}
        self._tree["info"][MARK] = {"individuals": sorted(self._keys.values(), key=_by_number)}


def _by_number(key: str) -> tuple[int, str]:
    return len(key), key


def _mark(
    found: dict[str, Any], answer: RowAnswer, answers: RowAnswers, keys: _Keys | None
) -> None:
    share = None if answer.probability is None else round(answer.probability, _DECIMALS)
    found[MARK] = {
        "verdict": answer.verdict,
        "identity": answer.identity,
        "probability": share,
        "by": answers.by,
        "time": answers.stamp,
    }
    if keys is None:
        return
    if answer.identity is not None:
        # A classification has a number; without a measured probability it is that of no doubt.
        found["classifications"] = [[keys.of(answer.identity), 1.0 if share is None else share]]
    elif found.get("classifications"):
        found["classifications"] = []  # an older answer


def _species(tree: dict[str, Any]) -> bool:
    """Whether a classifier has named species, or may have."""
    own = individuals_of(tree)
    categories = tree.get("classification_categories")
    if isinstance(categories, dict) and set(categories) - own:
        return True
    return any(
        isinstance(pair, list) and pair and text(pair[0]) not in own
        for entry in tree["images"]
        if isinstance(entry, dict) and isinstance(entry.get("detections"), list)
        for found in entry["detections"]
        if isinstance(found, dict) and isinstance(found.get("classifications"), list)
        for pair in found["classifications"]
    )
