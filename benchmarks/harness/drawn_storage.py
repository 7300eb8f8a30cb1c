"""A storage whose photographs are drawn when they are read, so that no disk has to hold them.

`drawn://SEED/000000123.jpg` is a JPEG of 24 x 16 random pixels that depends on both numbers alone.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import fsspec
import numpy as np
from fsspec.spec import AbstractFileSystem
from PIL import Image

WIDTH, HEIGHT = 24, 16


def draw(seed: int, number: int) -> bytes:
    """A JPEG of some 900 bytes."""
    rng = np.random.default_rng((seed, number))
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=80)
    return out.getvalue()


class DrawnStorage(AbstractFileSystem):
    """The storage `drawn://`, for `register`."""

    protocol = "drawn"
    cachable = False

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        """The photograph of an address."""
        seed, _, name = self._strip_protocol(path).strip("/").partition("/")
        return draw(int(seed), int(name.partition(".")[0]))[start:end]


def register() -> None:
    """Make `drawn://` known in this process."""
    fsspec.register_implementation("drawn", DrawnStorage, clobber=True)


class Web:
    """A web server of drawn photographs.

    slow: s that each answer takes.  fails: of how many answers one is 503; 0: none.
    down: answer 503 to everything.
    """

    def __init__(self, seed: int) -> None:
        self.slow, self.fails, self.down = 0.0, 0, False
        self.asked, self.refused = 0, 0
        storage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                storage.asked += 1
                time.sleep(storage.slow)
                fails = storage.fails and storage.asked % storage.fails == 0
                if storage.down or fails:
                    storage.refused += 1
                    self.send_error(503)
                    return
                data = draw(seed, int(self.path.rpartition("/")[2].partition(".")[0]))
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/photos"

    @contextmanager
    def running(self) -> Iterator["Web"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
