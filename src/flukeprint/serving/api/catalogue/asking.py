"""How routes ask the catalogue: read it, change it, and refuse what cannot be."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy as sa

from flukeprint.errors import FlukeprintError, ProblemsError
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.queue.kinds import NotThereError
from flukeprint.records.database import UnusableCatalogueError
from flukeprint.records.kinds import Event
from flukeprint.records.lookup import list_individuals
from flukeprint.records.search import current_animal
from flukeprint.serving.api.catalogue.bodies import Changed
from flukeprint.serving.api.catalogue.telling import event_body
from flukeprint.serving.api.problems import LOG, RefusedError
from flukeprint.serving.catalogue_watch import NoCatalogueError
from flukeprint.serving.service import Service

Result = TypeVar("Result")
READ_REFUSALS = ("no_catalogue", "busy", "invalid")
CHANGE_REFUSALS = (
    "bad_request", "unauthorized", "forbidden", "no_catalogue", "conflict", "busy", "invalid",
    "not_found", "rate_limited",
)  # fmt: skip


@contextlib.contextmanager
def told_refusals(otherwise: str = "conflict") -> Iterator[None]:
    """Turn what the catalogue refuses into problems; otherwise: the kind of what has no other."""
    try:
        yield
    except NoCatalogueError as error:
        raise RefusedError("no_catalogue", str(error)) from None
    except NotThereError as error:
        raise RefusedError("not_found", str(error)) from None
    except UnusableCatalogueError as error:
        LOG.error("the catalogue cannot be used: %s", error)
        raise RefusedError(
            "busy", "the catalogue cannot be used just now; nothing was changed", retry_after=5
        ) from None
    except ProblemsError as error:
        raise RefusedError(otherwise, "; ".join(error.problems[:3])) from None
    except FlukeprintError as error:
        raise RefusedError(otherwise, str(error)) from None


@contextlib.contextmanager
def reading(service: Service) -> Iterator[sa.Connection]:
    """A transaction that sees one state of the catalogue; refusals are problems.

    Not for the event loop: it waits for the database.
    """
    with told_refusals("invalid"), service.database().reading() as connection:
        yield connection


async def changed(service: Service, change: Callable[[Keeper], Event]) -> Changed:
    """Let `change` change the catalogue, and tell the event."""
    with told_refusals():
        return Changed(event=event_body(await service.change(change)))


def name_of_animal(keeper: Keeper, animal: int) -> str:
    """The name of the animal with an id; RefusedError (404) where it is not there any more."""
    with keeper.database.reading() as connection:
        return known_animal(connection, animal)


def known_animal(connection: sa.Connection, animal: int) -> str:
    """As `name_of_animal`, in a transaction."""
    now = current_animal(connection, animal) if animal < 2**31 else None
    if now is None:
        raise RefusedError("not_found", f"the catalogue has no animal {animal}")
    name = list_individuals(connection, ids=[now])[0].name
    if now != animal:
        raise RefusedError(
            "not_found", f"animal {animal} is the same as {name} now: /v1/animals/{now}"
        )
    return name
