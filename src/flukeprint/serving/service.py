"""Photographs of several requests enter one by one, and go through the network together.

Nobody waits for company: whoever comes while the network is busy shares its next turn.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from flukeprint.config.schema import ServeConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.verification import VerificationThreshold
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import Prepared
from flukeprint.identifier.verdict import Verdict
from flukeprint.ranking.features import Features

Examine = Callable[[Sequence[Prepared]], Features]
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Waiting:
    photos: tuple[Prepared, ...]
    answer: asyncio.Future[Features]


class Batcher:
    """One thread at the network, for as long as the event loop runs.

    most: photographs of one turn; a request with more has a turn of its own.
    """

    def __init__(self, examine: Examine, most: int) -> None:
        self._examine, self._most = examine, most
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._turns: asyncio.Task[None] | None = None

    async def examine(self, photos: Sequence[Prepared]) -> Features:
        """What `examine` makes of the photographs; raises what it raises.

        Cancelled while it waits, it takes no turn.
        """
        answer: asyncio.Future[Features] = asyncio.get_running_loop().create_future()
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


class DamagedPhotoError(FlukeprintError):
    """A photograph that cannot be decoded."""


class NotKeptError(FlukeprintError):
    """The identifier's folder cannot be written; nothing has changed."""


class Service:
    """An identifier that answers, and grows, while requests go on.

    path: the identifier's folder, which enrolling writes; None where nothing is enrolled.
    Its methods belong to one event loop.
    """

    def __init__(
        self,
        identifier: Identifier,
        settings: ServeConfig,
        *,
        path: Path | None = None,
        examples: Thumbnails | None = None,
    ) -> None:
        """Prepares the gallery; raises FlukeprintError for one that the rules cannot use."""
        self.settings = settings
        self.identifier = identifier
        self._path = path
        shown = identifier.showcase
        self.examples = examples or (shown.examples if shown is not None else Thumbnails.none(0))
        assert identifier.prepared  # now, not while the first visitor waits
        cores = os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoder")
        self._rankers = ThreadPoolExecutor(cores, thread_name_prefix="ranker")
        self._batcher = Batcher(self._examine, settings.batch)
        self._growing = asyncio.Lock()
        self._growths: set[asyncio.Task[None]] = set()

    def _examine(self, photos: Sequence[Prepared]) -> Features:
        # Enrolling changes the gallery, never the network.
        return self.identifier.examine_prepared(photos)

    async def identify(self, photos: Sequence[bytes]) -> tuple[Verdict, Identifier]:
        """The verdict on the photographs of one encounter, and who gave it.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
        """
        identifier = self.identifier
        evidence = await self._seen(photos)
        return await self._ranked(partial(identifier.judge_encounter, evidence)), identifier

    async def embed(self, photos: Sequence[bytes]) -> Embeddings:
        """Unit embeddings of the photographs; raises as `identify` does."""
        return (await self._seen(photos)).embeddings

    async def verify(self, pair: Sequence[bytes]) -> tuple[float, VerificationThreshold]:
        """As `Identifier.verify`; raises as `identify` does."""
        evidence = await self._seen(pair)
        rate = self.settings.false_accept
        return await self._ranked(partial(self.identifier.verify, evidence, rate))

    async def enroll(self, identity: str, photos: Sequence[bytes], *, thumbnails: bool) -> None:
        """Grow the gallery, on disk and in memory, or neither.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
            NotKeptError: such as a disk that is full.
            FlukeprintError: an unfit name, a photo that is there already.
        """
        if self._path is None:
            raise FlukeprintError("this identifier has no folder to write to")
        await self._prepared(photos)  # says which photograph is damaged
        # Once begun it is finished, whatever becomes of the request: disk and memory stay one.
        growth = asyncio.create_task(self._grow(self._path, identity, photos, thumbnails))
        self._growths.add(growth)
        growth.add_done_callback(self._growths.discard)
        await asyncio.shield(growth)

    async def _grow(
        self, path: Path, identity: str, photos: Sequence[bytes], thumbnails: bool
    ) -> None:
        async with self._growing:
            before = self.identifier

            def grown() -> Identifier:
                after = before.enroll(identity, photos, thumbnails=thumbnails)
                assert after.prepared  # by this thread, so that no request waits for it
                try:
                    after.save(path)
                except FlukeprintError as error:
                    raise NotKeptError(str(error)) from None
                return after

            self.identifier = await self._ranked(grown)

    async def close(self) -> None:
        """Finish what has begun."""
        await asyncio.gather(*self._growths, return_exceptions=True)  # told to who asked for it
        await self._batcher.close()
        self._decoders.shutdown()
        self._rankers.shutdown()

    async def _seen(self, photos: Sequence[bytes]) -> Features:
        return await self._batcher.examine(await self._prepared(photos))

    async def _prepared(self, photos: Sequence[bytes]) -> list[Prepared]:
        loop = asyncio.get_running_loop()
        names = [f"photograph {place}" for place in range(1, len(photos) + 1)]
        calls = [partial(self._prepare, *named) for named in zip(photos, names, strict=True)]
        tasks = [loop.run_in_executor(self._decoders, call) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # of a request that ends early, what has not begun never does
                task.cancel()

    def _prepare(self, photo: bytes, name: str) -> Prepared:
        try:
            return self.identifier.prepare(photo, name)
        except FlukeprintError as error:
            raise DamagedPhotoError(
                f"{name} is damaged or truncated, or its pixels are neither of 8 nor of 16 bits; "
                "save it anew"
            ) from error  # whose text may quote the photograph

    async def _ranked(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._rankers, call)
