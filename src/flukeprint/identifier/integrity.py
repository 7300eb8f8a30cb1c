"""Digests of the files of an identifier, by which changed bytes are found before they answer.

`digests.json` has a digest of each chunk of every file, `identifier.json` one of `digests.json`
and one of itself.  They protect against damage, not against forgery.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from flukeprint.errors import FlukeprintError

DIGESTS = "digests.json"
CHUNK = 1 << 24  # bytes
_THREADS = 4


@dataclass(frozen=True)
class FileDigest:
    """Digests of the chunks of a file's first `size` bytes."""

    size: int
    chunks: tuple[str, ...]


FileDigests = Mapping[str, FileDigest]


def bytes_digest(data: bytes | memoryview) -> str:
    """Digest of bytes, 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(data)


def self_digest(fields: Mapping[str, Any]) -> str:
    """Digest of the fields of `identifier.json` without the digest itself."""
    rest = {key: value for key, value in fields.items() if key != "digest"}
    return bytes_digest(json.dumps(rest, sort_keys=True).encode())


def digest_files(
    folder: Path, sizes: Mapping[str, int], old: Path, known: FileDigests
) -> dict[str, FileDigest]:
    """Digests of the files below `folder`, by their posix path in it.

    sizes: for files that may hold more than what counts, the number of bytes that do.
    old, known: an earlier state and its digests.  A file that is a link to one of it may have
        grown; only what is new is read.

    Raises:
        FlukeprintError: a file that grew has changed in what it held before.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name == "lock" or name in (DIGESTS, "identifier.json"):
            continue
        size = sizes.get(name, path.stat().st_size)
        before = known.get(name)
        if before is None or before.size > size or not _same_file(path, old / name):
            before = FileDigest(0, ())
        found[name] = _extended(path, size, before)
    return found


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _extended(path: Path, size: int, before: FileDigest) -> FileDigest:
    """The digests of a file that had those of `before` and was appended to."""
    if size == before.size:
        return before
    whole, rest = divmod(before.size, CHUNK)
    if rest and _digest_chunk(path, whole, before.size) != before.chunks[whole]:
        raise changed(path)
    fresh = _digest_chunks([(path, chunk, size) for chunk in range(whole, -(-size // CHUNK))])
    return FileDigest(size, (*before.chunks[:whole], *fresh))


def _digest_chunk(path: Path, chunk: int, size: int) -> str:
    """Digest of a chunk of the first `size` bytes of a file."""
    start = chunk * CHUNK
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return bytes_digest(_read(file, min(CHUNK, size - start)))


def _read(file: Any, length: int) -> memoryview:
    """At most `length` bytes from here on; fewer only at the end of the file."""
    buffer = memoryview(bytearray(length))
    count = 0
    while count < length and (more := file.readinto(buffer[count:])):
        count += more
    return buffer[:count]


def _digest_chunks(parts: list[tuple[Path, int, int]]) -> Iterator[str]:
    if len(parts) < 2:
        return map(_digest_chunk, *zip(*parts, strict=True)) if parts else iter(())
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return iter(list(pool.map(_digest_chunk, *zip(*parts, strict=True))))


def digests_text(digests: FileDigests) -> str:
    """The content of `digests.json`."""
    files = {name: [one.size, *one.chunks] for name, one in digests.items()}
    return json.dumps({"algorithm": "xxh3_128", "chunk": CHUNK, "files": files}, indent=1) + "\n"


def read_digests(folder: Path, expected: str | None, name: str = DIGESTS) -> FileDigests:
    """Read a file of digests; none for an identifier of a version that wrote no digests.

    expected, name: its digest and its name, as `identifier.json` gives them.

    Raises:
        FlukeprintError: it is missing or was changed.
    """
    if expected is None:
        return {}
    path = folder / name
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FlukeprintError(f"{path} cannot be read: {error.strerror}; {_REMEDY}") from None
    if bytes_digest(text) != expected:
        raise changed(path)
    files = json.loads(text)["files"]
    return {name: FileDigest(entry[0], tuple(entry[1:])) for name, entry in files.items()}


def check_files(folder: Path, digests: FileDigests, appended: Collection[str]) -> None:
    """Refuse an identifier of which a file was changed, cut off or removed.

    appended: files that may be longer than their digests say.

    Raises:
        FlukeprintError: so, naming the first such file.
    """
    parts = []
    for name, known in digests.items():
        path = folder / name
        try:
            size = path.stat().st_size
        except OSError:
            raise FlukeprintError(f"{path} is missing; {_REMEDY}") from None
        if size < known.size or (size > known.size and name not in appended):
            raise changed(path)
        parts += [(path, chunk, known.size) for chunk in range(len(known.chunks))]
    expected = [chunk for known in digests.values() for chunk in known.chunks]
    try:
        found = list(_digest_chunks(parts))
    except OSError as error:
        raise FlukeprintError(f"{error.filename} cannot be read: {error.strerror}") from None
    for (path, _, _), digest, known_digest in zip(parts, found, expected, strict=True):
        if digest != known_digest:
            raise changed(path)


_REMEDY = "restore the folder from a copy, or train again"


def changed(path: Path) -> FlukeprintError:
    """The error for a file whose bytes are not those that were written."""
    return FlukeprintError(f"{path} was changed or damaged since it was written; {_REMEDY}")
