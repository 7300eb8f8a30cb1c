"""The web page inside the FastAPI application of the API: its documents, fragments and files.

Documents and fragments are HTML made here.  Photographs go from the browser to the API; its answers
come back as JSON to be turned into HTML in the visitor's language, so that they are shown again
without asking again.  Only a browser without scripts sends photographs here.
"""

from fastapi import FastAPI

from flukeprint.serving.api.access.doors import Doors
from flukeprint.serving.api.responses import Descriptions
from flukeprint.serving.page.routes.catalogue import catalogue_routes
from flukeprint.serving.page.routes.collection import collection_routes
from flukeprint.serving.page.routes.comparing import comparing_routes
from flukeprint.serving.page.routes.field import field_routes
from flukeprint.serving.page.routes.frame import frame_routes
from flukeprint.serving.page.routes.identifying import identifying_routes
from flukeprint.serving.page.site import Site
from flukeprint.serving.service import Service

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)


def add_pages(
    app: FastAPI, service: Service, descriptions: Descriptions, doors: Doors | None = None
) -> Site:
    """Add the page to `app`, behind all routes that it has already."""
    site = Site(service, descriptions, doors)
    for routes in (
        identifying_routes, collection_routes, comparing_routes, catalogue_routes, field_routes,
        frame_routes,
    ):  # fmt: skip
        for path, methods, endpoint in routes(site):
            app.add_route(path, endpoint, list(methods), include_in_schema=False)
    return site
