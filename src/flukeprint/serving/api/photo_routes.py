"""The routes that take photographs: identify, embed, verify and enroll."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request

from flukeprint.config.schema import ServeConfig
from flukeprint.data.catalog import Box
from flukeprint.data.names import spelling
from flukeprint.data.readers.boxes import asked_box
from flukeprint.errors import FlukeprintError
from flukeprint.records.kinds import read_moment, read_position
from flukeprint.serving.api.access.doors import Doors
from flukeprint.serving.api.photo_checks import check_photo
from flukeprint.serving.api.problems import LOG, RefusedError, responses
from flukeprint.serving.api.responses import identification
from flukeprint.serving.api.schemas import EmbeddingBody, Enrolled, Identification, Verification
from flukeprint.serving.api.uploads import Upload, read_photos
from flukeprint.serving.catalogue_watch import NoCatalogueError
from flukeprint.serving.people import Person
from flukeprint.serving.service import (
    AUTHOR,
    Circumstances,
    DamagedPhotoError,
    NotSavedError,
    Service,
)

PHOTO_REFUSALS = (
    "too_many_bytes", "too_many_pixels", "unsupported_media_type", "not_a_photograph", "invalid",
    "slow_upload", "rate_limited", "busy", "timeout", "no_photograph", "too_many_photographs",
    "damaged_photograph",
)  # fmt: skip
_BOX: dict[str, dict[str, Any]] = {
    "box": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "examples": [["0.25,0.1,0.5,0.6"]],
        "description": "The animal in each photograph, as `X,Y,WIDTH,HEIGHT` in shares (0..1) of "
        "the upright photograph from its left upper corner; one for each photograph in their order "
        "(`0,0,1,1`: all of it), or none. For several animals of a photograph ask once for each",
    },
}
_ASKED = _BOX | {
    "date": {
        "type": "string", "default": "", "examples": ["2026-05-12T13:55"],
        "description": "When they were taken: animals that were seen about then are likelier",
    },
    "at": {
        "type": "string", "default": "", "examples": ["-27.05,32.41"],
        "description": "Where, as `LATITUDE,LONGITUDE`: animals that were seen near there are "
        "likelier",
    },
}  # fmt: skip


def add_photo_routes(app: FastAPI, service: Service) -> None:
    """Add `/v1/identify`, `/v1/embed` and `/v1/verify` to `app`."""
    settings = service.settings
    refusals = responses(*PHOTO_REFUSALS)

    @app.post(
        "/v1/identify", tags=["work"],
        responses=responses(*PHOTO_REFUSALS, "conflict", "no_catalogue"),
        openapi_extra=photo_form(1, settings.photos, **_ASKED),
    )  # fmt: skip
    async def identify(request: Request) -> Identification:
        """Who is this?  One photograph, or several of one encounter; five answers.

        With `box` the animal in a box of it.  `date` and `at` need a catalogue whose encounters
        show that time or place tells who an animal is; elsewhere they are a conflict.
        """
        return await read_identification(request, service)

    @app.post(
        "/v1/embed", tags=["work"], responses=refusals,
        openapi_extra=photo_form(1, settings.photos, **_BOX),
    )  # fmt: skip
    async def embed(request: Request) -> EmbeddingBody:
        """The unit vectors of photographs, for a gallery of your own."""
        upload = await read_and_check(request, settings, lists=("box",))
        with damage_refused():
            found = await service.embed(upload.photos, _boxes(upload))
        return EmbeddingBody(model=found.stamp, embeddings=found.vectors.tolist())

    @app.post(
        "/v1/verify", tags=["work"], openapi_extra=photo_form(2, 2, **_BOX),
        responses=responses(*PHOTO_REFUSALS, "conflict"),
    )  # fmt: skip
    async def verify(request: Request) -> Verification:
        """Do two photographs show one individual (or one species)?"""
        upload = await read_and_check(request, settings, lists=("box",))
        if len(upload.photos) != 2:
            raise RefusedError("invalid", "two photographs are compared, no more and no fewer")
        if service.identifier.card.verifier is None:
            raise RefusedError(
                "conflict", "this identifier has no threshold for pairs: its fold had too few"
            )
        boxes = _boxes(upload)
        with damage_refused():
            score, point = await service.verify(upload.photos, boxes)
        return Verification(
            same=score >= point.threshold,
            score=score,
            threshold=point.threshold,
            false_accept_rate=point.false_accept,
            false_reject_rate=point.false_reject,
        )


async def read_identification(request: Request, service: Service) -> Identification:
    """Identify the photographs of a request's form.

    Raises:
        RefusedError: as the route.
    """
    upload = await read_and_check(
        request, service.settings, optional={"date": "", "at": ""}, lists=("box",)
    )
    photos = upload.photos
    boxes = _boxes(upload)
    when = _circumstances(upload)
    try:
        verdict, by = await service.identify(photos, boxes, when)
    except DamagedPhotoError as error:
        raise RefusedError("damaged_photograph", str(error)) from None
    except NoCatalogueError as error:
        raise RefusedError("no_catalogue", f"{error}; leave date and at out") from None
    except FlukeprintError as error:
        if not when.known:
            raise
        raise RefusedError("conflict", f"{error}; leave date and at out") from None
    return identification(verdict, len(photos), by.card.new_label, by.numbers)


def _boxes(upload: Upload) -> list[Box]:
    given = upload.lists["box"]
    if given and len(given) != len(upload.photos):
        raise RefusedError(
            "invalid",
            f"there are {len(upload.photos)} photographs and {len(given)} boxes; give one box for "
            "each, 0,0,1,1 for all of it, and ask once for each animal of a photograph",
        )
    boxes = []
    for number, text in enumerate(given, 1):
        try:
            boxes.append(asked_box(text))
        except FlukeprintError as error:
            raise RefusedError("invalid", f"box {number}: {error}") from None
    return boxes


def _circumstances(upload: Upload) -> Circumstances:
    date, at = upload.fields["date"], upload.fields["at"]
    try:
        moment = read_moment(date) if date else None
    except FlukeprintError:  # whose text quotes it
        raise RefusedError(
            "invalid", "date: write 2026-05-12, 2026-05-12T13:55 or 2026, none in the future"
        ) from None
    try:
        position = read_position(at) if at else None
    except FlukeprintError:
        raise RefusedError("invalid", "at: write latitude and longitude, as -27.05,32.41") from None
    return Circumstances(moment, position)


def add_enrolment_route(app: FastAPI, service: Service, doors: Doors) -> None:
    """Add `/v1/enroll` to `app`, for those of role `keep`."""
    settings = service.settings
    keeps = doors.needs("keep")

    @app.post(
        "/v1/enroll", tags=["work"], status_code=201,
        responses=responses(*PHOTO_REFUSALS, "unauthorized", "forbidden", "conflict"),
        openapi_extra=photo_form(
            1, settings.photos,
            identity={
                "type": "string", "minLength": 1, "examples": ["w_300"],
                "description": "Whom they show; a name that is not there makes a new individual",
            },
            keep_photos={
                "type": "string", "enum": ["yes", "no"], "examples": ["yes"],
                "description": "Whether small pictures of them are kept and shown",
            },
            force={
                "type": "string", "enum": ["yes", "no"], "default": "no", "examples": ["no"],
                "description": "Take near copies and nearly known names all the same",
            },
            author={
                "type": "string", "minLength": 1, "default": AUTHOR, "examples": ["Ana"],
                "description": "Who does it, for the history; only with the server's own token",
            },
            **_BOX,
        ),
    )  # fmt: skip
    async def enroll(request: Request, person: Annotated[Person, Depends(keeps)]) -> Enrolled:
        """Add an individual, or photographs of one, without training.

        `keep_photos` yes keeps small pictures of them to show beside answers; no keeps their
        embeddings alone.  A name that is nearly a known one is a conflict, and so is a photograph
        that looks like a copy of one in the gallery; `force` yes takes both all the same.  The
        history of the catalogue names whose token it is; of the server's own token, `author`.
        """
        upload = await read_and_check(
            request,
            settings,
            fields=("identity", "keep_photos"),
            optional={"force": "no", "author": person.name},
            lists=("box",),
        )
        author = upload.fields["author"]
        if author != person.name and not doors.is_own(person):
            raise RefusedError("invalid", f"the history will name {person.name}; leave author out")
        keep, force = upload.fields["keep_photos"], upload.fields["force"]
        for field, value in (("keep_photos", keep), ("force", force)):
            if value not in ("yes", "no"):
                raise RefusedError("invalid", f"{field} is yes or no")
        new = service.identifier.card.new_label
        wanted = upload.fields["identity"]
        if spelling(wanted) == spelling(new):
            raise RefusedError("invalid", f"{new} is no individual's name; choose another one")
        boxes = _boxes(upload)
        try:
            done = await service.enroll(
                wanted, upload.photos, boxes, thumbnails=keep == "yes", force=force == "yes",
                author=author,
            )  # fmt: skip
        except DamagedPhotoError as error:
            raise RefusedError("damaged_photograph", str(error)) from None
        except NotSavedError as error:
            LOG.error("enrolling failed: %s", error)
            raise RefusedError(
                "internal", "the server could not keep it; nothing changed"
            ) from None
        except FlukeprintError as error:
            raise RefusedError("conflict", str(error)) from None
        now = service.identifier
        name = done.identities[0]  # as the gallery writes it
        return Enrolled(
            identity=name,
            photos=len(now.prepared.gallery.rows_of(name)),
            classes=len(now.identities),
            gallery=len(now.gallery),
            event=done.event.id,
        )


def photo_form(fewest: int, most: int, **fields: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a form with photographs.

    Declaring FastAPI's own UploadFile instead would write uploads to disk.
    """
    photos = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": fewest,
        "maxItems": most,
        "description": "Photographs in any of the formats that `/v1/about` lists",
    }
    required = ["photos", *(name for name, field in fields.items() if "default" not in field)]
    schema = {"type": "object", "properties": {"photos": photos, **fields}, "required": required}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


async def read_and_check(
    request: Request,
    settings: ServeConfig,
    fields: tuple[str, ...] = (),
    optional: Mapping[str, str] | None = None,
    lists: tuple[str, ...] = (),
) -> Upload:
    """The upload, each photograph of which has passed `check_photo`."""
    upload = await read_photos(request, settings, fields=fields, optional=optional, lists=lists)
    for number, photo in enumerate(upload.photos, 1):
        # In a thread: hostile headers take seconds to read.
        check = partial(check_photo, photo, settings, name=f"photograph {number}")
        await asyncio.get_running_loop().run_in_executor(None, check)
    return upload


@contextlib.contextmanager
def damage_refused() -> Iterator[None]:
    try:
        yield
    except DamagedPhotoError as error:
        raise RefusedError("damaged_photograph", str(error)) from None
