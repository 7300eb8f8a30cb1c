"""The page about the service, the files of all pages, and the answer where there is no page."""

import htpy as html
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.page.assets import PREFIX
from flukeprint.serving.page.context import Content
from flukeprint.serving.page.site import Routes, Site
from flukeprint.serving.page.views.about import about_page
from flukeprint.serving.page.views.photographs import heading

_ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class _PagePath(Convertor[str]):
    """Any path that is not the API's."""

    regex = r"(?!v1(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def frame_routes(site: Site) -> Routes:
    """These routes; the last one answers whatever no other one does."""
    register_url_convertor("page_path", _PagePath())
    pages = Frame(site)
    return (
        ("/about", ("GET",), pages.about),
        (PREFIX + "{digest}/{name}", ("GET",), pages.asset),
        ("/{path:page_path}", _ANY, pages.nothing),
    )


class Frame:
    """Answers the requests for the rest."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def about(self, request: Request) -> Response:
        """The page about the service."""
        context = self.site.context(request)
        return self.site.page(request, context, "/about", about_page(context))

    def asset(self, request: Request) -> Response:
        """A file of the page."""
        found = self.site.assets.response(
            request, request.path_params["digest"], request.path_params["name"]
        )
        if found is None:
            raise RefusedError("not_found", "the page has no such file")
        return found

    def nothing(self, request: Request) -> Response:
        """A page that says that there is none, for people; a problem for programs."""
        accepted = request.headers.get("accept", "")
        if request.method not in ("GET", "HEAD") or "text/html" not in accepted:
            raise RefusedError("not_found", "there is nothing at this address")
        context = self.site.context(request)
        content: Content = [
            heading(context.text("nothing_here")),
            html.p[html.a(href="/")[context.text("to_start")]],
        ]
        return self.site.page(request, context, request.url.path, content, status=404)
