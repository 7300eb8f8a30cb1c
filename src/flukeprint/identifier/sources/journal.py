"""The journal of a run that answers a source: what was answered is not asked again.

It stands beside the target, one JSON object a line, and is removed when the target is written.
The first line says of what it is; each further one holds the answers to one chunk, and is on the
disk before the next chunk is asked.  A line that a kill cut short is dropped.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from flukeprint.data.exchange.answered import RowAnswer
from flukeprint.errors import FlukeprintError

_SAYS = {
    "source": "another source, or another state of it",
    "identifier": "another identifier, or another state of it",
    "settings": "other settings",
}
Results = Mapping[str, RowAnswer | str]  # by the names of rows; a text is why there is none


def journal_of(target: Path) -> Path:
    """Where the journal of a target is."""
    return target.with_name(f".{target.name}.journal")


class Journal:
    """An opened journal.

    head: the first line.  results: of the chunks that are done, by their numbers.
    """

    def __init__(
        self, path: Path, head: Mapping[str, Any], results: dict[int, Results], end: int
    ) -> None:
        self.path, self.head, self.results = path, head, results
        self._file: IO[bytes] = path.open("r+b")
        self._file.truncate(end)
        self._file.seek(end)

    @classmethod
    def open(cls, path: Path, *, same: Mapping[str, Any], first: Mapping[str, Any]) -> "Journal":
        """Open the journal of an earlier run, or begin one.

        same: what must be equal in that run.  first: what only a new journal takes.

        Raises:
            FlukeprintError: it is of another source, identifier or settings, or no journal.
        """
        whole = path.read_bytes() if path.exists() else b""
        end = whole.rfind(b"\n") + 1
        if not end:
            line = _line({**same, **first})
            with path.open("wb") as file:
                file.write(line)
                _flush(file)
            return cls(path, {**same, **first}, {}, len(line))
        try:
            head, *lines = [json.loads(line) for line in whole[:end].splitlines()]
            results = {int(line["chunk"]): _results(line["rows"]) for line in lines}
            other = [says for key, says in _SAYS.items() if head[key] != same[key]]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise FlukeprintError(
                f"{path} is no journal of answers; move it away and begin anew"
            ) from None
        if other:
            raise FlukeprintError(
                f"{path} is the journal of a run with {' and '.join(other)}; end that with what "
                "it was begun with, remove the journal to begin anew, or name another --out"
            )
        return cls(path, head, results, end)

    def add(self, chunk: int, results: Results) -> None:
        """Keep the answers to a chunk, on the disk."""
        rows = {name: one if isinstance(one, str) else asdict(one) for name, one in results.items()}
        self._file.write(_line({"chunk": chunk, "rows": rows}))
        _flush(self._file)
        self.results[chunk] = results

    def close(self) -> None:
        """Close the file."""
        # After a full disk closing tries to write once more.
        with contextlib.suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Remove it, since its target is written."""
        self.close()
        self.path.unlink(missing_ok=True)


def _results(rows: Mapping[str, Any]) -> Results:
    return {
        name: one if isinstance(one, str) else RowAnswer(**{**one, "others": tuple(one["others"])})
        for name, one in rows.items()
    }


def _line(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree).encode() + b"\n"


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
