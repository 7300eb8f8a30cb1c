"""Refusals and failures as problem documents, in answers, in the log and in the OpenAPI schema."""

import asyncio
import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from flukeprint.serving.api.problems import KINDS, CatchAll, RefusedError
from tests.serving.api.asgi_client import (
    Sender,
    ask,
    service,
)


@pytest.fixture
def client() -> TestClient:
    return TestClient(service())


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_a_problem(client: TestClient, kind: str) -> None:
    answer = client.get(f"/refused/{kind}")
    assert answer.status_code == KINDS[kind].status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": f"urn:flukeprint:problem:{kind}",
        "title": KINDS[kind].title,
        "status": KINDS[kind].status,
        "detail": "of this case",
    }
    assert answer.headers.get("retry-after") == ("3" if "r" in kind else None)
    assert answer.headers.get("www-authenticate") == ("Bearer" if kind == "unauthorized" else None)


def test_a_kind_that_there_is_not_is_a_defect() -> None:
    with pytest.raises(ValueError, match="did you mean not_found"):
        RefusedError("not_fund", "x")
    assert RefusedError("busy", "x", retry_after=0.01).headers == {"Retry-After": "1"}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("/page?limit=SECRET", "query limit"), ("/page?limit=99", "less than or equal to 9")],
)
def test_an_invalid_query_is_told_but_not_echoed(
    client: TestClient, path: str, wanted: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":invalid")
    assert wanted in answer.json()["detail"]
    assert "SECRET" not in answer.text
    assert "99" not in answer.text


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ('{"name": "SECRET"}', "body name: is not valid"),
        ('{"name": "a", "SECRET": 1}', "body: Extra inputs are not permitted"),
        ('{"name": "a", "many": "SECRET"}', "body many: "),
        ('{"SECRET', "JSON decode error"),
        ("{}", "body name: Field required"),
    ],
)
def test_an_invalid_body_is_told_but_not_echoed(client: TestClient, body: str, wanted: str) -> None:
    answer = client.post("/form", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert wanted in answer.json()["detail"]
    assert "SECRET" not in answer.text


def test_what_starlette_refuses_is_a_problem_too(client: TestClient) -> None:
    missing = client.get("/SECRET")
    assert (missing.status_code, missing.json()["type"]) == (
        404,
        "urn:flukeprint:problem:not_found",
    )
    assert "SECRET" not in missing.text
    wrong = client.post("/page")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "GET, HEAD"
    assert wrong.json()["type"] == "urn:flukeprint:problem:method_not_allowed"
    for status, kind in ((401, "unauthorized"), (415, "unsupported_media_type"), (418, None)):
        answer = client.get(f"/http/{status}")
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["x-more"] == "kept"
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert kind is None or answer.json()["type"] == f"urn:flukeprint:problem:{kind}"


def test_a_defect_tells_where_to_the_log_and_nothing_of_the_request(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/defect?secret=SECRET")  # does not raise: no server logs it again
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:flukeprint:problem:internal"
    records = [record for record in caplog.records if record.name == "flukeprint.api"]
    assert len(records) == 1
    text = caplog.text
    assert "in defect" in text
    assert "ValueError" in text
    assert "KeyError" in text
    for leak in (answer.text, text):
        assert "SECRET" not in leak
    assert "Traceback" not in answer.text
    assert "ValueError" not in answer.text


def test_a_defect_in_middle_of_an_answer_cuts_it_off(caplog: pytest.LogCaptureFixture) -> None:
    said = ask(service(), path="/late", method="GET", query_string=b"secret=SECRET")
    assert said.status == 200
    assert said.body == b"begun"
    assert not said.whole
    assert "in parts" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_defect_of_middleware_around_is_answered_alike() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("SECRET")

    app = service()
    app.add_middleware(lambda app: broken)
    answer = TestClient(app, raise_server_exceptions=False).get("/page")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "SECRET" not in answer.text


def test_other_scopes_pass_unforeseen_untouched() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("startup")

    with pytest.raises(ValueError, match="startup"):
        asyncio.run(CatchAll(fails)({"type": "lifespan"}, Sender(), None))  # type: ignore[arg-type]


def test_a_sender_who_leaves_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender([b"SECRET", b""], stays=False)
    sender.script.pop()
    with caplog.at_level(logging.DEBUG):
        ask(service(), sender, path="/left")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert "SECRET" not in caplog.text


def test_the_schema_names_the_problems(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["schemas"]["Problem"]["required"] == [
        "type", "title", "status", "detail",
    ]  # fmt: skip
    reference = {"$ref": "#/components/schemas/Problem"}
    answers = schema["paths"]["/refused/{kind}"]["get"]["responses"]
    for kind, known in KINDS.items():
        answer = answers[str(known.status)]
        assert answer["content"] == {"application/problem+json": {"schema": reference}}
        assert f"`{kind}`" in answer["description"]
        assert known.header is None or known.header in answer["headers"]
    # A route that says nothing has FastAPI's 422, which no answer looks like.
    page = schema["paths"]["/page"]["get"]["responses"]["422"]
    assert page["content"] == {"application/problem+json": {"schema": reference}}
    assert "HTTPValidationError" not in json.dumps(schema)
    assert client.get("/openapi.json").json() == schema
