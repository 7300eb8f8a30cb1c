"""The page of a catalogue's doctor: one file, with the photographs of each finding side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Block, Part, PhotoRow, PhotoRows, Shown, Table
from flukeprint.evaluation.report.page import ReportPage, render
from flukeprint.files import written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.doctor.findings import (
    HEADINGS,
    KINDS,
    CatalogueFinding,
    CatalogueReport,
    Kind,
)

MOST_FINDINGS = 100  # of a kind that are shown; all are in the table
MOST_PHOTOS = 6  # of a group
MEANINGS: dict[Kind, str] = {
    "doublet": "Two names whose photographs look like one animal; photographs that stand together "
    "are one of each name. If they are one: merge them.",
    "mixture": "One name whose photographs of a view fall into two groups that are as unlike as "
    "two animals. If they are two: split them.",
    "label": "A photograph that looks like another animal than the one it is named after: first "
    "the photograph, then the most similar one of the other animal, then that of its own.",
    "name": "Different names that differ in case, accents, separators or zeros alone.",
    "place": "One animal or one observer at two places in a time too short for the way.",
    "death": "An animal that was seen after the day it was recorded dead.",
    "view": "Animals without any good photograph of a view: the poorest photographs of the "
    "catalogue are called blurred or small.",
}


def write_page(report: CatalogueReport, identifier: Identifier, target: Path) -> Path:
    """Write the page, of one file that asks no other.

    Photographs are shown by the identifier's thumbnails, where it has some.

    Raises:
        FlukeprintError: it cannot be written; nothing half-written is left.
    """
    page = render(catalogue_page(report, identifier))
    with written_whole(target) as partial:
        partial.write_bytes(page)
    return target


def catalogue_page(report: CatalogueReport, identifier: Identifier) -> ReportPage:
    """Describe the page."""
    images = identifier.gallery.images
    row = {image: place for place, image in enumerate(images)}
    showcase = identifier.showcase

    def shown(image: str, mark: bool, what: str) -> Shown:
        place = row.get(image)
        small = None if place is None or showcase is None else showcase.thumbnails[place]
        owner = "" if place is None else str(identifier.gallery.identities[place])
        lines = (owner, image, *([what] if what else []))
        return Shown(lines, small, "query" if mark else "")

    counts = Table(
        "What was found; each is for a person to judge.",
        ("kind", "found"),
        tuple((HEADINGS[kind][1], f"{len(report.of(kind)):,}") for kind in KINDS),
    )
    parts = [Part("found", "Found", blocks=(counts,))]
    for kind, heading, findings in report.found():
        parts.append(Part(kind, heading, (MEANINGS[kind],), _blocks(kind, findings, shown)))
    return ReportPage(
        "Doctor of the catalogue",
        (
            f"{counted(report.photographs, 'photograph')} of "
            f"{counted(report.individuals, 'individual')} were examined.",
        ),
        tuple(parts),
        report.notes,
    )


def _blocks(
    kind: Kind, findings: Sequence[CatalogueFinding], shown: Callable[[str, bool, str], Shown]
) -> tuple[Block, ...]:
    first = findings[:MOST_FINDINGS]
    more = "" if len(findings) == len(first) else f", of {len(findings):,} the first {len(first)}"
    table = Table(
        f"All of this kind{more}.",
        ("individuals", "probability", "finding"),
        tuple((" = ".join(one.individuals), one.sure, one.words) for one in first),
    )
    rows = tuple(
        PhotoRow(
            " = ".join(one.individuals) + (f", {one.sure}" if one.sure else ""),
            tuple(
                shown(image, kind == "label" and number == place == 0, _group(kind, number))
                for number, group in enumerate(one.photographs)
                for place, image in enumerate(group[:MOST_PHOTOS])
            ),
        )
        for one in first
        if one.photographs
    )
    if not rows:
        return (table,)
    return (table, PhotoRows("Photographs", "In the order of the table.", rows))


def _group(kind: Kind, number: int) -> str:
    return f"group {number + 1}" if kind in ("doublet", "mixture") else ""
