"""Reads JSON that other programs of the field wrote: its values, dates and names of files."""

import json
import math
import mmap
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from flukeprint.errors import FlukeprintError
from flukeprint.storage import is_local, join, parse_path, read_bytes

_DAY = r"(\d{4})(?:[-:/](\d{1,2})(?:[-:/](\d{1,2})"
_TIME = r"(?:[T ]+(\d{1,2})(:\d{2}(?::\d{2}(?:\.\d+)?)?)\s*(Z|[+-]\d{2}:?\d{2})?)?)?)?"
_DATE = re.compile(_DAY + _TIME)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")  # a drive of Windows
_NO_DATE = ("", "na", "n/a", "nan", "nat", "none", "null")


def keys_in(path: Path, keys: Iterable[str]) -> frozenset[str]:
    """Which of the keys a JSON file's object has, somewhere, without parsing it.

    Empty for anything but an object in a local file `.json`.
    """
    if not is_local(path) or path.suffix.lower() != ".json":
        return frozenset()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            if not re.match(rb"(?:\xef\xbb\xbf)?\s*\{", text):
                return frozenset()
            return frozenset(
                key for key in keys if re.search(rb'"' + re.escape(key).encode() + rb'"\s*:', text)
            )
    except (OSError, ValueError):  # missing, no file, or empty
        return frozenset()


def read_object(path: Path, what: str, remedy: str = "") -> dict[str, Any]:
    """Parse a JSON file whose top level is an object; NaN and Infinity, as pandas writes, are None.

    what: it should be, for messages.  remedy: ends the message for one that is no object.

    Raises FlukeprintError.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
        tree = json.loads(text, parse_constant=lambda _: None)
    except FileNotFoundError:
        raise FlukeprintError(f"no such file: {path}; check the path") from None
    except OSError as error:
        raise FlukeprintError(f"{path} cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise FlukeprintError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise FlukeprintError(
            f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}; "
            "it may have been cut short, copy it again"
        ) from None
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of many digits
        raise FlukeprintError(f"{path} is no {what} ({type(error).__name__}: {error})") from None
    if not isinstance(tree, dict):
        raise FlukeprintError(f"{path} is no {what}: its top level is no object {{...}}{remedy}")
    return tree


def objects(tree: dict[str, Any], key: str, path: Path, what: str) -> list[Any]:
    """The list under a key; FlukeprintError where there is none."""
    found = tree.get(key)
    if not isinstance(found, list):
        raise FlukeprintError(f"{path} is no {what}: it has no list `{key}`")
    return found


def text(value: object) -> str | None:
    """A text or a number as text without blanks at its ends; None for anything else or nothing."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (str(value).strip() or None) if isinstance(value, str | int | float) else None


def number(value: object) -> float | None:
    """A finite number, or a text of one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def numbers(value: object, count: int) -> tuple[float, ...] | None:
    """A list of `count` finite numbers; None for anything else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    found = tuple(number(one) for one in value)
    return None if None in found else found  # type: ignore[return-value]


def local_date(value: object) -> tuple[str | None, str | None] | None:
    """A date as ISO 8601 and its offset from UTC, each None where there is none.

    Years stand first, as the order of day and month is not guessed.  None for a value that is
    no date that can be read.
    """
    written = text(value) or ""
    if written.casefold() in _NO_DATE or (value is not None and written.startswith("0000")):
        return None, None
    found = _DATE.fullmatch(written)
    if found is None:
        return None
    year, month, day, hour, rest, offset = found.groups()
    date = "-".join([year, *(part.zfill(2) for part in (month, day) if part)])
    if hour is not None:
        date += f"T{hour.zfill(2)}{re.sub(r'[.]0+$', '', rest)}"
    try:
        datetime.fromisoformat(f"{year}-{month or '01':0>2}-{day or '01':0>2}")
        if hour is not None:
            datetime.fromisoformat(f"2000-01-01T{hour.zfill(2)}{rest.partition('.')[0]}")
    except ValueError:
        return None
    if offset is not None:
        offset = "+00:00" if offset == "Z" else f"{offset[:3]}:{offset[-2:]}"
    return date, offset


def posix_name(name: str) -> str:
    """A file's name with slashes, whatever system wrote it."""
    return name.replace("\\", "/")


def file_of(name: str, root: Path) -> Path:
    """The file of a name with slashes: in `root`, or where it says itself if it is absolute."""
    if "://" in name:
        return parse_path(name)
    if _ABSOLUTE.match(name):
        return Path(name)
    return join(root, name)


def box_name(file: str, place: int, count: int) -> str:
    """The name of the box at `place`, from 1, of the `count` that a source has of a photograph.

    It does not depend on which of them are used, so that it stays when other ones are.
    """
    return f"{file}#{place}" if count > 1 else file
