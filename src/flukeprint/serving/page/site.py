"""What all routes of the page share: the facts of the gallery, a visitor's language, documents."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import htpy as html
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.api.access.doors import Doors
from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.api.responses import Descriptions
from flukeprint.serving.page.assets import Assets
from flukeprint.serving.page.context import Content, PageContext, kind_of
from flukeprint.serving.page.document import Visitor, document
from flukeprint.serving.page.i18n import LANGUAGES
from flukeprint.serving.page.languages import COOKIE, language_of
from flukeprint.serving.page.map_points import MapPoints
from flukeprint.serving.page.names import NameIndex
from flukeprint.serving.page.views.map_groups import Grouping, grouping
from flukeprint.serving.service import Service
from flukeprint.serving.sessions import Session

FRAGMENT_BYTES = 256 * 1024  # most of an answer that comes back to be shown
FEWEST_PIXELS: Final = 2048  # a photograph is never sent with a shorter longest side
YEAR: Final = 31_536_000  # seconds
UNCHANGED: Final = "private, no-cache"  # a browser asks each time whether its copy is still right
# Path, methods, and what answers it.
Endpoint = Callable[[Request], Response | Awaitable[Response]]
Routes = Sequence[tuple[str, Sequence[str], Endpoint]]


@dataclass(frozen=True)
class GalleryFacts:
    """What the page tells of one state of the gallery, made once for it."""

    identifier: Identifier
    english: PageContext

    @classmethod
    def of(cls, descriptions: Descriptions) -> "GalleryFacts":
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


def longest_side(identifier: Identifier) -> int:
    """The longest side of a photograph of which an identifier makes use, px.

    Photographs are cut to boxes and zoomed into before the network sees them, so it is some times
    as long as the network's own.
    """
    image, local = identifier.card.image, identifier.card.method.rules.local
    keypoints = 2 * local.side if local.candidates else 0
    return max(FEWEST_PIXELS, 4 * image.height, 4 * image.width, keypoints)


class Site:
    """The page of a service."""

    def __init__(
        self, service: Service, descriptions: Descriptions, doors: Doors | None = None
    ) -> None:
        """doors: which people there are; None: there are none."""
        self.service, self._doors = service, doors
        self.assets = Assets()
        self._descriptions = descriptions
        self._facts: GalleryFacts | None = None

    def facts(self) -> GalleryFacts:
        """What is told of the gallery as it is now."""
        known = self._facts
        if known is None or known.identifier is not self._descriptions.identifier():
            known = self._facts = GalleryFacts.of(self._descriptions)
        return known

    def session(self, request: Request) -> Session | None:
        """The session of the person who asks; None for somebody who has not signed in."""
        return None if self._doors is None else self._doors.session(request)

    @property
    def people(self) -> bool:
        """Whether the server knows people by tokens, so that somebody can sign in."""
        return self._doors is not None and self._doors.changes

    @property
    def closed(self) -> bool:
        """Whether even looking needs a token."""
        return self._doors is not None and self._doors.closed

    def may_change(self, request: Request) -> bool:
        """Whether who asks may change the catalogue."""
        session = self.session(request)
        return session is not None and session.person.may("keep")

    def context(self, request: Request) -> PageContext:
        """The facts in the language of a visitor."""
        return self.facts().english.in_language(language_of(request))

    def page(
        self,
        request: Request,
        context: PageContext,
        path: str,
        content: Content,
        status: int = 200,
        script: str | None = None,
    ) -> Response:
        """The document of a page, or 304 where the browser has it.

        path: of the page, as in `document.PATHS`.  content: its `heading` first.  script: one that
            it needs besides those of its path.
        """
        session = self.session(request)
        visitor = Visitor(
            self.people, None if session is None else session.person.name,
            self.service.identifier.kept is not None,
            session is not None and session.person.may("review"), request.url.path,
            longest_side(self.service.identifier), request.query_params.multi_items(),
        )  # fmt: skip
        scripts = () if script is None else (script,)
        text = document(
            context, visitor, self.assets, path, title_of(content), content, scripts
        ).encode()
        etag = f'W/"{hashlib.sha256(text).hexdigest()[:20]}"'
        headers = {
            "ETag": etag, "Cache-Control": UNCHANGED, "Content-Language": context.language,
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


async def posted(request: Request) -> object:
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


def fragment(content: Content, line: str = "") -> Response:
    """The answer with HTML for a part of the page, and a line for screen readers."""
    return JSONResponse({"html": markup(content), "line": line})


def markup(content: Content) -> str:
    """The HTML of elements."""
    return str(html.fragment[content])


def title_of(content: Content) -> str:
    """The words of a page's `heading`, which comes first; escaped already."""
    return str(content[0]).partition(">")[2].partition("<")[0]


def photo_number(text: str | None) -> int | None:
    """A photograph's id, None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def lead(text: str) -> html.Element:
    """The paragraph below a title."""
    return html.p(class_="lead")[text]
