"""The pages that take photographs, and the API's answers to these as HTML."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flukeprint.serving.api.photo_routes import read_identification
from flukeprint.serving.api.problems import RefusedError
from flukeprint.serving.api.schemas import Identification, Verification
from flukeprint.serving.page.context import Content
from flukeprint.serving.page.site import Routes, Site, fragment, lead, markup, posted
from flukeprint.serving.page.views.answers import (
    candidates_view,
    identification_view,
    verification_view,
)
from flukeprint.serving.page.views.headline import headline, headline_view
from flukeprint.serving.page.views.photographs import (
    IDENTIFY,
    Offers,
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


def identifying_routes(site: Site) -> Routes:
    """The routes of these pages."""
    pages = Identifying(site)
    return (
        ("/", ("GET",), pages.identify),
        ("/verify", ("GET",), pages.verify),
        ("/review", ("GET",), pages.review),
        (IDENTIFY, ("POST",), pages.identify_without_scripts),
        ("/fragments/identify", ("POST",), pages.identified),
        ("/fragments/verify", ("POST",), pages.verified),
        ("/fragments/review", ("POST",), pages.reviewed),
    )


def offers_of(site: Site) -> Offers:
    """What the page for identifying offers besides, with what is served now."""
    identifier = site.service.identifier
    return Offers(
        identifier.kept is not None and identifier.card.calibration is not None,
        cards=not site.closed,
    )


class Identifying:
    """Answers the requests of the pages that take photographs."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def identify(self, request: Request) -> Response:
        """The first page."""
        context = self.site.context(request)
        content = identify_page(context, offers=offers_of(self.site))
        return self.site.page(request, context, "/", content)

    async def identify_without_scripts(self, request: Request) -> Response:
        """The first page with the answer to photographs that a form sent."""
        context = self.site.context(request)
        try:
            found = await read_identification(request, self.site.service)
        except RefusedError as error:
            refused = Refused(
                state="problem", kind=error.kind, status=error.status, detail=error.detail,
                retry_after=None,
            )  # fmt: skip
            answer, status = problem_view(context, refused, None), error.status
        else:
            answer, status = identification_view(context, found), 200
        content = identify_page(context, answer, offers_of(self.site))
        return self.site.page(request, context, "/", content, status=status)

    def verify(self, request: Request) -> Response:
        """The page that compares two photographs."""
        context = self.site.context(request)
        return self.site.page(request, context, "/verify", verify_page(context))

    def review(self, request: Request) -> Response:
        """The page of many photographs."""
        context = self.site.context(request)
        return self.site.page(request, context, "/review", review_page(context))

    async def identified(self, request: Request) -> Response:
        """The API's answer to an identification as HTML."""
        context, outcome = self.site.context(request), read_outcome(await posted(request))
        if isinstance(outcome, PageAnswer):
            body = read_body(outcome, Identification)
            if isinstance(body, Identification):
                line = context.text("answered", headline=headline(context, body).text())
                return fragment(identification_view(context, body), line)
            outcome = body
        if outcome is None:
            return fragment([])
        return fragment(problem_view(context, outcome, "identify"), problem_text(context, outcome))

    async def verified(self, request: Request) -> Response:
        """The API's answer to a comparison as HTML."""
        context, outcome = self.site.context(request), read_outcome(await posted(request))
        if isinstance(outcome, PageAnswer):
            body = read_body(outcome, Verification)
            if isinstance(body, Verification):
                line = context.kind_text("same" if body.same else "different")
                return fragment(
                    verification_view(context, body), context.text("answered", headline=line)
                )
            outcome = body
        if outcome is None:
            return fragment([])
        return fragment(problem_view(context, outcome, "verify"), problem_text(context, outcome))

    async def reviewed(self, request: Request) -> Response:
        """The headline and the candidates of the current photograph of a review."""
        context, item = self.site.context(request), read_item(await posted(request))
        if item is None:
            return JSONResponse({"headline": "", "candidates": "", "names": []})
        outcome = read_outcome(item.outcome)
        above: Content
        below: Content = []
        names: list[str] = []
        if outcome is None:
            above = [lead(context.text("review_wait"))]
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
        return JSONResponse(
            {"headline": markup(above), "candidates": markup(below), "names": names}
        )
