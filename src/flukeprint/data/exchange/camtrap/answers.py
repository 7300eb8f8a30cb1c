"""Adds identities to a Camtrap DP as observations of a machine; everything else stays as it was.

Tables, custom fields and other files are copied.  Photographs are not: a folder gets hard links to
them.  A ZIP file becomes a ZIP file.
"""

import csv
import gzip
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flukeprint.data.exchange.answered import RowAnswer, RowAnswers
from flukeprint.data.exchange.camtrap.answer_rows import is_ours, same_as, told_same
from flukeprint.data.exchange.camtrap.data_package import (
    DESCRIPTION,
    DataPackage,
    TableText,
    open_package,
)
from flukeprint.data.exchange.camtrap.reading import Read, read_with_ids
from flukeprint.data.exchange.camtrap.rows import observation_row, plain, unused_key
from flukeprint.data.exchange.camtrap.writing import OBSERVATIONS
from flukeprint.data.exchange.observed import ObservedPhoto
from flukeprint.data.formats.photo_formats import named_like_photo
from flukeprint.errors import FlukeprintError, counted
from flukeprint.files import folder_written_whole, linked, written_whole
from flukeprint.storage import files_below

_TABLE = "observations"
_LARGE = 10_000_000  # bytes
# Of the observation that is answered; a count would count the animal twice.
_COPIED = ("eventID", "eventStart", "eventEnd", "cameraSetupType", "scientificName", "lifeStage",
           "sex", "bboxX", "bboxY", "bboxWidth", "bboxHeight")  # fmt: skip
Row = Mapping[str, str]


def answer_camtrap_dp(
    source: Path, root: Path | None, answers: RowAnswers, target: Path
) -> tuple[str, ...]:
    """Write the package at `source` to `target` with an observation for each answer.

    A known individual gets one with its individualID, a new one without and with the tag
    `individual:new`; of what looks like no photograph of the collection nothing is said.

    Returns lines for people.  Raises FlukeprintError where it cannot be read or written.
    """
    read = read_with_ids(source, root)
    with open_package(source) as package:
        table = package.text_of(_TABLE)
        text = _table(table, read, answers)
        content = text.encode(table.encoding)
        if table.packed:
            content = gzip.compress(content, mtime=0)
        changed = {package.file_of(_TABLE): content}
        if (description := _description(package, content)) is not None:
            changed[DESCRIPTION] = description
        if package.archive is not None:
            _write_archive(package, changed, target)
            return ()
        return _write_folder(package, changed, target)


def _table(table: TableText, read: Read, answers: RowAnswers) -> str:
    """The text of the observations with those of the answers behind them."""
    form = _Form(table)
    columns, rows = form.rows()
    older = {row["observationID"]: row for row in rows if row.get("observationID")}
    answered: dict[str, str] = {}  # observations of ours -> those that they are answers to
    for own, row in older.items():
        of = told_same(row.get("observationTags"))
        if of is not None and is_ours(row.get("classificationMethod"), row.get("classifiedBy")):
            answered[of] = own
    taken = set(older)
    dropped: set[str] = set()
    added: list[dict[str, str]] = []
    for place, photo in enumerate(read.observed.photos):
        answer = answers.of.get(photo.image)
        if answer is None:
            continue
        key = read.observations[place]
        original = None if key is None else older.get(key)
        if key is not None and key in answered:
            dropped.add(answered[key])
        ours = original is not None and is_ours(
            original.get("classificationMethod"), original.get("classifiedBy")
        )
        if ours and key is not None:
            dropped.add(key)
        if answer.verdict == "outside":
            continue
        medium = {
            "deploymentID": photo.deployment or "",
            "mediaID": read.media[place],
            "timestamp": read.stamps[place] or "",
        }
        if ours:
            name = str(key)
        elif key is not None and key in answered:
            name = answered[key]
        else:
            name = unused_key(f"{key or read.media[place]}-flukeprint", taken)
        added.append(_row(photo, answer, answers, medium, name, original, ours))
    return form.with_rows(columns, rows, dropped, added)


def _row(
    photo: ObservedPhoto,
    answer: RowAnswer,
    answers: RowAnswers,
    medium: Row,
    key: str,
    original: Row | None,
    ours: bool,
) -> dict[str, str]:
    """The observation that says the answer."""
    said = replace(
        photo, identity=answer.identity, probability=answer.probability,
        confidence=answer.probability, by=answers.by, machine=True, notes=None, view=None,
    )  # fmt: skip
    row = observation_row(said, medium, key, answers.moment)
    row |= {"count": "", "observationType": "animal", "classificationTimestamp": answers.stamp}
    if not any(row.get(f"bbox{side}") for side in ("X", "Y", "Width", "Height")):
        row |= {f"bbox{side}": "" for side in ("X", "Y", "Width", "Height")}
    tags = [] if answer.identity is not None else ["individual:new"]
    if original is not None:
        row |= {name: original[name] for name in _COPIED if original.get(name)}
        of_photo = original.get("observationLevel") == "media" or bool(original.get("mediaID"))
        if of_photo and not ours:
            tags.append(same_as(original["observationID"]))
        elif ours and (of := told_same(original.get("observationTags"))):
            tags.append(same_as(of))
    row["observationTags"] = " | ".join(tags)
    return {name: plain(value) for name, value in row.items()}


class _Form:
    """The lines of a table, which are kept as they are wherever that is possible."""

    def __init__(self, table: TableText) -> None:
        self.table = table
        self.end = "\r\n" if "\r\n" in table.text.split("\n", 1)[0] + "\n" else "\n"
        self.how: dict[str, Any] = {
            "delimiter": table.separator,
            "quotechar": table.quote,
            "doublequote": table.double_quotes or table.escape is None,
            "escapechar": table.escape,
        }

    def rows(self) -> tuple[list[str], list[dict[str, str]]]:
        """Names of columns, without blanks around them, and the rows; absent cells are ""."""
        csv.field_size_limit(2**27)
        text = self.table.text.removeprefix("\ufeff")
        lines = csv.reader(
            io.StringIO(text, newline=""), skipinitialspace=self.table.blanks, **self.how
        )
        columns = [name.strip() for name in next(lines)]
        rows = [dict(zip(columns, cells, strict=False)) for cells in lines if cells]
        return columns, rows

    def with_rows(
        self,
        columns: Sequence[str],
        rows: Sequence[Row],
        dropped: set[str],
        added: Sequence[Row],
    ) -> str:
        """The text with the added rows, and without those that they replace."""
        needed = {name for row in added for name, value in row.items() if value} - set(columns)
        if not (needed or dropped):
            text = self.table.text
            start = "" if not text or text.endswith(("\n", "\r")) else self.end
            return text + start + self._lines(columns, added)
        every = _in_order(columns, needed)
        kept = [row for row in rows if row.get("observationID") not in dropped]
        mark = "\ufeff" if self.table.text.startswith("\ufeff") else ""
        return mark + self._lines(every, [dict(zip(every, every, strict=True)), *kept, *added])

    def _lines(self, columns: Sequence[str], rows: Sequence[Row]) -> str:
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator=self.end, **self.how)
        writer.writerows([row.get(name, "") for name in columns] for row in rows)
        return out.getvalue()


def _in_order(columns: Sequence[str], needed: set[str]) -> list[str]:
    """The columns with the needed ones among them, where the standard has these."""
    found = list(columns)
    for place, name in enumerate(OBSERVATIONS):
        if name in needed:
            before = [found.index(one) for one in OBSERVATIONS[:place] if one in found]
            found.insert(max(before, default=-1) + 1, name)
    return found


def _description(package: DataPackage, content: bytes) -> bytes | None:
    """The description with the size and the digest of the new table, where it tells them."""
    tree = package.description
    resource = next(one for one in tree["resources"] if one.get("name") == _TABLE)
    if "bytes" not in resource and "hash" not in resource:
        return None
    if "bytes" in resource:
        resource["bytes"] = len(content)
    if "hash" in resource:
        kind, _, _ = str(resource["hash"]).rpartition(":")
        if kind in ("", "md5", "sha1", "sha256", "sha512"):
            digest = hashlib.new(kind or "md5", content, usedforsecurity=False).hexdigest()
            resource["hash"] = f"{kind}:{digest}" if kind else digest
        else:
            del resource["hash"]
    return json.dumps(tree, indent=2, ensure_ascii=False).encode()


def _write_archive(package: DataPackage, changed: Mapping[str, bytes], target: Path) -> None:
    assert package.archive is not None
    new = {package.base + name: content for name, content in changed.items()}
    try:
        with written_whole(target) as partial, zipfile.ZipFile(partial, "w") as out:
            out.comment = package.archive.comment
            for member in package.archive.infolist():
                if member.filename in new:
                    out.writestr(member, new[member.filename])
                else:
                    with package.archive.open(member) as file, out.open(member, "w") as copy:
                        shutil.copyfileobj(file, copy, 2**20)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError) as error:
        raise FlukeprintError(f"{package.place} cannot be copied ({error})") from None


def _write_folder(
    package: DataPackage, changed: Mapping[str, bytes], target: Path
) -> tuple[str, ...]:
    """Copy the package; photographs and large files that are none of its tables are linked."""
    folder, left = package.folder, 0
    tables = package.files()
    with folder_written_whole(target) as draft:
        for name in files_below(folder):
            old, new = folder / name, draft / name
            new.parent.mkdir(parents=True, exist_ok=True)
            if name in changed:
                new.write_bytes(changed[name])
            elif name in tables or not (named_like_photo(name) or old.stat().st_size > _LARGE):
                shutil.copy2(old, new)
            elif not linked(old, new):
                left += 1
    if not left:
        return ()
    return (
        f"{counted(left, 'photograph')} on another disk: their names begin in {folder}, from where "
        "they are to be copied",
    )
