"""The page beside an API: its documents, its policy, unknown paths, and its callbacks."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash import Dash, dcc
from fastapi import FastAPI
from fastapi.testclient import TestClient

from flukeprint.serving.page.app import ASSETS, build_dashboard, content_security_policy
from flukeprint.serving.page.callbacks import page_at
from flukeprint.serving.page.context import PageContext
from flukeprint.serving.page.dash_backend import MOST_BYTES
from flukeprint.serving.page.i18n import LANGUAGES, Language
from flukeprint.serving.page.layout import PATHS, footer, header
from tests.serving.page.page_facts import (
    about,
    classes,
    components,
    context,
    gallery_map,
    identification,
)

UPDATE = "/_dash-update-component"


def served(**changed: Any) -> tuple[Dash, FastAPI]:
    server = FastAPI()

    @server.get("/v1/about")
    def _about() -> dict[str, str]:
        return {"title": str(changed.get("title"))}

    return build_dashboard(about(**changed), classes(), gallery_map(), server), server


@pytest.fixture(scope="module")
def page() -> Dash:
    return served()[0]


@pytest.fixture(scope="module")
def client(page: Dash) -> Iterator[TestClient]:
    with TestClient(page.server) as started:
        yield started


VARIANTS = {
    "all": {},
    "without cards": {"cards": False},
    "bare": {
        "cards": False,
        "thumbnails": False,
        "examples": 0,
        "threshold": None,
        "outside": None,
        "confidence": None,
        "ranks": [],
        "calibrated": False,
        "accuracy": None,
        "verify": None,
        "enroll": False,
    },
}


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_every_page_can_be_built(path: str, language: Language, variant: str):
    asked = context(language, **VARIANTS[variant])
    if variant == "bare":
        asked = PageContext(asked.info, asked.classes, None, asked.kind, language)
    content = [*header(asked, path), *page_at(asked, path, "?photo=1"), *footer(asked)]
    json.dumps([part.to_plotly_json() for part in content], default=str)
    titles = [one for one in components(content) if getattr(one, "id", "") == "page-title"]
    assert len(titles) == 1
    ids = [one.id for one in components(content) if hasattr(one, "id")]
    assert len(ids) == len(set(ids))
    links = {one.href for one in components(content) if isinstance(one, dcc.Link)}
    assert ("/map" in links) == (variant != "bare")
    assert ("/verify" in links) == (variant != "bare")


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_of_an_earlier_network_are_said_to_be_that(language: Language):
    texts = []
    for stamp in (None, "0123456789abcdef"):
        parts = page_at(context(language, measured_by=stamp), "/about", "")
        texts.append(json.dumps([part.to_plotly_json() for part in parts], default=str))
    said = {"en": "the network learned on", "es": "la red sigui"}[language]
    assert [said in text for text in texts] == [False, True]


@pytest.mark.parametrize("path", sorted(PATHS))
def test_pages_are_documents_that_name_no_other_site(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    text = answer.text
    assert not re.search(r"(?:https?:|wss?:)?(?:\\u002f|/){2}[a-z]", text, flags=re.IGNORECASE)
    assert "House spiders" in text
    for name in ("photos.js", "browser.js", "review.js", "csv.js", "page.css", "parts.css"):
        assert f"/assets/{name}?" in text
    assert client.head(path).status_code == 200


def test_scripts_and_styles_name_no_other_site_and_compile_nothing():
    for path in ASSETS.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path.name
        assert not re.search(r"\beval\(|new Function|innerHTML|document\.write", text), path.name


def test_what_the_document_loads_is_there(client: TestClient):
    text = client.get("/").text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert len(addresses) > 10
    for address in addresses:
        assert client.get(address).status_code == 200, address


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1/about/x", "/_dash-nothing"])
def test_unknown_paths_stay_unknown(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "html" not in answer.headers["content-type"]


def test_the_api_keeps_its_documentation(client: TestClient):
    assert client.get("/docs").status_code == 200
    assert set(client.get("/openapi.json").json()["paths"]) == {"/v1/about"}


def test_two_pages_in_one_process_do_not_mix():
    first, second = served(title="First"), served(title="Second")
    for (_, server), title in ((first, "First"), (second, "Second"), (first, "First")):
        with TestClient(server) as client:  # start and stop, as a server does
            assert f"<title>{title}</title>" in client.get("/map").text
            assert client.get("/v1/about").json() == {"title": title}
            assert client.get("/v1/nothing").status_code == 404


def test_a_title_is_not_markup():
    _, server = served(title="<script>alert(1)</script>")
    text = TestClient(server).get("/").text
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;" in text


def test_policy_allows_the_document_and_no_more(page: Dash, client: TestClient):
    policy = content_security_policy(page)
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in parts["script-src"]
    assert parts["default-src"] == "'none'"
    assert parts["img-src"] == "'self' data: blob:"
    assert parts["connect-src"] == "'self'"
    inline = re.findall(
        r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>(.*?)</script>",
        client.get("/about").text,
        flags=re.DOTALL,
    )
    assert len(inline) == 1
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in parts["script-src"]


def update(page: Dash, output: str, **values: Any) -> dict[str, Any]:
    """What the browser posts to run the callback whose outputs hold `output`."""
    (key,) = [
        key for key, known in page.callback_map.items() if output in key and "callback" in known
    ]
    known = page.callback_map[key]

    def given(parts: list[dict[str, str]]) -> list[dict[str, Any]]:
        return [{**part, "value": values.get(f"{part['id']}.{part['property']}")} for part in parts]

    names = key.strip(".").split("...")
    outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
    return {
        "output": key,
        "outputs": outputs if key.startswith("..") else outputs[0],
        "inputs": given(known["inputs"]),
        "state": given(known["state"]),
        "changedPropIds": [],
    }


@pytest.mark.parametrize(
    ("language", "told"), [("en", "Answer: Probably: Steatoda"), ("es", "Respuesta: Probablemente")]
)
def test_an_answer_is_shown_in_the_language_of_the_browser(
    page: Dash, client: TestClient, language: str, told: str
):
    outcome = {"state": "answer", "body": identification().model_dump(mode="json")}
    values = {"identify-outcome.data": outcome, "language.data": language}
    answer = client.post(UPDATE, json=update(page, "identify-result.children", **values))
    assert answer.status_code == 200
    shown = answer.json()["response"]
    assert told in shown["identify-status-answer"]["children"]
    assert "/v1/photos/0" in json.dumps(shown["identify-result"])


def test_the_frame_is_made_in_each_language(page: Dash, client: TestClient):
    for language, word in (("en", "Compare"), ("es", "Comparar")):
        values = {"language.data": language, "url.pathname": "/verify", "url.search": ""}
        answer = client.post(UPDATE, json=update(page, "header.children", **values))
        assert word in json.dumps(answer.json()["response"]["header"])


@pytest.mark.parametrize("language", [None, "fr", "", ["en"], {}, 3])
def test_nothing_is_made_before_the_language_is_known(
    page: Dash, client: TestClient, language: object
):
    values = {"language.data": language, "url.pathname": "/"}
    answer = client.post(UPDATE, json=update(page, "header.children", **values))
    assert answer.status_code == 204


@pytest.mark.parametrize("outcome", [None, 3, "x", [], {"state": "answer", "body": {}}, {"a": {}}])
def test_callbacks_bear_whatever_is_posted(page: Dash, client: TestClient, outcome: object):
    for output, name in (
        ("identify-result.children", "identify-outcome.data"),
        ("verify-result.children", "verify-outcome.data"),
        ("review-candidates.children", "review-current.data"),
        ("similar-result.children", "similar-outcome.data"),
        ("classes-list.children", "classes-filter.value"),
        ("header.children", "url.pathname"),
    ):
        for search in (None, 3, "?photo=1", "?photo=%00"):
            values = {name: outcome, "language.data": "en", "url.search": search}
            assert client.post(UPDATE, json=update(page, output, **values)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"output": "nothing.children", "outputs": [], "inputs": []}',
        b'{"output": ["a"], "outputs": [], "inputs": []}',
        # This one runs in the browser.
        b'{"output": "arrival.data", "outputs": {"id": "arrival", "property": "data"}, "inputs": '
        b'[{"id": "page", "property": "children"}], "state": [{"id": "url", "property": '
        b'"pathname"}]}',
    ],
)
def test_posts_that_are_no_callback_are_refused(client: TestClient, body: bytes):
    headers = {"content-type": "application/json"}
    assert client.post(UPDATE, content=body, headers=headers).status_code == 400
    assert client.post(UPDATE, content=body).status_code == 400


def test_a_callback_gets_exactly_what_it_was_registered_with(page: Dash, client: TestClient):
    body = update(page, "identify-result.children", **{"language.data": "en"})
    assert client.post(UPDATE, json=body).status_code == 200
    for key in ("inputs", "outputs"):
        assert client.post(UPDATE, json={**body, key: body[key][:-1]}).status_code == 400
        assert client.post(UPDATE, json={**body, key: body[key][::-1]}).status_code == 400


def test_a_large_post_is_refused(client: TestClient):
    headers = {"content-type": "application/json"}
    large = b'"' + b"x" * MOST_BYTES + b'"'
    assert client.post(UPDATE, content=large, headers=headers).status_code == 413
    assert (
        client.post(UPDATE, content=iter([large[:10], large[10:]]), headers=headers).status_code
        == 413
    )


@pytest.mark.parametrize(
    "path", ["os/path.py", "dash/dash.py", "dash/../../x", "flukeprint/server.py", "dash/x.js"]
)
def test_only_registered_scripts_are_served(client: TestClient, path: str):
    assert client.get(f"/_dash-component-suites/{path}").status_code == 404


def test_a_callback_that_fails_is_logged_without_what_was_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    page, server = served()
    monkeypatch.setattr("flukeprint.serving.page.callbacks.footer", lambda context: 1 / 0)
    values = {"language.data": "en", "url.pathname": "/secret"}
    answer = TestClient(server).post(UPDATE, json=update(page, "header.children", **values))
    assert answer.status_code == 500
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text + answer.text


def test_classes_that_are_enrolled_later_are_shown():
    known = dict(classes())
    page = build_dashboard(about(), known, None, FastAPI())
    known["class_9"] = known["class_0"].model_copy(update={"identity": "class_9", "card": None})
    values = {"language.data": "en", "url.search": "?q=class_9"}
    answer = TestClient(page.server).post(
        UPDATE, json=update(page, "classes-list.children", **values)
    )
    assert "1 of 4" in answer.text


def test_a_map_of_which_photographs_are_removed_or_renamed_is_drawn_anew():
    facts = [about(), gallery_map()]
    page = build_dashboard(
        about(), classes(), gallery_map(), FastAPI(), now=lambda: (facts[0], facts[1])
    )
    values = {"language.data": "en", "url.pathname": "/map", "url.search": ""}

    def drawn() -> str:
        asked = update(page, "page.children", **values)
        return str(TestClient(page.server).post(UPDATE, json=asked).text)

    assert '"class_0"' in drawn()
    facts[1] = gallery_map().model_copy(
        update={"identities": ["Bella" for _ in gallery_map().identities]}
    )
    said = drawn()
    assert '"Bella"' in said
    assert '"class_0"' not in said


def test_a_table_for_spreadsheets_holds_no_formula(tmp_path: Path):
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
    script = (
        "globalThis.window = {};"
        + (ASSETS / "csv.js").read_text()
        + f"process.stdout.write(window.flukeprint.csv({json.dumps(rows)}));"
    )
    done = subprocess.run([node, "-e", script], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.decode() == (
        'a,b\r\n\'=1+1,\'+x\r\n\'-x,\'@x\r\n\'\t=x," ""q"", "\r\n-1.5,\r\n"é\nz",\r\n'
    )
