"""Builds the HTTP API: the FastAPI application with all routes under `/v1`, and `/docs`.

A photograph passes through the middleware (`middleware`), is read into memory (`uploads`) and
checked by its header (`photo_checks`); then the service answers, and `responses` turns that into
a body of `schemas`.  Refusals are problems (`problems`).  The web page is added by the server.
"""

import contextlib
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI

from flukeprint import __version__
from flukeprint.serving.api.access.doors import Doors, describe_doors
from flukeprint.serving.api.access.queries import refuse_unknown_query
from flukeprint.serving.api.access.session_routes import add_session_routes
from flukeprint.serving.api.catalogue.animal_routes import add_animal_routes
from flukeprint.serving.api.catalogue.answering import Answering
from flukeprint.serving.api.catalogue.edit_routes import add_edit_routes
from flukeprint.serving.api.catalogue.queue_routes import add_queue_routes
from flukeprint.serving.api.docs import add_docs
from flukeprint.serving.api.gallery_routes import add_gallery_routes
from flukeprint.serving.api.match_routes import add_match_route
from flukeprint.serving.api.photo_routes import add_enrolment_route, add_photo_routes
from flukeprint.serving.api.problems import RefusedError, install, responses
from flukeprint.serving.api.responses import Descriptions
from flukeprint.serving.api.schemas import About, Status
from flukeprint.serving.full_photos import GalleryPictures
from flukeprint.serving.service import Service

TAGS = {
    "state": "What is served, and whether it can answer.",
    "work": "Photographs in, answers out.",
    "people": "Who asks, by a token, and what that person may do.",
    "catalogue": "Animals, encounters and history; only where there is a catalogue.",
    "changes": "Changes of the catalogue, each an event that can be taken back.",
    "queue": "Uploaded photographs that several people decide, no two of them the same one.",
    "gallery": "The photographs that answers come from.",
}


def build_api(service: Service, *, token: str | None = None) -> FastAPI:
    """The API of a service, without its middleware; the server adds that around API and page.

    token: the server's own, with which one may change everything; None: there is none.

    Raises:
        FlukeprintError: the file of people cannot be read.
    """
    settings = service.settings
    doors = Doors(settings, token)
    descriptions = Descriptions(service)
    answering = Answering(service)
    pictures = GalleryPictures(service)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start_following()
        answering.start()
        app.state.ready = True
        yield
        app.state.ready = False
        await answering.close()
        await service.close()

    app = FastAPI(
        title=f"flukeprint: {settings.title or service.identifier.card.name}",
        summary="Who is this animal?",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page would fetch its scripts from another site
        redoc_url=None,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(refuse_unknown_query)],
    )
    app.state.ready = False
    app.state.descriptions = descriptions
    app.state.doors = doors
    install(app)
    add_docs(app)
    _add_state_routes(app, descriptions)
    add_gallery_routes(app, service, descriptions, pictures)
    add_photo_routes(app, service)
    add_match_route(app, service, pictures)
    add_enrolment_route(app, service, doors)
    add_session_routes(app, doors)
    add_animal_routes(app, service)
    add_edit_routes(app, service, doors)
    add_queue_routes(app, service, doors, answering)
    describe_doors(app, doors)
    return app


def _add_state_routes(app: FastAPI, descriptions: Descriptions) -> None:
    # The docstrings of routes are descriptions in the OpenAPI schema.
    @app.get("/v1/health", tags=["state"])
    async def get_health() -> Status:
        """The process lives."""
        return Status(status="ok")

    @app.get("/v1/ready", tags=["state"], responses=responses("not_ready"))
    async def get_ready() -> Status:
        """It takes requests: the network is loaded and nobody has asked it to stop."""
        if not app.state.ready:
            raise RefusedError("not_ready", "the service is starting or stopping; try again soon")
        return Status(status="ready")

    @app.get("/v1/about", tags=["state"])
    async def get_about() -> About:
        """Model, gallery, measured accuracy, thresholds and limits."""
        return descriptions.about()
