"""The page in the field: boxes, date and place, what waits, and a page without a network."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Browser, Page

from flukeprint.config.schema import ServeConfig
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.page.i18n import LANGUAGES
from flukeprint.serving.page.icons import SIZES
from flukeprint.serving.people import give_token
from flukeprint.serving.server import assemble
from flukeprint.serving.service import Service
from tests.serving.api.http_client import connected
from tests.serving.page.browsing import DESKTOP, PHONE, Watched, browser, chromium, until, visit
from tests.serving.page.test_accessibility import faults
from tests.serving.page.test_catalogue_pages import kept, open_, team, tokens
from tests.serving.page.test_queue_page import sign_in
from tests.serving.served import Served, photo, served

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


@pytest.fixture(scope="module")
def site(identifier: Path) -> Iterator[Served]:
    with served(identifier) as running:
        yield running


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    path = tmp_path / "shape.jpg"
    path.write_bytes(photo(3, 3, 200))
    return path


LISTEN = """
window.sent = [];
const plain = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (form) {
  window.sent.push(Promise.all([...form].map(async ([name, value]) => [
    name, value instanceof Blob ? [...new Uint8Array(await value.arrayBuffer())] : value,
  ])));
  return plain.call(this, form);
};"""


def listened(visitor: Watched) -> Watched:
    """A visitor whose page remembers what it sends."""
    visitor.page.add_init_script(LISTEN)
    return visitor


def sent(page: Page) -> list[dict[str, Any]]:
    """The forms that the page has sent, photographs as bytes."""
    forms = page.evaluate("Promise.all(window.sent)")
    return [
        {name: value if isinstance(value, str) else bytes(value) for name, value in form}
        for form in forms
    ]


def draw(page: Page, x0: float, y0: float, x1: float, y1: float) -> None:
    """Draw with the mouse, in shares of the photograph."""
    at = page.locator("#box-frame img").bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + at["width"] * x0, at["y"] + at["height"] * y0)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] * x1, at["y"] + at["height"] * y1, steps=3)
    page.mouse.up()


def numbers(page: Page) -> list[float]:
    return [float(page.input_value(f"#box-{side}")) for side in ("x", "y", "width", "height")]


def cleared(visitor: Watched) -> None:
    """Forget what the browser says of a network that was not there."""
    visitor.complaints = [said for said in visitor.complaints if "ERR_INTERNET" not in said]


@pytest.mark.browser
@in_browser
@pytest.mark.parametrize(
    ("how", "locale", "scheme"), [(DESKTOP, "en-US", "light"), (PHONE, "es-CL", "dark")]
)
def test_boxes_are_drawn_moved_and_answered_one_by_one(
    site: Served, chrome: Browser, shape: Path, how: dict[str, Any], locale: str, scheme: str
) -> None:
    with visit(chrome, site.url, locale, **how, color_scheme=scheme) as visitor:
        page = listened(visitor).open()
        page.check("#first-boxes")
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#box-frame img")
        draw(page, 0.1, 0.2, 0.5, 0.6)
        assert numbers(page) == pytest.approx([10, 20, 40, 40], abs=1.5)
        draw(page, 0.3, 0.4, 0.4, 0.5)  # inside the box: it moves
        assert numbers(page) == pytest.approx([20, 30, 40, 40], abs=1.5)
        draw(page, 0.6, 0.7, 0.8, 0.9)  # its corner
        assert numbers(page) == pytest.approx([20, 30, 60, 60], abs=1.5)
        corner = page.locator(".box.chosen .box-corner.se").bounding_box()
        assert corner is not None
        assert min(corner["width"], corner["height"]) >= 24
        page.click("#box-reset")
        assert page.locator(".box").count() == 0
        page.keyboard.press("Enter")  # on the button to add one
        for keys in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowDown"):
            page.keyboard.press(keys)
        assert numbers(page) == pytest.approx([21, 19, 49, 51])
        page.fill("#box-width", "30")
        page.keyboard.press("Tab")
        assert page.get_attribute(".box", "role") == "application"
        assert "30" in (page.get_attribute(".box", "aria-label") or "")
        page.wait_for_timeout(500)
        assert "30" in page.inner_text("#box-said")
        draw(page, 0.6, 0.75, 0.95, 0.95)
        assert faults(page) == []
        page.click("#choosing-ask")
        page.wait_for_selector("#animal-2-answer-5")
        assert page.locator("#identify-result .animal .crop").count() == 2
        page.wait_for_timeout(400)
        assert faults(page) == []
        first, second = ([float(n) for n in form["box"].split(",")] for form in sent(page))
        assert first == pytest.approx([0.21, 0.19, 0.30, 0.51])
        assert second == pytest.approx([0.6, 0.75, 0.35, 0.2], abs=0.02)
        said = page.inner_text("#identify-result")
        page.reload()
        page.wait_for_selector("#animal-2-answer-5")
        assert page.inner_text("#identify-result") == said


@pytest.mark.browser
@in_browser
def test_of_a_large_photograph_only_the_box_is_sent(
    known: Identifier, site: Served, chrome: Browser, tmp_path: Path
) -> None:
    """With the animal's own pixels, and nothing of what the camera wrote."""
    wide = np.random.default_rng(0).integers(90, 105, (1800, 2400, 3), dtype=np.uint8)
    animal = np.array(
        Image.fromarray(np.ascontiguousarray(draw_shape(9, 1, 64))).resize((480, 400))
    )
    wide[900:1300, 1200:1680] = animal
    exif = Image.Exif()
    exif[0x0112] = 8  # stored turned to the right
    exif[0x010E] = "a secret"
    path = tmp_path / "large.jpg"
    Image.fromarray(np.rot90(wide, -1).copy()).save(path, exif=exif, quality=97)
    with visit(chrome, site.url) as visitor:
        page = listened(visitor).open()
        page.set_input_files("#file-identify", path)
        page.wait_for_selector("#answer-5")
        page.click("#box-choose")  # after the answer to all of it
        page.click("#box-add")
        for side, share in {"x": 50, "y": 50, "width": 20, "height": 400 / 18}.items():
            page.fill(f"#box-{side}", f"{share:.1f}")
            page.keyboard.press("Tab")
        page.click("#choosing-ask")
        page.wait_for_selector("#identify-result .crop")
        whole, part = sent(page)
    for form in (whole, part):
        assert b"Exif" not in form["photos"]
        assert b"secret" not in form["photos"]
    assert "box" not in whole
    with Image.open(io.BytesIO(part["photos"])) as made:
        assert made.size == pytest.approx((576, 480), abs=4)
        x, y, width, height = (float(n) for n in part["box"].split(","))
        cut = made.crop(
            tuple(
                round(side)
                for side in (
                    x * made.width,
                    y * made.height,
                    (x + width) * made.width,
                    (y + height) * made.height,
                )
            )
        )
    one, other = known.embed([np.asarray(cut), animal]).vectors
    assert float(one @ other) > 0.99


TAKEN = {0x9003: "2026:05:12 13:55:01", 0x9011: "+02:00"}
PLACE = {1: "S", 2: (27.0, 3.0, 0.0), 3: "E", 4: (32.0, 24.0, 36.0)}


def camera(exif_ifd: dict[int, Any], gps: dict[int, Any], order: str = "II") -> bytes:
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif.get_ifd(0x8769).update(exif_ifd)
    exif.get_ifd(0x8825).update(gps)
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(2, 2))).save(file, "JPEG", exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.browser
@in_browser
def test_date_and_place_are_read_and_damage_is_harmless(site: Served, chrome: Browser) -> None:
    good = camera(TAKEN, PLACE)
    cases: list[tuple[bytes, str, str]] = [
        (good, "2026-05-12T13:55+02:00", "-27.05000,32.41000"),
        (camera({0x9003: TAKEN[0x9003]}, {}, "MM"), "2026-05-12T13:55", ""),
        (camera({}, {**PLACE, 1: "N", 3: "W"}), "", "27.05000,-32.41000"),
        (camera({0x9003: "2026:13:40 99:00:00"}, {**PLACE, 2: (91.0, 0.0, 0.0)}), "", ""),
        (camera({0x9003: "2999:01:01 00:00:00"}, {**PLACE, 1: "X"}), "", ""),
        (camera({0x9003: "0000:00:00 00:00:00"}, {k: PLACE[k] for k in (1, 2)}), "", ""),
        (photo(2, 2), "", ""), (b"", "", ""), (b"\xff\xd8" + b"\xff\xe1\x00\x02" * 300, "", ""),
    ]  # fmt: skip
    turned = Image.Exif()
    turned[0x0112], turned[0x010E] = 6, "secret"
    plain, series = io.BytesIO(), io.BytesIO()
    with Image.open(io.BytesIO(good)) as shape:
        shape.save(plain, "JPEG", exif=turned, comment="secret", progressive=True)
        second = shape.resize((8, 8))
        second.encoderinfo = {"exif": turned}
        shape.save(series, "MPO", save_all=True, append_images=[second])
    whole = [good, plain.getvalue(), series.getvalue(), photo(2, 2)]
    random = np.random.default_rng(5)
    end = good.index(b"\xff\xdb")
    damaged = [good[:n] for n in range(0, end, 7)]
    for _ in range(300):
        one = bytearray(good[: end + 9])
        for at in random.integers(0, end, 4):
            one[at] = random.integers(0, 256)
        damaged.append(bytes(one))
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        script = page.evaluate("document.querySelector('script[src*=\"identify.js\"]').src")
        read = """async ([address, files]) => {
          const { takenOf } = await import(address);
          const now = new Date("2026-11-29T12:00Z");
          return Promise.all(files.map((one) => takenOf(new Blob([new Uint8Array(one)]), now)));
        }"""
        address = script.replace("identify.js", "exif.js")
        found = page.evaluate(read, [address, [list(data) for data, _, _ in cases]])
        assert [(one["date"], one["at"]) for one in found] == [case[1:] for case in cases]
        broken = page.evaluate(read, [address, [list(data) for data in damaged]])
        cut = page.evaluate(
            """async ([address, files]) => {
              const { bare } = await import(address);
              const made = [];
              for (const one of files) {
                const file = await bare(new File([new Uint8Array(one)], "a.jpg"));
                made.push([...new Uint8Array(await file.arrayBuffer())]);
              }
              return made;
            }""",
            [script.replace("identify.js", "bare.js"),
             [list(one) for one in (*whole, *damaged[:100], *damaged[-50:])]],
        )  # fmt: skip
    for before, after in zip(whole, map(bytes, cut[: len(whole)]), strict=True):
        with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
            turn = one.getexif().get(0x0112, 1)
            assert dict(other.getexif()) == ({0x0112: turn} if turn > 1 else {})
            assert np.array_equal(np.asarray(one), np.asarray(other))
        assert b"secret" not in after
    form = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d([+-]\d\d:\d\d)?)?")
    for one in broken:
        assert form.fullmatch(one["date"])
        assert not one["at"] or re.fullmatch(r"-?\d+\.\d{5},-?\d+\.\d{5}", one["at"])


@pytest.mark.browser
@in_browser
def test_date_and_place_go_along_only_if_the_person_says_so(
    open_: Served, chrome: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(camera(TAKEN, PLACE))
    with visit(chrome, open_.url) as visitor:
        page = listened(visitor).open()
        assert not page.is_checked("#first-taken")
        page.set_input_files("#file-identify", path)
        page.wait_for_selector("#answer-5")
        page.check("#first-taken")
        page.set_input_files("#file-identify", path)
        page.wait_for_selector("#taken-at")
        assert "-27.05000, 32.41000" in page.inner_text("#taken")
        assert "May 12, 2026, 13:55" in page.inner_text("#taken")
        assert len(sent(page)) == 1
        assert faults(page) == []
        page.uncheck("#taken-at")
        page.click("#choosing-ask")
        page.wait_for_selector("#answer-5")
        # This catalogue is too small to make anything of it, so that it is asked once more without.
        bare, dated, again = sent(page)
        visitor.complaints = [said for said in visitor.complaints if "409" not in said]
    assert set(bare) == set(again) == {"photos"}
    for form in (bare, dated, again):
        assert b"Exif" not in form["photos"]
    assert {name: text for name, text in dated.items() if name != "photos"} == {
        "date": "2026-05-12T13:55+02:00"
    }


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
        for _ in range(2):
            page.set_input_files("#file-identify", shape)
            page.click("#box-add")
            page.click("#choosing-ask")
            page.wait_for_selector("#choosing", state="hidden")
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
