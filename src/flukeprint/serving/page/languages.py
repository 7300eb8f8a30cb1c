"""Which language a visitor reads: asked for, remembered, or preferred by the browser."""

from typing import Final

from starlette.requests import Request

from flukeprint.serving.page.i18n import LANGUAGES, Language

COOKIE: Final = "lang"


def language_of(request: Request) -> Language:
    """The language of `?lang=es`, of the cookie, or the browser's first one that is known."""
    asked = request.query_params.get("lang"), request.cookies.get(COOKIE)
    for wanted in (*asked, *_preferred(request.headers.get("accept-language", ""))):
        for language in LANGUAGES:
            if wanted == language:
                return language
    return LANGUAGES[0]


def _preferred(header: str) -> list[str]:
    """Languages of an Accept-Language header (RFC 9110, 12.5.4), without regions, best first."""
    weighed: list[tuple[float, str]] = []
    for part in header.split(",")[:50]:
        tag, _, parameter = part.strip().partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            quality = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            quality = 0.0
        if tag and quality > 0:
            weighed.append((-quality, tag.split("-")[0].lower()))
    return [language for _, language in sorted(weighed, key=lambda one: one[0])]
