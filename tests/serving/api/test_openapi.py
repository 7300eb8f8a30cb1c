"""The OpenAPI schema tells generators and people what each route takes and gives."""

import re
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter

from flukeprint.serving.api import schemas
from flukeprint.serving.api.access import session_routes
from flukeprint.serving.api.catalogue import bodies, changes, queue_bodies

METHODS = {"get", "post", "put", "delete"}


@pytest.fixture(scope="module")
def told(server: Any) -> dict[str, Any]:
    said: dict[str, Any] = httpx2.get(f"{server.url}/openapi.json").json()
    return said


def operations(told: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): one
        for path, methods in told["paths"].items()
        for method, one in methods.items()
        if method in METHODS
    }


def test_operation_ids_are_short_and_tell_routes_apart(told: dict[str, Any]) -> None:
    ids = [one["operationId"] for one in operations(told).values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", one) for one in ids)
    assert {"identify", "get_photo", "enroll", "get_health", "list_classes"} <= set(ids)


def test_each_route_and_parameter_is_described(told: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in told["tags"] if tag["description"]}
    for (path, method), one in operations(told).items():
        where = f"{method} {path}"
        assert one["description"].strip(), where
        assert set(one["tags"]) <= tags, where
        for parameter in one.get("parameters", []):
            assert parameter["description"], (where, parameter["name"])
            assert parameter["schema"].get("examples"), (where, parameter["name"])
        for content in one.get("requestBody", {}).get("content", {}).values():
            for name, field in content["schema"].get("properties", {}).items():
                assert field.get("description"), (where, name)


def test_each_field_is_described_with_examples(told: dict[str, Any]) -> None:
    found = 0
    for name, schema in told["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, about in schema.get("properties", {}).items():
            assert about.get("description"), (name, field)
            assert about.get("examples"), (name, field)
            found += 1
    assert found > 80


@pytest.mark.parametrize(
    "body",
    sorted(
        {
            one
            for module in (schemas, bodies, queue_bodies, session_routes, changes)
            for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, BaseModel) and one.model_fields
        },
        key=lambda one: one.__name__,
    ),
)
def test_examples_are_values_that_the_field_takes(body: type[BaseModel]) -> None:
    for name, field in body.model_fields.items():
        for example in field.examples or ():
            TypeAdapter(field.annotation).validate_python(example)
            assert field.description, name


def test_pictures_have_a_schema(told: dict[str, Any]) -> None:
    pictures = [
        one["responses"]["200"]["content"]
        for one in operations(told).values()
        if "image/jpeg" in one["responses"].get("200", {}).get("content", {})
    ]
    assert len(pictures) >= 2
    for content in pictures:
        assert content == {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}


def test_what_is_not_described_would_be_found() -> None:
    app = FastAPI()

    @app.get("/bare")
    def bare(x: int) -> None: ...

    with pytest.raises((AssertionError, KeyError)):
        test_each_route_and_parameter_is_described({**app.openapi(), "tags": []})
