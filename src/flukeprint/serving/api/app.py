"""The API: HTTP requests enter, what the service knows leaves as JSON, under `/v1`.

A photograph's way: guards (`api_guards`) -> its bytes in memory (`api_uploads`) -> service ->
body (`api_bodies`).  Refusals are problems (`api_problems`).  The web page stands beside it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Scope

from flukeprint import __version__
from flukeprint.config.schema import ServeConfig
from flukeprint.errors import FlukeprintError
from flukeprint.serving.api.docs import add_docs
from flukeprint.serving.api.middleware import (
    API_CSP,
    Admission,
    BodyLimit,
    Deadline,
    RateLimit,
    SecurityHeaders,
    token_matches,
)
from flukeprint.serving.api.problems import LOG, RefusedError, install, responses
from flukeprint.serving.api.responses import Descriptions, gallery_map, identification, similar
from flukeprint.serving.api.schemas import (
    About,
    Classes,
    EmbeddingBody,
    Enrolled,
    Examples,
    GalleryMap,
    Identification,
    Similar,
    Status,
    Verification,
)
from flukeprint.serving.api.uploads import Upload, check_photo, read_photos
from flukeprint.serving.service import DamagedPhotoError, NotKeptError, Service

WORK = ("/v1/identify", "/v1/embed", "/v1/verify", "/v1/enroll")
LARGEST_ID = 2**53  # that JSON carries exactly
FORM_BYTES = 64 * 1024  # of a form besides its photographs
_UPLOAD = (
    "too_many_bytes", "too_many_pixels", "unsupported_media_type", "not_a_photograph", "invalid",
    "slow_upload", "rate_limited", "busy", "timeout",
)  # fmt: skip


def build_api(service: Service, *, token: str | None = None) -> FastAPI:
    """The API of a service; `token` is what enrolling asks for.

    Its guards are `guarded`, which the server puts around it together with the web page.
    """
    settings = service.settings
    told = Descriptions(service)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.ready = True
        yield
        app.state.ready = False
        await service.close()

    app = FastAPI(
        title=f"flukeprint: {settings.title or service.identifier.card.name}",
        summary="Who is this animal?",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own would fetch its scripts from another site
        redoc_url=None,
    )
    app.state.ready = False
    app.state.told = told
    install(app)
    add_docs(app)
    _add_state(app, told)
    _add_gallery(app, service, told)
    _add_work(app, service)
    _add_enrolment(app, service, token)
    return app


def guarded(app: FastAPI, settings: ServeConfig, page_csp: Callable[[Scope], str]) -> None:
    """Put the guards around the API and the page; see `api_guards` for their order.

    page_csp: the Content-Security-Policy of whatever does not lie under /v1.
    """

    def csp(scope: Scope) -> str:
        return API_CSP if scope["path"].startswith("/v1/") else page_csp(scope)

    # The last one added is the outermost.
    app.add_middleware(Admission, most=settings.queue, paths=WORK)
    app.add_middleware(Deadline, seconds=settings.timeout, paths=WORK)
    app.add_middleware(RateLimit, per_minute=rate_of(settings), paths=WORK)
    most = min(settings.request_bytes, settings.photo_bytes * settings.photos)
    app.add_middleware(BodyLimit, most_bytes=most + FORM_BYTES)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors), allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"], expose_headers=["Retry-After"],
        )  # fmt: skip
    app.add_middleware(SecurityHeaders, csp=csp, cors=bool(settings.cors))


def rate_of(settings: ServeConfig) -> int:
    """Requests a minute of one address; on a loopback host `auto` limits nobody."""
    if settings.rate != "auto":
        return settings.rate
    return 0 if settings.host in ("127.0.0.1", "::1", "localhost") else 120


def _add_state(app: FastAPI, told: Descriptions) -> None:
    @app.get("/v1/health", tags=["state"])
    async def health() -> Status:
        """The process lives."""
        return Status(status="ok")

    @app.get("/v1/ready", tags=["state"], responses=responses("not_ready"))
    async def ready() -> Status:
        """It takes requests: the network is loaded and nobody has asked it to stop."""
        if not app.state.ready:
            raise RefusedError("not_ready", "the service is starting or stopping; try again soon")
        return Status(status="ready")

    @app.get("/v1/about", tags=["state"])
    async def about() -> About:
        """Model, gallery, measured accuracy, thresholds and limits."""
        return told.about()


def _add_gallery(app: FastAPI, service: Service, told: Descriptions) -> None:
    @app.get("/v1/classes", tags=["gallery"], responses=responses("invalid"))
    async def classes(
        offset: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Classes:
        """The individuals or species of the gallery, by name, with what is known of them."""
        return told.page(offset, limit)

    @app.get("/v1/map", tags=["gallery"], responses=responses("not_found"))
    def map_of_gallery() -> GalleryMap:  # like the next by a thread: a large gallery takes long
        """The gallery in two dimensions."""
        found = gallery_map(service.identifier)
        if found is None:
            raise RefusedError("not_found", "this identifier was made without a map; train again")
        return found

    picture: dict[str, Any] = {
        "response_class": Response,
        "responses": {
            200: {"content": {"image/jpeg": {}}, "description": "a JPEG"},
            **responses("not_found", "invalid"),
        },
    }
    PhotoId = Annotated[int, Path(ge=0, le=LARGEST_ID)]

    @app.get("/v1/photos/{photo}", tags=["gallery"], **picture)
    async def photo_of_gallery(photo: PhotoId) -> Response:
        """The thumbnail of a photo of the gallery."""
        shown = service.identifier.showcase
        small = shown.thumbnails[photo] if shown is not None and photo < len(shown) else None
        return _jpeg(small, f"the gallery has no picture of photo {photo}")

    @app.get(
        "/v1/photos/{photo}/similar", tags=["gallery"], responses=responses("not_found", "invalid")
    )
    def similar_photos(photo: PhotoId, most: Annotated[int, Query(ge=1, le=48)] = 12) -> Similar:
        """The photos of the gallery that are nearest to one of them."""
        identifier = service.identifier
        if photo >= len(identifier.gallery):
            raise RefusedError("not_found", f"the gallery has no photo {photo}")
        return similar(identifier, photo, most)

    @app.get("/v1/examples", tags=["gallery"])
    async def examples() -> Examples:
        """How many photographs there are to try."""
        return Examples(count=len(service.examples))

    @app.get("/v1/examples/{number}", tags=["gallery"], **picture)
    async def example(number: PhotoId) -> Response:
        """A photograph to try."""
        there = service.examples[number] if number < len(service.examples) else None
        return _jpeg(there, f"there is no example {number}")


def _jpeg(data: bytes | None, missing: str) -> Response:
    if data is None:
        raise RefusedError("not_found", missing)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


def _form(fewest: int, most: int, **fields: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a form with photographs; FastAPI's own would write to disk."""
    photos = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": fewest,
        "maxItems": most,
    }
    required = ["photos", *(name for name, field in fields.items() if "default" not in field)]
    schema = {"type": "object", "properties": {"photos": photos, **fields}, "required": required}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


def _add_work(app: FastAPI, service: Service) -> None:
    settings = service.settings
    refusals = responses(*_UPLOAD, "no_photograph", "too_many_photographs", "damaged_photograph")

    @app.post(
        "/v1/identify", tags=["work"], responses=refusals, openapi_extra=_form(1, settings.photos)
    )
    async def identify(request: Request) -> Identification:
        """Who is this?  One photograph, or several of one encounter; five answers."""
        photos = (await _photos(request, settings)).photos
        with _refusing():
            verdict, by = await service.identify(photos)
        return identification(verdict, len(photos), by.card.new_label)

    @app.post(
        "/v1/embed", tags=["work"], responses=refusals, openapi_extra=_form(1, settings.photos)
    )
    async def embed(request: Request) -> EmbeddingBody:
        """The unit vectors of photographs, for a gallery of your own."""
        photos = (await _photos(request, settings)).photos
        with _refusing():
            found = await service.embed(photos)
        return EmbeddingBody(model=found.stamp, embeddings=found.vectors.tolist())

    @app.post(
        "/v1/verify", tags=["work"], openapi_extra=_form(2, 2),
        responses=responses(
            *_UPLOAD, "no_photograph", "too_many_photographs", "damaged_photograph", "conflict"
        ),
    )  # fmt: skip
    async def verify(request: Request) -> Verification:
        """Do two photographs show one individual (or one species)?"""
        photos = (await _photos(request, settings)).photos
        if len(photos) != 2:
            raise RefusedError("invalid", "two photographs are compared, no more and no fewer")
        if service.identifier.card.verifier is None:
            raise RefusedError(
                "conflict", "this identifier has no threshold for pairs: its fold had too few"
            )
        with _refusing():
            score, point = await service.verify(photos)
        return Verification(
            same=score >= point.threshold,
            score=score,
            threshold=point.threshold,
            false_accept_rate=point.false_accept,
            false_reject_rate=point.false_reject,
        )


def _add_enrolment(app: FastAPI, service: Service, token: str | None) -> None:
    settings = service.settings
    bearer = HTTPBearer(auto_error=False, description="FLUKEPRINT_ENROLL_TOKEN of the server")

    @app.post(
        "/v1/enroll", tags=["work"], status_code=201,
        responses=responses(
            *_UPLOAD, "no_photograph", "too_many_photographs", "damaged_photograph", "unauthorized",
            "forbidden", "conflict",
        ),
        openapi_extra=_form(
            1, settings.photos,
            identity={"type": "string", "minLength": 1},
            keep_photos={"type": "string", "enum": ["yes", "no"]},
        ),
    )  # fmt: skip
    async def enroll(
        request: Request,
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> Enrolled:
        """Add an individual, or photographs of one, without training.

        `keep_photos` yes keeps small pictures of them to show beside answers; no keeps their
        embeddings alone.
        """
        if not settings.enroll or not token:
            raise RefusedError("forbidden", "enrolling is off here; serve with --enroll")
        if not token_matches(request.headers.get("authorization"), token):
            raise RefusedError("unauthorized", "enrolling needs the token of this server")
        upload = await _photos(request, settings, fields=("identity", "keep_photos"))
        keep = upload.fields["keep_photos"]
        if keep not in ("yes", "no"):
            raise RefusedError("invalid", "keep_photos is yes or no")
        name = upload.fields["identity"].strip()
        new = service.identifier.card.new_label
        if name == new:
            raise RefusedError("invalid", f"{new} is no individual's name; choose another one")
        try:
            await service.enroll(name, upload.photos, thumbnails=keep == "yes")
        except DamagedPhotoError as error:
            raise RefusedError("damaged_photograph", str(error)) from None
        except NotKeptError as error:
            LOG.error("enrolling failed: %s", error)
            raise RefusedError(
                "internal", "the server could not keep it; nothing changed"
            ) from None
        except FlukeprintError as error:
            raise RefusedError("conflict", str(error)) from None
        now = service.identifier
        return Enrolled(
            identity=name,
            photos=len(now.prepared.gallery.rows_of(name)),
            classes=len(now.identities),
            gallery=len(now.gallery),
        )


async def _photos(request: Request, settings: ServeConfig, fields: tuple[str, ...] = ()) -> Upload:
    """The upload, each photograph looked at before anything is decoded."""
    upload = await read_photos(request, settings, fields=fields)
    for place, photo in enumerate(upload.photos, 1):
        # By a thread: hostile headers take seconds to read.
        check = partial(check_photo, photo, settings, name=f"photograph {place}")
        await asyncio.get_running_loop().run_in_executor(None, check)
    return upload


@contextlib.contextmanager
def _refusing() -> Any:
    try:
        yield
    except DamagedPhotoError as error:
        raise RefusedError("damaged_photograph", str(error)) from None
