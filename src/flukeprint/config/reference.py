"""Write a reference of all configuration keys in Markdown, from the schema.

`docs/write_configuration.py` writes `docs/configuration.md` with it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from flukeprint.config.schema import Config

TYPES = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
    "null": "null", "object": "mapping", "array": "list",
}  # fmt: skip
LIMITS = (
    ("exclusiveMinimum", ">"),
    ("minimum", ">="),
    ("exclusiveMaximum", "<"),
    ("maximum", "<="),
)
OPTIONAL = " `null`, the default, leaves it out."
LIST = " A list of these."

Schema = dict[str, Any]


def reference(notes: Mapping[str, str]) -> str:
    """For each section a heading and a table: key, possible values, default, meaning.

    Args:
        notes: Markdown to add to a section, by its place in the tree, such as `losses`.
    """
    schema = Config.model_json_schema()
    schema["description"] = "Keys outside a section."
    return "\n".join(_section("", schema, schema["$defs"], notes))


def _section(
    place: str, section: Schema, sections: Mapping[str, Schema], notes: Mapping[str, str]
) -> Iterator[str]:
    yield f"## {place or 'At the top'}\n\n{section['description']}\n"
    if place in notes:
        yield f"{notes[place]}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    inner: dict[str, Schema] = {}
    for name, key in section["properties"].items():
        if "description" not in key:  # a section, which describes itself
            inner[f"{place}.{name}" if place else name] = key
            continue
        default = "required" if name in section.get("required", ()) else written(key["default"])
        cells = (f"`{name}`", values(key, sections), default, key["description"])
        yield f"| {' | '.join(cells)} |"
    yield ""
    for there, key in inner.items():
        below = dict(_section_of(key, sections))
        below["description"] += LIST if "items" in key else OPTIONAL if "anyOf" in key else ""
        yield from _section(there, below, sections, notes)


def _section_of(key: Schema, sections: Mapping[str, Schema]) -> Schema:
    """The section that a key holds: itself, it or null, or a list of it."""
    for part in (key, key.get("items", {}), *key.get("anyOf", ())):
        if "$ref" in part:
            return sections[part["$ref"].rpartition("/")[2]]
    raise ValueError(f"a key has neither a description nor a section: {key}")


def values(key: Schema, sections: Mapping[str, Schema]) -> str:
    """What may be written for a key, such as "`pad`, `crop`" or "number > 0, <= 1"."""
    if "anyOf" in key:
        return " or ".join(values(part, sections) for part in key["anyOf"])
    if "$ref" in key:
        names = _section_of(key, sections)["properties"]
        return "`{" + ", ".join(f"{name}: {name[0].upper()}" for name in names) + "}`"
    if "enum" in key or "const" in key:
        return ", ".join(f"`{value}`" for value in key.get("enum", [key.get("const")]))
    if key["type"] == "array":
        each = values(key.get("items") or key["prefixItems"][0], sections)
        return f"{'two values' if key.get('maxItems') == 2 else 'list'}, each {each}"
    limits = ", ".join(f"{sign} {key[name]}" for name, sign in LIMITS if name in key)
    return f"{'path' if key.get('format') == 'path' else TYPES[key['type']]} {limits}".strip()


def written(default: object) -> str:
    """A default as it is written in YAML."""
    text = yaml.safe_dump(default, default_flow_style=True).strip()
    return f"`{text.removesuffix('...').strip()}`"
