"""The page on which two photographs are seen side by side, and its inside for other pages."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from flukeprint.errors import FlukeprintError
from flukeprint.records.lookup import individuals_of, list_encounters, list_photographs
from flukeprint.records.schema import photographs
from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.page.context import Content, shown
from flukeprint.serving.page.site import Routes, Site, fragment, lead, photo_number
from flukeprint.serving.page.views.compare import (
    COMPARE,
    MOST,
    ComparedPhoto,
    SideBySide,
    compare_page,
    compare_view,
)
from flukeprint.serving.page.views.photographs import heading


def comparing_routes(site: Site) -> Routes:
    """These routes."""
    pages = Comparing(site)
    return (
        (COMPARE, ("GET",), pages.compare),
        (f"/fragments{COMPARE}", ("GET",), pages.inside),
    )


class Comparing:
    """Answers the requests for them; none is async, since a database may be asked."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def compare(self, request: Request) -> Response:
        """The page."""
        context, compared = self.site.context(request), self._asked(request)
        if compared is None:
            named = "photo" in request.query_params
            words = context.text("compare_none" if named else "similar_no_photo")
            content: Content = [heading(context.text("compare_title")), lead(words)]
            return self.site.page(request, context, COMPARE, content, 404 if named else 200)
        return self.site.page(request, context, COMPARE, compare_page(context, compared))

    def inside(self, request: Request) -> Response:
        """What other pages show of it without leaving them."""
        compared = self._asked(request)
        if compared is None:
            raise RefusedError("not_found", "the gallery has none of these photographs")
        return fragment([compare_view(self.site.context(request), compared)])

    def _asked(self, request: Request) -> SideBySide | None:
        """What is to be compared; None where the gallery has none of it."""
        asked = request.query_params
        photos, queries = (
            [photo_number(text) for text in asked.getlist(name)[:MOST]]
            for name in ("photo", "query")
        )
        if len(queries) == 1:
            queries *= len(photos)
        known = self._known({one for one in (*photos, *queries) if one is not None})
        pairs = list(zip(photos, queries or [None] * len(photos), strict=False))
        kept = [
            (known[photo], None if query is None else known[query])
            for photo, query in pairs
            if photo in known and (not queries or query in known)
        ]  # fmt: skip
        if not kept:
            return None
        wanted = photo_number(asked.get("at")) or 1
        item = photo_number(asked.get("item"))
        return SideBySide(
            tuple(photo for photo, _ in kept),
            tuple(query for _, query in kept if query is not None),
            None if queries else item,
            min(max(wanted, 1), len(kept)) - 1,
        )

    def _known(self, numbers: set[int]) -> dict[int, ComparedPhoto]:
        """What is told of photographs of the gallery; those that are not there are left out."""
        identifier = self.site.facts().identifier
        rows = {number: identifier.row_of(number) for number in numbers}
        names = identifier.prepared.gallery.identities
        found = {
            number: ComparedPhoto(number, names[row])
            for number, row in rows.items()
            if row is not None
        }
        if identifier.kept is not None and found:
            found |= self._recorded(list(found.values()))
        return found

    def _recorded(self, those: Sequence[ComparedPhoto]) -> dict[int, ComparedPhoto]:
        """The same with what the catalogue's records tell of them."""
        try:
            with self.site.service.database().reading() as connection:
                wanted = photographs.c.row.in_([one.photo for one in those])
                records = {one.row: one for one in list_photographs(connection, wanted)}
                seen = {one.encounter for one in records.values() if one.encounter is not None}
                moments = {one.id: one.moment for one in list_encounters(connection, list(seen))}
                shows = individuals_of(connection, list(records))
        except FlukeprintError:  # pictures are shown all the same
            return {}
        told = {}
        for one in those:
            record = records.get(one.photo)
            if record is None:
                continue
            moment = moments.get(record.encounter or 0)
            date = None if moment is None else shown(moment.text)
            words = tuple(filter(None, (record.view, date)))
            told[one.photo] = ComparedPhoto(one.photo, one.identity, shows.get(one.photo), words)
        return told
