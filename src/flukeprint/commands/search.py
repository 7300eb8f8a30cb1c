"""The command that answers what an embedding job embedded, as a batch."""

from pathlib import Path
from typing import Annotated

import typer

from flukeprint.output import say


def search(
    queries: Annotated[Path, typer.Argument(help="What embed-all wrote: its folder or a file.")],
    identifier: Annotated[Path, typer.Option(help="The folder of a trained identifier.")],
    to: Annotated[Path, typer.Option(help="The file of answers, a line of JSON each.")],
) -> None:
    """Name the five likeliest animals for all embedded photographs; the same command goes on."""
    from flukeprint.bulk.search_all import search_all

    try:
        found = search_all(queries, identifier, to, report=say, progress=True)
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was")
        raise typer.Exit(130) from None
    print(found.text())
