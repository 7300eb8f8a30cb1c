"""Refuses query parameters that a route does not know, as unknown parts of forms are refused."""

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from flukeprint.errors import listed
from flukeprint.serving.api.asgi import path_of
from flukeprint.serving.api.problems import RefusedError


async def refuse_unknown_query(request: Request) -> None:
    """A dependency of all routes; raises RefusedError for a route of `/v1` alone."""
    if not request.query_params or not path_of(request.scope).startswith("/v1/"):
        return
    route = request.scope.get("route")
    known: list[str] = []
    if isinstance(route, APIRoute):
        known = list(_parameters(route.dependant))
    if not set(request.query_params) <= set(known):
        its = f"its parameters are: {listed(known)}" if known else "it takes none"
        raise RefusedError("invalid", f"query: an unknown parameter; {its}")


def _parameters(dependant: Dependant) -> Iterator[str]:
    """Names of the query parameters of a route and of all that it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _parameters(below)
