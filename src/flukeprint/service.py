"""The identifier at work for many at once.  Encoded photographs enter, verdicts leave.

Decoding, the network and ranking each have their own threads, so that one request is decoded while
another one is in the network.  Nothing that comes in is written anywhere, but what is enrolled.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from flukeprint.answering import Evidence
from flukeprint.batching import Batcher
from flukeprint.errors import FlukeprintError
from flukeprint.gallery import Embeddings
from flukeprint.identify import Identifier
from flukeprint.intake import Prepared
from flukeprint.serve_config import ServeConfig
from flukeprint.thumbnails import Thumbnails
from flukeprint.verdicts import Verdict
from flukeprint.verification import VerifyPoint

Result = TypeVar("Result")


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

    def _examine(self, photos: Sequence[Prepared]) -> Evidence:
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

    async def verify(self, pair: Sequence[bytes]) -> tuple[float, VerifyPoint]:
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

    async def _seen(self, photos: Sequence[bytes]) -> Evidence:
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
