"""Commands in processes of their own that need not import torch again.

They are forked from a server process that has imported the package and run nothing, so that each
starts in a fraction of a second, with memory, standard streams and an exit code of its own.
"""

import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.harness.processes import become

ROOT = Path(__file__).parents[1]
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["pytest", "flukeprint.cli", "flukeprint.training.train", "flukeprint.submission.infer"]
)


def start(
    *command: str | Path,
    output: tuple[str, str] = (os.devnull, os.devnull),
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Start `python FILE ...` or `flukeprint ...` at the repository's root.

    Args:
        output: files to which the standard output and the standard error are appended.
        environment: of the process, as for `subprocess`; without it, that of this one.
    """
    words = [str(word) for word in command]
    variables = dict(os.environ if environment is None else environment)
    process = _server.Process(target=become, args=(words, output, variables))
    process.start()
    return process


def call(*command: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and catch what it prints."""
    with tempfile.TemporaryDirectory(prefix="process-") as folder:
        files = (f"{folder}/stdout", f"{folder}/stderr")
        process = start(*command, output=files)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([str(word) for word in command], timeout)
        printed = [Path(file).read_text() if Path(file).exists() else "" for file in files]
    return subprocess.CompletedProcess(command, process.exitcode, *printed)
