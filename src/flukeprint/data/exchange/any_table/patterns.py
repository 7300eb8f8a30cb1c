"""Reads folders whose names tell of photographs: `{site}/{identity}/{view}_*.jpg`.

`{name}` is a field, `*` any text within a level, `**` any levels.  A name that a pattern divides in
two ways is refused, as the right one is not to be guessed; a regular expression with named groups,
`(?P<identity>...)`, can say more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from flukeprint.data.exchange.any_table.cells import field_of
from flukeprint.data.exchange.any_table.columns import check_fields, field_named
from flukeprint.data.exchange.any_table.dates import at_time, read_date, read_time
from flukeprint.data.exchange.observed import LeftOut, Observed, ObservedPhoto
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.data.readers.layout import sorted_files
from flukeprint.errors import FlukeprintError, ProblemsError
from flukeprint.storage import join

FORM = "folders"
_PART = re.compile(r"\{([^{}]*)\}|(\*\*|\*)|([^{}*]+)|(.)", re.DOTALL)
_EXPRESSION = "(?P<"  # in a regular expression, whose braces count
_NO_FIELDS = ("image", "file_path", "folder", "box", "exactly", "machine")
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Pattern:
    """A pattern of the names of files below a folder.

    shortest, longest: two expressions that take as little, or as much, for each part from the left
        on; a name is divided in one way if they agree.
    """

    text: str
    shortest: "re.Pattern[str]"
    longest: "re.Pattern[str]"

    def read(self, name: str) -> Mapping[str, str] | None:
        """Field -> text in a name; None where the pattern does not match.

        Raises:
            FlukeprintError: the name is divided in several ways.
        """
        found, other = self.shortest.fullmatch(name), self.longest.fullmatch(name)
        if found is None or other is None:
            return None
        texts = {_field(key): value.strip() for key, value in found.groupdict("").items()}
        if any(found.span(key) != other.span(key) for key in found.groupdict()):
            second = {_field(key): value for key, value in other.groupdict("").items()}
            raise FlukeprintError(
                f"the pattern divides {name} in two ways, {_told(texts)} and {_told(second)}; make "
                "it more exact, or a regular expression with (?P<identity>...)"
            )
        return texts if all(texts.values()) else None


def pattern_of(text: str) -> Pattern:
    """Compile a pattern.

    Raises:
        FlukeprintError: unknown or empty names in braces, none at all, or parts that could be
            divided anywhere.
    """
    where = f"pattern {text}"
    if _EXPRESSION in text:
        try:
            compiled = re.compile(text)
        except re.error as error:
            raise FlukeprintError(f"{where} is not a regular expression: {error}") from None
        _check_names(list(compiled.groupindex), where)
        return Pattern(text, compiled, compiled)
    parts = [found.groups() for found in _PART.finditer(text.removeprefix("./"))]
    if any(stray for *_, stray in parts):
        raise FlukeprintError(f"{where} has a brace without its other one")
    names = [name for name, *_ in parts if name is not None]
    _check_names(list(dict.fromkeys(names)), where)
    literals = [literal for *_, literal, _ in parts]
    for place, (before, after) in enumerate(pairwise(literals)):
        if before is None and after is None:
            first, second = (_as_written(parts[at]) for at in (place, place + 1))
            raise FlukeprintError(
                f"{where} is ambiguous: nothing stands between {first} and {second}"
            )
    return Pattern(text, _compiled(parts, "?", where), _compiled(parts, "", where))


def read_folders(folder: Path, options: ReadOptions) -> Observed:
    """Read the photographs below a folder, as far as the pattern matches their names.

    Raises:
        ProblemsError: names that are divided in two ways, or hold what is no date or number.
        FlukeprintError: a pattern that cannot be read, or that matches nothing.
    """
    assert options.pattern is not None
    pattern = pattern_of(options.pattern)
    names, others = sorted_files(folder)
    left, photos, problems = LeftOut(), [], []
    for name in others:
        left.note("files that are no photographs by name", name)
    for name in names:
        try:
            texts = pattern.read(name)
            if texts is None:
                left.note(f"photographs that {pattern.text} does not match", name)
            else:
                photos.append(ObservedPhoto(name, join(folder, name), **_values(texts, options)))
        except FlukeprintError as error:
            problems.append(f"{join(folder, name)}: {error}")
    if problems:
        raise ProblemsError(problems, str(folder), most=_MOST_PROBLEMS)
    if not photos:
        such = f", such as {names[0]}" if names else ""
        raise FlukeprintError(
            f"{folder}: the pattern {pattern.text} matches none of {len(names)} photographs{such}"
        )
    return Observed(FORM, pattern.text, tuple(photos), left.counts, left.examples)


def _values(texts: Mapping[str, str], options: ReadOptions) -> dict[str, Any]:
    comma = options.decimal == "comma"
    values = {
        key: field_of(key, text, comma=comma)
        for key, text in texts.items()
        if key not in ("date", "time")
    }
    if "date" in texts:
        day, offset = read_date(texts["date"], options.dates)
        if "time" in texts:
            clock, _ = read_time(texts["time"])
            day = day if clock is None else at_time(day, clock)
        values["date"] = day
        values.setdefault("offset", offset)
    if (values.get("latitude") is None) != (values.get("longitude") is None):
        raise FlukeprintError("a position needs latitude and longitude")
    return values


def _check_names(names: list[str], where: str) -> None:
    if not all(name.strip() for name in names):
        raise FlukeprintError(f"{where}: {{}} names nothing; write a field, such as {{identity}}")
    if not names:
        raise FlukeprintError(f"{where} has no field in braces, such as {{identity}}")
    check_fields(names, where)
    fields = [_field(name) for name in names]
    for name, field in zip(names, fields, strict=True):
        if field in _NO_FIELDS or fields.count(field) > 1 or field[-2:] in ("x0", "y0", "x1", "y1"):
            why = "twice" if fields.count(field) > 1 else "which no name can tell"
            raise FlukeprintError(f"{where} names {name}, {why}")
    if "time" in fields and "date" not in fields:
        raise FlukeprintError(f"{where} has a time without a date")


def _field(name: str) -> str:
    return field_named(name) or name


def _compiled(parts: list[tuple[str | None, ...]], lazy: str, where: str) -> "re.Pattern[str]":
    """lazy: `?` for as little as can be."""
    written, known = [], set[str]()
    for place, (name, star, literal, _) in enumerate(parts):
        if name is not None:
            group = re.sub(r"\W", "_", name.strip())
            written.append(f"(?P={group})" if group in known else f"(?P<{group}>[^/]+{lazy})")
            known.add(group)
        elif star == "*":
            written.append(f"[^/]*{lazy}")
        elif star == "**":
            alone = place == 0 or str(parts[place - 1][2])[-1:] == "/"
            last = place == len(parts) - 1
            if not alone or not (last or str(parts[place + 1][2])[:1] == "/"):
                raise FlukeprintError(f"{where}: ** stands alone between /, for any levels")
            written.append(f"(?:[^/]+/)*{lazy}" + ("[^/]+" if last else ""))
        else:
            text = str(literal)
            after_levels = place > 0 and parts[place - 1][1] == "**"
            plain = re.escape(text.removeprefix("/") if after_levels else text)
            # The ending of a file may be in any letter case.
            ending = re.escape(PurePosixPath(text).suffix) if place == len(parts) - 1 else ""
            if text.startswith(".") and "/" not in text and place == len(parts) - 1:
                ending = plain
            if ending:
                plain = f"{plain.removesuffix(ending)}(?i:{ending})"
            written.append(plain)
    return re.compile("".join(written))


def _as_written(part: tuple[str | None, ...]) -> str:
    return f"{{{part[0]}}}" if part[0] is not None else str(part[1])


def _told(texts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in texts.items())
