"""The page in the field: what is held, and what waits without a network."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Browser, Page

from flukeprint.config.schema import ServeConfig
from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.page.i18n import LANGUAGES
from flukeprint.serving.page.icons import SIZES
from flukeprint.serving.people import give_token
from flukeprint.serving.server import assemble
from flukeprint.serving.service import Service
from tests.serving.api.http_client import connected
from tests.serving.page.browsing import (
    DESKTOP,
    PHONE,
    Watched,
    chromium,
    cleared,
    listened,
    sent,
    until,
    visit,
)
from tests.serving.page.test_accessibility import faults
from tests.serving.page.test_catalogue_pages import kept, open_, team, tokens
from tests.serving.page.test_queue_page import sign_in
from tests.serving.served import Served, served

__all__ = ["kept", "open_", "team", "tokens"]
in_browser = pytest.mark.skipif(chromium() is None, reason="there is no Chromium")
HELD = "const HELD = "


def page_of(known: Identifier, folder: Path, **settings: Any) -> TestClient:
    app = assemble(Service(known, ServeConfig(**settings), path=folder))
    return TestClient(app, base_url="http://127.0.0.1")


def held_by(client: TestClient) -> dict[str, Any]:
    """What the service worker says that it holds."""
    answer = client.get("/service-worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert "worker-src 'self'" in answer.headers["content-security-policy"]
    first, _, rest = answer.text.partition("\n")
    assert "self.addEventListener" in rest
    found: dict[str, Any] = json.loads(first.removeprefix(HELD).removesuffix(";"))
    return found


def test_the_page_is_installed_in_both_languages(known: Identifier, identifier: Path) -> None:
    client = page_of(known, identifier, title="Arañas de casa")
    for language in LANGUAGES:
        (address,) = re.findall(
            r'rel="manifest" href="([^"]+)"', client.get(f"/?lang={language}").text
        )
        answer = client.get(address)
        assert answer.headers["content-type"].startswith("application/manifest+json")
        told = answer.json()
        assert (told["name"], told["lang"], told["start_url"]) == ("Arañas de casa", language, "/")
        assert len(told["short_name"]) <= 12
        for one in told["icons"]:
            with Image.open(io.BytesIO(client.get(one["src"]).content)) as icon:
                assert f"{icon.width}x{icon.height}" == one["sizes"]
                corner = icon.convert("RGBA").getpixel((0, 0))
                assert (corner[3] == 255) == (one.get("purpose") == "maskable")
    assert client.get(f"/icons/{SIZES[0]}.png").status_code == 200
    assert client.get("/icons/99999.png").status_code == 404


def test_what_is_held_is_there_and_its_version_follows_its_content(
    known: Identifier, identifier: Path
) -> None:
    client = page_of(known, identifier, title="one")
    held = held_by(client)
    for address in [*held["files"], *held["documents"]]:
        assert client.get(address).status_code == 200, address
        assert not address.startswith("/v1")
    for address in held["documents"]:
        loaded = re.findall(r'(?:src|href)="(/assets/[^"]+)"', client.get(address).text)
        assert set(loaded) <= set(held["files"])
    names = {address.rpartition("/")[2] for address in held["files"]}
    for address in held["files"]:  # and what these load, but for comparing, which needs a network
        if address.endswith(".js"):
            text = client.get(address).text
            assert set(re.findall(r'(?:from|import\() ?"\./([^"]+)"', text)) <= names | {
                "compare_here.js"
            }
    assert held_by(page_of(known, identifier, title="one")) == held
    assert held_by(page_of(known, identifier, title="another"))["version"] != held["version"]
    cards = client.get("/field/classes?lang=es").text
    assert all(cards.count(f"Figura {number}<") for number in (0, 7, 58))
    assert "/v1/photos" not in cards


def test_what_is_held_is_nobodys(known: Identifier, identifier: Path, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    token = give_token(people, "Ana Maria", "keep")
    client = page_of(known, identifier, people=people)
    plain = client.get("/field?lang=en")
    assert plain.status_code == 200
    client.post("/v1/session", json={"token": token}).raise_for_status()
    assert "Ana Maria" in client.get("/", headers={"accept": "text/html"}).text
    assert client.get("/field?lang=en").content == plain.content
    assert "set-cookie" not in plain.headers
    held = held_by(client)
    assert not [one for one in held["documents"] if "classes" in one]
    assert client.get("/field/classes").status_code == 404
    assert not [name for name in known.identities if name in plain.text]


STORED = """async () => {
  const found = {};
  for (const name of await caches.keys()) {
    found[name] = (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname);
  }
  return found;
}"""
WAITING = """() => new Promise((done) => {
  const asked = indexedDB.open("flukeprint", 1);
  asked.onsuccess = () => {
    const all = asked.result.transaction("waiting").objectStore("waiting").getAll();
    all.onsuccess = () => { asked.result.close(); done(all.result.map((one) => one.owner)); };
  };
})"""


def ready(visitor: Watched, path: str = "/") -> Page:
    """The page, once the device holds it."""
    page = visitor.open(path)
    page.wait_for_selector("#field-state[data-held]", state="attached")
    return page


@pytest.mark.browser
@in_browser
@pytest.mark.parametrize(
    ("how", "locale", "words"),
    [(DESKTOP, "en-US", "waiting: 2 photographs; kept on this device only"),
     (PHONE, "es-CL", "esperan 2 fotografías; guardadas solo en este dispositivo")],
)  # fmt: skip
def test_a_photograph_waits_without_a_network_and_is_answered_with_one(
    site: Served, chrome: Browser, shape: Path, how: dict[str, Any], locale: str, words: str
) -> None:
    with visit(chrome, site.url, locale, **how) as visitor:
        page = ready(visitor)
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#answer-5")  # which is not held
        page.context.set_offline(True)
        page = visitor.open("/classes")
        page.fill("#cards-q", "fígura 58" if locale == "es-CL" else "shape 58")
        page.click("#cards li:not([hidden]) summary")
        until(page, lambda: page.locator("#cards li:not([hidden])").count() == 1)
        assert page.locator("#cards li:not([hidden]) .facts").is_visible()
        assert faults(page) == []
        page = visitor.open("/map")
        assert page.get_attribute("html", "lang") == locale[:2]
        page.wait_for_selector("#not-held")
        page = visitor.open()
        page.check("#first-boxes")
        for number in (1, 2):
            page.set_input_files("#file-identify", shape)
            page.click("#box-add")
            page.click("#choosing-ask")
            page.wait_for_selector("#choosing", state="hidden")
            page.wait_for_selector(f"#waiting li:nth-child({number})")
        page.uncheck("#first-boxes")
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#waiting li:nth-child(3)")
        page.click("#waiting li:nth-child(2) button")
        page.wait_for_selector("#waiting li:nth-child(3)", state="detached")
        assert page.inner_text("#waiting-count") == words
        page.wait_for_timeout(400)
        assert faults(page) == []
        page = listened(visitor).open()
        page.wait_for_selector("#waiting li:nth-child(2)")
        for names in page.evaluate(STORED).values():
            assert not [name for name in names if name.startswith(("/v1", "/fragments"))]
            assert not [name for name in names if not name.startswith(("/assets/", "/field"))]
        page.context.set_offline(False)
        page.wait_for_selector("#animal-2-answer-5")
        page.wait_for_selector("#waiting", state="hidden")
        # What was tried before the network was there came to nothing.
        assert ["box" in form for form in sent(page)[-2:]] == [True, False]
        assert page.evaluate(WAITING) == []
        page.wait_for_selector("#held-again")
        page.wait_for_timeout(400)
        assert faults(page) == []
        cleared(visitor)


@pytest.mark.browser
@in_browser
def test_without_a_network_the_next_photograph_takes_nothing_from_the_one_before(
    site: Served, chrome: Browser, shape: Path
) -> None:
    with visit(chrome, site.url) as visitor:
        page = ready(visitor)
        photo = base64.b64encode(shape.read_bytes()).decode()
        page.evaluate(AT_ONCE, [photo, ["one.jpg", "two.jpg"]])
        page.wait_for_selector("#answer-5")
        assert page.locator("#waiting").is_hidden()  # with one, the last question is meant
        page.context.set_offline(True)
        page.wait_for_selector("#gone")
        page.evaluate(AT_ONCE, [photo, ["three.jpg", "four.jpg", "five.jpg"]])
        page.wait_for_selector("#waiting li:nth-child(3)")
        names = page.locator("#waiting li .file").all_inner_texts()
        assert sorted(names) == ["five.jpg", "four.jpg", "three.jpg"]
        page.context.set_offline(False)
        page.wait_for_selector("#animal-3-answer-5")
        page.wait_for_selector("#waiting", state="hidden")
        assert page.evaluate(WAITING) == []
        visitor.complaints.clear()


# Chooses photographs faster than one can be sent.
AT_ONCE = """([photo, names]) => {
  const bytes = Uint8Array.from(atob(photo), one => one.charCodeAt(0));
  const input = document.querySelector("#file-identify");
  for (const name of names) {
    const chosen = new DataTransfer();
    chosen.items.add(new File([bytes], name, { type: "image/jpeg" }));
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
}"""


@pytest.mark.browser
@in_browser
def test_a_new_version_takes_the_place_of_the_old_one(identifier: Path, chrome: Browser) -> None:
    with served(identifier, "serve.title=the first") as first, visit(chrome, first.url) as visitor:
        page = ready(visitor)
        (before,) = page.evaluate(STORED)
        port = first.url.rpartition(":")[2]
        first.process.terminate()
        first.process.wait(30)
        with served(identifier, "serve.title=the second", "--port", port) as second:
            with connected(second) as client:
                assert "the second" in client.get("/").text
            page = visitor.open()
            assert "the second" in page.title()  # never what is held, while there is a network
            for _ in range(100):
                names = list(page.evaluate(STORED))
                if len(names) == 1 and names != [before]:
                    break
                page.wait_for_timeout(100)
            else:
                pytest.fail(f"it holds {names}, as before {before}")
            page.context.set_offline(True)
            assert "the second" in visitor.open().title()
            visitor.complaints.clear()


@pytest.mark.browser
@in_browser
def test_who_signs_out_leaves_nothing_behind(
    team: Served, tokens: dict[str, str], chrome: Browser, shape: Path
) -> None:
    with visit(chrome, team.url) as visitor:
        page = sign_in(visitor, tokens["look"], "/")
        page.wait_for_selector("#file-identify", state="attached")
        page = ready(visitor)
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#answer-5")
        page.context.set_offline(True)
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#waiting li")
        page = visitor.open()
        page.wait_for_selector("#waiting li")
        assert page.locator("#waiting li").count() == 1
        assert "the look" not in page.content()
        assert page.evaluate(WAITING) == ["the look"]
        assert not [
            name for names in page.evaluate(STORED).values() for name in names if "classes" in name
        ]
        page.context.set_offline(False)
        page.wait_for_selector("#waiting", state="hidden")
        page.wait_for_selector("#answer-5")
        page.route("**/v1/identify", lambda route: route.abort())
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#waiting li")
        page = visitor.open("/sign-in")
        page.click("#sign-out")
        page.wait_for_selector("#sign-in-said:not(:empty)")
        assert page.evaluate(WAITING) == ["the look"]
        page.click("#sign-out")
        page.wait_for_selector("#sign-out", state="detached")
        assert page.evaluate(WAITING) == []
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        visitor.complaints.clear()
