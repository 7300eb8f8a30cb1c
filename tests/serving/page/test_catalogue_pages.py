"""A catalogue's pages: the list of animals, one animal, undoing, and signing in."""

import os
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from playwright.sync_api import Browser

from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.edits import rename
from flukeprint.records.journal import Note
from flukeprint.records.kinds import Encounter, Moment, Position
from flukeprint.serving.people import ROLES, give_token
from tests.serving.api.catalogue.conftest import SHOTS
from tests.serving.api.http_client import connected
from tests.serving.page.browsing import DESKTOP, PHONE, Watched, chromium, until, visit
from tests.serving.page.page_facts import elements, read
from tests.serving.page.test_accessibility import faults
from tests.serving.served import Served, copied, photo, served

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def kept(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kept")
    folder = copied(identifier, root)
    keeper = Keeper.open(folder, author="ana")
    photos = []
    for number, (name, animal, seed, date, place, view) in enumerate(SHOTS):
        path = root / f"{name}-{seed}.jpg"
        path.write_bytes(photo(animal, seed, 400))
        encounter = None
        if date is not None:
            encounter = Encounter(0, Moment(date), Position(-27.0 - number, 32.4), place)
        photos.append(NewPhotograph(path, str(path), path.name, name, encounter, view))
    keeper.enroll(photos, Note("ana", "spring survey"), force=True)
    rename(keeper.database, "Kai", "Kaya", Note("ana", "its name in the park"), new_label="new")
    return folder


@pytest.fixture(scope="module")
def tokens(kept: Path) -> dict[str, str]:
    file = kept.parent / "people.csv"
    return {role: give_token(file, f"the {role}", role) for role in ROLES}


@pytest.fixture(scope="module")
def open_(kept: Path) -> Iterator[Served]:
    with served(kept) as running:
        yield running


@pytest.fixture(scope="module")
def team(kept: Path, tokens: dict[str, str]) -> Iterator[Served]:
    with served(kept, f"serve.people={kept.parent / 'people.csv'}") as running:
        yield running


@pytest.fixture(scope="module")
def client(open_: Served) -> Iterator[httpx2.Client]:
    with connected(open_) as started:
        yield started


def page(client: httpx2.Client, path: str, **params: str) -> str:
    answer = client.get(path, params=params or None, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text.removeprefix("<!doctype html>")


def names(text: str) -> list[str]:
    (found,) = elements(text, id="animals")
    return [read(one) for one in elements(found, "h2")]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"q": "NANDÍ"}, {"Nandí"}), ({"q": "kai"}, {"Kaya"}), ({"place": "rincon"}, {"Nandí"}),
        ({"from": "2026-06-01", "to": "2026-06-30"}, {"Kaya", "Nandí"}),
        ({"view": "right"}, {"Nandí"}), ({"q": "nobody at all"}, set()), ({"sex": "male"}, set()),
    ],
)  # fmt: skip
def test_the_list_is_narrowed_down(
    client: httpx2.Client, asked: dict[str, str], wanted: set[str]
) -> None:
    text = page(client, "/animals", **asked)
    assert set(names(text)) == wanted
    for name, value in asked.items():
        (field,) = elements(text, id=f"animals-{name}")
        kept = field.get("value") or next(
            (one.get("value") for one in elements(field, "option") if "selected" in one.attrib),
            None,
        )
        assert kept == value


def test_all_animals_come_page_by_page_and_back(client: httpx2.Client) -> None:
    total = client.get("/v1/animals").json()["total"]
    found: list[str] = []
    path: str | None = "/animals?sort=-photographs"
    pages = []
    while path:
        pages.append(page(client, path))
        found += names(pages[-1])
        path = next((one.get("href") for one in elements(pages[-1], "a", rel="next")), None)
    assert len(found) == len(set(found)) == total
    assert len(pages) > 1
    for before, text in pairwise(pages):
        (back,) = elements(text, "a", rel="prev")
        assert "sort=-photographs" in back.get("href", "")
        assert names(page(client, back.get("href", ""))) == names(before)
    assert not list(elements(pages[0], "a", rel="prev"))


def test_an_animal_is_told_whole(client: httpx2.Client) -> None:
    (one,) = client.get("/v1/animals", params={"q": "kaya"}).json()["animals"]
    text = page(client, f"/animals/{one['id']}")
    shown = read(text)
    assert "Kai" in shown  # its other name
    for words in ("water hole", "2026-06-04", "2025", "its name in the park", "spring survey"):
        assert words in shown
    assert len([i for i in elements(text, "img") if "Kai" in i.get("alt", "")]) == 2
    (drawn,) = elements(text, "svg")
    places = {(dot.get("cx"), dot.get("cy")) for dot in elements(drawn, "circle")}
    assert len(places) == 2
    assert not list(elements(text, "button", class_="button plain small"))  # nobody may undo
    full = [a.get("href") for a in elements(text, "a") if "size=full" in a.get("href", "")]
    assert len(full) == 2
    picture = client.get(full[0])
    assert picture.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("path", ["/animals/999999", "/animals/99999999999999", "/animals/x"])
def test_animals_that_are_not_there(client: httpx2.Client, path: str) -> None:
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("asked", ["from=31.12.2026", "to=x", "cursor=zzz"])
def test_what_is_no_condition_is_told(client: httpx2.Client, asked: str) -> None:
    answer = client.get(f"/animals?{asked}", headers=HTML)
    assert answer.status_code == 422
    assert "That did not work" in answer.text


def test_without_a_catalogue_there_is_no_list(identifier: Path) -> None:
    with served(identifier) as bare, connected(bare) as visitor:
        assert 'href="/animals"' not in visitor.get("/", headers=HTML).text
        answer = visitor.get("/animals", headers=HTML)
        assert answer.status_code == 409
        assert "keeps no catalogue yet" in answer.text
        assert "flukeprint keep IDENTIFIER" in answer.text


def test_who_has_no_token_is_sent_to_sign_in(team: Served, tokens: dict[str, str]) -> None:
    with connected(team) as visitor:
        for path in ("/", "/animals?q=a b", "/map", "/classes", "/review"):
            answer = visitor.get(path, headers=HTML, follow_redirects=False)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/sign-in?next=%2F")
        assert visitor.get("/animals").status_code == 401  # a program
        assert visitor.get("/v1/animals", headers=HTML).status_code == 401
        for path in ("/sign-in", "/about", "/docs"):
            assert visitor.get(path, headers=HTML).status_code == 200
        for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"):
            text = visitor.get("/sign-in", params={"next": wanted}, headers=HTML).text
            (after,) = elements(text.removeprefix("<!doctype html>"), id="after")
            assert after.get("value") == "/"


def shoot(watched: Watched, name: str) -> None:
    folder = os.environ.get("FLUKEPRINT_SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        watched.page.wait_for_load_state("networkidle")
        picture = watched.page.screenshot(full_page=True)
        Image.open(BytesIO(picture)).convert("RGB").save(Path(folder) / f"{name}.jpg", quality=82)


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="there is no Chromium")
@pytest.mark.parametrize(("size", "locale"), [("desktop", "en-US"), ("phone", "es-CL")])
def test_a_keeper_signs_in_looks_at_an_animal_and_undoes(
    team: Served, kept: Path, tokens: dict[str, str], chrome: Browser, tmp_path: Path, size: str,
    locale: str,
) -> None:  # fmt: skip
    new = f"Kaya {size}"
    rename(Keeper.open(kept, author="ana").database, "Kaya", new, Note("ana"), new_label="new")
    how = DESKTOP if size == "desktop" else PHONE
    with visit(chrome, team.url, locale, **how) as visitor:
        shown = visitor.open("/animals")
        assert "/sign-in" in shown.url
        assert faults(shown) == []
        shown.fill("#token", "not a token of anybody here")
        shown.click("#sign-in button")
        until(shown, lambda: shown.inner_text("#sign-in-said") != "")
        shown.fill("#token", tokens["keep"])
        shown.click("#sign-in button")
        shown.wait_for_url(re.compile("/animals"))
        assert shown.inner_text("#person") == "the keep"
        until(shown, lambda: shown.reload() and new in shown.inner_text("#animals"))
        assert faults(shown) == []
        shoot(visitor, f"animals-{size}")
        shown.click(f"text={new}")
        shown.wait_for_selector("#history")
        assert faults(shown) == []
        shoot(visitor, f"animal-{size}")
        shown.locator("#history button").first.click()
        until(shown, lambda: shown.inner_text("#page-title") != new)
        assert shown.inner_text("#page-title") == "Kaya"
        # Photographs are asked about with the session as well.
        (tmp_path / "a.png").write_bytes(photo(7))
        shown = visitor.open("/")
        shown.set_input_files("#file-identify", tmp_path / "a.png")
        shown.wait_for_selector("#answer-5")
        visitor.complaints = [said for said in visitor.complaints if "401" not in said]


def test_no_page_holds_what_a_change_needs(team: Served, tokens: dict[str, str]) -> None:
    """A page is compressed with what an address says, and its length would give a secret away."""
    with connected(team) as visitor:
        csrf = visitor.post("/v1/session", json={"token": tokens["keep"]}).json()["csrf"]
        for path in ("/", "/animals?q=x", "/sign-in", "/about"):
            text = visitor.get(path, headers=HTML).text
            assert "the keep" in text
            assert csrf not in text
        assert visitor.get("/v1/session").json()["csrf"] == csrf
