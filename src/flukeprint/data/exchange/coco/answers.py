"""Adds identities to a COCO file, of which everything else stays as it was."""

import json
from pathlib import Path
from typing import Any, cast

from flukeprint.data.exchange.answered import RowAnswers
from flukeprint.data.exchange.coco.fields import (
    ANIMAL,
    MACHINE,
    OF_ANIMAL,
    SHARES,
    forget_name,
    key_of_name,
    usual_key,
)
from flukeprint.data.exchange.coco.reading import read_with_trees
from flukeprint.errors import counted
from flukeprint.files import written_whole

VERDICT = "identity_verdict"  # of an annotation that was answered: known, new or outside
_BY, _PROBABILITY = OF_ANIMAL["by"][0], SHARES["probability"][0]


def answer_coco(
    source: Path, root: Path | None, answers: RowAnswers, target: Path
) -> tuple[str, ...]:
    """Write the file `source` to `target` with the answers, under the key its names stand under.

    A photograph without an annotation that shows a known individual gets one, without a box.

    Returns lines for people.  Raises FlukeprintError where it cannot be read or written.
    """
    read = read_with_trees(source, root=root)
    tree = read.tree
    annotations = tree.setdefault("annotations", [])
    usual = usual_key(annotations)
    added = _Added(tree, usual)
    rows = zip(read.observed.photos, read.images, read.annotations, strict=True)
    for photo, image, found in rows:
        answer = answers.of.get(photo.image)
        if answer is None:
            continue
        if found is None:
            if answer.identity is None:
                continue
            annotation = added.annotation(image["id"])
        else:
            annotation = cast(dict[str, Any], found)
        key = key_of_name(annotation) or usual
        forget_name(annotation)
        annotation.pop(_PROBABILITY, None)
        if answer.identity is not None:
            # An id of an individual that another program gave is not the place for our name.
            annotation[key if key in annotation else usual] = answer.identity
            if answer.probability is not None:
                annotation[_PROBABILITY] = answer.probability
        annotation |= {_BY: answers.by, MACHINE: True, VERDICT: answer.verdict}
    with written_whole(target) as partial, partial.open("w", encoding="ascii") as file:
        json.dump(tree, file, allow_nan=False)
    if not added.number:
        return ()
    new = counted(added.number, "annotation without a box", "annotations without a box")
    return (f"{new} added, to photographs that had none",)


class _Added:
    """Annotations for photographs that have none."""

    def __init__(self, tree: dict[str, Any], key: str) -> None:
        self.number = 0
        self._tree, self._key = tree, key
        self._taken = {str(one.get("id")) for one in tree["annotations"] if isinstance(one, dict)}
        self._category: Any = None

    def annotation(self, image: Any) -> dict[str, Any]:
        """A new annotation of the photograph with that id."""
        self.number += 1
        key = len(self._tree["annotations"]) + 1
        while str(key) in self._taken:
            key += 1
        self._taken.add(str(key))
        made = {"id": key, "image_id": image, "category_id": self._animal(), self._key: None}
        self._tree["annotations"].append(made)
        return made

    def _animal(self) -> Any:
        """The id of a category of animals of any species."""
        if self._category is None:
            categories = self._tree.get("categories")
            if not isinstance(categories, list):
                categories = self._tree["categories"] = []
            known = [one for one in categories if isinstance(one, dict)]
            found = [one["id"] for one in known if one.get("name") == ANIMAL and "id" in one]
            if not found:
                numbers = [one["id"] for one in known if isinstance(one.get("id"), int)]
                found = [max(numbers, default=0) + 1]
                categories.append({"id": found[0], "name": ANIMAL})
            self._category = found[0]
        return self._category
