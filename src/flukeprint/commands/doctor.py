"""The command doctor: of a configuration's photographs, or of an identifier's catalogue."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flukeprint.errors import FlukeprintError
from flukeprint.keeper.doctor.options import DoctorOptions


def doctor(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IDENTIFIER | KEY=VALUE...]",
            help="The folder of an identifier; with --config, such as data.root=FOLDER.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", help="A YAML file, whose photographs are examined before training."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--csv", help="Also write every finding as a row of this CSV.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with the photographs side by side.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    least: Annotated[
        float, typer.Option(help="Probability from which something is named.", min=0.001, max=0.999)
    ] = DoctorOptions.least,
    animal_speed: Annotated[
        float, typer.Option(help="km/h that no animal keeps up.", min=0.01)
    ] = DoctorOptions.animal_speed,
    observer_speed: Annotated[
        float, typer.Option(help="km/h that no observer keeps up.", min=0.01)
    ] = DoctorOptions.observer_speed,
    keypoints: Annotated[
        bool, typer.Option("--keypoints", help="Match keypoints as identification does; slow.")
    ] = False,
) -> None:
    """Examine photographs before training (-c CONFIG), or the catalogue of an IDENTIFIER.

    Before training: unreadable, duplicate and doubly named photographs, and test ones among them.
    A catalogue: pairs of animals that look like one, animals that look like two, labels that look
    wrong, near-equal names, encounters that cannot be, views without a good photograph.
    """
    if config is not None:
        if table or html or as_json or keypoints:
            raise FlukeprintError(
                "--csv, --html, --json and --keypoints are for the catalogue of an identifier; "
                "leave them out, or give its folder in place of --config"
            )
        _before_training(config, what or [])
        return
    if not what or len(what) > 1 or "=" in what[0]:
        raise FlukeprintError(
            "give the folder of one identifier, or --config and the configuration whose "
            "photographs are to be examined"
        )
    from flukeprint.identifier.identifier import Identifier
    from flukeprint.keeper.doctor.examine import examine_catalogue
    from flukeprint.keeper.doctor.page import write_page
    from flukeprint.keeper.doctor.tables import write_csv
    from flukeprint.records.database import Database
    from flukeprint.records.lookup import list_encounters, list_individuals, list_photographs
    from flukeprint.records.pointer import has_catalogue

    for target, ending in ((table, ".csv"), (html, ".html")):
        if target is not None and target.suffix.lower() != ending:
            raise FlukeprintError(f"{target} must end in {ending}; choose such a name")
    options = DoctorOptions(
        least=least, animal_speed=animal_speed, observer_speed=observer_speed, keypoints=keypoints
    )
    folder = Path(what[0])
    known = Identifier.load(folder, with_index=False)
    individuals = encounters = photographs = None
    if has_catalogue(folder):
        with Database.open(folder).reading() as connection:
            individuals = list_individuals(connection)
            encounters = list_encounters(connection)
            photographs = list_photographs(connection)
    found = examine_catalogue(
        known, individuals=individuals, encounters=encounters, photographs=photographs,
        options=options, progress=True,
    )  # fmt: skip
    print(json.dumps(found.summary(), indent=2) if as_json else found.text())
    written = []
    if table is not None:
        written.append(f"table: {write_csv(found, table)}")
    if html is not None:
        written.append(f"page: {write_page(found, known, html)}")
    if written and not as_json:
        print("\n".join(written))


def _before_training(config: str, overrides: Sequence[str]) -> None:
    from flukeprint.config.load import load_config
    from flukeprint.data.doctor import examine_data

    report = examine_data(load_config(config, list(overrides)).data)
    print(report.text())
    if not report.healthy:
        raise typer.Exit(1)
