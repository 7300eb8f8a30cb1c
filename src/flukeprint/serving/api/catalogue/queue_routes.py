"""The routes of uploads and of the shared queue."""

import asyncio
import hashlib
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Path, Query
from fastapi import Request as HttpRequest
from starlette.responses import Response

from flukeprint.config.schema import ServeConfig
from flukeprint.data.decoding import decode_bytes
from flukeprint.data.thumbnails import thumbnail
from flukeprint.errors import FlukeprintError
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.queue.deciding import DecidedUpload, decide
from flukeprint.keeper.queue.kinds import ItemDecision, NotThereError, UploadBatch, UploadItem
from flukeprint.keeper.queue.shared_queue import SharedQueue
from flukeprint.records.database import UnusableCatalogueError
from flukeprint.serving.api.access.doors import Doors
from flukeprint.serving.api.catalogue.answering import Answering
from flukeprint.serving.api.catalogue.asking import (
    CHANGE_REFUSALS,
    name_of_animal,
    told_refusals,
)
from flukeprint.serving.api.catalogue.queue_bodies import (
    BatchBody,
    BatchList,
    BatchPage,
    DecidedItem,
    Digests,
    Missing,
    NewBatch,
    NextItem,
    QueueDecision,
    QueueItem,
)
from flukeprint.serving.api.catalogue.telling import event_body
from flukeprint.serving.api.gallery_routes import JPEG
from flukeprint.serving.api.photo_checks import check_photo, too_many_bytes
from flukeprint.serving.api.problems import LOG, RefusedError, responses
from flukeprint.serving.api.schemas import Identification
from flukeprint.serving.full_photos import QUALITY, SIDE
from flukeprint.serving.people import Person
from flukeprint.serving.service import Service

BatchId = Annotated[
    str,
    Path(pattern="^[0-9a-f]{16}$", description="Id of a batch", examples=["c0ffee0123456789"]),
]
ItemId = Annotated[
    int, Path(ge=0, le=2**31 - 1, description="Id of a photograph of the queue", examples=[17])
]
BatchQuery = Annotated[
    str | None,
    Query(
        pattern="^[0-9a-f]{16}$", description="Of this batch alone", examples=["c0ffee0123456789"]
    ),
]
_PHOTO_REFUSALS = (
    *CHANGE_REFUSALS, "too_many_bytes", "too_many_pixels", "not_a_photograph", "no_photograph",
    "damaged_photograph", "internal",
)  # fmt: skip
_BYTES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def add_queue_routes(app: FastAPI, service: Service, doors: Doors, answering: Answering) -> None:
    """Add `/v1/batches...` and `/v1/queue...` to `app`, for those of role `review`."""
    Reviews = Annotated[Person, Depends(doors.needs("review"))]
    refusals = responses(*CHANGE_REFUSALS)

    # Those that are not async run in threads, since a database is asked.
    @app.post("/v1/batches", tags=["queue"], status_code=201, responses=refusals)
    def make_batch(asked: NewBatch, person: Reviews) -> BatchBody:
        """Begin an upload of photographs, which are then sent one by one.

        They are kept in a folder beside the catalogue until they are decided.
        """
        with told_refusals():
            made = service.queue().make_batch(
                asked.title, person.name, pause=asked.pause, keep_photos=asked.keep_photos,
                keep_dates=asked.keep_dates, place=asked.place,
            )  # fmt: skip
        return _batch_body(made)

    @app.get("/v1/batches", tags=["queue"], responses=refusals)
    def list_batches(person: Reviews) -> BatchList:
        """The last 50 batches, the last one first, and how far they are."""
        with told_refusals():
            return BatchList(batches=[_batch_body(one) for one in service.queue().batches()])

    @app.get("/v1/batches/{batch}", tags=["queue"], responses=refusals)
    def get_batch(
        batch: BatchId,
        person: Reviews,
        after: Annotated[
            int, Query(ge=0, le=2**31 - 1, description="`next` of the page before", examples=[200])
        ] = 0,
        limit: Annotated[int, Query(ge=1, le=200, description="Most of a page", examples=[50])] = (
            50
        ),
    ) -> BatchPage:
        """A batch: how far it is, its photographs, their answers and what was decided."""
        with told_refusals():
            queue = service.queue()
            items = queue.items(batch, after=after, most=limit + 1)
            return BatchPage(
                batch=_batch_body(queue.batch(batch)),
                items=[_item_body(one) for one in items[:limit]],
                next=items[limit - 1].id if len(items) > limit else None,
            )

    @app.delete("/v1/batches/{batch}", tags=["queue"], status_code=204, responses=refusals)
    def remove_batch(batch: BatchId, person: Reviews) -> None:
        """Remove a batch and its files; what was enrolled of it stays in the catalogue."""
        with told_refusals():
            queue = service.queue()
            if not person.may("keep") and queue.batch(batch).author != person.name:
                raise RefusedError("forbidden", "this takes the role keep: another one made it")
            queue.remove_batch(batch)

    @app.post("/v1/batches/{batch}/missing", tags=["queue"], responses=refusals)
    def list_missing_photos(batch: BatchId, asked: Digests, person: Reviews) -> Missing:
        """Which photographs are still to be sent, when an upload goes on."""
        with told_refusals():
            return Missing(missing=list(service.queue().missing(batch, asked.digests)))

    @app.put(
        "/v1/batches/{batch}/photos/{digest}", tags=["queue"], openapi_extra=_BYTES,
        responses=responses(*_PHOTO_REFUSALS),
    )  # fmt: skip
    async def put_photo(
        batch: BatchId,
        digest: Annotated[
            str,
            Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file", examples=["9f" * 32]),
        ],
        name: Annotated[
            str,
            Query(min_length=1, max_length=200, description="Of the file", examples=["IMG_1.jpg"]),
        ],
        request: HttpRequest,
        person: Reviews,
    ) -> QueueItem:
        """Send one photograph of a batch, its bytes as the body; sending it again changes nothing.

        Its answer is computed in the background.
        """
        if not name.isprintable():
            raise RefusedError("invalid", "query name: must be one line of printable text")
        data = await _read_photo(request, service.settings, digest)
        with told_refusals():
            queue = await asyncio.to_thread(service.queue)
            try:
                item = await asyncio.to_thread(queue.add_photo, batch, digest, name, data)
            except (NotThereError, UnusableCatalogueError):
                raise
            except FlukeprintError as error:
                LOG.error("an upload failed: %s", error)
                raise RefusedError(
                    "internal", "the server could not keep the photograph; nothing changed"
                ) from None
        answering.wake()
        return _item_body(item)

    @app.post("/v1/queue/next", tags=["queue"], responses=refusals)
    async def take_next(person: Reviews, batch: BatchQuery = None) -> NextItem:
        """Take the most unsure photograph that waits; it is nobody else's for ten minutes.

        One that the person has already is given again.
        """
        with told_refusals():
            queue = await asyncio.to_thread(service.queue)
            item = await asyncio.to_thread(queue.next, person.name, batch)
            if item is not None:
                item = await answering.fresh(queue, item)
            waiting, unanswered = await asyncio.to_thread(queue.to_do, batch)
        body = None if item is None else _item_body(item)
        return NextItem(item=body, waiting=waiting, unanswered=unanswered)

    # Only numbers, since next is an address of its own.
    @app.get("/v1/queue/{item:int}", tags=["queue"], responses=refusals)
    def get_queue_item(item: ItemId, person: Reviews) -> QueueItem:
        """A photograph of the queue."""
        with told_refusals():
            return _item_body(service.queue().item(item))

    @app.get(
        "/v1/queue/{item:int}/photo", tags=["queue"], response_class=Response,
        responses={200: JPEG, **refusals},
    )  # fmt: skip
    def get_queue_photo(
        item: ItemId,
        person: Reviews,
        size: Annotated[
            Literal["thumbnail", "full"],
            Query(description="full: at most 2400 px", examples=["full"]),
        ] = "thumbnail",
    ) -> Response:
        """The picture of an uploaded photograph, without what its camera wrote."""
        with told_refusals("not_found"):
            side, quality = (SIDE, QUALITY) if size == "full" else (320, 82)
            data = service.queue().photo(item)
            pixels = decode_bytes(data, "the photograph", min_size=(side, side))
            picture = thumbnail(pixels, side, quality)
        kept = {"Cache-Control": "private, max-age=600"}
        return Response(picture, media_type="image/jpeg", headers=kept)

    @app.post("/v1/queue/{item:int}/decision", tags=["queue"], responses=refusals)
    async def decide_photo(item: ItemId, asked: QueueDecision, person: Reviews) -> DecidedItem:
        """Decide a photograph: it becomes one of the catalogue, or is put aside.

        What is decided as known or new is an event, whose undo brings the photograph back into the
        queue; unsure and nobody are taken back by `reopen`.
        """
        told = (asked.animal is not None) + (asked.identity is not None)
        if told != (asked.decision == "known"):
            raise RefusedError(
                "invalid", "tell either animal or identity of a known one, and of no other"
            )
        if asked.new_name is not None and asked.decision != "new":
            raise RefusedError("invalid", "a new_name is of a new animal alone")

        def act(keeper: Keeper) -> DecidedUpload:
            name = asked.identity or asked.new_name
            if asked.animal is not None:
                name = name_of_animal(keeper, asked.animal)
            decision = ItemDecision(asked.decision, name, asked.note or None, asked.force)
            return decide(service.queue(), keeper, item, person.name, decision)

        with told_refusals():
            done = await service.change(act)
        return DecidedItem(
            item=_item_body(done.item),
            event=None if done.event is None else event_body(done.event),
        )

    @app.post("/v1/queue/{item:int}/release", tags=["queue"], status_code=204, responses=refusals)
    def release_photo(item: ItemId, person: Reviews) -> None:
        """Give a photograph back undecided."""
        with told_refusals():
            service.queue().release(item, person.name)

    @app.post("/v1/queue/{item:int}/reopen", tags=["queue"], responses=refusals)
    def reopen_photo(item: ItemId, person: Reviews) -> QueueItem:
        """Take back unsure or nobody, or try a failed photograph again."""
        with told_refusals():
            queue: SharedQueue = service.queue()
            found = queue.reopen(item, person.name, of_others=person.may("keep"))
        return _item_body(found)


async def _read_photo(request: HttpRequest, settings: ServeConfig, digest: str) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > settings.photo_bytes:
            raise too_many_bytes("the photograph", settings)
    whole = bytes(data)
    await asyncio.to_thread(partial(check_photo, whole, settings))
    if hashlib.sha256(whole).hexdigest() != digest:
        raise RefusedError(
            "invalid", "the body is not the photograph of that SHA-256; send it again"
        )
    return whole


def _batch_body(one: UploadBatch) -> BatchBody:
    return BatchBody(
        id=one.id, title=one.title, author=one.author, created=one.created, pause=one.pause,
        keep_photos=one.keep_photos, keep_dates=one.keep_dates, place=one.place,
        total=sum(one.counts.values()), counts=one.counts,
    )  # fmt: skip


def _item_body(one: UploadItem) -> QueueItem:
    undo = None
    if one.state == "decided":
        undo = f"/v1/queue/{one.id}/reopen" if one.event is None else f"/v1/events/{one.event}/undo"
    return QueueItem(
        id=one.id, batch=one.batch, digest=one.digest, name=one.name, size=one.size,
        photo=f"/v1/queue/{one.id}/photo", taken=one.taken, encounter=one.encounter,
        state=one.state, error=one.error,
        answer=None if one.answer is None else Identification.model_validate_json(one.answer),
        taken_by=one.taken_by, taken_until=_utc(one.taken_until), decision=one.decision,
        identity=one.identity, note=one.note, decided_by=one.decided_by,
        decided_at=_utc(one.decided_at), event=one.event, undo=undo,
    )  # fmt: skip


def _utc(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
