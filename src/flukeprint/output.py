"""What a command prints besides its results: progress and warnings, on standard error.

Standard output is kept for results.  On a terminal a stage has a bar; in a file or a pipe it has a
few lines, each whole.
"""

import contextlib
import io
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

FIRST_LINE = 60.0  # s after which a stage without a terminal says how far it is; then at 2, 4, ...
WORTH_A_LINE = 0.5  # s; a shorter stage is not mentioned


class Stage:
    """The progress of one stage, to be used in a `with` statement."""

    def __init__(
        self, title: str | None, total: int, unit: str = "photo", *, leave: bool = True
    ) -> None:
        """Begin a stage.

        title: None shows nothing.  unit: singular of what is counted.
        leave: keep the bar of a terminal when it is full.
        """
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self._bar: tqdm[object] | None = None
        self._start = time.monotonic()
        self._next = FIRST_LINE
        if title is not None and on_terminal():
            self._bar = tqdm(total=total, desc=title, unit=unit, leave=leave, file=sys.stderr)

    def update(self, number: int = 1) -> None:
        """Count `number` more as done."""
        self.done += number
        if self._bar is not None:
            self._bar.update(number)
        elif self.title is not None and (elapsed := time.monotonic() - self._start) > self._next:
            self._next = 2 * elapsed
            say(
                f"{self.title}: {self.done:,} of {self.total:,} {self.unit}s, {elapsed:.0f} s, "
                f"{_remaining(elapsed, self.done, self.total)}"
            )

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self.title is not None and kind is None:
            elapsed = time.monotonic() - self._start
            if elapsed >= WORTH_A_LINE:
                unit = self.unit if self.done == 1 else f"{self.unit}s"
                say(f"{self.title}: {self.done:,} {unit}, {elapsed:.1f} s")


def _remaining(elapsed: float, done: int, total: int) -> str:
    """The rate so far, and the time that the rest takes at it."""
    rate = done / elapsed
    left = (total - done) / rate if rate else 0.0
    unit, length = next(
        (each for each in (("days", 86_400), ("h", 3600), ("min", 60)) if left >= 2 * each[1]),
        ("s", 1),
    )
    return f"{rate:,.3g} a second, {left / length:.0f} {unit} left"


def followed(
    items: Iterable[Item], title: str | None, total: int, unit: str = "photo", *, leave: bool = True
) -> Iterator[Item]:
    """Iterate over `items` as a stage: each counts as done when the next is asked for."""
    with Stage(title, total, unit, leave=leave) as stage:
        for item in items:
            yield item
            stage.update()


def say(line: str) -> None:
    """Print a line on standard error, above the bar where one is shown."""
    tqdm.write(line, file=sys.stderr)


def on_terminal() -> bool:
    """Whether standard error is a terminal, where a line can be written over."""
    return sys.stderr is not None and sys.stderr.isatty()


class Notice(UserWarning):
    """A warning of this package, for its user: one line."""


def only_notices() -> None:
    """For commands: print each `Notice` as one line, and no warning of a library.

    Those speak to programmers, with a path and a line of code.  `python -W` and PYTHONWARNINGS
    show them again.
    """

    def show(
        message: Warning | str, category: type[Warning], *where: object, **further: object
    ) -> None:
        if issubclass(category, Notice):
            say(f"warning: {message}")

    if not sys.warnoptions:
        os.environ.setdefault("TORCH_LOGS", "-all")  # read when torch is imported: errors only
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        warnings.simplefilter("always", Notice)
        warnings.showwarning = show


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Discard what libraries print on standard output, also those in C++, such as torch's graphs.

    For the whole process: what another thread prints there at the same time is lost too.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
