"""The web page inside the FastAPI application of the API: its documents, fragments and files.

Documents and fragments are HTML made here.  Photographs go from the browser to the API; its answers
come back as JSON to be turned into HTML in the visitor's language, so that they are shown again
without asking again.  Only a browser without scripts sends photographs here.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import htpy as html
from fastapi import FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.api.photo_routes import read_identification
from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.api.responses import Descriptions, similar
from flukeprint.serving.api.schemas import Identification, Verification
from flukeprint.serving.page.assets import PREFIX, Assets
from flukeprint.serving.page.context import Content, PageContext, kind_of
from flukeprint.serving.page.document import document
from flukeprint.serving.page.i18n import LANGUAGES
from flukeprint.serving.page.languages import COOKIE, language_of
from flukeprint.serving.page.map_points import MapPoints
from flukeprint.serving.page.names import NameIndex
from flukeprint.serving.page.views.about import about_page
from flukeprint.serving.page.views.answers import (
    candidates_view,
    identification_view,
    similar_view,
    verification_view,
)
from flukeprint.serving.page.views.gallery import (
    classes_list,
    classes_page,
    map_page,
    map_photo,
    without_map,
)
from flukeprint.serving.page.views.headline import headline, headline_view
from flukeprint.serving.page.views.map_groups import Grouping, grouping
from flukeprint.serving.page.views.photographs import (
    IDENTIFY,
    heading,
    identify_page,
    review_page,
    verify_page,
)
from flukeprint.serving.page.views.problems import (
    PageAnswer,
    Refused,
    problem_text,
    problem_view,
    read_body,
    read_item,
    read_outcome,
)
from flukeprint.serving.service import Service

FRAGMENT_BYTES = 256 * 1024  # most of an answer that comes back to be shown
MOST_FOUND = 20  # names that a search on the map offers
SIMILAR = 24
YEAR = 31_536_000  # seconds
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
_UNCHANGED = "private, no-cache"  # a browser asks each time whether its copy is still right


class _PagePath(Convertor[str]):
    """Any path that is not the API's."""

    regex = r"(?!v1(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


@dataclass(frozen=True)
class _Shown:
    """What the page tells of one state of the gallery, made once for it."""

    identifier: Identifier
    english: PageContext

    @classmethod
    def of(cls, descriptions: Descriptions) -> "_Shown":
        identifier = descriptions.identifier()
        classes = descriptions.by_identity()
        context = PageContext(
            descriptions.about(), classes, MapPoints.of(identifier), kind_of(classes), "en",
            NameIndex.of(classes),
        )  # fmt: skip
        return cls(identifier, context)

    @cached_property
    def groups(self) -> Grouping | None:
        points = self.english.map_
        return None if points is None else grouping(self.english, points)

    @cached_property
    def points(self) -> tuple[bytes, str] | None:
        """The bytes of the map's points and their digest."""
        points, groups = self.english.map_, self.groups
        if points is None or groups is None:
            return None
        data = points.packed(groups.of_points.tolist())
        return data, hashlib.sha256(data).hexdigest()[:16]


class Pages:
    """Answers the requests for the page of a service."""

    def __init__(self, service: Service, descriptions: Descriptions) -> None:
        self._service, self._descriptions = service, descriptions
        self._assets = Assets()
        self._shown: _Shown | None = None

    def shown(self) -> _Shown:
        """What is told of the gallery as it is now."""
        known = self._shown
        if known is None or known.identifier is not self._descriptions.identifier():
            known = self._shown = _Shown.of(self._descriptions)
        return known

    def context(self, request: Request) -> PageContext:
        """The facts in the language of a visitor."""
        return self.shown().english.in_language(language_of(request))

    # ---- documents

    def identify(self, request: Request) -> Response:
        """The first page."""
        return self._document(request, "/", identify_page)

    async def identify_without_scripts(self, request: Request) -> Response:
        """The first page with the answer to photographs that a form sent."""
        context = self.context(request)
        try:
            found = await read_identification(request, self._service)
        except RefusedError as error:
            refused = Refused(
                state="problem", kind=error.kind, status=error.status, detail=error.detail,
                retry_after=None,
            )  # fmt: skip
            answer, status = problem_view(context, refused, None), error.status
        else:
            answer, status = identification_view(context, found), 200
        return self._whole(request, context, "/", identify_page(context, answer), status=status)

    def verify(self, request: Request) -> Response:
        """The page that compares two photographs."""
        return self._document(request, "/verify", verify_page)

    def review(self, request: Request) -> Response:
        """The page of many photographs."""
        return self._document(request, "/review", review_page)

    def about(self, request: Request) -> Response:
        """The page about the service."""
        return self._document(request, "/about", about_page)

    def classes(self, request: Request) -> Response:
        """The list of classes."""
        query = request.url.query
        return self._document(request, "/classes", lambda context: classes_page(context, query))

    def map(self, request: Request) -> Response:
        """The map of the gallery."""
        context, found, points = self.context(request), self.shown().groups, self.shown().points
        if context.map_ is None or found is None or points is None:
            return self._whole(request, context, "/map", without_map(context))
        address = f"/map/points?v={points[1]}"
        content = map_page(context, context.map_, found, address, request.url.query)
        return self._whole(request, context, "/map", content)

    def similar(self, request: Request) -> Response:
        """The photographs of the gallery that are nearest to one of them."""
        context, identifier = self.context(request), self.shown().identifier
        title = heading(context.text("similar_title"))
        photo = _number(request.query_params.get("photo"))
        row = None if photo is None else identifier.row_of(photo)
        if row is None:
            words = context.text("similar_no_photo" if photo is None else "problem_not_found")
            return self._whole(
                request, context, "/similar", [title, _lead(words)],
                status=200 if photo is None else 404,
            )  # fmt: skip
        found = similar(identifier, row, SIMILAR)
        return self._whole(request, context, "/similar", [title, *similar_view(context, found)])

    def nothing(self, request: Request) -> Response:
        """A page that says that there is none, for people; a problem for programs."""
        accepted = request.headers.get("accept", "")
        if request.method not in ("GET", "HEAD") or "text/html" not in accepted:
            raise RefusedError("not_found", "there is nothing at this address")
        context = self.context(request)
        content: Content = [heading(context.text("nothing_here")), _start(context)]
        return self._whole(request, context, request.url.path, content, status=404)

    # ---- fragments

    async def identified(self, request: Request) -> Response:
        """The API's answer to an identification as HTML."""
        context, outcome = self.context(request), read_outcome(await _posted(request))
        if isinstance(outcome, PageAnswer):
            body = read_body(outcome, Identification)
            if isinstance(body, Identification):
                line = context.text("answered", headline=headline(context, body).text())
                return _fragment(identification_view(context, body), line)
            outcome = body
        if outcome is None:
            return _fragment([], "")
        return _fragment(problem_view(context, outcome, "identify"), problem_text(context, outcome))

    async def verified(self, request: Request) -> Response:
        """The API's answer to a comparison as HTML."""
        context, outcome = self.context(request), read_outcome(await _posted(request))
        if isinstance(outcome, PageAnswer):
            body = read_body(outcome, Verification)
            if isinstance(body, Verification):
                line = context.kind_text("same" if body.same else "different")
                return _fragment(
                    verification_view(context, body), context.text("answered", headline=line)
                )
            outcome = body
        if outcome is None:
            return _fragment([], "")
        return _fragment(problem_view(context, outcome, "verify"), problem_text(context, outcome))

    async def reviewed(self, request: Request) -> Response:
        """The headline and the candidates of the current photograph of a review."""
        context, item = self.context(request), read_item(await _posted(request))
        if item is None:
            return JSONResponse({"headline": "", "candidates": "", "names": []})
        outcome = read_outcome(item.outcome)
        above: Content
        below: Content = []
        names: list[str] = []
        if outcome is None:
            above = [_lead(context.text("review_wait"))]
        else:
            found = (
                read_body(outcome, Identification) if isinstance(outcome, PageAnswer) else outcome
            )
            if isinstance(found, Identification):
                above = [headline_view(headline(context, found))]
                below = candidates_view(context, found, item.decision)
                names = [
                    each.label if each.identity is None else context.called(each.identity)
                    for each in found.answers
                ]
            else:
                above = problem_view(context, found, None)
        return JSONResponse({"headline": _html(above), "candidates": _html(below), "names": names})

    def listed(self, request: Request) -> Response:
        """The list of classes that a filter leaves."""
        return _fragment(classes_list(self.context(request), request.url.query), "")

    def photo(self, request: Request) -> Response:
        """The photograph of a point of the map."""
        context, identifier = self.context(request), self.shown().identifier
        number = _number(request.path_params["photo"])
        row = None if number is None else identifier.row_of(number)
        if number is None or row is None:
            raise RefusedError("not_found", "the gallery has no such photograph")
        identity = identifier.prepared.gallery.identities[row]
        return _fragment(map_photo(context, number, identity), context.name_of(identity))

    def points(self, request: Request) -> Response:
        """The points of the map, as `MapPoints.packed` describes them."""
        known = self.shown().points
        if known is None:
            raise RefusedError("not_found", "this gallery has no map")
        data, digest = known
        headers = {"ETag": f'"{digest}"', "Cache-Control": _UNCHANGED}
        if request.query_params.get("v") == digest:
            headers["Cache-Control"] = f"private, max-age={YEAR}, immutable"
        if headers["ETag"] in (request.headers.get("if-none-match") or ""):
            return Response(status_code=304, headers=headers)
        return Response(data, media_type="application/octet-stream", headers=headers)

    def search(self, request: Request) -> Response:
        """The classes that a text on the map means: their numbers, and names to choose from."""
        context = self.context(request)
        text = request.query_params.get("q", "").strip()[:100]
        points = context.map_
        if points is None or not text:
            return JSONResponse({"classes": [], "names": [], "line": ""})
        found = context.names.find(text)
        exact = [info for info in found if info.identity == text]
        number = {name: place for place, name in enumerate(points.identities)}
        chosen = [number[info.identity] for info in exact or found if info.identity in number]
        photos = sum(info.photos for info in exact or found)
        line = context.text(
            "map_found", photos=context.number(photos), classes=context.number(len(chosen))
        )
        names = [
            {"identity": info.identity, "name": context.called(info.identity)}
            for info in found[:MOST_FOUND]
        ]
        return JSONResponse(
            {
                "classes": chosen, "names": names,
                "line": line if chosen else context.text("map_not_found"),
            }
        )  # fmt: skip

    def asset(self, request: Request) -> Response:
        """A file of the page."""
        found = self._assets.response(
            request, request.path_params["digest"], request.path_params["name"]
        )
        if found is None:
            raise RefusedError("not_found", "the page has no such file")
        return found

    # ---- documents, how they are made

    def _document(
        self, request: Request, path: str, content: Callable[[PageContext], Content]
    ) -> Response:
        context = self.context(request)
        return self._whole(request, context, path, content(context))

    def _whole(
        self, request: Request, context: PageContext, path: str, content: Content, status: int = 200
    ) -> Response:
        title = str(content[0]).partition(">")[2].partition("<")[0] if content else ""
        text = document(context, self._assets, path, title, content).encode()
        etag = f'W/"{hashlib.sha256(text).hexdigest()[:20]}"'
        headers = {
            "ETag": etag, "Cache-Control": _UNCHANGED, "Content-Language": context.language,
            "Vary": "Accept-Language, Cookie, Accept-Encoding",
        }  # fmt: skip
        response: Response
        if status == 200 and etag in (request.headers.get("if-none-match") or ""):
            response = Response(status_code=304, headers=headers)
        else:
            response = HTMLResponse(text, status, headers)
        if request.query_params.get("lang") in LANGUAGES:
            response.set_cookie(
                COOKIE, context.language, max_age=YEAR, samesite="lax", httponly=True
            )
        return response


def add_pages(app: FastAPI, service: Service, descriptions: Descriptions) -> Pages:
    """Add the page to `app`, behind all routes that it has already."""
    register_url_convertor("page_path", _PagePath())
    pages = Pages(service, descriptions)
    for path, endpoint in (
        ("/", pages.identify), ("/verify", pages.verify), ("/review", pages.review),
        ("/map", pages.map), ("/classes", pages.classes), ("/about", pages.about),
        ("/similar", pages.similar), ("/map/points", pages.points), ("/map/search", pages.search),
        ("/fragments/classes", pages.listed), ("/fragments/photo/{photo}", pages.photo),
        (PREFIX + "{digest}/{name}", pages.asset),
    ):  # fmt: skip
        app.add_route(path, endpoint, ["GET"], include_in_schema=False)
    for path, posted in (
        (IDENTIFY, pages.identify_without_scripts), ("/fragments/identify", pages.identified),
        ("/fragments/verify", pages.verified), ("/fragments/review", pages.reviewed),
    ):  # fmt: skip
        app.add_route(path, posted, ["POST"], include_in_schema=False)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    app.add_route("/{path:page_path}", pages.nothing, methods, include_in_schema=False)
    return pages


async def _posted(request: Request) -> object:
    """The JSON of a request; None where it is none.

    Raises:
        RefusedError: more than FRAGMENT_BYTES, or another kind of content.
    """
    # Only a page of this site may send this type without asking first.
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise RefusedError("unsupported_media_type", "fragments are asked for with JSON")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > FRAGMENT_BYTES:
            raise RefusedError("too_many_bytes", "an answer is smaller than that")
    try:
        found: object = json.loads(data)
    except ValueError:  # also of bytes that are no UTF-8
        return None
    return found


def _fragment(content: Content, line: str) -> Response:
    """HTML for a part of the page, and a line for screen readers."""
    return JSONResponse({"html": _html(content), "line": line})


def _html(content: Content) -> str:
    return str(html.fragment[content])


def _number(text: str | None) -> int | None:
    """A photograph's id, None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _lead(text: str) -> html.Element:
    return html.p(class_="lead")[text]


def _start(context: PageContext) -> html.Element:
    return html.p[html.a(href="/")[context.text("to_start")]]
