"""The page beside the API: documents, fragments, files, languages, and what browsers may keep."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from flukeprint.config.schema import ServeConfig
from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.page.app import POLICY
from flukeprint.serving.page.assets import FOLDER
from flukeprint.serving.page.context import PageContext
from flukeprint.serving.page.document import PATHS, Visitor, footer, header
from flukeprint.serving.page.i18n import LANGUAGES, Language
from flukeprint.serving.page.map_points import MapPoints
from flukeprint.serving.page.site import FRAGMENT_BYTES
from flukeprint.serving.page.views.about import about_page
from flukeprint.serving.page.views.gallery import classes_page, map_page
from flukeprint.serving.page.views.map_groups import grouping
from flukeprint.serving.page.views.photographs import identify_page, review_page, verify_page
from flukeprint.serving.server import assemble
from flukeprint.serving.service import Service
from tests.serving.page.page_facts import (
    classes,
    context,
    context_of,
    elements,
    identification,
    map_points,
    parsed,
    read,
)
from tests.serving.served import photo

HTML = {"accept": "text/html,*/*;q=0.8"}
BARE = {
    "thumbnails": False, "examples": 0, "threshold": None, "outside": None, "confidence": None,
    "ranks": [], "calibrated": False, "accuracy": None, "verify": None, "enroll": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def client(known: Identifier, identifier: Path) -> Iterator[TestClient]:
    app = assemble(Service(known, ServeConfig(), path=identifier))
    with TestClient(app, base_url="http://127.0.0.1") as started:
        yield started


def outcome(**changed: object) -> dict[str, object]:
    return {"state": "answer", "body": identification(**changed).model_dump(mode="json")}


@pytest.mark.parametrize("variant", ["all", "without cards", "bare"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_can_be_built(language: Language, variant: str) -> None:
    asked: PageContext = context(language, cards=variant == "all")
    if variant == "bare":
        asked = context_of(classes(cards=False), language, **BARE)
    points = map_points()
    for content in (
        identify_page(asked), verify_page(asked), review_page(asked), about_page(asked),
        classes_page(asked, "q=a"), map_page(asked, points, grouping(asked, points), "/x", ""),
    ):  # fmt: skip
        tree = parsed([header(asked, "/", Visitor()), content, footer(asked, "/")])
        assert len(list(elements(tree, id="page-title"))) == 1
        ids = [one.get("id") for one in elements(tree) if one.get("id")]
        assert len(ids) == len(set(ids))
        links = {one.get("href") for one in elements(tree, "a")}
        assert ("/verify" in links) == (variant != "bare")


@pytest.mark.parametrize("language", LANGUAGES)
def test_where_people_may_keep_a_catalogue_the_page_says_what_begins_it(
    language: Language,
) -> None:
    said = {
        (people, kept): "flukeprint keep IDENTIFIER"
        in read(about_page(context(language, people=people, catalogue=kept)))
        for people in (True, False)
        for kept in (True, False)
    }
    assert [asked for asked, told in said.items() if told] == [(True, False)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_of_an_earlier_network_are_said_to_be_that(language: Language) -> None:
    said = {"en": "the network learned on", "es": "la red sigui"}[language]
    told = [
        read(about_page(context(language, measured_by=stamp))) for stamp in (None, "0123456789")
    ]
    assert [said in text for text in told] == [False, True]


# The two need a catalogue.
@pytest.mark.parametrize("path", sorted(set(PATHS) - {"/animals", "/queue"}))
def test_pages_are_documents_that_name_no_other_site(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    text = answer.text
    assert not re.search(r"(?:https?:|wss?:)?//[a-z]", text, flags=re.IGNORECASE)
    tree = parsed(text.removeprefix("<!doctype html>"))
    assert not [one for one in elements(tree, "script") if not one.get("src") and not one.get("id")]
    assert not [one for one in elements(tree) if "style" in one.attrib]
    (facts,) = elements(tree, id="facts")
    assert json.loads(facts.text or "")["limits"]["max_photos"] >= 1
    assert client.head(path).status_code == 200


def test_scripts_and_styles_name_no_other_site_and_compile_nothing() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path.name
        assert not re.search(r"\beval\(|new Function|document\.write", text), path.name


def test_only_html_of_the_server_is_read_as_markup() -> None:
    """What is put into the page as markup comes from a fragment and from nowhere else."""
    found = [
        (path.name, value)
        for path in FOLDER.glob("*.js")
        for value in re.findall(r"innerHTML = ([^;]+);", path.read_text())
    ]
    assert found
    for name, value in found:
        assert re.fullmatch(
            r"found\.(html|headline|candidates)|\(await answer\.json\(\)\)\.html", value
        ), (name, value)


def test_what_the_document_loads_is_there_and_stays(client: TestClient) -> None:
    for path in PATHS:
        addresses = re.findall(r'(?:src|href)="(/assets/[^"]+)"', client.get(path).text)
        assert len(addresses) >= 4
        for address in addresses:
            answer = client.get(address)
            assert answer.status_code == 200, address
            assert "immutable" in answer.headers["cache-control"]
            tag = answer.headers["etag"]
            assert re.fullmatch(r'"[0-9a-f]{20}"', tag)
            again = client.get(address, headers={"if-none-match": tag})
            assert (again.status_code, again.content) == (304, b"")
    old = "/assets/0000000000000000/page.js"
    assert client.get(old).headers["cache-control"] == "no-cache"
    assert client.get("/assets/0000000000000000/nothing.js").status_code == 404


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_answers_are_compressed_and_photographs_are_not(client: TestClient, encoding: str) -> None:
    whole = {"accept-encoding": "identity"}
    address = re.findall(r'href="(/assets/[^"]+page.css)"', client.get("/").text)[0]
    for path in ("/", "/classes", "/v1/classes", "/map/points", address):
        plain = client.get(path, headers=whole)
        packed = client.get(path, headers={"accept-encoding": encoding})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == encoding, path
        assert packed.content == plain.content
        assert int(packed.headers.get("content-length", 0)) < len(plain.content)
    assert "content-encoding" not in client.get("/v1/photos/0").headers


def test_a_page_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/about")
    again = client.get("/about", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    other = {"if-none-match": first.headers["etag"], "accept-language": "es"}
    assert client.get("/about", headers=other).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/about/x", "/classes/1/2", "/%00"])
def test_unknown_paths_are_told_to_people_and_to_programs(client: TestClient, path: str) -> None:
    shown = client.get(path, headers={**HTML, "accept-language": "es"})
    assert shown.status_code == 404
    assert "Esta página no existe" in shown.text
    program = client.get(path, headers={"accept": "application/json"})
    assert program.status_code == 404
    assert program.headers["content-type"] == "application/problem+json"
    assert client.post(path, headers=HTML).headers["content-type"] == "application/problem+json"


def test_the_api_keeps_its_own_refusals_and_documentation(client: TestClient) -> None:
    answer = client.get("/v1/nothing", headers=HTML)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert client.get("/docs").status_code == 200
    assert all(path.startswith("/v1/") for path in client.get("/openapi.json").json()["paths"])


@pytest.mark.parametrize(
    ("query", "cookie", "header", "language"),
    [
        ("", "", "", "en"), ("", "", "es-CL,es;q=0.9,en;q=0.8", "es"),
        ("", "", "de,es;q=0.5,en;q=0.7", "en"), ("", "es", "en", "es"),
        ("?lang=en", "es", "es", "en"), ("?lang=fr", "", "es", "es"),
        ("", "xx", ";q=,,es;q=x,*", "en"), ("", "", "en;q=0, es", "es"),
    ],
)  # fmt: skip
def test_the_language_is_asked_for_remembered_or_preferred(
    known: Identifier, query: str, cookie: str, header: str, language: str
) -> None:
    with TestClient(assemble(Service(known, ServeConfig())), "http://127.0.0.1") as visitor:
        if cookie:
            visitor.cookies.set("lang", cookie)
        answer = visitor.get(f"/{query}", headers={"accept-language": header})
        assert f'<html lang="{language}">' in answer.text
        assert answer.headers["content-language"] == language
        given = answer.headers.get("set-cookie", "")
        assert ("HttpOnly" in given and "SameSite=lax" in given) == (query == "?lang=en")


def test_a_title_is_not_markup(known: Identifier) -> None:
    settings = ServeConfig(title="</script><script>alert(1)</script>")
    with TestClient(assemble(Service(known, settings)), "http://127.0.0.1") as visitor:
        text = visitor.get("/").text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;" in text


def test_the_policy_allows_the_page_and_no_more(client: TestClient) -> None:
    assert client.get("/").headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    parts = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert (parts["default-src"], parts["connect-src"]) == ("'none'", "'self'")


@pytest.mark.parametrize(
    ("language", "told"), [("en", "Answer: Probably: common"), ("es", "Respuesta: Probablemente")]
)
def test_an_answer_is_shown_in_the_language_of_the_browser(
    client: TestClient, language: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flukeprint.serving.page.site.Site.context", lambda self, request: context(language)
    )
    answer = client.post("/fragments/identify", json=outcome())
    assert answer.status_code == 200
    assert told in answer.json()["line"]
    assert "/v1/photos/0" in answer.json()["html"]


@pytest.mark.parametrize("posted", [None, 3, "x", [], {"state": "answer", "body": {}}, {"a": {}}])
def test_fragments_bear_whatever_is_posted(client: TestClient, posted: object) -> None:
    for path in ("identify", "verify", "review"):
        answer = client.post(
            f"/fragments/{path}", content=json.dumps(posted),
            headers={"content-type": "application/json"},
        )  # fmt: skip
        assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null"])
def test_what_is_no_json_shows_nothing(client: TestClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/fragments/review", content=body, headers=headers)
    assert answer.json() == {"headline": "", "candidates": "", "names": []}
    assert client.post("/fragments/review", content=body).status_code == 415


def test_a_large_post_is_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    large = b'"' + b"x" * FRAGMENT_BYTES + b'"'
    for content in (large, iter([large[:10], large[10:]])):
        answer = client.post("/fragments/identify", content=content, headers=headers)
        assert answer.status_code == 413


def test_a_browser_without_scripts_is_answered(client: TestClient, known: Identifier) -> None:
    picture = photo()
    answer = client.post("/identify", files={"photos": ("a.png", picture, "image/png")})
    assert answer.status_code == 200
    first = known.judge([picture])[0].ranking.identities[0][0]
    (shown,) = elements(answer.text.removeprefix("<!doctype html>"), id="answer-1")
    assert shown.get("data-identity") == (first or "")
    refused = client.post("/identify", files={"photos": ("a.png", b"x", "image/png")})
    assert refused.status_code == 415
    assert "problem-text" in refused.text


def test_a_page_that_fails_is_logged_without_what_was_sent(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("flukeprint.serving.page.document.footer", lambda *_: 1 / 0)
    answer = client.get("/classes?q=secret")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text + answer.text


def test_the_list_follows_what_is_typed(client: TestClient, known: Identifier) -> None:
    name = known.identities[0]
    found = client.get("/fragments/classes", params={"q": name.upper()}).json()
    assert re.search(rf"\d+ of {len(known.identities)}", read(found["html"]))
    assert name in client.get("/classes", params={"q": name}).text


def test_the_map_holds_every_photograph_and_finds_names(
    client: TestClient, known: Identifier
) -> None:
    page = client.get("/map").text
    (graph,) = elements(page.removeprefix("<!doctype html>"), id="map-graph")
    answer = client.get(graph.get("data-points", ""))
    assert "immutable" in answer.headers["cache-control"]
    data = answer.content
    n = int(np.frombuffer(data, "<u4", 1)[0])
    assert n == len(known.gallery)
    xs, ys = np.frombuffer(data, "<u2", 2 * n, 4).reshape(2, n)
    kinds, steps = np.frombuffer(data, "<u4", 2 * n, 4 + 4 * n).reshape(2, n)
    assert len(data) == 4 + 4 * n + 8 * n + n
    assert np.cumsum(steps).tolist() == known.numbers.tolist()
    assert [known.identities[kind] for kind in kinds] == list(known.gallery.identities)
    shown = known.showcase
    assert shown is not None
    wide = np.ptp(shown.xy, axis=0).max()
    for axis, values in enumerate((xs, ys)):
        expected = (shown.xy[:, axis] - shown.xy[0, axis]) / wide * 65_535
        assert np.allclose(values.astype(float) - float(values[0]), expected, atol=1.01)
    name = known.identities[3]
    found = client.get("/map/search", params={"q": f" {name.upper()} "}).json()
    assert 3 in found["classes"]
    assert client.get("/map/search", params={"q": name}).json()["classes"] == [3]
    assert client.get("/map/search", params={"q": "zzz"}).json()["classes"] == []
    one = client.get(f"/fragments/photo/{int(known.numbers[5])}").json()
    assert "map-photo-image" in one["html"]
    assert client.get("/fragments/photo/999999").status_code == 404


def test_points_of_a_gallery_without_photographs_apart() -> None:
    alone = MapPoints(np.zeros((1, 2), np.float32), np.array([4]), np.array([0]), ("a",))
    assert len(alone.packed([0])) == 4 + 4 + 8 + 1
    assert alone.shares.tolist() == [[0.5, 0.5]]


def test_a_gallery_that_changes_is_shown_anew(known: Identifier, identifier: Path) -> None:
    service = Service(known, ServeConfig(), path=identifier)
    with TestClient(assemble(service), "http://127.0.0.1") as visitor:
        assert "Bella" not in visitor.get("/classes?q=bella").text
        gallery = known.gallery
        renamed = tuple(
            "Bella" if one == gallery.identities[0] else one for one in gallery.identities
        )
        service.identifier = replace(known, gallery=replace(gallery, identities=renamed))
        assert "Bella" in visitor.get("/classes?q=bella").text
        assert len(visitor.get("/map/search?q=bella").json()["classes"]) == 1


@pytest.mark.parametrize("query", ["", "photo=", "photo=-1", "photo=1.5", "photo=²", "photo=1e3"])
def test_similar_photographs_need_a_number(client: TestClient, query: str) -> None:
    assert "No photograph was named" in client.get(f"/similar?{query}").text
    assert "similar-photos" in client.get("/similar?photo=0").text
    assert client.get("/similar?photo=99999999").status_code == 404


def test_a_table_for_spreadsheets_holds_no_formula(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to run the page's script")
    rows = [
        ["a", "b"],
        ["=1+1", "+x"],
        ["-x", "@x"],
        ["\t=x", ' "q", '],
        [-1.5, None],
        ["é\nz", ""],
    ]
    script = (FOLDER / "csv.js").read_text().replace("export const", "const") + (
        f"process.stdout.write(csv({json.dumps(rows)}));"
    )
    done = subprocess.run([node, "-e", script], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.decode() == (
        'a,b\r\n\'=1+1,\'+x\r\n\'-x,\'@x\r\n\'\t=x," ""q"", "\r\n-1.5,\r\n"é\nz",\r\n'
    )
