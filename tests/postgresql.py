"""A throwaway PostgreSQL server for tests and benchmarks, where its programs are installed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

URL = "FLUKEPRINT_TEST_POSTGRES"  # environment variable: of a server that is there already


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: len(str(p)))
    if found:
        return max(found, key=lambda path: float(path.parts[-3])).parent
    there = shutil.which("initdb")
    return None if there is None else Path(there).resolve().parent


@dataclass
class Server:
    """A server of our own in a temporary folder."""

    bin: Path
    data: Path
    port: int
    durable: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://flukeprint@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # of one that was killed
        flushed = [] if self.durable else ["-F"]
        # The machine goes on when a server is killed: its files need no flush of their own.
        flushed += ["-c", "recovery_init_sync_method=syncfs"]
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_as_nobody_important(), str(self.bin / "postgres"), "-D", str(self.data),
                 "-p", str(self.port), "-k", "", "-h", "127.0.0.1", *flushed],
                stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                self._ask()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError((self.data / "log").read_text()[-1000:])

    def _ask(self) -> None:
        import pg8000.native

        pg8000.native.Connection("flukeprint", "127.0.0.1", "postgres", self.port).close()

    def postmaster(self) -> int:
        """The number of its first process."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def kill(self) -> None:
        """SIGKILL to the first process; its children notice that and end."""
        number = self.postmaster()
        children = _children(number)
        os.kill(number, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(60)
        end = time.monotonic() + 60
        while any(_runs(child) for child in children) and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(self.postmaster(), signal.SIGINT)
            self.process.wait(60)


@contextlib.contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """A new server that is gone after the block; RuntimeError where none can be started.

    durable: it flushes what it has committed to the disk, as a real one does.
    """
    place = programs()
    if place is None:
        raise RuntimeError("no initdb is installed")
    with tempfile.TemporaryDirectory(prefix="flukeprint-postgresql-") as name:
        data = Path(name) / "data"
        data.mkdir(mode=0o700)
        if os.getuid() == 0:
            Path(name).chmod(0o755)
            shutil.chown(data, "postgres", "postgres")
        subprocess.run(
            [*_as_nobody_important(), str(place / "initdb"), "-D", str(data), "-A", "trust",
             "-U", "flukeprint", "-E", "UTF8", "--locale=C", "-N"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        one = Server(place, data, port, durable)
        one.start()
        try:
            yield one
        finally:
            one.stop()


def _as_nobody_important() -> list[str]:
    """The server refuses to run as root."""
    return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _children(number: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == number:
                found.append(int(stat.parent.name))
    return found
