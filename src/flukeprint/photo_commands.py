"""The commands that ask an identifier about photographs: identify and verify."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flukeprint.output import say

Folder = Annotated[Path, typer.Argument(help="The folder of a trained identifier.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def identify(
    identifier: Folder,
    photos: Annotated[list[Path], typer.Argument(help="Photographs of animals, or folders.")],
    as_json: AsJson = False,
    encounter: Annotated[
        bool, typer.Option("--encounter", help="All photographs show one animal; answer once.")
    ] = False,
    date: Annotated[
        str | None, typer.Option(help="When they were taken; animals seen about then are likelier.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="LATITUDE,LONGITUDE; animals seen near there before are likelier."),
    ] = None,
) -> None:
    """Name the five likeliest animals for each photograph.

    A photograph that cannot be read is named with its error, the others are answered.  With a time
    or a place each answer tells by how much they made it likelier.
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
    weights = None
    if date is not None or at is not None:
        from flukeprint.keeper.sightings import prior_text, prior_weights
        from flukeprint.records.kinds import read_moment, read_position

        moment = None if date is None else read_moment(date)
        position = None if at is None else read_position(at)
        weights, numbers = prior_weights(identifier, known.identities, moment, position)
        say(prior_text(numbers))
    answer = answer_encounter if encounter else answer_each
    rows = answer(known, paths, log_weights=weights)
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
