"""Start a web server in its own process, and measure its memory and processor time; run commands.

Measures are read from /proc, so this works on Linux only.
"""

import contextlib
import os
import platform
import re
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.harness.places import ROOT
from flukeprint.errors import FlukeprintError

ADDRESS = re.compile(r"^page\s+http://127\.0\.0\.1:(\d+)/", re.MULTILINE)
START_TIMEOUT = 180.0  # seconds for a server to become ready


def become(words: Sequence[str], outputs: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run `python FILE ...` or `flukeprint ...` in this forked process, at the repository's root.

    outputs: files to which the standard output and the standard error are appended.
    """
    for descriptor, name in enumerate(outputs, start=1):
        with contextlib.suppress(OSError, ValueError):
            (sys.stdout, sys.stderr)[descriptor - 1].flush()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    if words[0] == "python":
        sys.argv = list(words[1:])
        runpy.run_path(words[1], run_name="__main__")
    else:
        sys.argv = list(words)
        runpy.run_module(words[0], run_name="__main__")


def use_checkout(root: Path) -> None:
    """Let Python processes that are started from now on import the code of the checkout `root`."""
    later = os.environ.get("PYTHONPATH")
    paths = [str(root.absolute() / "src"), *([later] if later else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


@dataclass(frozen=True)
class Server:
    """A running server; start_seconds: from the start of its process until it was ready."""

    port: int
    pid: int
    start_seconds: float

    def memory_mb(self) -> float:
        """Resident memory now, in MiB."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        if found is None:
            raise FlukeprintError(f"process {self.pid} has ended; run the benchmark again")
        return int(found[1]) / 1024

    def cpu_seconds(self) -> float:
        """Processor time of the process until now, user and system."""
        # Fields 14 and 15 of proc(5), counted after the program's name, which may hold blanks.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(command: Sequence[str], threads: int | None = None) -> Iterator[Server]:
    """Run a server in a process of its own until the block ends.

    Args:
        command: started in the repository's folder; prints its address in a line `page  http://...`.
        threads: OMP_NUM_THREADS of the process; None for PyTorch's own number.

    Raises FlukeprintError when the process ends, or is not ready in time.
    """
    with tempfile.TemporaryFile("w+") as output:  # a pipe that nobody reads would block it
        begin = time.perf_counter()
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            port = None
            while port is None or not _ready(port):
                if process.poll() is not None or time.perf_counter() - begin > START_TIMEOUT:
                    raise FlukeprintError(
                        f"the server did not start: {_last_line(output.fileno())}"
                    )
                time.sleep(0.02)
                found = ADDRESS.search(_text(output.fileno()))
                port = None if found is None else int(found[1])
            yield Server(port, process.pid, time.perf_counter() - begin)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _text(handle: int) -> str:
    # pread leaves the file position, at which the process writes, where it is.
    return os.pread(handle, 1 << 16, 0).decode(errors="replace")


def _last_line(handle: int) -> str:
    lines = _text(handle).strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def machine_text() -> str:
    """The processor, cores, memory and versions, as text for a report."""
    import torch

    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.machine() if found is None else found[1].strip()}, "
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory, "
        f"Python {platform.python_version()}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads"
    )


def family(process: int) -> list[int]:
    """A process and all that descend from it, while they live."""
    found = [process]
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            found += family(int(child))
    return found


def busy_seconds() -> float:
    """Processor time of the whole machine until now, summed over cores; stolen time counts."""
    numbers = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = numbers[3] + numbers[4]  # proc(5): user, nice, system, idle, iowait, ...
    return (sum(numbers) - idle) / os.sysconf("SC_CLK_TCK")
