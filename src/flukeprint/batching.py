"""Photographs of several requests enter one by one, and go through the network together.

Nobody waits for company: whoever comes while the network is busy shares its next turn.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flukeprint.answering import Evidence
from flukeprint.intake import Prepared

Examine = Callable[[Sequence[Prepared]], Evidence]


@dataclass(frozen=True)
class _Waiting:
    photos: tuple[Prepared, ...]
    answer: asyncio.Future[Evidence]


class Batcher:
    """One thread at the network, for as long as the event loop runs.

    most: photographs of one turn; a request with more has a turn of its own.
    """

    def __init__(self, examine: Examine, most: int) -> None:
        self._examine, self._most = examine, most
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._turns: asyncio.Task[None] | None = None

    async def examine(self, photos: Sequence[Prepared]) -> Evidence:
        """What `examine` makes of the photographs; raises what it raises.

        Cancelled while it waits, it takes no turn.
        """
        answer: asyncio.Future[Evidence] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(tuple(photos), answer))
        if self._turns is None or self._turns.done():
            self._turns = asyncio.create_task(self._take_turns())
        return await answer

    async def close(self) -> None:
        """Finish what has begun."""
        if self._turns is not None:
            await self._turns
        self._thread.shutdown()

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while turn := self._next():
            photos = [photo for waiting in turn for photo in waiting.photos]
            ends = np.cumsum([len(waiting.photos) for waiting in turn]).tolist()
            try:
                found = await loop.run_in_executor(self._thread, self._examine, photos)
                parts = [found.take(np.arange(a, b)) for a, b in pairwise([0, *ends])]
            except Exception as error:  # handed to all who asked
                for waiting in turn:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            for waiting, part in zip(turn, parts, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(part)

    def _next(self) -> list[_Waiting]:
        """The first who wait, as many as fit together, without those who gave up."""
        turn: list[_Waiting] = []
        size = 0
        while self._waiting:
            first = self._waiting[0]
            if not first.answer.done():
                if turn and size + len(first.photos) > self._most:
                    break
                turn.append(first)
                size += len(first.photos)
            self._waiting.popleft()
        return turn
