"""Serves an identifier to concurrent requests: identify, embed, verify and enroll.

Decoding, the network and ranking each have their own threads, so that one request is decoded
while another is in the network.  Requests are batched dynamically: those that arrive while the
network is busy share its next batch, and none waits for a batch to fill.  Nothing that arrives is
written anywhere, except what is enrolled.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from flukeprint.config.schema import ServeConfig
from flukeprint.data.catalog import Box
from flukeprint.data.decoding import decode_bytes
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.boxes import shares_in_pixels
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError, ProblemsError
from flukeprint.evaluation.verification import VerificationThreshold
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import Prepared
from flukeprint.identifier.verdict import Verdict
from flukeprint.keeper.keeper import Enrolment, Keeper
from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.keeper.sightings import read_prior, weights_of
from flukeprint.ranking.encounters.priors import EncounterPrior
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.agreeing_points import AgreeingPoints, agreeing_points
from flukeprint.ranking.local.sift import sift_backend
from flukeprint.records.database import Database
from flukeprint.records.kinds import Moment, Position
from flukeprint.serving.catalogue_watch import CatalogueWatch, NoCatalogueError

AUTHOR = "web"  # of what is enrolled by somebody who gives no name
MOST_PAIRS = 40  # of keypoints that are told of two photographs
LOOK_SECONDS = 1.0  # between two looks at what other processes changed
LOG = logging.getLogger("flukeprint.serving")

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


@dataclass(frozen=True)
class Circumstances:
    """When and where photographs were taken, as far as somebody says so."""

    moment: Moment | None = None
    position: Position | None = None

    @property
    def known(self) -> bool:
        return self.moment is not None or self.position is not None


class DamagedPhotoError(FlukeprintError):
    """A photograph that cannot be decoded."""


def _damaged(name: str) -> DamagedPhotoError:
    return DamagedPhotoError(
        f"{name} is damaged or truncated, or its pixels are neither of 8 nor of 16 bits; save it "
        "anew"
    )


class NotSavedError(FlukeprintError):
    """The identifier's folder could not be written; nothing has changed."""


class Service:
    """Answers concurrent requests with one identifier, and enrolls into it while it serves.

    path: the identifier's folder, which enrolling writes; None: nothing can be enrolled.
    examples: photographs to try; None: those of the identifier, if it has any.
    adapt: what to make of an identifier that was read before it is served.
    All methods belong to one event loop.
    """

    def __init__(
        self,
        identifier: Identifier,
        settings: ServeConfig,
        *,
        path: Path | None = None,
        examples: Thumbnails | None = None,
        adapt: Callable[[Identifier], Identifier] = lambda identifier: identifier,
    ) -> None:
        """Prepare the gallery; raises FlukeprintError for one that the ranking rules cannot use."""
        self.settings = settings
        self._adapt = adapt
        self._plain = identifier  # what is served, as it was read
        self.identifier = adapt(identifier)
        # Called in a thread with an identifier that is about to be served.
        self.prepares: list[Callable[[Identifier], object]] = []
        self._watch = None if path is None else CatalogueWatch(path, identifier)
        shown = identifier.showcase
        self.examples = examples or (shown.examples if shown is not None else Thumbnails.none(0))
        assert self.identifier.prepared  # now, so that the first request does not wait for it
        cores = os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoder")
        self._rankers = ThreadPoolExecutor(cores, thread_name_prefix="ranker")
        self._batcher = Batcher(self._examine, settings.batch)
        self._changing = asyncio.Lock()
        self._enrolments: set[asyncio.Task[Enrolment]] = set()
        self._changes: set[asyncio.Task[Any]] = set()
        self._following: asyncio.Task[None] | None = None
        self._prior: tuple[Identifier, EncounterPrior] | None = None  # fitted for that state

    def _examine(self, photos: Sequence[Prepared]) -> Features:
        # Any identifier will do: enrolling changes the gallery, never the network.
        return self.identifier.examine_prepared(photos)

    async def identify(
        self,
        photos: Sequence[bytes],
        boxes: Sequence[Box] = (),
        when: Circumstances | None = None,
    ) -> tuple[Verdict, Identifier]:
        """The verdict on the photographs of one encounter, and the identifier that gave it.

        boxes: the animal in each photograph, in shares of it; none: all of each.
        when: by which animals that were seen near there or about then are likelier.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
            NoCatalogueError: with `when`, where there is none.
            FlukeprintError: with `when`, where time and place tell nothing, or there are no
                probabilities.
        """
        identifier = self.identifier
        weights = None
        if when is not None and when.known:  # refused before anything is decoded
            weigh = partial(self._weights, identifier, when)
            weights = await self._in_ranking_thread(weigh)
        features = await self._features(photos, boxes)
        judge = partial(identifier.judge_encounter, features, log_weights=weights)
        return await self._in_ranking_thread(judge), identifier

    def _weights(self, identifier: Identifier, when: Circumstances) -> dict[str, float]:
        if identifier.card.calibration is None:
            raise FlukeprintError("this identifier gives no probabilities to weigh")
        fitted = self._prior
        if fitted is None or fitted[0] is not identifier:
            fitted = self._prior = identifier, read_prior(self.database())
        return weights_of(fitted[1], identifier.identities, when.moment, when.position)

    async def embed(self, photos: Sequence[bytes], boxes: Sequence[Box] = ()) -> Embeddings:
        """Unit embeddings of the photographs; boxes and errors are those of `identify`."""
        return (await self._features(photos, boxes)).embeddings

    async def verify(
        self, pair: Sequence[bytes], boxes: Sequence[Box] = ()
    ) -> tuple[float, VerificationThreshold]:
        """Score and threshold of a pair, as `Identifier.verify`; the rest is as in `identify`."""
        features = await self._features(pair, boxes)
        rate = self.settings.false_accept
        return await self._in_ranking_thread(partial(self.identifier.verify, features, rate))

    async def matched_points(
        self, photo: bytes, candidate: bytes, *, mirror: bool
    ) -> AgreeingPoints:
        """Keypoints that agree in a photograph and in a picture of the gallery.

        mirror: matches the photograph's mirror image; places are told in the photograph itself.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
        """
        call = partial(self._match, photo, candidate, mirror=mirror)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, call)

    def _match(self, photo: bytes, candidate: bytes, *, mirror: bool) -> AgreeingPoints:
        local = self.identifier.card.method.rules.local
        backend = sift_backend(local)  # as a review's pictures have them, whatever ranks
        both = []
        for data, name in ((photo, "photograph 1"), (candidate, "the candidate")):
            try:
                both.append(decode_bytes(data, name, min_size=(local.side, local.side)))
            except FlukeprintError as error:
                raise _damaged(name) from error
        if mirror:
            both[0] = np.ascontiguousarray(both[0][:, ::-1])
        mine, theirs = map(backend.extract, both)
        found = agreeing_points(mine, theirs, backend.match, MOST_PAIRS)
        if mirror:
            places = found.places.copy()
            places[:, 0] = 1 - places[:, 0]
            found = replace(found, places=places)
        return found

    async def enroll(
        self,
        identity: str,
        photos: Sequence[bytes],
        boxes: Sequence[Box] = (),
        *,
        thumbnails: bool,
        force: bool = False,
        author: str = AUTHOR,
    ) -> Enrolment:
        """Add photographs of an identity to the gallery, on disk and in memory, or to neither.

        boxes: as of `identify`.
        thumbnails: whether small pictures of them are kept.
        force: as of `Keeper.enroll`.
        author: who does it, for the catalogue's history.

        Raises:
            DamagedPhotoError: a photograph that cannot be decoded.
            NotSavedError: the folder could not be written, for instance as the disk is full.
            FlukeprintError: an unfit or nearly known name, or a photo that is there already, or
                nearly.
        """
        if self._watch is None:
            raise FlukeprintError("this identifier has no folder to write to")
        await self._prepared(photos, boxes)  # its error names the photograph that is damaged
        # Once begun it is finished even if the request is cancelled, so that disk and memory agree.
        call = partial(
            self._watch.enroll, identity, photos, author,
            boxes=boxes, thumbnails=thumbnails, force=force,
        )  # fmt: skip
        enrolment = asyncio.create_task(self._enroll(call))
        self._enrolments.add(enrolment)
        enrolment.add_done_callback(self._enrolments.discard)
        return await asyncio.shield(enrolment)

    def database(self) -> Database:
        """The records of the catalogue, to read; raises NoCatalogueError where there are none."""
        if self._watch is None:
            raise NoCatalogueError("this identifier has no folder, and keeps no catalogue")
        return self._watch.database()

    def queue(self) -> SharedQueue:
        """The queue of uploads; raises NoCatalogueError where there is no catalogue."""
        self.database()
        assert self._watch is not None
        return self._watch.queue()

    async def change(self, call: Callable[[Keeper], Result]) -> Result:
        """Let `call`, in a thread, change the catalogue; every answer shows it at once.

        Once begun it is finished even if the request is cancelled.

        Raises:
            NoCatalogueError: there is none.
            FlukeprintError: what `call` raises.
        """
        self.database()
        assert self._watch is not None
        change = asyncio.create_task(self._change(partial(self._watch.change, call)))
        self._changes.add(change)
        change.add_done_callback(self._changes.discard)
        return await asyncio.shield(change)

    async def _change(self, call: Callable[[], Result]) -> Result:
        async with self._changing:
            done = await self._in_ranking_thread(call)
            try:
                await self._take_over()
            except FlukeprintError as error:  # it is kept, and looked for again
                LOG.error("what was changed cannot be shown yet: %s", error)
        return done

    async def _enroll(self, call: Callable[[], Enrolment]) -> Enrolment:
        async with self._changing:
            try:
                done = await self._in_ranking_thread(call)
            except ProblemsError:
                raise
            except FlukeprintError as error:
                raise NotSavedError(str(error)) from None
            try:
                await self._take_over()
            except FlukeprintError as error:  # it is kept, and looked for again
                LOG.error("what was enrolled cannot be shown yet: %s", error)
        return done

    def start_following(self) -> None:
        """From now on show what other processes change in the catalogue, soon after they do."""
        if self._watch is not None and self._following is None:
            self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with self._changing:
                    await self._take_over()
                said = ""
            except Exception as error:  # answers go on, with what was there
                if str(error) != said:
                    unforeseen = not isinstance(error, FlukeprintError)
                    LOG.error("the catalogue cannot be followed: %s", error, exc_info=unforeseen)
                said = str(error)

    async def _take_over(self) -> None:
        """Serve what the catalogue is now, if it has changed; answers go on meanwhile."""
        watch = self._watch
        assert watch is not None

        def renewed() -> Identifier | None:
            if not watch.look() and watch.identifier is self._plain:
                return None
            after = self._adapt(watch.identifier)
            assert after.prepared  # in this thread, so that no request waits for it
            for prepare in self.prepares:
                prepare(after)
            self._plain = watch.identifier
            return after

        after = await self._in_ranking_thread(renewed)
        if after is not None:
            self.identifier = after

    async def close(self) -> None:
        """Finish what has begun, then stop all threads."""
        # Errors go to the requests that asked for the enrolments.
        await asyncio.gather(*self._enrolments, *self._changes, return_exceptions=True)
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._batcher.close()
        self._decoders.shutdown()
        self._rankers.shutdown()

    async def _features(self, photos: Sequence[bytes], boxes: Sequence[Box] = ()) -> Features:
        return await self._batcher.examine(await self._prepared(photos, boxes))

    async def _prepared(self, photos: Sequence[bytes], boxes: Sequence[Box] = ()) -> list[Prepared]:
        loop = asyncio.get_running_loop()
        names = [f"photograph {number}" for number in range(1, len(photos) + 1)]
        cuts: Sequence[Box | None] = boxes or (None,) * len(photos)
        calls = [partial(self._prepare, *one) for one in zip(photos, names, cuts, strict=True)]
        tasks = [loop.run_in_executor(self._decoders, call) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # if the request ends early, decoding that has not begun never does
                task.cancel()

    def _prepare(self, photo: bytes, name: str, box: Box | None) -> Prepared:
        try:
            cut = None if box is None else shares_in_pixels(box, photo)
            return self.identifier.prepare(photo, name, cut)
        except FlukeprintError as error:
            raise _damaged(name) from error  # its text may quote the photograph

    async def _in_ranking_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._rankers, call)
