"""Helpers of the ASGI middleware: the requests it applies to, and how a connection is closed."""

from collections.abc import Callable

from starlette.types import Scope

# Path prefixes whose POST requests are meant, or a predicate of an ASGI scope.
Paths = tuple[str, ...] | Callable[[Scope], bool]


def applies_to(paths: Paths) -> Callable[[Scope], bool]:
    """The predicate that tells whether a scope is one of the HTTP requests on `paths`."""
    if callable(paths):
        return lambda scope: scope["type"] == "http" and paths(scope)
    return lambda scope: (
        scope["type"] == "http" and scope["method"] == "POST" and path_of(scope).startswith(paths)
    )


def path_of(scope: Scope) -> str:
    """The path of a request, relative to where the service is mounted."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def closing_header(scope: Scope) -> dict[str, str]:
    """The header that ends the connection; empty for HTTP/2 and later, which forbid it."""
    first_version = str(scope.get("http_version", "1.1")).startswith("1")
    return {"connection": "close"} if first_version else {}
