"""The reference of configuration keys says what the schema says."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from flukeprint.config.load import parse_config
from flukeprint.config.reference import reference, values, written
from flukeprint.config.schema import Config
from flukeprint.data.readers.read import READERS
from flukeprint.models.losses import LOSSES
from flukeprint.ranking.local.lightglue import MATCHERS
from flukeprint.training.sampling.samplers import SAMPLERS


@pytest.fixture(scope="module")
def writer(repository: Path) -> ModuleType:
    path = repository / "docs" / "write_configuration.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_schema(writer: ModuleType, repository: Path) -> None:
    page = (repository / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == writer.page(), "run python docs/write_configuration.py"


def test_every_loss_is_on_the_page(writer: ModuleType) -> None:
    page = writer.page()
    for loss in LOSSES:
        assert f"| `{loss}` |" in page


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A section and all sections inside it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from models(part)


@pytest.mark.parametrize("model", sorted(set(models(Config)), key=lambda model: model.__name__))
def test_every_key_has_a_sentence_and_every_section_a_docstring(model: type[BaseModel]) -> None:
    assert (model.__doc__ or "").endswith(".")
    for name, field in model.model_fields.items():
        holds_section = isinstance(field.annotation, type) and issubclass(
            field.annotation, BaseModel
        )
        if holds_section or (model is Config and name in ("losses", "pretrain", "taxonomy")):
            continue
        assert field.description, f"{model.__name__}.{name}"
        assert field.description.endswith("."), f"{model.__name__}.{name}"


def test_the_defaults_on_the_page_make_the_default_configuration() -> None:
    tree: dict[str, object] = {"name": "defaults"}
    section = ""
    for line in reference({}).splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        found = re.match(r"\| `(\w+)` \| .* \| `([^`]*)` \| [^|]*\|$", line)
        if found is None or section in ("losses", "pretrain", "taxonomy"):
            continue
        node = tree
        for part in [] if section == "At the top" else section.split("."):
            node = node.setdefault(part, {})  # type: ignore[assignment]
        node[found[1]] = yaml.safe_load(found[2])
    assert len(tree) > 10
    assert parse_config(tree, "the page") == Config(name="defaults")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, "whole number >= 1, <= 5"),
        ({"enum": ["pad", "crop"], "type": "string"}, "`pad`, `crop`"),
        ({"anyOf": [{"type": "number"}, {"const": "fit", "type": "string"}]}, "number or `fit`"),
        ({"type": "array", "items": {"type": "string"}}, "list, each text"),
        ({"type": "string", "format": "path"}, "path"),
    ],
)
def test_values_are_readable(key: dict[str, object], text: str) -> None:
    assert values(key, {}) == text


@pytest.mark.parametrize(
    ("default", "text"), [(None, "`null`"), (0.01, "`0.01`"), ([1, 1], "`[1, 1]`"), ("", "`''`")]
)
def test_defaults_are_written_as_in_yaml(default: object, text: str) -> None:
    assert written(default) == text


@pytest.mark.parametrize(
    ("section", "key", "table"),
    [
        ("data", "reader", READERS),
        ("sampler", "name", SAMPLERS),
    ],
)
def test_the_choices_of_a_key_are_the_rows_of_its_table(
    section: str, key: str, table: dict[str, object]
) -> None:
    choices = type(getattr(Config(name="x"), section)).model_fields[key].annotation
    assert set(get_args(choices)) == set(table)


def test_the_choices_of_a_matcher_are_the_rows_of_its_table() -> None:
    choices = type(Config(name="x").rank.local).model_fields["matcher"].annotation
    assert set(get_args(choices)) == set(MATCHERS)
