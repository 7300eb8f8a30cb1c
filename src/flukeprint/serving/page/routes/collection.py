"""The pages that show the gallery: its classes, its map, and what is similar."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.api.responses import similar
from flukeprint.serving.page.site import (
    UNCHANGED,
    YEAR,
    Routes,
    Site,
    fragment,
    lead,
    photo_number,
)
from flukeprint.serving.page.views.answers import similar_view
from flukeprint.serving.page.views.gallery import (
    classes_list,
    classes_page,
    map_page,
    map_photo,
    without_map,
)
from flukeprint.serving.page.views.photographs import heading

MOST_FOUND = 20  # names that a search on the map offers
SIMILAR = 24


def collection_routes(site: Site) -> Routes:
    """The routes of these pages."""
    pages = Collection(site)
    get = ("GET",)
    return (
        ("/classes", get, pages.classes),
        ("/similar", get, pages.similar),
        ("/map", get, pages.map),
        ("/map/points", get, pages.points),
        ("/map/search", get, pages.search),
        ("/fragments/classes", get, pages.listed),
        ("/fragments/photo/{photo}", get, pages.photo),
    )


class Collection:
    """Answers the requests of the pages that show the gallery."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def classes(self, request: Request) -> Response:
        """The list of classes."""
        context = self.site.context(request)
        content = classes_page(context, request.url.query)
        return self.site.page(request, context, "/classes", content)

    def listed(self, request: Request) -> Response:
        """The list of classes that a filter leaves."""
        return fragment(classes_list(self.site.context(request), request.url.query))

    def similar(self, request: Request) -> Response:
        """The photographs of the gallery that are nearest to one of them."""
        context, identifier = self.site.context(request), self.site.facts().identifier
        title = heading(context.text("similar_title"))
        photo = photo_number(request.query_params.get("photo"))
        row = None if photo is None else identifier.row_of(photo)
        if row is None:
            words = context.text("similar_no_photo" if photo is None else "problem_not_found")
            status = 200 if photo is None else 404
            return self.site.page(request, context, "/similar", [title, lead(words)], status)
        found = similar(identifier, row, SIMILAR)
        return self.site.page(request, context, "/similar", [title, *similar_view(context, found)])

    def map(self, request: Request) -> Response:
        """The map of the gallery."""
        context, facts = self.site.context(request), self.site.facts()
        found, points = facts.groups, facts.points
        if context.map_ is None or found is None or points is None:
            return self.site.page(request, context, "/map", without_map(context))
        address = f"/map/points?v={points[1]}"
        content = map_page(context, context.map_, found, address, request.url.query)
        return self.site.page(request, context, "/map", content)

    def points(self, request: Request) -> Response:
        """The points of the map, as `MapPoints.packed` describes them."""
        known = self.site.facts().points
        if known is None:
            raise RefusedError("not_found", "this gallery has no map")
        data, digest = known
        headers = {"ETag": f'"{digest}"', "Cache-Control": UNCHANGED}
        if request.query_params.get("v") == digest:
            headers["Cache-Control"] = f"private, max-age={YEAR}, immutable"
        if headers["ETag"] in (request.headers.get("if-none-match") or ""):
            return Response(status_code=304, headers=headers)
        return Response(data, media_type="application/octet-stream", headers=headers)

    def search(self, request: Request) -> Response:
        """The classes that a text on the map means: their numbers, and names to choose from."""
        context = self.site.context(request)
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

    def photo(self, request: Request) -> Response:
        """The photograph of a point of the map."""
        context, identifier = self.site.context(request), self.site.facts().identifier
        number = photo_number(request.path_params["photo"])
        row = None if number is None else identifier.row_of(number)
        if number is None or row is None:
            raise RefusedError("not_found", "the gallery has no such photograph")
        identity = identifier.prepared.gallery.identities[row]
        return fragment(map_photo(context, number, identity), context.name_of(identity))
