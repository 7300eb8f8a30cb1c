"""Routing: wrong addresses, methods and parameters, and paths that try to leave what is served."""

import httpx2
import pytest

from tests.serving.api.http_client import refused
from tests.serving.served import Served, answer


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/photos/125", 404, "not_found"),
        ("GET", "/v1/photos/125/similar", 404, "not_found"),
        ("GET", "/v1/examples/6", 404, "not_found"),
        ("GET", "/docs-assets/nothing.js", 404, "not_found"),
        ("GET", "/v1/photos/-1", 422, "invalid"),
        ("GET", "/v1/photos/1e3", 422, "invalid"),
        ("GET", f"/v1/photos/{10**30}", 422, "invalid"),
        ("GET", "/v1/photos/1/similar?most=49", 422, "invalid"),
        ("GET", "/v1/classes?offset=-1", 422, "invalid"),
        ("GET", "/v1/classes?limit=501", 422, "invalid"),
        ("GET", "/v1/classes?limit=", 422, "invalid"),
        ("GET", "/v1/classes?limits=3", 422, "invalid"),
        ("GET", "/v1/classes?limit=3&SECRET=3", 422, "invalid"),
        ("GET", "/v1/health?x", 422, "invalid"),
        ("POST", "/v1/identify?top=5", 422, "invalid"),
        ("GET", "/v1/identify", 405, "method_not_allowed"),
        ("PUT", "/v1/identify", 405, "method_not_allowed"),
        ("POST", "/v1/health", 405, "method_not_allowed"),
        ("POST", "/v1/identify", 415, "unsupported_media_type"),
        ("POST", "/v1/enroll", 403, "forbidden"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    client: httpx2.Client, method: str, path: str, status: int, kind: str
) -> None:
    answered = client.request(method, path)
    assert refused(answered, status, kind)
    if status == 405:
        assert answered.headers["allow"] in ("GET, HEAD", "POST")


@pytest.mark.parametrize(
    "path",
    [
        "/docs-assets/../../../pyproject.toml",
        "/docs-assets/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/docs-assets/%2e%2e/%2e%2e/etc/passwd",
        "/docs-assets//etc/passwd",
        "/assets/../server.py",
        "/assets/..%2fserver.py",
        "/assets/..%5c..%5cserver.py",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/assets/x/..%2f..%2fapp.py",
        "/assets/../../server.py",
        "/assets/x/..%2f..%2fetc%2fpasswd",
        "/v1/photos/..%2f..%2fetc%2fpasswd",
        "/v1/photos/0/../../../etc/passwd",
        "/v1/examples/..%00",
        "//etc/passwd",
        "/../../../../etc/passwd",
        "/%00",
        "/identifier.json",
    ],
)
def test_no_path_leads_out_of_what_is_served(server: Served, path: str) -> None:
    with server.dial() as line:
        asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        line.sendall(asked.encode())
        status, _, body = answer(line)
    assert status in (400, 404, 422)
    for word in (b"root:", b"import ", b"[project]", b"stamp"):
        assert word not in body
