"""Enroll over HTTP, one animal after the other, and remember what was confirmed."""

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.endurance.processes import Started, wait_until

TOKEN = "a token for endurance alone"
TOKEN_VARIABLE = "FLUKEPRINT_ENROLL_TOKEN"
BOUNDARY = "a-boundary-that-no-photograph-holds"
ADDRESS = re.compile(r"^page\s+http://127\.0\.0\.1:(\d+)/", re.MULTILINE)


def words(identifier: Path) -> list[str | Path]:
    """The command that serves the identifier on a free port."""
    return ["flukeprint", "serve", "--identifier", identifier, "--port", "0", "--enroll"]


@contextlib.contextmanager
def token_set() -> Iterator[None]:
    """The token is in the environment of commands that the block starts."""
    os.environ[TOKEN_VARIABLE] = TOKEN
    try:
        yield
    finally:
        del os.environ[TOKEN_VARIABLE]


def form(photo: bytes, fields: dict[str, str]) -> bytes:
    """A multipart/form-data body (RFC 7578) of one photograph and text fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields.items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photos"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return b"".join([*parts, head.encode(), photo, f"\r\n--{BOUNDARY}--\r\n".encode()])


class Client:
    """Enrolls animals `NAME 0`, `NAME 1`, ... until it is stopped or the server is gone.

    confirmed: names that were answered 201.  pending: at most one, without an answer.
    """

    def __init__(self, photographs: Iterator[Path], name: str) -> None:
        self.confirmed: list[str] = []
        self.pending: list[str] = []
        self.faults: list[str] = []
        self._photographs, self._name = photographs, name
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, started: Started) -> None:
        """Wait until the server listens, then enroll in a thread."""
        ready = wait_until(
            lambda: ADDRESS.search(started.said()) or started.code() is not None, 120
        )
        found = ADDRESS.search(started.said())
        if not ready or found is None:
            self.faults.append(f"the server did not start: {started.said()[-300:]}")
            return
        self._thread = threading.Thread(target=self._run, args=(int(found[1]),))
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join(60)

    def wait_for_one(self) -> None:
        """Wait until something was confirmed, or the client has ended."""
        wait_until(
            lambda: self.confirmed or self._thread is None or not self._thread.is_alive(), 60
        )

    def _run(self, port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Authorization": f"Bearer {TOKEN}",
        }
        while not self._over.is_set():
            name = f"{self._name} {len(self.confirmed)}"
            body = form(
                next(self._photographs).read_bytes(), {"identity": name, "keep_photos": "yes"}
            )
            self.pending = [name]
            try:
                connection.request("POST", "/v1/enroll", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, HTTPException):
                return
            self.pending = []
            if answer.status != 201:
                self.faults.append(f"enrolling was answered {answer.status}: {text[:200]!r}")
                return
            self.confirmed.append(name)
