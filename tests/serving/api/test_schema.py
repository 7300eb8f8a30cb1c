"""Every route answers as the OpenAPI schema says, whatever is asked; schemathesis asks."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.serving.served import TOKEN, Served, make_identifier, photo, served

EXAMPLES = 60
WORK = {"/v1/identify", "/v1/embed", "/v1/verify", "/v1/enroll"}
# What asking in ever other ways must bring about, at least.
WANTED = {
    *((f"GET /v1/{path}", 200) for path in ("health", "ready", "about", "classes", "map")),
    *((f"GET /v1/{path}", 200) for path in ("photos/{photo}", "photos/{photo}/similar")),
    *((f"GET /v1/{path}", 200) for path in ("examples", "examples/{number}")),
    *((f"POST {path}", 422) for path in WORK),
    *((f"POST {path}", 415) for path in WORK),
    *((f"POST {path}", 200) for path in WORK - {"/v1/enroll"}),
    ("GET /v1/photos/{photo}", 404), ("GET /v1/photos/{photo}", 422),
    ("POST /v1/enroll", 201), ("POST /v1/enroll", 401), ("POST /v1/enroll", 409),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(make_identifier(tmp_path_factory.mktemp("schema")), enroll=True) as running:
        yield running


@pytest.fixture(scope="module")
def told(server: Served) -> dict[str, Any]:
    schema: dict[str, Any] = httpx2.get(f"{server.url}/openapi.json").json()
    return schema


@pytest.fixture(scope="module", autouse=True)
def photographs() -> None:
    """Files that are sent: some are photographs."""
    some = st.sampled_from([photo(identity) for identity in range(3)])
    schemathesis.openapi.format("binary", some | st.binary(max_size=50))


def settings(examples: int) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "database": "none"},
            "cache": {"enabled": False},
            # A valid form may hold bytes that are no photograph.
            "checks": {"positive_data_acceptance": {"enabled": False}},
        }
    )


def asked(schema: Any) -> tuple[Counter[tuple[str, int]], set[str], list[str]]:
    """(answers by operation and status, names of the checks, what does not conform)."""
    answers: Counter[tuple[str, int]] = Counter()
    checks: set[str] = set()
    wrong = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            wrong.append(f"{event.label}: {event.value}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        for case, node in event.recorder.cases.items():
            met = event.recorder.interactions.get(case)
            if met is not None and met.response is not None:
                answers[node.value.operation.label, met.response.status_code] += 1
        for found in (check for each in event.recorder.checks.values() for check in each):
            checks.add(found.name)
            if found.failure_info is not None:
                wrong.append(f"{event.recorder.label}: {found.failure_info.failure}")
    return answers, checks, wrong


def test_every_route_does_what_its_schema_says(server: Served) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=settings(EXAMPLES))
    answers, checks, wrong = asked(schema)
    assert not wrong, "\n\n".join(wrong[:5])
    assert {
        "not_a_server_error", "status_code_conformance", "content_type_conformance",
        "response_headers_conformance", "response_schema_conformance", "ignored_auth",
    } <= checks  # fmt: skip
    assert WANTED - set(answers) == set()
    assert httpx2.get(f"{server.url}/v1/ready").status_code == 200
    said = [line for line in server.lines() if "Invalid HTTP request" not in line]
    assert len(said) == 2  # where page and API are


@pytest.mark.parametrize("lie", ["status", "body", "media type"])
def test_a_schema_that_lies_would_be_found_out(
    server: Served, told: dict[str, Any], lie: str
) -> None:
    false = deepcopy(told)
    false["paths"] = {"/v1/classes": false["paths"]["/v1/classes"]}
    said = false["paths"]["/v1/classes"]["get"]["responses"]
    if lie == "status":
        del said["422"]
    elif lie == "body":
        false["components"]["schemas"]["Classes"]["properties"]["total"]["type"] = "string"
    else:
        said["200"]["content"] = {"text/html": {}}
    schema = schemathesis.openapi.from_dict(false, config=settings(5))
    schema.config.base_url = server.url
    assert asked(schema)[2]


def test_refusals_are_declared_with_what_they_bring(told: dict[str, Any]) -> None:
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            said = operation["responses"]
            refusals = {status for status in said if status >= "400"}
            if path in WORK:
                assert method == "post"
                assert {"408", "413", "415", "422", "429", "503", "504"} <= refusals
                for status in ("429", "503"):
                    assert "Retry-After" in said[status]["headers"]
                assert list(operation["requestBody"]["content"]) == ["multipart/form-data"]
            if "parameters" in operation:
                assert "422" in refusals
            for status in refusals:
                assert list(said[status]["content"]) == ["application/problem+json"]
                schema = said[status]["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
    enroll = told["paths"]["/v1/enroll"]["post"]
    assert {"201", "401", "403", "409"} <= set(enroll["responses"])
    assert "WWW-Authenticate" in enroll["responses"]["401"]["headers"]
    assert enroll["security"] == [{"HTTPBearer": []}]
    assert set(told["components"]["schemas"]["Problem"]["required"]) == {
        "type", "title", "status", "detail"
    }  # fmt: skip
