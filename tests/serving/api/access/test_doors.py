"""Who may do what: bearer tokens, sessions in cookies, roles, and wrong tokens."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from flukeprint.config.schema import ServeConfig
from flukeprint.serving.api.access.doors import COOKIE, CSRF, FAILURES, Doors, Guard, needs_token
from flukeprint.serving.api.access.session_routes import add_session_routes
from flukeprint.serving.api.problems import install
from flukeprint.serving.people import Person, give_token
from tests.serving.api.asgi_client import Said, Sender, ask
from tests.serving.api.http_client import connected, post, refused, well
from tests.serving.served import TOKEN, copied, photo, served

ROLES = ("look", "review", "keep")


def application(settings: ServeConfig, token: str | None = None) -> Any:
    app = FastAPI()
    install(app)
    doors = Doors(settings, token)

    @app.get("/v1/look")
    async def look() -> str:
        return "seen"

    for role in ("review", "keep"):
        needed = doors.needs(role)  # type: ignore[arg-type]

        @app.post(f"/v1/{role}")
        async def change(person: Annotated[Person, Depends(needed)]) -> str:
            return person.name

    add_session_routes(app, doors)
    app.add_middleware(Guard, doors=doors)
    return app


def sent(app: Any, method: str, path: str, body: Any = None, **headers: str) -> Said:
    data = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        headers["content-type"] = "application/json"
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return ask(app, Sender([data]), method=method, path=path, headers=named)


@pytest.fixture
def people(tmp_path: Path) -> tuple[ServeConfig, dict[str, str]]:
    path = tmp_path / "people.csv"
    tokens = {role: give_token(path, f"the {role}", role) for role in ROLES}  # type: ignore[arg-type]
    return ServeConfig(people=path), tokens


def test_each_role_may_do_what_it_says(people: tuple[ServeConfig, dict[str, str]]) -> None:
    settings, tokens = people
    app = application(settings)
    for role, token in tokens.items():
        bearer = {"authorization": f"Bearer {token}"}
        assert sent(app, "GET", "/v1/look", **bearer).status == 200
        for needed in ("review", "keep"):
            said = sent(app, "POST", f"/v1/{needed}", **bearer)
            if ROLES.index(role) >= ROLES.index(needed):
                assert json.loads(said.body) == f"the {role}"
            else:
                assert (said.status, said.kind) == (403, "forbidden")
                assert f"needs the role {needed}" in said.body.decode()
    assert sent(app, "GET", "/v1/look").kind == "unauthorized"
    assert sent(app, "POST", "/v1/keep").kind == "unauthorized"


def test_without_people_all_look_and_the_own_token_keeps() -> None:
    app = application(ServeConfig())
    assert sent(app, "GET", "/v1/look").status == 200
    assert sent(app, "GET", "/v1/look", authorization="Bearer nobody's").status == 200
    assert sent(app, "POST", "/v1/keep", authorization=f"Bearer {TOKEN}").kind == "forbidden"
    app = application(ServeConfig(), TOKEN)
    assert sent(app, "POST", "/v1/keep").kind == "unauthorized"
    assert json.loads(sent(app, "POST", "/v1/keep", authorization=f"bearer  {TOKEN} ").body) == (
        "web"
    )


@pytest.mark.parametrize(
    "header", [TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", ""]
)
def test_a_token_that_is_nearly_right_is_wrong(header: str) -> None:
    said = sent(application(ServeConfig(), TOKEN), "POST", "/v1/keep", authorization=header)
    assert said.kind == "unauthorized"
    assert said.headers["www-authenticate"] == "Bearer"
    assert TOKEN[:-1] not in said.body.decode()


def test_a_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(
    people: tuple[ServeConfig, dict[str, str]],
) -> None:
    settings, tokens = people
    app = application(settings)
    assert json.loads(sent(app, "GET", "/v1/session").body) == {
        "name": None, "role": None, "csrf": None, "until": None,
    }  # fmt: skip
    began = sent(app, "POST", "/v1/session", {"token": tokens["keep"]})
    told = json.loads(began.body)
    assert (told["name"], told["role"]) == ("the keep", "keep")
    parts = began.headers["set-cookie"].split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.lower() for part in parts}
    assert tokens["keep"] not in parts[0]
    cookie = {"cookie": parts[0]}
    assert sent(app, "GET", "/v1/look", **cookie).status == 200
    assert json.loads(sent(app, "GET", "/v1/session", **cookie).body) == told
    for headers in (cookie, {**cookie, CSRF.lower(): "x"}, {**cookie, CSRF.lower(): ""}):
        assert sent(app, "POST", "/v1/keep", **headers).kind == "forbidden"
    done = sent(app, "POST", "/v1/keep", **cookie, **{CSRF.lower(): told["csrf"]})
    assert json.loads(done.body) == "the keep"
    other = json.loads(sent(app, "POST", "/v1/session", {"token": tokens["keep"]}).body)["csrf"]
    assert sent(app, "POST", "/v1/keep", **cookie, **{CSRF.lower(): other}).kind == "forbidden"
    ended = sent(app, "DELETE", "/v1/session", **cookie)
    assert ended.status == 204
    assert f'{COOKIE}="";' in ended.headers["set-cookie"]


def test_a_cookie_over_tls_is_sent_over_tls_alone(
    people: tuple[ServeConfig, dict[str, str]],
) -> None:
    settings, tokens = people
    body = json.dumps({"token": tokens["look"]}).encode()
    asked = {
        "method": "POST", "path": "/v1/session", "scheme": "https",
        "headers": {"content-type": "application/json"},
    }  # fmt: skip
    said = ask(application(settings), Sender([body]), **asked)
    assert "Secure" in said.headers["set-cookie"]


def test_wrong_tokens_are_counted_where_others_may_ask(
    people: tuple[ServeConfig, dict[str, str]],
) -> None:
    settings, tokens = people
    app = application(settings.model_copy(update={"host": "0.0.0.0"}))
    for _ in range(FAILURES):
        assert sent(app, "GET", "/v1/look", authorization="Bearer x").kind == "unauthorized"
    right = {"authorization": f"Bearer {tokens['keep']}"}
    said = sent(app, "GET", "/v1/look", **right)
    assert said.kind == "rate_limited"
    assert int(said.headers["retry-after"]) >= 1
    assert sent(app, "POST", "/v1/session", {"token": tokens["keep"]}).kind == "rate_limited"
    here = application(settings)
    for _ in range(FAILURES + 1):
        assert sent(here, "GET", "/v1/look", authorization="Bearer x").kind == "unauthorized"
    assert sent(here, "GET", "/v1/look", **right).status == 200


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("/v1/health", False), ("/v1/about", False), ("/v1/session", False), ("/", False),
        ("/docs", False), ("/openapi.json", False), ("/v1/photos/1", True), ("/v1/identify", True),
        ("/v1/session/x", True), ("/classes", True), ("/map/points", True),
        ("/fragments/photo/3", True), ("/v1/nothing", True),
    ],
)  # fmt: skip
def test_what_is_open_without_a_token(path: str, closed: bool) -> None:
    assert needs_token(path) is closed


def test_a_server_with_people(identifier: Path, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    tokens = {role: give_token(file, f"the {role}", role) for role in ROLES}  # type: ignore[arg-type]
    folder = copied(identifier, tmp_path)
    with served(folder, f"serve.people={file}") as running, connected(running) as client:
        assert well(client.get("/v1/about"))["people"] is True
        refused(client.get("/v1/photos/0"), 401, "unauthorized")
        refused(client.get("/classes"), 401, "unauthorized")
        refused(client.post("/"), 401, "unauthorized")
        assert client.get("/").status_code == 200
        refused(post(client, "identify", photo()), 401, "unauthorized")
        look = {"Authorization": f"Bearer {tokens['look']}"}
        assert client.get("/v1/photos/0", headers=look).status_code == 200
        assert well(post(client, "identify", photo(), headers=look))
        fields = {"identity": "w_1", "keep_photos": "no"}
        refused(post(client, "enroll", photo(70), data=fields, headers=look), 403, "forbidden")
        keep = {"Authorization": f"Bearer {tokens['keep']}"}
        other = {**fields, "author": "somebody"}
        said = refused(post(client, "enroll", photo(70), data=other, headers=keep), 422, "invalid")
        assert "the history will name the keep" in said
        well(post(client, "enroll", photo(70), data=fields, headers=keep), 201)
        assert "security" in well(client.get("/openapi.json"))["paths"]["/v1/identify"]["post"]
        told = well(client.post("/v1/session", json={"token": tokens["look"]}))
        assert told["name"] == "the look"
        assert client.get("/v1/photos/0").status_code == 200  # by the cookie
        client.cookies.clear()
        assert client.get("/v1/photos/0").status_code == 401
        wrong = {"token": "s" * 600}
        assert "sss" not in refused(client.post("/v1/session", json=wrong), 422, "invalid")
        for token in tokens.values():
            assert token not in running.said()


def test_a_file_that_cannot_be_read_stops_the_start(identifier: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flukeprint", "serve", "--identifier", str(identifier), "--port",
         "0", f"serve.people={tmp_path / 'none.csv'}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "flukeprint token NAME" in done.stderr
