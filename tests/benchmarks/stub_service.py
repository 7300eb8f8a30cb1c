"""A service that answers with what the photograph says, for clients under test."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.harness.load_client import Target


def body(*names: str | None) -> bytes:
    return json.dumps({"answers": [{"identity": name} for name in names]}).encode()


class Stub(BaseHTTPRequestHandler):
    """Answers by what the photograph says."""

    protocol_version = "HTTP/1.1"
    connections: list[tuple[str, int]]  # one entry a request

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        said = re.fullmatch(
            rb'--(\S+)\r\nContent-Disposition: form-data; name="file"; filename="photo"\r\n'
            rb"Content-Type: application/octet-stream\r\n\r\n(\w+)\r\n--\1--\r\n",
            sent,
        )
        assert said is not None
        self.connections.append(self.client_address)
        if said[2] == b"cut":
            self.close_connection = True
            return
        self.send_response({b"busy": 503, b"bad": 422}.get(said[2], 200))
        if said[2] == b"busy":
            self.send_header("Retry-After", "0")
        answer = body(said[2].decode())
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub_service() -> Iterator[Target]:
    Stub.connections = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Target(server.server_address[1], "file")
        server.shutdown()
        thread.join()
