"""Start commands that can be killed as a whole group, most of them forked from a warm process.

The warm process has imported the package and run nothing, so that a command starts in a fraction of
a second; `true=True` starts Python anew, as a user does.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.harness.places import ROOT
from benchmarks.harness.processes import become

WARM = (
    "flukeprint.cli",
    "flukeprint.training.train",
    "flukeprint.submission.infer",
    "flukeprint.serving.server",
)
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload([*WARM, "benchmarks.endurance.targets"])


@dataclass
class Started:
    """A running command, alone in its process group."""

    process: "BaseProcess | subprocess.Popen[bytes]"
    output: Path

    @property
    def pid(self) -> int:
        pid = self.process.pid
        assert pid is not None
        return pid

    def code(self) -> int | None:
        """The exit status; None while it runs."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        return self.process.exitcode

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; the exit status, or None if it still runs."""
        if isinstance(self.process, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        else:
            self.process.join(seconds)
        return self.code()

    def kill(self) -> None:
        """SIGKILL to the whole group, as a power cut or the kernel's memory killer would."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(60)

    def said(self) -> str:
        """What it has printed so far, standard output and error."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""


@contextlib.contextmanager
def command(*words: str | Path, true: bool = False, **more: str) -> Iterator[Started]:
    """Run `python FILE ...` or `flukeprint ...` in the repository until the block ends.

    more: environment variables.
    """
    text = [str(word) for word in words]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        output = Path(folder) / "output"
        if true:
            head = [sys.executable, *(["-m"] if text[0] == "flukeprint" else [])]
            with output.open("wb") as file:
                process: BaseProcess | subprocess.Popen[bytes] = subprocess.Popen(
                    [*head, *(text[1:] if text[0] == "python" else text)], cwd=ROOT,
                    env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
        else:
            process = forkserver.Process(target=_run, args=(text, str(output), variables))
            process.start()
        started = Started(process, output)
        try:
            yield started
        finally:
            if started.code() is None:
                started.kill()


def finished(*words: str | Path, seconds: float = 120, true: bool = False) -> tuple[int, str]:
    """Run a command to its end: exit status and output; -1 where it hangs."""
    with command(*words, true=true) as started:
        code = started.wait(seconds)
        if code is None:
            return -1, f"still running after {seconds:g} s: {started.said()[-300:]}"
        return code, started.said()


def wait_until(true: "object", seconds: float) -> bool:
    """Wait until `true()` holds; False where it does not in time."""
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def _run(words: list[str], output: str, environment: dict[str, str]) -> None:
    os.setsid()
    become(words, (output, output), environment)
