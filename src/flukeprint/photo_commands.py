"""The commands that ask an identifier about photographs: identify and verify."""

import json
from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="The folder of a trained identifier.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def identify(
    identifier: Folder,
    photos: Annotated[list[Path], typer.Argument(help="Photographs of animals, or folders.")],
    as_json: AsJson = False,
    encounter: Annotated[
        bool, typer.Option("--encounter", help="All photographs show one animal; answer once.")
    ] = False,
) -> None:
    """Name the five likeliest animals for each photograph.

    A photograph that cannot be read is named with its error, the others are answered.
    """
    from flukeprint.identifier.answering import (
        answer_each,
        answer_encounter,
        check_all_read,
        photographs_at,
    )
    from flukeprint.identifier.identifier import Identifier
    from flukeprint.identifier.verdict import row_text

    paths = photographs_at(photos)
    known = Identifier.load(identifier)
    rows = answer_encounter(known, paths) if encounter else answer_each(known, paths)
    print(json.dumps(rows, indent=2) if as_json else "\n".join(map(row_text, rows)))
    check_all_read(rows, len(paths))


def verify(
    identifier: Folder,
    first: Annotated[Path, typer.Argument(help="A photograph.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    false_accept: Annotated[
        float,
        typer.Option(help="Most pairs of different animals taken for one.", min=0, max=1),
    ] = 0.01,
    as_json: AsJson = False,
) -> None:
    """Tell whether two photographs show the same animal, in the collection or not."""
    from flukeprint.identifier.answering import pair_text, verify_pair
    from flukeprint.identifier.identifier import Identifier

    found = verify_pair(Identifier.load(identifier), first, second, false_accept)
    print(json.dumps(found, indent=2) if as_json else pair_text(found, false_accept))
