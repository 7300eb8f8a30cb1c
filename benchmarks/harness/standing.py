"""A benchmark's module in a process of its own that stays, and answers line by line."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping

from benchmarks.harness.places import ROOT, module_command


@contextlib.contextmanager
def standing(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Callable[[str], str]]:
    """A process that is started once and asked again and again, so that only its work is timed.

    Gives a function that hands a line to the process and gives its answer; it raises SystemExit
    with the end of what the process has said if that ends instead.
    """
    command = module_command(module, *arguments)
    # What it says goes to a file: a pipe that nobody reads would block it.
    with tempfile.TemporaryFile() as said, subprocess.Popen(
        command, cwd=ROOT, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
        env={**os.environ, **(environment or {})},
    ) as process:  # fmt: skip

        def ask(line: str) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended; that is told below
                process.stdin.write(f"{line}\n".encode())
            answered = process.stdout.readline()
            if not answered:
                code = process.wait()
                said.seek(0)
                told = said.read().decode(errors="replace")[-2000:]
                raise SystemExit(f"{' '.join(command[1:])} ended with {code}: {told}")
            return answered.decode().rstrip("\n")

        yield ask


def answer(reply: Callable[[str], object]) -> None:
    """Main function of such a process: a line of standard output for every line of standard input.

    What `reply` prints goes to the standard error.
    """
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            print(reply(line.rstrip("\n")), file=out, flush=True)
