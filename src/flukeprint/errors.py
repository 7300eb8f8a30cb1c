"""The one error that a user can cause, and what to do about it.

Every room raises `FlukeprintError` for wrong input.  The doors print it as one
line and leave with a non-zero code; any other exception is a defect of ours.
"""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class FlukeprintError(Exception):
    """Wrong input.  The message says what, where and what to do, in one line."""

    def __init__(self, message: str) -> None:
        # A data loader's worker hands its whole traceback over as the message.
        super().__init__(message.rpartition("flukeprint.errors.FlukeprintError: ")[2].strip())


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message about an unknown `name`: the nearest names, then all of them.

    >>> nearest("arcfase", ["arcface", "triplet"])
    'did you mean arcface? Known: arcface, triplet'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{guess}Known: {', '.join(names)}"


def listed(names: Iterable[object], most: int = 10) -> str:
    """Comma-separated names, cut after `most` with the count of the rest."""
    items = [str(name) for name in names]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports that an optional part asks for; says how to install what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "flukeprint":
            raise
        raise FlukeprintError(
            f"this needs the package {error.name}: pip install 'flukeprint[{extra}]'"
        ) from None
