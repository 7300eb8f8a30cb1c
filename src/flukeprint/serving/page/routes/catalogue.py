"""The pages of a catalogue, and the one on which people sign in."""

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flukeprint.errors import FlukeprintError
from flukeprint.records.kinds import LIFE_STAGES, SEXES, read_moment
from flukeprint.records.lookup import last_event, list_individuals, page_of
from flukeprint.records.names import suggested_name
from flukeprint.records.search import (
    Order,
    Seen,
    current_animal,
    find_animals,
    list_places,
    list_views,
)
from flukeprint.serving.alike_now import AlikeNow
from flukeprint.serving.api.catalogue.asking import reading
from flukeprint.serving.api.catalogue.bodies import AlikeBody, Animals, Facets
from flukeprint.serving.api.catalogue.telling import animal_page as page_body
from flukeprint.serving.api.catalogue.telling import animal_row
from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.page.context import Content
from flukeprint.serving.page.site import Routes, Site, lead
from flukeprint.serving.page.views.animals import (
    ASKED,
    LONGEST,
    animal_page,
    animals_page,
    without_catalogue,
)
from flukeprint.serving.page.views.photographs import heading
from flukeprint.serving.page.views.queue import queue_page
from flukeprint.serving.page.views.sign_in import sign_in_page

SHOWN = 48  # animals of a page
ALIKE = 4
ORDERS: dict[str, Order] = {"-last_seen": "-last_seen", "-photographs": "-photographs"}
_LOCAL = re.compile(r"/(?!/)[^\\\s]*")  # an address of this site


def catalogue_routes(site: Site) -> Routes:
    """The routes of these pages."""
    pages = CataloguePages(site)
    get = ("GET",)
    return (
        ("/animals", get, pages.animals),
        ("/animals/{animal:int}", get, pages.animal),
        ("/sign-in", get, pages.sign_in),
        ("/queue", get, pages.queue),
    )


class CataloguePages:
    """Answers the requests for them; none is async, since a database is asked."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._alike = AlikeNow(site.service)

    def animals(self, request: Request) -> Response:
        """The list of animals."""
        context = self.site.context(request)
        asked = {
            name: request.query_params.get(name, "").strip()[:LONGEST]
            for name in (*ASKED, "cursor")
        }
        try:
            with reading(self.site.service) as connection:
                facets = Facets(
                    places=list(list_places(connection)), views=list(list_views(connection)),
                    sexes=list(SEXES), life_stages=list(LIFE_STAGES),
                    suggested_name=suggested_name(connection),
                )  # fmt: skip
                found = find_animals(
                    connection,
                    name=asked["q"] or None,
                    sex=next((sex for sex in SEXES if sex == asked["sex"]), None),
                    seen=_seen(asked),
                    order=ORDERS.get(asked["sort"], "name"),
                    most=SHOWN,
                    cursor=request.query_params.get("cursor") or None,
                )  # fmt: skip
                event = last_event(connection)
        except RefusedError as error:
            return self._refused(request, error)
        rows = [animal_row(one.individual, one.photo) for one in found.animals]
        body = Animals(total=found.total, animals=rows, next=found.next, event=event)
        content = animals_page(context, body, facets, asked, found.before)
        return self.site.page(request, context, "/animals", content)

    def animal(self, request: Request) -> Response:
        """All that is known of an animal."""
        context, number = self.site.context(request), int(request.path_params["animal"])
        try:
            with reading(self.site.service) as connection:
                now = current_animal(connection, number) if number < 2**31 else None
                if now is None:
                    raise RefusedError("not_found", f"the catalogue has no animal {number}")
                if now != number:  # it was merged into another one
                    return Response(status_code=301, headers={"Location": f"/animals/{now}"})
                body = page_body(
                    page_of(connection, number), last_event(connection),
                    self.site.service.settings.photos_folder,
                )  # fmt: skip
            alike = self._could_be(body.name)
        except RefusedError as error:
            return self._refused(request, error)
        may = self.site.may_change(request)
        content = animal_page(context, body, alike, may)
        return self.site.page(request, context, "/animals", content, script="animal.js")

    def queue(self, request: Request) -> Response:
        """The page on which photographs are uploaded and decided, for those who may."""
        context, session = self.site.context(request), self.site.session(request)
        if session is None and self.site.people:
            return RedirectResponse(f"/sign-in?{urlencode({'next': '/queue'})}", 303)
        try:
            with reading(self.site.service) as connection:
                suggested = suggested_name(connection)
            if session is None or not session.person.may("review"):
                raise RefusedError("forbidden", "this needs the role review")
        except RefusedError as error:
            return self._refused(request, error)
        batch, person = request.query_params.get("batch", "")[:LONGEST], session.person
        content = queue_page(context, suggested, batch, person.name, person.may("keep"))
        return self.site.page(request, context, "/queue", content)

    def sign_in(self, request: Request) -> Response:
        """The page on which people sign in."""
        context = self.site.context(request)
        wanted = request.query_params.get("next", "/")
        after = wanted if _LOCAL.fullmatch(wanted) else "/"
        session = self.site.session(request)
        who = None if session is None else session.person.name
        content = sign_in_page(context, after, who)
        return self.site.page(request, context, "/sign-in", content)

    def _could_be(self, name: str) -> list[AlikeBody]:
        identifier = self.site.service.identifier
        with reading(self.site.service) as connection:
            ids = {one.name: one.id for one in list_individuals(connection)}
        rows = dict(zip(identifier.gallery.images, identifier.numbers.tolist(), strict=True))
        if name not in identifier.identities or len(ids) < 2:
            return []
        return [
            AlikeBody(
                id=ids[one.name], name=one.name, similarity=one.similarity,
                probability=one.probability, photo=rows[one.pair[0]], other=rows[one.pair[1]],
            )
            for one in self._alike.of(identifier).of(name, ALIKE)
            if one.name in ids
        ]  # fmt: skip

    def _refused(self, request: Request, error: RefusedError) -> Response:
        context = self.site.context(request)
        if error.kind == "no_catalogue":
            return self.site.page(
                request, context, "/animals", without_catalogue(context), error.status
            )
        key = f"problem_{error.kind}"
        content: Content = [heading(context.text("problem_title")), lead(context.text(key))]
        return self.site.page(request, context, "/animals", content, error.status)


def _seen(asked: dict[str, str]) -> Seen:
    """What is asked of dates, place and view; RefusedError for what is no date."""
    try:
        first, last = (
            None if not asked[name] else read_moment(asked[name]).text for name in ("from", "to")
        )
    except FlukeprintError as error:
        raise RefusedError("invalid", str(error)) from None
    return Seen(asked["place"] or None, first, last, asked["view"] or None)
