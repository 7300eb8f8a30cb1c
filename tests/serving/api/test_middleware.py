"""All middleware together: its order, and limits of the configuration over HTTP."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import Request

from flukeprint.serving.api.body_limit import BodyLimit
from flukeprint.serving.api.load_limits import (
    Admission,
    Deadline,
    RateLimit,
)
from flukeprint.serving.api.security_headers import SecurityHeaders
from tests.serving.api.asgi_client import WORK, Sender, ask, read_all, service
from tests.serving.api.http_client import (
    connected,
    form,
    head,
    noise,
    post,
    refused,
    well,
)
from tests.serving.served import Served, answer, photo


def test_all_guards_together_in_the_order_that_is_documented() -> None:
    app = service()

    @app.post("/v1/work")
    async def work(request: Request) -> int:
        return await read_all(request)

    admission = Admission(app, 1, paths=WORK)
    guarded = SecurityHeaders(
        BodyLimit(RateLimit(Deadline(admission, 0.05, paths=WORK), 4, paths=WORK), 100)
    )
    good = ask(guarded, Sender([b"abc", b"def"]), headers={"content-length": "6"})
    assert (good.status, good.body) == (200, b"6")
    slow = ask(guarded, Sender([b"a"] * 99, after=0.02), headers={"content-length": "99"})
    assert slow.kind == "slow_upload"
    assert admission.under_way == 0
    big = ask(guarded, Sender([b"a" * 60] * 3), headers={"transfer-encoding": "chunked"})
    assert big.kind == "too_many_bytes"
    admission.under_way = 1
    assert ask(guarded, headers={"content-length": "0"}).kind == "busy"
    assert ask(guarded, headers={"content-length": "0"}).kind == "rate_limited"
    for said in (good, slow, big):
        assert said.headers["x-content-type-options"] == "nosniff"
        assert said.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "guard",
    [
        lambda app: SecurityHeaders(app),
        lambda app: BodyLimit(app, 1),
        lambda app: RateLimit(app, 1, paths=WORK),
        lambda app: Deadline(app, 0.001, paths=lambda scope: True),
        lambda app: Admission(app, 1, paths=lambda scope: True),
    ],
)
def test_lifespan_passes_every_guard(
    guard: Callable[[Any], Callable[..., Awaitable[None]]],
) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        await asyncio.sleep(0.005)
        seen.append(given)

    given = ({"type": "lifespan"}, Sender(), None)
    asyncio.run(guard(app)(*given))  # type: ignore[arg-type]
    assert seen == [given]


def test_limits_are_those_of_the_configuration(limited: Served) -> None:
    with connected(limited, "127.0.0.2") as client:
        about = well(client.get("/v1/about"))
        assert about["max_bytes"] == 200_000
        assert about["max_photos"] == 2
        assert "0.1907 MiB" in refused(
            post(client, "identify", bytes(200_001)), 413, "too_many_bytes"
        )
        assert "100000" in refused(
            post(client, "identify", noise(317)[:999]), 413, "too_many_pixels"
        )
        two = [noise(240, seed) for seed in range(2)]  # each is allowed, together they are not
        assert well(post(client, "identify", two[0]))
        assert "MiB" in refused(post(client, "identify", *two * 2), 413, "too_many_bytes")
        refused(post(client, "identify", *[photo()] * 3), 422, "too_many_photographs")


def test_a_full_queue_says_when_to_come_back_and_loses_nobody(limited: Served) -> None:
    body = form(photo(3))
    with limited.dial("127.0.0.3") as line, connected(limited, "127.0.0.4") as other:
        line.sendall(head(body) + body[:100])  # holds the only place
        time.sleep(0.7)
        busy = post(other, "identify", photo(4))
        assert "try again" in refused(busy, 503, "busy")
        assert int(busy.headers["retry-after"]) >= 1
        assert well(other.get("/v1/health"))  # which costs nothing
        line.sendall(body[100:])
        status, headers, said = answer(line)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(said)["photos"] == 1
        assert well(post(other, "identify", photo(4)))


def test_a_hasty_address_waits_and_others_do_not(limited: Served) -> None:
    origin = {"Origin": "https://whales.example"}
    with connected(limited, "127.0.0.5") as hasty, connected(limited, "127.0.0.6") as other:
        said = [hasty.post("/v1/identify", headers=origin) for _ in range(70)]
        assert [one.status_code for one in said[:60]] == [415] * 60
        last = said[-1]
        assert "too many requests" in refused(last, 429, "rate_limited")
        assert 1 <= int(last.headers["retry-after"]) <= 2
        assert last.headers["access-control-allow-origin"] == "https://whales.example"
        assert "retry-after" in last.headers["access-control-expose-headers"].lower()
        pretence = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
        refused(hasty.post("/v1/identify", headers=pretence), 429, "rate_limited")
        assert well(post(other, "identify", photo()))
        assert well(hasty.get("/v1/about"))
