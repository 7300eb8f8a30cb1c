"""Answers the photographs of the queue in the background, in each process that serves."""

import asyncio
import contextlib
import logging
from functools import partial

from flukeprint.errors import FlukeprintError
from flukeprint.keeper.queue.kinds import NotThereError, UploadItem
from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.serving.api.responses import identification
from flukeprint.serving.api.schemas import Identification
from flukeprint.serving.catalogue_watch import NoCatalogueError
from flukeprint.serving.service import DamagedPhotoError, Service

LOOK_SECONDS = 2.0  # between two looks for photographs that others uploaded
AT_ONCE = 2  # photographs; people who ask for answers share the network with them
LOG = logging.getLogger("flukeprint.serving")


class Answering:
    """Gives the photographs of the queue their answers; its methods belong to one event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._claimed: set[int] = set()

    def start(self) -> None:
        """From now on answer what is uploaded here or elsewhere."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look for photographs now."""
        self._wake.set()

    async def close(self) -> None:
        """Stop; what was not finished is left to other processes."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._claimed:
            with contextlib.suppress(FlukeprintError):
                queue = self._service.queue()
                await asyncio.to_thread(queue.unclaim, sorted(self._claimed))

    async def _run(self) -> None:
        said = ""
        while True:
            found: tuple[int, ...] = ()
            try:
                queue = await asyncio.to_thread(self._service.queue)
                found = await asyncio.to_thread(queue.claim, AT_ONCE)
                self._claimed.update(found)
                await asyncio.gather(*(self.answer(queue, number) for number in found))
                said = ""
            except NoCatalogueError:
                pass  # somebody may begin it
            except Exception as error:  # the server goes on
                if str(error) != said:
                    unforeseen = not isinstance(error, FlukeprintError)
                    LOG.error("the queue cannot be answered: %s", error, exc_info=unforeseen)
                said = str(error)
            self._claimed.difference_update(found)
            if not found or said:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
                self._wake.clear()

    async def answer(self, queue: SharedQueue, number: int) -> None:
        """Give a photograph its answer, by the catalogue as it is now."""
        try:
            data = await asyncio.to_thread(queue.photo, number)
            verdict, by = await self._service.identify([data])
        except (DamagedPhotoError, NotThereError) as error:
            with contextlib.suppress(NotThereError):
                await asyncio.to_thread(queue.keep_failure, number, str(error))
            return
        body = identification(verdict, 1, by.card.new_label, by.numbers)
        keep = partial(
            queue.keep_answer, number, body.model_dump_json(), sureness(body),
            0 if by.kept is None else by.kept.records.event,
        )  # fmt: skip
        await asyncio.to_thread(keep)

    async def fresh(self, queue: SharedQueue, item: UploadItem) -> UploadItem:
        """The photograph, answered again where the catalogue has changed since it was."""
        kept = self._service.identifier.kept
        if kept is not None and item.answer_event != kept.records.event:
            await self.answer(queue, item.id)
            return await asyncio.to_thread(queue.item, item.id)
        return item


def sureness(body: Identification) -> float:
    """How sure an answer is, to decide the least sure first.

    Calibration gives many photographs the very same probability: among these, the one whose first
    answer is the least ahead of the second.
    """
    first, *others = body.answers
    sure = body.closeness if first.probability is None else first.probability
    ahead = first.score - others[0].score if others else 1.0
    return sure + 1e-6 * ahead / (1.0 + abs(ahead))
