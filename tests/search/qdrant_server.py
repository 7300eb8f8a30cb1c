"""Qdrant's REST interface before its embedded mode or its engine, answering as a server does.

Everything that the client sends is parsed by the client's own schema.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qdrant_client import QdrantClient, models

from flukeprint.config.ranking import GalleryConfig
from tests.search.edge_engine import EdgeEngine

KEY = "a key that nobody may see"


class Server(ThreadingHTTPServer):
    """Qdrant's REST interface, as far as galleries need it; by default before the embedded mode."""

    def __init__(
        self, key: str | None = None, qdrant: QdrantClient | EdgeEngine | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.key = key
        self.qdrant: Any = qdrant or QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str, Any]] = []  # method, path, body
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, path: str) -> list[Any]:
        """Of the requests whose path ends so."""
        return [body for _, where, body in self.seen if where.endswith(path)]


class Answers(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = self.path.partition("?")[0].replace("%40", "@")
        self.server.seen.append((self.command, path, body))
        if self.server.key is not None and self.headers.get("api-key") != self.server.key:
            self.say(401, {"status": {"error": "Must provide an API key"}})
            return
        try:
            with self.server.lock:
                result = self.result(path, body)
        except ValueError as error:
            status = 404 if "not found" in str(error) else 400
            self.say(status, {"status": {"error": str(error)}, "time": 0})
            return
        if hasattr(result, "model_dump"):
            result = result.model_dump(mode="json")
        self.say(200, {"result": result, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = answer

    def say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def result(self, path: str, body: Any) -> Any:
        q, method = self.server.qdrant, self.command
        if path == "/aliases":
            return q.get_aliases()
        if path == "/collections":
            return q.get_collections()
        if path == "/collections/aliases":
            return q.update_collection_aliases(models.ChangeAliasesOperation(**body).actions)
        found = re.fullmatch(r"/collections/([^/]+)(/.*)?", path)
        assert found is not None, path
        name, what = found[1], found[2] or ""
        if (method, what) == ("PUT", ""):
            asked = models.CreateCollection(**body)
            return q.create_collection(
                name, asked.vectors, metadata=asked.metadata, hnsw_config=asked.hnsw_config,
                quantization_config=asked.quantization_config,
            )  # fmt: skip
        if (method, what) == ("DELETE", ""):
            return q.delete_collection(name)
        if (method, what) == ("GET", ""):
            return q.get_collection(name)
        done = {"operation_id": 0, "status": "completed"}
        if (method, what) == ("PUT", "/index"):
            field = models.CreateFieldIndex(**body)
            if isinstance(q, EdgeEngine):  # the embedded mode has none
                q.create_payload_index(name, field.field_name, field.field_schema)
            return done
        if (method, what) == ("PUT", "/points"):
            q.upsert(name, models.PointsList(**body).points)
            return done
        if (method, what) == ("POST", "/points"):
            wanted = models.PointRequest(**body)
            points = q.retrieve(name, wanted.ids, with_payload=wanted.with_payload)
            return [point.model_dump(mode="json") for point in points]
        if (method, what) == ("POST", "/points/delete"):
            q.delete(name, models.PointIdsList(**body))
            return done
        if (method, what) == ("POST", "/points/count"):
            return q.count(name)
        if (method, what) == ("POST", "/points/query/batch"):
            batch = models.QueryRequestBatch(**body)
            return [
                one.model_dump(mode="json") for one in q.query_batch_points(name, batch.searches)
            ]
        raise AssertionError(f"{method} {path}")


def config(url: str | None = None, **keys: Any) -> GalleryConfig:
    return GalleryConfig(backend="qdrant", url=url, **keys)
