"""Server processes and the machine under them: a command enters, a running server leaves.

Memory and processor time are read from /proc, so this measures on Linux alone.
"""

import contextlib
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from flukeprint.errors import FlukeprintError

ADDRESS = re.compile(r"^page\s+http://127\.0\.0\.1:(\d+)/", re.MULTILINE)
PATIENCE = 180.0  # seconds for a server to become ready


@dataclass(frozen=True)
class Server:
    """A running server; start_seconds from the start of the process until it said it was ready."""

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
        # Behind the program's name, which may hold blanks: fields 14 and 15 of proc(5).
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(command: Sequence[str], threads: int | None = None) -> Iterator[Server]:
    """A server in a process of its own until the block ends; it prints its address as `page`.

    threads: of PyTorch, instead of its own number.

    Raises FlukeprintError when it ends, or is not ready in time.
    """
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody empties would stop it
        begin = time.perf_counter()
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            port = None
            while port is None or not _ready(port):
                if process.poll() is not None or time.perf_counter() - begin > PATIENCE:
                    raise FlukeprintError(f"the server did not start: {_end_of(said.fileno())}")
                time.sleep(0.02)
                found = ADDRESS.search(_text(said.fileno()))
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
    # Read at a place of its own: the process writes on where the file's position is.
    return os.pread(handle, 1 << 16, 0).decode(errors="replace")


def _end_of(handle: int) -> str:
    lines = _text(handle).strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def machine() -> str:
    """Processor, cores, and the versions of what computes."""
    import torch

    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{platform.machine() if found is None else found[1].strip()}, "
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory, "
        f"Python {platform.python_version()}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads"
    )


def busy_seconds() -> float:
    """Processor time of the whole machine until now, of all cores together; stolen time is busy."""
    numbers = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = numbers[3] + numbers[4]  # proc(5): user, nice, system, idle, iowait, ...
    return (sum(numbers) - idle) / os.sysconf("SC_CLK_TCK")
