"""The command that gives a person a token for a server, or takes it back."""

from pathlib import Path
from typing import Annotated

import typer


def token(
    name: Annotated[str, typer.Argument(help="Of the person, for the catalogue's history.")],
    people: Annotated[
        Path, typer.Option(help="File of people, serve.people of the server: CSV or YAML.")
    ],
    role: Annotated[
        str, typer.Option(help="look, also review, or also keep (change the catalogue).")
    ] = "look",
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the token back.")] = False,
) -> None:
    """Give a person a token for a server; it is printed once and kept nowhere."""
    from flukeprint.errors import FlukeprintError, nearest
    from flukeprint.serving.people import ROLES, give_token, take_token

    if revoke:
        take_token(people, name)
        print(f"{name} has no token any more: {people}")
        return
    chosen = next((known for known in ROLES if known == role), None)
    if chosen is None:
        raise FlukeprintError(f"--role {role} is none; {nearest(role, ROLES)}")
    print(give_token(people, name, chosen))
