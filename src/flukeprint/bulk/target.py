"""The folder of embeddings: what is written there, and what of it is whole after an interruption.

    manifest.json           source, identifier and settings; another one is refused
    embeddings/part-*.parquet   a file of each partition, written whole
    finished.jsonl          a line for each of them, with its digest
    qdrant.json             where they go besides, see `qdrant_points`
    damaged.csv             photographs that could not be used, and why

A partition counts as finished once its line is there and its file has that digest; everything else
is made again.  Partitions depend on nothing but source, network and settings, so each photograph is
there exactly once, whatever was interrupted.
"""

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from flukeprint.bulk.partitions import Damaged, EmbeddedPartition
from flukeprint.bulk.tables import Partition, Source, file_digest
from flukeprint.errors import FlukeprintError
from flukeprint.files import check_writable, locked_for_writing, written_whole

MANIFEST, FINISHED, DAMAGED, FOLDER = "manifest.json", "finished.jsonl", "damaged.csv", "embeddings"
FORMAT = 1
LOCK_PATIENCE = 3.0  # s


@dataclass(frozen=True)
class Finished:
    """A partition that is written.  digest: of its file's bytes.  upserted: into Qdrant, too."""

    number: int
    digest: str
    rows: int
    damaged: tuple[Damaged, ...]
    upserted: bool = False

    def line(self) -> str:
        """Its line of the file."""
        damaged = [[one.source_row, one.image, one.reason] for one in self.damaged]
        return json.dumps({**vars(self), "damaged": damaged}) + "\n"

    @staticmethod
    def read(line: str) -> "Finished":
        """What `line` wrote; ValueError, KeyError or TypeError for anything else."""
        found = json.loads(line)
        damaged = tuple(Damaged(*one) for one in found.pop("damaged"))
        return Finished(damaged=damaged, **found)


def manifest_of(source: Source, stamp: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the manifest."""
    return {
        "format": FORMAT,
        "source": source.address,
        "tables": [
            {"name": one.name, "bytes": one.size, "digest": one.digest, "rows": one.rows}
            for one in source.tables
        ],
        "identifier": stamp,
        "settings": dict(settings),
    }


class Target:
    """The folder of the embeddings of one source, opened to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._partitions: Sequence[Partition] = ()
        self._finished: dict[int, Finished] = {}

    def settings(self) -> dict[str, Any]:
        """The settings of what is there already; none where nothing is.

        Raises:
            FlukeprintError: something else is there.
        """
        found = self._manifest()
        return {} if found is None else dict(found["settings"])

    @contextlib.contextmanager
    def writing(self, manifest: Mapping[str, Any], source: Source) -> Iterator["Target"]:
        """Keep other writers out, and find what is finished.

        Raises:
            FlukeprintError: the folder is of another source, identifier or settings, or somebody
                writes to it.
        """
        self.check(manifest)
        check_writable(self.folder)
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        with locked_for_writing(self.folder, patience=LOCK_PATIENCE):
            self.check(manifest)  # another may have begun since
            if self._manifest() is None:
                with written_whole(self.folder / MANIFEST) as path:
                    path.write_text(json.dumps(manifest, indent=1) + "\n")
            self._partitions = source.partitions
            self._finished = self._whole()
            self._write_lines()
            yield self

    def check(self, manifest: Mapping[str, Any]) -> None:
        """Refuse a folder that is of something else, in one line."""
        there = self._manifest()
        if there is None:
            return
        asked = json.loads(json.dumps(manifest))  # tuples as lists
        for key, what in (
            ("format", "another version"), ("identifier", "another identifier's network"),
            ("source", "another source"), ("tables", "an earlier state of the tables"),
        ):  # fmt: skip
            if there.get(key) != asked[key]:
                was, now = _differing(there.get(key), asked[key])
                raise FlukeprintError(
                    f"{self.folder} holds the embeddings of {what} ({was}, now {now}); give "
                    "another folder with --to"
                )
        for key, value in asked["settings"].items():
            if (was := there["settings"].get(key)) != value:
                raise FlukeprintError(
                    f"{self.folder} was begun with {key} {was}, not {value}; leave that as it was, "
                    "or give another folder with --to"
                )

    def missing(self) -> list[Partition]:
        """The partitions that are not finished, in order."""
        return [one for one in self._partitions if one.number not in self._finished]

    def finished(self) -> list[Finished]:
        """The partitions that are finished, in order."""
        return [self._finished[number] for number in sorted(self._finished)]

    def file(self, number: int) -> Path:
        """The file of a partition."""
        return self.folder / FOLDER / self._partitions[number].file

    def write(self, made: EmbeddedPartition) -> Finished:
        """Write the file of a partition, whole, and then its line."""
        number = made.partition.number
        with written_whole(self.file(number)) as path:
            path.write_bytes(made.data)
        finished = Finished(number, xxhash.xxh3_128_hexdigest(made.data), made.rows, made.damaged)
        self.note(finished)
        return finished

    def note(self, finished: Finished) -> None:
        """Write the line of a partition; a later one counts."""
        self._finished[finished.number] = finished
        with (self.folder / FINISHED).open("a", encoding="utf-8") as file:
            file.write(finished.line())
            file.flush()
            os.fsync(file.fileno())

    def write_damaged(self) -> int:
        """Write the table of damaged photographs; returns their number."""
        damaged = [one for finished in self.finished() for one in finished.damaged]
        with written_whole(self.folder / DAMAGED) as path, path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(("source_row", "image", "reason"))
            table.writerows((one.source_row, one.image or "", one.reason) for one in damaged)
        return len(damaged)

    def _manifest(self) -> dict[str, Any] | None:
        file = self.folder / MANIFEST
        try:
            found = json.loads(file.read_text())
            if not isinstance(found["settings"], dict):
                raise TypeError("settings")
        except (FileNotFoundError, NotADirectoryError):
            if self.folder.is_dir() and {path.name for path in self.folder.iterdir()} - {
                "lock", FOLDER
            }:  # fmt: skip
                raise FlukeprintError(
                    f"{self.folder} holds something else; give a new folder with --to"
                ) from None
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise FlukeprintError(
                f"{file} is damaged; give a new folder with --to, or delete this one"
            ) from None
        return dict(found)

    def _whole(self) -> dict[int, Finished]:
        """The finished partitions whose files have the digests of their lines."""
        found: dict[int, Finished] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / FINISHED).read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a line cut short
                    one = Finished.read(line)
                    found[one.number] = one
        count = len(self._partitions)
        return {
            number: one
            for number, one in found.items()
            if 0 <= number < count and _digest(self.file(number)) == one.digest
        }

    def _write_lines(self) -> None:
        """Write the lines anew, without those of files that are missing or damaged."""
        with written_whole(self.folder / FINISHED) as path:
            path.write_text("".join(one.line() for one in self.finished()))


def _digest(file: Path) -> str | None:
    """Digest of a file's bytes; None where there is none that can be read."""
    try:
        return file_digest(file)
    except OSError:
        return None


def _differing(was: Any, now: Any) -> tuple[str, str]:
    """The first difference of two values of a manifest, in words."""
    if isinstance(was, list) and isinstance(now, list):
        if len(was) != len(now):
            return f"{len(was)} tables", f"{len(now)}"
        was, now = next((a, b) for a, b in zip(was, now, strict=True) if a != b)
        return f"{was['name']} with {was['rows']:,} rows", f"{now['name']} with {now['rows']:,}"
    return str(was), str(now)
