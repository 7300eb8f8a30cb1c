"""What the page of a comparison holds: the candidates, and the way to each of them."""

from urllib.parse import parse_qs, urlsplit

import pytest

from flukeprint.serving.api.schemas import Similar, SimilarPhoto
from flukeprint.serving.page.i18n import Language
from flukeprint.serving.page.views.answers import candidates_view, identification_view, similar_view
from flukeprint.serving.page.views.compare import (
    MOST,
    ComparedPhoto,
    SideBySide,
    compare_href,
    compare_page,
)
from tests.serving.page.page_facts import context, elements, identification, read


def asked(href: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(href).query)


def test_an_address_holds_the_wanted_photograph_among_its_neighbours() -> None:
    assert asked(compare_href([5, 6, 7], 1)) == {"photo": ["5", "6", "7"], "at": ["2"]}
    assert asked(compare_href([5, 6], 0, 9)) == {"photo": ["5", "6"], "query": ["9"]}
    assert asked(compare_href([5, 6], 1, [8, 9]))["query"] == ["8", "9"]
    many, others = list(range(100, 200)), list(range(300, 400))
    for at in (0, 11, 50, 88, 99):
        found = asked(compare_href(many, at, others))
        assert len(found["photo"]) == len(found["query"]) == MOST
        place = int(found.get("at", ["1"])[0]) - 1
        assert found["photo"][place] == str(100 + at)
        assert found["query"][place] == str(300 + at)


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_candidate_is_told(language: Language) -> None:
    one = ComparedPhoto(4, "class_1", 7, ("left", "2026-05"))
    other = ComparedPhoto(5, "unheard of")
    query = ComparedPhoto(9, "class_0", 8)
    page = compare_page(context(language), SideBySide((one, other), (query, query), at=1))
    shown = list(elements(page, class_="strip-photo"))
    assert [(b.get("data-photo"), b.get("data-query"), b.get("data-animal")) for b in shown] == [
        ("4", "9", "7"), ("5", "9", ""),
    ]  # fmt: skip
    assert read(shown[0]) == "Steatoda grossa, left, 2026-05"
    assert next(elements(page, id="compare")).get("data-at") == "1"
    assert not list(elements(page, id="compare-own"))
    mine = compare_page(context(language), SideBySide((one,)))
    assert list(elements(mine, id="compare-own"))
    queued = compare_page(context(language), SideBySide((one,), item=3))
    assert not list(elements(queued, id="compare-own"))
    assert next(elements(queued, id="compare")).get("data-item") == "3"


def test_answers_and_similar_photographs_lead_there() -> None:
    found = identification()
    for view in (identification_view(context(), found), candidates_view(context(), found, "")):
        links = [asked(a.get("href", "")) for a in elements(view, "a", class_="compare-link")]
        first = [str(answer.photos[0].photo) for answer in found.answers if answer.identity]
        assert [one["photo"][int(one.get("at", ["1"])[0]) - 1] for one in links] == first
    near = Similar(
        photo=0, identity="class_0",
        similar=[SimilarPhoto(photo=n, score=0.5, identity="class_1") for n in (2, 3, 4)],
    )  # fmt: skip
    links = [asked(a.get("href", "")) for a in
             elements(similar_view(context(), near), "a", class_="compare-link")]  # fmt: skip
    assert {one["query"][0] for one in links} == {"0"}
    assert len(links) == 3
    bare = context(thumbnails=False)
    assert not list(elements(identification_view(bare, found), "a", class_="compare-link"))
