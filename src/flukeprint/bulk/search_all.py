"""Answer what an embedding job embedded, against an identifier's gallery, as a batch.

Answers are those of `identify`, by the same rules, a line of JSON each in the order of the rows.
They are written beside the target until all are there; a job that was interrupted goes on behind
the last whole line, so that every row is answered once.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flukeprint.bulk.embedded_files import EmbeddedFile, blocks_of, check_fit, embedded_files
from flukeprint.data.embeddings import Embeddings
from flukeprint.errors import FlukeprintError, counted
from flukeprint.files import check_writable, only_run, written_whole
from flukeprint.identifier.card import card_digest
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.verdict import verdict_row
from flukeprint.output import Stage
from flukeprint.ranking.features import Features

FORMAT = 1
PARTIAL = ".partial"
_AT_ONCE = 64  # queries ranked together


@dataclass(frozen=True)
class SearchResult:
    """What there is at the end.  before: answers that an interrupted job had left."""

    target: Path
    answers: int
    before: int
    new: int

    def text(self) -> str:
        """Lines for people."""
        line = f"answers: {counted(self.answers, 'photograph')}, {self.new:,} of them new animals"
        if self.before:
            line += f"; {self.before:,} were there before"
        return f"{line}\n{self.target}"


def search_all(
    source: Path,
    identifier: Path,
    target: Path,
    *,
    report: Callable[[str], None] | None = None,
    progress: bool = False,
) -> SearchResult:
    """Answer every row of the files of an embedding job, into the file `target`.

    report: receives a line where an interrupted job goes on.

    Raises:
        FlukeprintError: a target that is there, embeddings of another network, rules that need
            keypoints, or an interrupted job of another source or identifier.
    """
    if target.exists():
        raise FlukeprintError(f"{target} is there already; remove it or name another file")
    check_writable(target.parent)
    files = embedded_files(source)
    known = Identifier.load(identifier)
    check_fit(files, known, identifier, "answer the photographs with flukeprint identify")
    header = _header(files, identifier, known)
    partial = target.with_name(target.name + PARTIAL)
    with only_run(target, "--to"):
        done = _whole_lines(partial, header)
        if done and report is not None:
            report(f"{done:,} of {sum(one.rows for one in files):,} are answered already")
        _answer(known, files, partial, done, progress)
        new = 0
        with partial.open("rb") as lines, written_whole(target) as final, final.open("wb") as out:
            lines.readline()
            for line in lines:
                new += b'"verdict": "new"' in line
                out.write(line)
        partial.unlink()
    return SearchResult(target, sum(one.rows for one in files), done, new)


def _answer(
    known: Identifier, files: tuple[EmbeddedFile, ...], partial: Path, done: int, progress: bool
) -> None:
    total = sum(one.rows for one in files)
    at = 0
    with partial.open("ab") as out, Stage("photographs" if progress else None, total) as bar:
        bar.update(done)
        for file in files:
            if at + file.rows <= done:
                at += file.rows
                continue
            for block, _ in blocks_of(file, known.card.new_label):
                left = block.take(range(min(max(done - at, 0), len(block)), len(block)))
                at += len(block)
                for part in _parts(left):
                    rows = [
                        verdict_row(name, verdict, known.card.new_label)
                        for name, verdict in zip(
                            part.images, known.judge_each(Features(part, None)), strict=True
                        )
                    ]
                    out.write("".join(json.dumps(row) + "\n" for row in rows).encode())
                    out.flush()
                    bar.update(len(part))


def _parts(block: Embeddings) -> Iterator[Embeddings]:
    for start in range(0, len(block), _AT_ONCE):
        yield block.take(range(start, min(start + _AT_ONCE, len(block))))


def _header(files: tuple[EmbeddedFile, ...], identifier: Path, known: Identifier) -> bytes:
    """The first line of an interrupted job's file: what it answers, and with what."""
    facts: dict[str, Any] = {
        "format": FORMAT,
        "identifier": card_digest(identifier),
        "gallery": len(known.gallery),
        "threshold": known.card.threshold,
        "files": [[one.path.name, one.rows, one.path.stat().st_size] for one in files],
    }
    text = json.dumps(facts, sort_keys=True)
    return json.dumps({"search": hashlib.sha256(text.encode()).hexdigest()}).encode() + b"\n"


def _whole_lines(partial: Path, header: bytes) -> int:
    """Number of answers in an interrupted job's file, which ends behind the last whole one."""
    end = count = 0
    if partial.is_file():
        with partial.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if not count and line != header:
                    raise FlukeprintError(
                        f"{partial} is of another search; remove it to begin anew, or name another "
                        "file"
                    )
                end, count = end + len(line), count + 1
    if not count:
        partial.write_bytes(header)
        return 0
    with partial.open("r+b") as file:
        file.truncate(end)
    return count - 1
