"""Writes the answers to a source's rows in the source's own form, with all that stood there.

A form of `FORMS` that is not in `ANSWERERS` is written anew by its writer, from what was read.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flukeprint.data.exchange.answered import RowAnswers, with_answers
from flukeprint.data.exchange.camtrap.answers import answer_camtrap_dp
from flukeprint.data.exchange.camtrap.data_package import DESCRIPTION
from flukeprint.data.exchange.coco.answers import answer_coco
from flukeprint.data.exchange.forms import (
    FORMS,
    TABLE,
    Form,
    check_options,
    is_of,
    no_form,
    write_observed,
)
from flukeprint.data.exchange.megadetector_answers import answer_megadetector
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.data.formats.photo_formats import SUFFIXES, named_like_photo
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.storage import files_below

# From the source, where its names of files begin (None: the usual place), the answers and a path
# that is not there; returns lines for people.
Answerer = Callable[[Path, Path | None, RowAnswers, Path], tuple[str, ...]]

ANSWERERS: Mapping[str, Answerer] = {
    "camtrap-dp": answer_camtrap_dp,
    "megadetector": answer_megadetector,
    "coco": answer_coco,
}
PHOTOGRAPHS = "photographs"  # a folder of them, of no form
_OTHERS = ("second", "third", "fourth", "fifth")
COLUMNS = ("image", "identity", "probability", "verdict", *_OTHERS, "error")


def source_form(source: Path, options: ReadOptions | None = None) -> tuple[str, Form]:
    """The key and the form of a source; a folder of no form is one of photographs.

    Raises:
        FlukeprintError: it is missing, of no form, or of one in which nothing can be answered, or
            one to which an option means nothing.
    """
    if not source.exists():
        raise FlukeprintError(f"{source} is missing; check the path")
    if options is not None:
        check_options(source, options)
    for key, form in FORMS.items():
        if not is_of(key, source, options):
            continue
        if key not in ANSWERERS and form.write is None:
            raise FlukeprintError(
                f"{source} is {form.name}, which is only read; write it in another form first, "
                "with flukeprint import --to"
            )
        return key, form
    if source.is_dir():
        return PHOTOGRAPHS, Form(PHOTOGRAPHS, lambda _: True, _photographs)
    raise no_form(source)


def usual_target(source: Path, key: str) -> Path:
    """Where answers are written by default: beside the source, with `-identified` in the name."""
    place = source.absolute()
    if place.name == DESCRIPTION:
        place = place.parent
    if key == PHOTOGRAPHS or (key == TABLE and place.is_dir()):
        return place.with_name(f"{place.name}-identified.csv")
    if place.is_dir():
        return place.with_name(f"{place.name}-identified")
    return place.with_name(f"{place.stem}-identified{place.suffix}")


def write_in_form(
    key: str, source: Path, root: Path | None, observed: Observed, answers: RowAnswers, target: Path
) -> tuple[str, ...]:
    """Write the answers to `target`, which is not there, in the form `key` of the source.

    Returns lines for people.

    Raises:
        FlukeprintError: something is there already, or it cannot be written.
    """
    if target.exists():
        raise FlukeprintError(f"{target} is there already; name another with --out")
    if key == PHOTOGRAPHS:
        _write_rows(observed.photos, answers, target)
        return ()
    if key in ANSWERERS:
        return ANSWERERS[key](source, root, answers, target)
    return write_observed(with_answers(observed, answers), target, key)


def _photographs(folder: Path, root: Path | None) -> Observed:
    """All photographs below a folder, but hidden ones."""
    if root is not None:
        raise FlukeprintError(f"{folder} is a folder of photographs, to which --root says nothing")
    names = [
        name
        for name in files_below(folder)
        if named_like_photo(name) and not any(part.startswith(".") for part in name.split("/"))
    ]
    if not names:
        raise FlukeprintError(
            f"folder {folder} is of no format that is read and holds no photographs "
            f"({', '.join(SUFFIXES)})"
        )
    return Observed(PHOTOGRAPHS, "", tuple(ObservedPhoto(name, folder / name) for name in names))


def _write_rows(photos: Sequence[ObservedPhoto], answers: RowAnswers, target: Path) -> None:
    """Write a CSV, a line each photograph; an identity is only that of a known individual."""
    with written_whole(target) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for photo in photos:
            answer = answers.of.get(photo.image)
            if answer is None:
                nothing = [""] * (len(COLUMNS) - 2)
                table.writerow([photo.image, *nothing, answers.failed.get(photo.image, "")])
                continue
            others = [*answer.others, *[""] * len(_OTHERS)][: len(_OTHERS)]
            share = "" if answer.probability is None else repr(answer.probability)
            table.writerow([photo.image, answer.identity or "", share, answer.verdict, *others, ""])
