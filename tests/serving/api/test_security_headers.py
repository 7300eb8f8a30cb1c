"""Security headers and CORS, alone and on every kind of answer of a server."""

from typing import Any

import httpx2
from fastapi.responses import PlainTextResponse

from flukeprint.serving.api.security_headers import SecurityHeaders
from tests.serving.api.asgi_client import ask, counting
from tests.serving.api.http_client import WORK, connected, post
from tests.serving.served import Served, photo


def test_every_answer_gets_the_headers() -> None:
    headers = ask(SecurityHeaders(counting)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["permissions-policy"] == "camera=(self), geolocation=(), microphone=()"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"
    assert headers["content-length"] == "1"


def test_the_headers_leave_room_for_what_an_answer_says() -> None:
    async def cached(scope: Any, receive: Any, send: Any) -> None:
        own = {"Cache-Control": "max-age=60", "content-security-policy": "default-src 'self'"}
        own["Referrer-Policy"] = "origin"
        await PlainTextResponse("", headers=own)(scope, receive, send)

    said = ask(SecurityHeaders(cached, cors=True))
    assert said.headers["cache-control"] == "max-age=60"
    assert said.headers["referrer-policy"] == "origin"
    assert said.headers["content-security-policy"] == "default-src 'self'"
    assert "cross-origin-resource-policy" not in said.headers
    assert len(said.messages[0]["headers"]) == len(said.headers)  # none twice
    by_path = SecurityHeaders(counting, lambda scope: f"img-src {scope['path']}")
    page = ask(by_path, path="/page").headers
    assert page["content-security-policy"] == "img-src /page; frame-ancestors 'none'"
    assert "cache-control" not in page


def test_other_sites_may_call_only_where_they_are_named(
    client: httpx2.Client, limited: Served
) -> None:
    def ask(client: httpx2.Client, origin: str) -> tuple[httpx2.Response, httpx2.Response]:
        wish = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return (
            client.get("/v1/about", headers={"Origin": origin}),
            client.request("OPTIONS", "/v1/identify", headers=wish),
        )

    for one in ask(client, "https://whales.example"):
        assert not [name for name in one.headers if name.startswith("access-control")]
        assert one.headers["cross-origin-resource-policy"] == "same-origin"
    with connected(limited) as open_one:
        answered, before = ask(open_one, "https://whales.example")
        for one in (answered, before):
            assert one.status_code == 200
            assert one.headers["access-control-allow-origin"] == "https://whales.example"
            assert "access-control-allow-credentials" not in one.headers
        for one in ask(open_one, "https://elsewhere.example"):
            assert "access-control-allow-origin" not in one.headers


def test_every_answer_carries_the_security_headers(client: httpx2.Client, limited: Served) -> None:
    fixed = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }
    said = [
        client.get(path)
        for path in (
            "/", "/docs", "/docs-assets/swagger-ui.css", "/docs-assets/x", "/openapi.json",
            "/nothing", "/v1/about", "/v1/nothing", "/v1/photos/0", "/v1/photos/x",
            "/v1/identify", "/v1/identify/", "/map/points", "/assets/x/page.css",
        )
    ]  # fmt: skip
    said += [post(client, work, data) for work in WORK for data in (photo(), b"x", b"")]
    said += [client.post("/v1/identify"), client.post("/v1/enroll"), client.post("/")]
    said += [client.post("/v1/identify", content=bytes(65 * 2**20))]
    said += [client.post("/fragments/identify", content=b"{")]
    with connected(limited) as other:
        said += [post(other, "identify", bytes(400_000))]
    statuses = {one.status_code for one in said}
    assert {200, 307, 403, 404, 405, 413, 415, 422} == statuses
    for one in said:
        assert {name: one.headers.get(name) for name in fixed} == fixed, one.url
        policy = one.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "server" not in one.headers
        if one.url.path.startswith("/v1/"):
            assert "script-src" not in policy
            assert "cache-control" in one.headers
