"""Batches of the network: sharing, cancelling and failing, compared with examining one by one."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.identifier.photo_input import Prepared
from flukeprint.ranking.features import Features
from flukeprint.serving.service import Batcher


def prepared(number: int) -> Prepared:
    """A prepared photograph that stands for a number."""
    return Prepared(str(number), np.full((1, 1, 3), number % 256, np.uint8), None)


def alone(photos: Sequence[Prepared]) -> Features:
    """The features of photographs: of each a unit vector at the angle of its number."""
    angles = np.array([int(photo.name) for photo in photos])
    names = tuple(photo.name for photo in photos)
    vectors = unit_rows(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return Features(Embeddings(vectors, names, (None,) * len(names), None, "twin"))


def same(one: Features, other: Features) -> bool:
    return one.embeddings.images == other.embeddings.images and np.array_equal(
        one.embeddings.vectors, other.embeddings.vectors
    )


@dataclass
class Network:
    """Records every batch; one with the number `held` waits for `go`, one with `bad` fails."""

    held: int | None = None
    bad: frozenset[int] = frozenset()
    error: type[Exception] = ValueError
    batches: list[list[int]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    busy: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def __call__(self, photos: Sequence[Prepared]) -> Features:
        numbers = [int(photo.name) for photo in photos]
        self.batches.append(numbers)
        self.threads.add(threading.current_thread().name)
        if self.held in numbers:
            self.busy.set()
            assert self.go.wait(30)
        if self.bad & set(numbers):
            raise self.error(f"batch {len(self.batches)}")
        return alone(photos)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):  # a request that is never answered fails, not hangs
            await scenario()

    asyncio.run(bounded())


async def until(found: threading.Event) -> None:
    while not found.is_set():
        await asyncio.sleep(0.001)


def asking(batcher: Batcher, *numbers: int) -> "asyncio.Task[Features]":
    return asyncio.create_task(batcher.examine([prepared(number) for number in numbers]))


async def held(network: Network, batcher: Batcher) -> "asyncio.Task[Features]":
    """A request that stays in the network until `go` is set."""
    task = asking(batcher, network.held or 0)
    await until(network.busy)
    return task


async def waiting() -> None:
    """Let every task that has begun reach its wait."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_nobody_waits_for_company() -> None:
    async def scenario() -> None:
        network = Network()
        batcher = Batcher(network, 8)
        for number in range(3):
            assert same(await asking(batcher, number), alone([prepared(number)]))
        await batcher.close()
        assert network.batches == [[0], [1], [2]]

    run(scenario)


def test_whoever_comes_while_the_network_is_busy_shares_the_next_batch() -> None:
    async def scenario() -> None:
        network = Network(held=0)
        batcher = Batcher(network, 8)
        tasks = [await held(network, batcher)]
        asked = [(1,), (2, 3), (4,)]
        tasks += [asking(batcher, *numbers) for numbers in asked]
        await waiting()
        network.go.set()
        for numbers, found in zip([(0,), *asked], await asyncio.gather(*tasks), strict=True):
            assert same(found, alone([prepared(number) for number in numbers]))
        await batcher.close()
        assert network.batches == [[0], [1, 2, 3, 4]]
        assert len(network.threads) == 1

    run(scenario)


def test_a_batch_has_at_most_so_many_photographs_in_their_order() -> None:
    async def scenario() -> None:
        network = Network(held=0)
        batcher = Batcher(network, 4)
        first = await held(network, batcher)
        # 5 to 10 are more than a batch and go together; 11 waits though it would fit before.
        asked = [(1, 2), (3,), (4, 4), tuple(range(5, 11)), (11,), (12, 13, 14)]
        tasks = [asking(batcher, *numbers) for numbers in asked]
        await waiting()
        network.go.set()
        await first
        for numbers, found in zip(asked, await asyncio.gather(*tasks), strict=True):
            assert same(found, alone([prepared(number) for number in numbers]))
        await batcher.close()
        assert network.batches == [[0], [1, 2, 3], [4, 4], [5, 6, 7, 8, 9, 10], [11, 12, 13, 14]]

    run(scenario)


def test_who_gives_up_while_waiting_is_in_no_batch() -> None:
    async def scenario() -> None:
        network = Network(held=0)
        batcher = Batcher(network, 8)
        first = await held(network, batcher)
        tasks = [asking(batcher, number) for number in (1, 2, 3)]
        await waiting()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        network.go.set()
        await first
        assert [(await task).embeddings.images for task in (tasks[0], tasks[2])] == [("1",), ("3",)]
        await batcher.close()
        assert network.batches == [[0], [1, 3]]

    run(scenario)


def test_when_all_who_wait_give_up_the_next_is_served() -> None:
    async def scenario() -> None:
        network = Network(held=0)
        batcher = Batcher(network, 8)
        first = await held(network, batcher)
        task = asking(batcher, 1)
        await waiting()
        task.cancel()
        network.go.set()
        await first
        assert same(await asking(batcher, 2), alone([prepared(2)]))
        await batcher.close()
        assert network.batches == [[0], [2]]

    run(scenario)


def test_who_gives_up_during_a_batch_disturbs_nobody() -> None:
    async def scenario() -> None:
        network = Network(held=0)
        batcher = Batcher(network, 8)
        first = await held(network, batcher)
        other = asking(batcher, 1)
        await waiting()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        network.go.set()
        assert same(await other, alone([prepared(1)]))
        await batcher.close()

    run(scenario)


def test_a_failure_reaches_all_who_shared_the_batch_and_nobody_else() -> None:
    async def scenario() -> None:
        network = Network(held=0, bad=frozenset({2}))
        batcher = Batcher(network, 3)
        first = await held(network, batcher)
        shared = [asking(batcher, number) for number in (1, 2, 3)]
        later = asking(batcher, 4)
        await waiting()
        network.go.set()
        assert same(await first, alone([prepared(0)]))
        found = await asyncio.gather(*shared, return_exceptions=True)
        assert [str(error) for error in found] == ["batch 2"] * 3
        assert {type(error) for error in found} == {ValueError}
        assert same(await later, alone([prepared(4)]))
        assert same(await asking(batcher, 5), alone([prepared(5)]))
        await batcher.close()
        assert network.batches == [[0], [1, 2, 3], [4], [5]]

    run(scenario)


def test_a_network_that_answers_too_little_fails_and_does_not_hang() -> None:
    async def scenario() -> None:
        batcher = Batcher(lambda photos: alone(photos[:1]), 8)
        with pytest.raises(IndexError):
            await asking(batcher, 1, 2)
        assert same(await asking(batcher, 3), alone([prepared(3)]))
        await batcher.close()

    run(scenario)


def test_closing_finishes_what_has_begun_and_takes_nothing_more() -> None:
    async def scenario() -> None:
        network = Network(held=0)
        batcher = Batcher(network, 1)
        tasks = [await held(network, batcher), asking(batcher, 1), asking(batcher, 2)]
        await waiting()
        closing = asyncio.create_task(batcher.close())
        await waiting()
        assert not closing.done()
        network.go.set()
        await closing
        assert all(task.done() for task in tasks)
        assert [(await task).embeddings.images for task in tasks] == [("0",), ("1",), ("2",)]
        with pytest.raises(RuntimeError):
            await asking(batcher, 3)
        assert network.batches == [[0], [1], [2]]
        assert not [t for t in threading.enumerate() if t.name.startswith("network")]

    run(scenario)


def test_one_that_was_never_asked_closes() -> None:
    run(lambda: Batcher(alone, 1).close())


@dataclass(frozen=True)
class TimedRequest:
    """A request: when it arrives and is cancelled, in steps of the loop, and its photographs."""

    after: int
    numbers: tuple[int, ...]
    patience: int | None


requests = st.lists(
    st.builds(
        TimedRequest,
        after=st.integers(0, 6),
        numbers=st.lists(st.integers(0, 40), min_size=1, max_size=5).map(tuple),
        patience=st.none() | st.integers(0, 6),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(asked=requests, most=st.integers(1, 6), bad=st.frozensets(st.integers(0, 40), max_size=2))
@example(asked=[TimedRequest(0, (1,), 0), TimedRequest(0, (2,), None)], most=1, bad=frozenset())
def test_everybody_is_answered_as_if_alone(
    asked: list[TimedRequest], most: int, bad: frozenset[int]
) -> None:
    """Requests that arrive, are cancelled and fail at any time, in any batch."""
    network = Network(bad=bad)

    async def one(batcher: Batcher, request: TimedRequest) -> str:
        for _ in range(request.after):
            await asyncio.sleep(0)
        photos = [prepared(number) for number in request.numbers]
        answer: Awaitable[Features] = asyncio.ensure_future(batcher.examine(photos))
        if request.patience is not None:
            for _ in range(request.patience):
                await asyncio.sleep(0)
            answer.cancel()  # type: ignore[attr-defined]
        try:
            found = await answer
        except asyncio.CancelledError:
            return "left"
        except ValueError:
            return "failed"
        assert same(found, alone(photos))
        return "answered"

    async def scenario() -> None:
        batcher = Batcher(network, most)
        ends = await asyncio.gather(*(one(batcher, request) for request in asked))
        await batcher.close()
        for request, end in zip(asked, ends, strict=True):
            if end == "left":
                assert request.patience is not None
            if bad & set(request.numbers):
                assert end != "answered"
            if end == "failed":
                assert bad & {number for batch in network.batches for number in batch}
        if not bad:
            assert "failed" not in ends

    run(scenario)
    stayed = sum(len(request.numbers) for request in asked if request.patience is None)
    assert (
        stayed <= sum(map(len, network.batches)) <= sum(len(request.numbers) for request in asked)
    )
    for batch in network.batches:
        assert batch
        whole = {request.numbers for request in asked if len(request.numbers) > most}
        assert len(batch) <= most or tuple(batch) in whole
