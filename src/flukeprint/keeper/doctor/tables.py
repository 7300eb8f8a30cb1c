"""Write what the doctor of a catalogue found as a table."""

import csv
from pathlib import Path

from flukeprint.files import written_whole
from flukeprint.keeper.doctor.findings import CatalogueReport

HEADER = ("kind", "individuals", "probability", "finding", "photographs", "encounters")


def write_csv(report: CatalogueReport, target: Path) -> Path:
    """Write one row for each finding.

    Several individuals, photographs and encounters of a row are separated by ` | `, groups of
    photographs by ` || `.

    Raises:
        FlukeprintError: it cannot be written; nothing half-written is left.
    """
    with (
        written_whole(target) as partial,
        partial.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(HEADER)
        for found in report.findings:
            likely = "" if found.probability is None else f"{found.probability:.4f}"
            groups = " || ".join(" | ".join(group) for group in found.photographs)
            rows.writerow(
                [
                    found.kind, " | ".join(found.individuals), likely, found.words, groups,
                    " | ".join(map(str, found.encounters)),
                ]
            )  # fmt: skip
    return target
