"""The table of a review: what a person decided about each photograph, as the page writes it."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast, get_args

from flukeprint.data.names import identity_name
from flukeprint.data.table_format import open_table
from flukeprint.errors import FlukeprintError, counted, nearest

Decision = Literal["known", "new", "unsure", "wrong_view", "undecided", "unreadable"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
COLUMNS = (
    "photo", "decision", "identity", "note", "reviewer", "decided_at", "first_answer",
    "probability", "stamp", "queue", "catalogue_event", "digest", "path", "error",
)  # fmt: skip

_NEEDED = tuple(name for name in COLUMNS if name not in ("note", "error"))
_DIGEST = re.compile(r"[0-9a-f]{32}")
# Text that a spreadsheet would read as a formula has ' before it, which is taken away again.
_GUARDED = re.compile(r"'+[ \t\r\n]*[=+\-@|\t\r\n]")
_MOST_TOLD = 20  # problems


@dataclass(frozen=True)
class ReviewDecision:
    """A row of the table: a photograph, and what a person decided about it.

    line: of the file, the header is line 1.  photo: its name; path: its file.
    digest: of the file's bytes, xxh3_128; None where they could not be read.
    decision: `known` is an animal of the catalogue, `new` one that it lacks, `wrong_view` shows
        nobody who could be told, `undecided` was not looked at, `unreadable` could not be.
    identity: the animal of `known`; of `new` the name it is to get, None where none was given.
    decided_at: UTC; None where nothing was decided.
    first_answer, probability: of the model; None without one.  stamp: of its network.
    queue: the page on which it was decided.  catalogue_event: number of the catalogue's last event
        when that page was made, 0 without a catalogue.
    error: why it is unreadable.
    """

    line: int
    photo: str
    decision: Decision
    identity: str | None
    note: str | None
    reviewer: str | None
    decided_at: datetime | None
    first_answer: str | None
    probability: float | None
    stamp: str
    queue: str
    catalogue_event: int
    digest: str | None
    path: str
    error: str | None


def read_decisions(path: Path) -> tuple[ReviewDecision, ...]:
    """Read and check the table that a review's page gave, in its order.

    Raises:
        FlukeprintError: no such table; or rows that cannot be, all of which are named with their
            lines.
    """
    advice = "take the CSV that the page of flukeprint review gives"
    file = open_table(path, COLUMNS, absent=advice)
    missing = [name for name in _NEEDED if name not in file.header]
    if missing:
        raise FlukeprintError(
            f"{path} has no column {', '.join(missing)}; {advice} "
            f"({nearest(missing[0], file.names)})"
        )
    table = file.read().fillna("")
    problems: list[tuple[int, str]] = []
    found: list[ReviewDecision] = []
    for index, cells in zip(table.index, table.to_dict("records"), strict=True):
        if not any(str(cell).strip() for cell in cells.values()):
            continue  # spreadsheets add empty rows
        line = int(index) + 2
        row = {name: _plain(str(cells.get(name, ""))) for name in COLUMNS}
        wrong = list(_problems(row))
        problems += [(line, problem) for problem in wrong]
        if not wrong:
            found.append(_decision(line, row))
    problems += _twice(found)
    if problems:
        problems.sort()
        told = [f"line {line}: {problem}" for line, problem in problems[:_MOST_TOLD]]
        if len(problems) > _MOST_TOLD:
            told.append(f"and {counted(len(problems) - _MOST_TOLD, 'problem')} more")
        raise FlukeprintError(f"{path}: {'; '.join(told)}")
    if not found:
        raise FlukeprintError(f"{path} has column names but no rows")
    return tuple(found)


def _plain(cell: str) -> str:
    """A cell as the page meant it; names of files may begin or end with blanks."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _problems(row: dict[str, str]) -> Iterator[str]:
    decision, identity = row["decision"].strip(), identity_name(row["identity"])
    if not row["photo"]:
        yield "photo is empty"
    if decision not in DECISIONS:
        yield f"decision {decision!r} is none; {nearest(decision, DECISIONS)}"
    elif decision == "known" and not identity:
        yield "decision known names no identity"
    elif decision not in ("known", "new") and identity:
        yield f"decision {decision} has an identity, {identity!r}; empty it, or decide for it"
    if decision in ("known", "new", "unsure", "wrong_view"):
        if _moment(row["decided_at"]) is None:
            yield f"decided_at {row['decided_at']!r} is no date and time such as 2024-05-03T14:02Z"
        if not _DIGEST.fullmatch(row["digest"].strip()):
            yield f"digest {row['digest']!r} is no digest of a file, 32 digits 0-9 and a-f"
        if not row["path"]:
            yield "path is empty"
    chance = row["probability"].strip()
    if chance and _share(chance) is None:
        yield f"probability {chance!r} is no number from 0 to 1"
    event = row["catalogue_event"].strip()
    if not (event.isascii() and event.isdigit()):
        yield f"catalogue_event {event!r} is no number of an event"
    yield from (f"{name} is empty" for name in ("stamp", "queue") if not row[name].strip())


def _decision(line: int, row: dict[str, str]) -> ReviewDecision:
    chance = row["probability"].strip()
    return ReviewDecision(
        line=line,
        photo=row["photo"],
        decision=cast(Decision, row["decision"].strip()),
        identity=identity_name(row["identity"]) or None,
        note=row["note"].strip() or None,
        reviewer=row["reviewer"].strip() or None,
        decided_at=_moment(row["decided_at"]),
        first_answer=identity_name(row["first_answer"]) or None,
        probability=_share(chance) if chance else None,
        stamp=row["stamp"].strip(),
        queue=row["queue"].strip(),
        catalogue_event=int(row["catalogue_event"].strip()),
        digest=row["digest"].strip() or None,
        path=row["path"],
        error=row["error"].strip() or None,
    )


def _twice(found: list[ReviewDecision]) -> Iterator[tuple[int, str]]:
    """Photographs of two rows, as where the tables of two people were joined."""
    lines: defaultdict[str, list[ReviewDecision]] = defaultdict(list)
    for one in found:
        lines[one.path or one.photo].append(one)
    for several in lines.values():
        if len(several) > 1:
            others = ", ".join(str(one.line) for one in several[1:])
            yield (
                several[0].line,
                f"photo {several[0].photo} stands in line {others} again; keep one decision on it",
            )


def _moment(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
