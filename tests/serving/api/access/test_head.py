"""HEAD is answered wherever GET is, with its headers and without its body."""

import httpx2
import pytest

from tests.serving.api.http_client import refused
from tests.serving.served import Served


@pytest.mark.parametrize(
    "path", ["/v1/health", "/v1/ready", "/v1/about", "/v1/photos/0", "/v1/map", "/docs", "/"]
)
def test_head_has_the_headers_of_get(client: httpx2.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert got.content
    assert not head.content
    for name in ("content-type", "content-length", "content-security-policy"):
        assert head.headers[name] == got.headers[name]


def test_head_on_a_line_sends_no_body(server: Served) -> None:
    with server.dial() as line:
        line.sendall(b"HEAD /v1/about HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        said = b""
        while part := line.recv(65536):
            said += part
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_head_of_what_takes_no_get_is_refused(client: httpx2.Client) -> None:
    said = client.head("/v1/identify")
    assert (said.status_code, said.headers["allow"]) == (405, "POST")
    assert refused(client.get("/v1/identify"), 405, "method_not_allowed")
    assert client.head("/v1/photos/125").status_code == 404
