"""The exception for mistakes of a user, and helpers to word its messages.

Every package raises `FlukeprintError` for wrong input.  The commands print it as one line and
exit with a non-zero status; any other exception is a defect of this package.
"""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

_LONGEST = 2000  # characters of a message


class FlukeprintError(Exception):
    """Raised for wrong input; its message of one line names what is wrong, where, and a remedy.

    problems: lines that are told before it, where several things are wrong at once.
    """

    problems: tuple[str, ...] = ()

    def __init__(self, message: str) -> None:
        # From a data loader's worker the message arrives with its whole traceback before it.
        text = message.rpartition("flukeprint.errors.FlukeprintError: ")[2].strip()
        # Names, cells of tables and texts of libraries may hold line breaks, or be endless.
        text = " ".join(text.splitlines())
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST - 600]} ... {text[-400:]}"
        super().__init__(text)


class ProblemsError(FlukeprintError):
    """Several things are wrong with what a user gave; each is a line of `problems`.

    most: how many are told; the others are counted.
    """

    def __init__(self, problems: Iterable[str], what: str, *, most: int | None = None) -> None:
        told = tuple(problems)
        if len(told) == 1:
            super().__init__(told[0])
            return
        super().__init__(f"{what}: {counted(len(told), 'problem')}; nothing was changed")
        self.problems = told
        if most is not None and len(told) > most:
            self.problems = (*told[:most], f"and {counted(len(told) - most, 'more', 'more')}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Format the end of a message about an unknown `name`: the nearest names, then all of them.

    >>> nearest("arcfase", ["arcface", "triplet"])
    'did you mean arcface? Known: arcface, triplet'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{guess}Known: {', '.join(map(_shortened, names))}"


def listed(names: Iterable[object], most: int = 10) -> str:
    """Join names with commas; after `most` of them only the number of the others is given."""
    items = [_shortened(str(name)) for name in names]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _shortened(name: str) -> str:
    """A name without its middle, where it is longer than any path may be on most systems."""
    return name if len(name) <= 260 else f"{name[:100]} ... {name[-20:]}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Format a number with its noun: `several` is the plural, `one` and an s by default.

    >>> counted(1, "photo"), counted(2500, "photo"), counted(0, "identity", "identities")
    ('1 photo', '2,500 photos', '0 identities')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def check_installed(extra: str, *packages: str) -> None:
    """Refuse missing optional packages, as `needs` does, without importing those that are there."""
    with needs(extra):
        for package in packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(f"no package {package}", name=package)


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Wrap imports of optional packages, so that a missing one names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "flukeprint":
            raise
        raise FlukeprintError(
            f"this needs the package {error.name}: pip install 'flukeprint[{extra}]'"
        ) from None
