"""Rate limit, deadline and admission, with injected clocks."""

import asyncio
import math
import threading
from fractions import Fraction
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from flukeprint.serving.api.body_limit import BodyLimit
from flukeprint.serving.api.load_limits import (
    Admission,
    Buckets,
    Deadline,
    RateLimit,
    client_address,
)
from flukeprint.serving.api.problems import install
from tests.serving.api.asgi_client import (
    WORK,
    Clock,
    Said,
    Sender,
    ask,
    call,
    counting,
    read_all,
)


@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 64 * 90), st.sampled_from("abc")), max_size=120),
)
def test_buckets_are_those_of_exact_arithmetic(
    per_minute: int, visits: list[tuple[int, str]]
) -> None:
    """The reference replays each address's history in exact fractions, in steps of 1/64 s."""
    clock = Clock()
    buckets = Buckets(per_minute, clock=clock)
    now = Fraction(1000)
    history: dict[str, list[Fraction]] = {}
    for step, address in visits:
        now += Fraction(step, 64)
        clock.now = float(now)
        tokens, then = Fraction(per_minute), Fraction(1000)
        for taken_at in history.get(address, []):
            tokens = min(per_minute, tokens + (taken_at - then) * per_minute / 60) - 1
            then = taken_at
        tokens = min(per_minute, tokens + (now - then) * per_minute / 60)
        wait = buckets.take(address)
        if tokens >= 1:
            assert wait == 0
            history.setdefault(address, []).append(now)
        else:
            assert wait == pytest.approx(float((1 - tokens) * 60 / per_minute), abs=1e-6)


@given(st.integers(1, 300), st.integers(0, 50))
def test_who_waits_as_told_is_admitted(per_minute: int, sixtyfourths: int) -> None:
    clock = Clock()
    buckets = Buckets(per_minute, clock=clock)
    assert [buckets.take("a") for _ in range(per_minute)] == [0] * per_minute
    clock.now += sixtyfourths / 64 / per_minute
    wait = buckets.take("a")
    assert wait > 0
    clock.now += math.ceil(wait)
    assert buckets.take("a") == 0


def test_the_table_forgets_who_was_not_seen_for_longest() -> None:
    buckets = Buckets(1, most=3, clock=Clock())
    for address in "abc":
        assert buckets.take(address) == 0
    assert buckets.take("a") > 0  # seen again: b is now the oldest
    assert buckets.take("d") == 0
    assert len(buckets) == 3
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0  # forgotten, so it is new
    assert len(buckets) == 3


def test_too_many_requests_wait_as_long_as_told() -> None:
    clock = Clock()
    app = RateLimit(counting, 2, paths=WORK, clock=clock)
    assert [ask(app).status for _ in range(2)] == [200, 200]
    clock.now += 0.5
    said = ask(app)
    assert (said.status, said.kind, said.headers["retry-after"]) == (429, "rate_limited", "30")
    assert ask(app, client=("192.0.2.2", 1)).status == 200
    assert ask(app, path="/v1/other").status == 200
    assert ask(app, method="GET").status == 200
    clock.now += 30
    assert ask(app).status == 200
    assert ask(app).status == 429
    assert ask(app, path="/mounted/v1/work", root_path="/mounted").status == 429


def test_a_predicate_and_no_limit() -> None:
    app = RateLimit(counting, 1, paths=lambda scope: scope["method"] == "GET", clock=Clock())
    assert [ask(app, method="GET").status for _ in range(2)] == [200, 429]
    assert [ask(app).status for _ in range(3)] == [200] * 3
    free = RateLimit(counting, 0, paths=WORK)
    assert [ask(free).status for _ in range(9)] == [200] * 9


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("testclient", "other", False),
    ],
)
def test_an_address_is_one_household(one: str, other: str, same: bool) -> None:
    keys = [client_address({"client": (host, 5)}) for host in (one, other)]
    assert (keys[0] == keys[1]) == same


def test_who_has_no_address_is_counted_as_one() -> None:
    assert client_address({"client": None}) == client_address({}) == ""
    assert len(client_address({"client": ("x" * 9999, 0)})) <= 64


async def sleeping(scope: Any, receive: Any, send: Any) -> None:
    await read_all(Request(scope, receive))
    await asyncio.sleep(60)


def test_work_that_takes_too_long_is_504() -> None:
    said = ask(Deadline(sleeping, 0.02, paths=WORK), Sender([b"a", b"b"]))
    assert (said.status, said.kind) == (504, "timeout")


def test_a_body_that_takes_too_long_is_408() -> None:
    sender = Sender([b"a"] * 1000, after=0.005)
    said = ask(Deadline(sleeping, 0.03, paths=WORK), sender)
    assert (said.status, said.kind, said.headers["connection"]) == (408, "slow_upload", "close")
    said = ask(
        BodyLimit(Deadline(sleeping, 0.02, paths=WORK), 10**6),
        Sender([b"a"] * 1000, after=0.005),
        headers={"transfer-encoding": "chunked"},
    )
    assert said.status == 408
    assert len(said.messages) == 2  # a slow sender is not waited for any longer


def test_waiting_for_the_client_to_leave_is_not_a_slow_body() -> None:
    async def listening(scope: Any, receive: Any, send: Any) -> None:
        await read_all(Request(scope, receive))
        await receive()

    assert ask(Deadline(listening, 0.02, paths=WORK)).kind == "timeout"


def test_work_in_a_thread_does_not_hold_the_answer_back() -> None:
    app = FastAPI()
    install(app)
    free = threading.Event()

    @app.post("/v1/work")
    def work() -> None:
        free.wait(20)

    async def go() -> tuple[Said, bool]:
        said = await call(Deadline(app, 0.05, paths=WORK))
        was_free = free.is_set()
        free.set()
        return said, was_free

    said, was_free = asyncio.run(go())
    assert said.kind == "timeout"
    assert not was_free


def test_an_answer_that_has_begun_is_cut_off() -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.sleep(60)

    said = ask(Deadline(endless, 0.02, paths=WORK))
    assert (said.status, said.body, said.whole) == (200, b"begun", False)


def test_other_cancellations_and_timeouts_are_not_the_deadlines() -> None:
    async def own(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("of a database")

    with pytest.raises(TimeoutError, match="of a database"):
        ask(Deadline(own, 5, paths=WORK))

    async def cancelled() -> None:
        task = asyncio.create_task(call(Deadline(sleeping, 5, paths=WORK)))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())

    async def around() -> None:
        async with asyncio.timeout(0.02):
            await call(Deadline(sleeping, 5, paths=WORK))

    with pytest.raises(TimeoutError):
        asyncio.run(around())


def test_other_paths_have_no_deadline() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.03)
        await PlainTextResponse("done")(scope, receive, send)

    assert ask(Deadline(slow, 0.01, paths=WORK), path="/page").body == b"done"
    assert ask(Deadline(slow, 0.01, paths=WORK)).status == 504


def test_one_too_many_is_turned_away_unread() -> None:
    clock = Clock()
    gate = asyncio.Event()

    async def held(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await counting(scope, receive, send)

    async def go() -> None:
        app = Admission(held, 2, paths=WORK, clock=clock)
        tasks = [asyncio.create_task(call(app)) for _ in range(2)]
        await asyncio.sleep(0)
        assert app.under_way == 2
        sender = Sender([b"x"])
        said = await call(app, sender)
        assert (said.status, said.kind, said.headers["retry-after"]) == (503, "busy", "1")
        assert sender.asked == 0
        clock.now += 20
        gate.set()
        assert [(await task).status for task in tasks] == [200, 200]
        assert app.under_way == 0
        assert (await call(app)).status == 200

        gate.clear()
        tasks = [asyncio.create_task(call(app)) for _ in range(2)]
        await asyncio.sleep(0)
        later = await call(app)
        assert later.status == 503
        assert 1 < int(later.headers["retry-after"]) <= 20  # of late they took 20 s
        other = asyncio.create_task(call(app, path="/v1/other"))
        await asyncio.sleep(0)
        assert app.under_way == 2
        gate.set()
        assert (await other).status == 200
        await asyncio.gather(*tasks)

    asyncio.run(go())


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError, ClientDisconnect])
def test_a_place_is_given_back_whatever_happens(error: type[BaseException]) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise error()

    async def go() -> None:
        app = Admission(fails, 1, paths=WORK)
        for _ in range(3):
            with pytest.raises(error):
                await call(app)
        assert app.under_way == 0

    asyncio.run(go())
