"""Parses YAML to plain mappings, lists and values, and refuses what no configuration needs.

A file of some lines may stand for billions of values (aliases of aliases), for values that nothing
can be done with (numbers of thousands of digits, half of a UTF-16 pair), or for less than its
writer meant (a key twice, of which YAML keeps the last).
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from flukeprint.errors import FlukeprintError

MOST_BYTES = 1 << 20  # of a file
MOST_VALUES = 10_000  # aliases counted as often as they are used
DEEPEST = 20
MOST_DIGITS = 18  # of an integer
LONGEST = 4096  # characters of a string, as of a path on Linux


def read_tree(path: Path) -> Any:
    """Parse the file `path`.

    Raises:
        FlukeprintError: it is no file of text, too large, not UTF-8, no YAML, or holds what
            `parse_tree` refuses.
        OSError: it cannot be read.
    """
    if not path.is_file():  # a pipe or a device would be read without end
        raise FlukeprintError(f"{path} is no file")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise FlukeprintError(f"{path} is no configuration: it has more than {MOST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FlukeprintError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    return parse_tree(text, str(path))


def parse_tree(text: str, where: str) -> Any:
    """Parse YAML; `where` names its source in messages.

    Raises:
        FlukeprintError: no YAML, a key twice in a mapping, keys that are no text, or values that
            are too many, too deep, too large or of a kind that no key takes.
    """
    try:
        tree = yaml.load(text, _Loader)
    except _TwiceError as error:
        raise FlukeprintError(f"{where}: {error}; keep one") from None
    except RecursionError:
        raise FlukeprintError(f"{where}: lists and sections are nested too deeply") from None
    # Dates and numbers that look like some, but are none, fail in ways of their own.
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
        TypeError,
        AttributeError,
        KeyError,
    ) as error:
        reason = " ".join(str(error).split())
        raise FlukeprintError(f"{where} is not YAML: {reason[:300]}") from None
    _check(tree, where)
    return tree


class _TwiceError(Exception):
    pass


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise _TwiceError(
                        f"the key {key.value!r} stands twice in one section, in lines "
                        f"{seen[key.value]} and {line}"
                    )
                seen[key.value] = line
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


def _check(tree: Any, where: str) -> None:
    """Refuse values that are too many, too deep, too large or of other kinds."""
    stack: list[tuple[Any, str, int]] = [(tree, "", 0)]
    count = 0
    while stack:
        node, key, depth = stack.pop()
        count += 1
        if depth > DEEPEST:  # also an alias within itself
            raise FlukeprintError(
                f"{where}: {key[:80]} is nested deeper than {DEEPEST} lists and sections"
            )
        if count > MOST_VALUES:
            raise FlukeprintError(
                f"{where}: more than {MOST_VALUES:,} values, aliases counted as often as they are "
                "used"
            )
        if isinstance(node, dict):
            for name, value in node.items():
                if not isinstance(name, str):
                    raise FlukeprintError(
                        f"{where}: the key {str(name)[:80]} is {_kind(name)}, not text; put it in "
                        "quotes"
                    )
                _check_text(name, where, f"the key {name[:80]!r}")
                stack.append((value, f"{key}.{name}" if key else name, depth + 1))
        elif isinstance(node, list):
            stack += [(value, f"{key}.{at}", depth + 1) for at, value in enumerate(node)]
        elif isinstance(node, str):
            _check_text(node, where, key)
        elif isinstance(node, int) and abs(node) >= 10**MOST_DIGITS:
            raise FlukeprintError(f"{where}: {key} is a number of more than {MOST_DIGITS} digits")
        elif node is not None and not isinstance(node, bool | int | float):
            raise FlukeprintError(
                f"{where}: {key} is {_kind(node)}; write text (in quotes), a number, a list or keys"
            )


def _check_text(text: str, where: str, what: str) -> None:
    if len(text) > LONGEST:
        raise FlukeprintError(f"{where}: {what} is longer than {LONGEST:,} characters")
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text.strip()):
        raise FlukeprintError(
            f"{where}: {what} holds a line break, another control character or half a letter"
        )


def _kind(value: object) -> str:
    names = {"date": "a date", "datetime": "a time", "bytes": "binary", "NoneType": "empty"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")
