"""Serves an identifier to concurrent requests: identify, embed, verify and enroll.

Decoding, the network and ranking each have their own threads, so that one request is decoded
while another is in the network.  Requests are batched dynamically: those that arrive while the
network is busy share its next batch, and none waits for a batch to fill.  Nothing that arrives is
written anywhere, except what is enrolled.
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
class _Request:
    photos: tuple[Prepared, ...]
    answer: asyncio.Future[Features]


class Batcher:
    """Runs the network in one thread, on the photographs of all waiting requests together.

    most: photographs of one batch; a request with more has a batch of its own.
    """

    def __init__(self, examine: Examine, most: int) -> None:
        self._examine, self._most = examine, most
        self._waiting: deque[_Request] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._batches: asyncio.Task[None] | None = None

    async def examine(self, photos: Sequence[Prepared]) -> Features:
        """The features of the photographs; raises what the function `examine` raises.

        A request that is cancelled while it waits is in no batch.
        """
        answer: asyncio.Future[Features] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(tuple(photos), answer))
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._run_batches())
        return await answer

    async def close(self) -> None:
        """Finish the requests that have begun, then stop the thread."""
        if self._batches is not None:
            await self._batches
        self._thread.shutdown()

    async def _run_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            photos = [photo for request in batch for photo in request.photos]
            ends = np.cumsum([len(request.photos) for request in batch]).tolist()
            try:
                found = await loop.run_in_executor(self._thread, self._examine, photos)
                parts = [found.take(np.arange(a, b)) for a, b in pairwise([0, *ends])]
            except Exception as error:  # every request of the batch fails with it
                for request in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                continue
            for request, part in zip(batch, parts, strict=True):
                if not request.answer.done():
                    request.answer.set_result(part)

    def _next_batch(self) -> list[_Request]:
        """The first waiting requests, as many as fit, without those that were cancelled."""
        batch: list[_Request] = []
        size = 0
        while self._waiting:
            first = self._waiting[0]
            if not first.answer.done():
                if batch and size + len(first.photos) > self._most:
                    break
                batch.append(first)
                size += len(first.photos)
            self._waiting.popleft()
        return batch


class DamagedPhotoError(FlukeprintError):
    """A photograph that cannot be decoded."""


class NotSavedError(FlukeprintError):
    """The identifier's folder could not be written; nothing has changed."""


class Service:
    """Answers concurrent requests with one identifier, and enrolls into it while it serves.

    path: the identifier's folder, which enrolling writes; None: nothing can be enrolled.
    examples: photographs to try; None: those of the identifier, if it has any.
    All methods belong to one event loop.
    """

    def __init__(
        self,
        identifier: Identifier,
        settings: ServeConfig,
        *,
        path: Path | None = None,
        examples: Thumbnails | None = None,
    ) -> None:
        """Prepare the gallery; raises FlukeprintError for one that the ranking rules cannot use."""
        self.settings = settings
        self.identifier = identifier
        self._path = path
        shown = identifier.showcase
        self.examples = examples or (shown.examples if shown is not None else Thumbnails.none(0))
        assert identifier.prepared  # now, so that the first request does not wait for it
        cores = os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoder")
        self._rankers = ThreadPoolExecutor(cores, thread_name_prefix="ranker")
        self._batcher = Batcher(self._examine, settings.batch)
        self._enrolling = asyncio.Lock()
        self._enrolments: set[asyncio.Task[None]] = set()

    def _examine(self, photos: Sequence[Prepared]) -> Features:
        # Any identifier will do: enrolling changes the gallery, never the network.
        return self.identifier.examine_prepared(photos)

    async def identify(self, photos: Sequence[bytes]) -> tuple[Verdict, Identifier]:
        """The verdict on the photographs of one encounter, and the identifier that gave it.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
        """
        identifier = self.identifier
        features = await self._features(photos)
        judge = partial(identifier.judge_encounter, features)
        return await self._in_ranking_thread(judge), identifier

    async def embed(self, photos: Sequence[bytes]) -> Embeddings:
        """Unit embeddings of the photographs; raises as `identify` does."""
        return (await self._features(photos)).embeddings

    async def verify(self, pair: Sequence[bytes]) -> tuple[float, VerificationThreshold]:
        """Score and threshold of a pair, as `Identifier.verify`; raises as `identify` does."""
        features = await self._features(pair)
        rate = self.settings.false_accept
        return await self._in_ranking_thread(partial(self.identifier.verify, features, rate))

    async def enroll(
        self, identity: str, photos: Sequence[bytes], *, thumbnails: bool, force: bool = False
    ) -> None:
        """Add photographs of an identity to the gallery, on disk and in memory, or to neither.

        thumbnails: whether small pictures of them are kept.
        force: as of `Identifier.enroll`.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
            NotSavedError: the folder could not be written, for instance as the disk is full.
            FlukeprintError: an unfit or nearly known name, or a photo that is there already.
        """
        if self._path is None:
            raise FlukeprintError("this identifier has no folder to write to")
        await self._prepared(photos)  # its error names the photograph that is damaged
        # Once begun it is finished even if the request is cancelled, so that disk and memory agree.
        enrolment = asyncio.create_task(
            self._enroll(self._path, identity, photos, thumbnails, force)
        )
        self._enrolments.add(enrolment)
        enrolment.add_done_callback(self._enrolments.discard)
        await asyncio.shield(enrolment)

    async def _enroll(
        self, path: Path, identity: str, photos: Sequence[bytes], thumbnails: bool, force: bool
    ) -> None:
        async with self._enrolling:
            before = self.identifier

            def enrolled() -> Identifier:
                after = before.enroll(identity, photos, thumbnails=thumbnails, force=force)
                try:
                    after = after.save(path)  # with what other processes have enrolled
                except FlukeprintError as error:
                    raise NotSavedError(str(error)) from None
                assert after.prepared  # in this thread, so that no request waits for it
                return after

            self.identifier = await self._in_ranking_thread(enrolled)

    async def close(self) -> None:
        """Finish what has begun, then stop all threads."""
        # Errors go to the requests that asked for the enrolments.
        await asyncio.gather(*self._enrolments, return_exceptions=True)
        await self._batcher.close()
        self._decoders.shutdown()
        self._rankers.shutdown()

    async def _features(self, photos: Sequence[bytes]) -> Features:
        return await self._batcher.examine(await self._prepared(photos))

    async def _prepared(self, photos: Sequence[bytes]) -> list[Prepared]:
        loop = asyncio.get_running_loop()
        names = [f"photograph {number}" for number in range(1, len(photos) + 1)]
        calls = [partial(self._prepare, *pair) for pair in zip(photos, names, strict=True)]
        tasks = [loop.run_in_executor(self._decoders, call) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # if the request ends early, decoding that has not begun never does
                task.cancel()

    def _prepare(self, photo: bytes, name: str) -> Prepared:
        try:
            return self.identifier.prepare(photo, name)
        except FlukeprintError as error:
            raise DamagedPhotoError(
                f"{name} is damaged or truncated, or its pixels are neither of 8 nor of 16 bits; "
                "save it anew"
            ) from error  # its text may quote the photograph

    async def _in_ranking_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._rankers, call)
