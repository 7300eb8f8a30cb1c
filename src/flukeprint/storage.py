"""Reads photographs and tables from local disks, object storages and web servers alike.

`s3://bucket/whales`, `gs://`, `az://`, `memory://`, `http://` and whatever else fsspec knows
become paths of `universal_pathlib`, which have pathlib's methods; the type checker takes them for
`Path`.  Credentials come from the environment, as each storage's own package reads them, and are
never part of an address.  Failures of a storage are raised as OSError, like those of a disk.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
import warnings
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePath
from typing import IO, Annotated, Any, NamedTuple, cast
from urllib.parse import quote, unquote, urlsplit

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

from flukeprint.errors import FlukeprintError, listed, needs
from flukeprint.output import Notice

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_WEB = ("http", "https")

_KINDS = (
    (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip

# Names under which storages give an object's version; the first present one is used.
_VERSIONS = (
    "ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "Last-Modified",
    "mtime", "updated", "modified", "created",
)  # fmt: skip


def parse_path(address: str) -> Path:
    """Parse an address of photographs to a path; without a scheme it is a local one.

    Raises:
        FlukeprintError: an unknown scheme, the package of a storage that is not installed, or an
            address with a user, a password or a query, which would end up in files and messages.
    """
    found = _SCHEME.match(address)
    if found is None:
        if "://" in address:
            raise FlukeprintError(
                "an address of photographs is a folder or scheme://place, such as s3://bucket/"
                "whales; this one has something before the scheme"
            )
        return Path(address)
    scheme = found[1].lower()
    parts = urlsplit(address)
    if scheme in ("file", "local"):
        from urllib.request import url2pathname  # slow to import

        return Path(url2pathname(parts.path))
    if "@" in parts.netloc or (scheme in _WEB and (parts.query or parts.fragment)):
        raise FlukeprintError(
            f"an address {scheme}://... of photographs holds a user, a password or a query; leave "
            "them out and give credentials in the environment"
        )
    with needs("storage"):
        import fsspec
        from upath import UPath
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise FlukeprintError(
            f"{scheme}:// is no storage that can be read; take s3://, gs://, az://, http:// or "
            "another that fsspec knows"
        ) from None
    except ImportError as error:
        raise FlukeprintError(
            f"{scheme}:// needs a package that is not installed: {_package(scheme, error)}"
        ) from None
    return cast(Path, UPath(address))


def _package(scheme: str, error: ImportError) -> str:
    from fsspec.registry import known_implementations

    known = known_implementations.get(scheme, {}).get("err", str(error))
    return " ".join(known.split())


def _validated(value: Any, check: ValidatorFunctionWrapHandler) -> Path:
    if isinstance(value, str) and "://" in value:
        # A FlukeprintError passes through pydantic, whose own message would quote the address.
        return parse_path(value)
    if hasattr(value, "storage_options"):  # such a path already
        return cast(Path, value)
    return cast(Path, check(value))


# Type of a configured folder that may be in an object storage.
PhotoRoot = Annotated[
    Path, WrapValidator(_validated), PlainSerializer(str, return_type=str, when_used="json")
]


def is_local(path: Path) -> bool:
    """Whether the path is on a disk of this machine."""
    return isinstance(path, PurePath)


def require_local(path: Path, doing: str) -> Path:
    """Return `path` if it is local, else refuse it; `doing` is the purpose, such as "drawing"."""
    if not is_local(path):
        raise FlukeprintError(
            f"{doing} needs a folder of this machine, not {path}; set data.root, and copy the "
            "result there afterwards"
        )
    return path


class Fingerprint(NamedTuple):
    """Identifies a photograph and its version, for the keys of caches.

    key: the absolute path or the address; `os.fsencode(key)` gives a local path's own bytes.
    size: bytes.
    mtime_ns: time of the last change; elsewhere a number that changes with the object's ETag or,
        where the storage gives none, with its time of change.
    """

    key: str
    size: int
    mtime_ns: int


def fingerprint(path: Path) -> Fingerprint:
    """The fingerprint of the photograph at `path`; OSError if it is missing or out of reach."""
    if is_local(path):
        status = path.stat()
        return Fingerprint(str(path.absolute()), status.st_size, status.st_mtime_ns)
    with _reached(path):
        info = _storage(path).info(_inside(path))
    # A web server answers for a folder, too: with the page of its listing.
    if info.get("type") == "directory" or str(info.get("url", "")).endswith("/"):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    version = next((info[name] for name in _VERSIONS if info.get(name) is not None), "")
    digest = hashlib.sha256(str(version).encode()).digest()
    return Fingerprint(str(path), int(info.get("size") or 0), int.from_bytes(digest[:7], "big"))


def read_bytes(path: Path) -> bytes:
    """Read a whole file; OSError if it is missing, out of reach or no ordinary file.

    Unlike the path's own method, this works in a forked process for a path that its parent has
    read from already.
    """
    if is_local(path):
        _check_ordinary(path)
        return path.read_bytes()
    with _reached(path):
        return cast(bytes, _storage(path).cat_file(_inside(path)))


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file to read and seek in, whose parts are fetched as they are asked for.

    Raises OSError if it is missing or out of reach; reading raises what the storage's package does.
    """
    if is_local(path):
        _check_ordinary(path)
        return path.open("rb")
    with _reached(path):
        return cast(IO[bytes], _storage(path).open(_inside(path), "rb"))


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits; OSError as `read_bytes` raises it."""
    if not is_local(path):
        return hashlib.sha256(read_bytes(path)).hexdigest()
    _check_ordinary(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_ordinary(path: Path) -> None:
    """Refuse, without opening it, what is no file: reading a pipe or a device may never end."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = next((word for is_kind, word in _KINDS if is_kind(mode)), "something else")
    raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def source(path: Path) -> Path | BytesIO:
    """A file in the form that pandas and Pillow open: a local path, or the bytes of any other."""
    return path if is_local(path) else BytesIO(read_bytes(path))


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or an object with that prefix; OSError if out of reach."""
    return path.is_dir() if is_local(path) else bool(names_in(path))


def is_file(path: Path) -> bool:
    """Whether there is a file; OSError if its storage is out of reach."""
    if is_local(path):
        return path.is_file()
    try:
        fingerprint(path)
    except (FileNotFoundError, IsADirectoryError):
        return False
    return True


def join(folder: Path, name: str) -> Path:
    """The path of the file `name` (posix, relative) in a folder; quoted on the web."""
    return folder / (quote(name) if _on_web(folder) else name)


def name_of(path: Path) -> str:
    """The last part of a path, as tables write it; unquoted on the web."""
    return unquote(path.name) if _on_web(path) else path.name


def files_below(folder: Path) -> list[str]:
    """Sorted posix names, relative to `folder`, of all files in it and its folders.

    Symbolic links are followed, each folder once: under its own name, else under the first link
    to it; a link to a folder above itself is not.  A warning names those that are not followed.
    OSError for a folder that cannot be read.
    """
    if is_local(folder):
        return sorted(_local_below(folder))
    with _reached(folder):
        inside_it = _inside(folder).rstrip("/") + "/"
        # One flat listing: an object storage returns 1,000 names a request.
        addresses = _storage(folder).find(inside_it)
    below = (address[address.index(inside_it) + len(inside_it) :] for address in addresses)
    return sorted(unquote(name) if _on_web(folder) else name for name in below)


def _local_below(folder: Path) -> list[str]:
    found, passed_over = [], []
    seen: set[tuple[int, int]] = set()
    folders, links = deque([""]), deque[str]()  # links wait until all that is no link is read
    while folders or links:
        linked = not folders
        inside = (folders or links).popleft()
        place = folder / inside
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            passed_over.append(f"{inside} (read under another name)")
            continue
        if linked and _leads_up(place, folder):
            passed_over.append(f"{inside} (leads to a folder above)")
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:  # which asks the disk for links alone
            here = sorted(entries, key=lambda entry: entry.name)
        for entry in here:
            name = f"{inside}/{entry.name}" if inside else entry.name
            link = (place / entry.name) if entry.is_symlink() else None
            if entry.is_dir() if link is None else link.is_dir():
                (folders if link is None else links).append(name)
                continue
            found.append(name)
            if link is not None and not link.exists():
                passed_over.append(f"{name} (leads nowhere)")
    if passed_over:
        warnings.warn(f"{folder}: links not followed: {listed(passed_over)}", Notice, stacklevel=3)
    return found


def _leads_up(link: Path, folder: Path) -> bool:
    """Whether a link leads to a folder that holds the link itself, or `folder`: it has no end."""
    target = link.resolve()
    return any(here.resolve().is_relative_to(target) for here in (link.parent, folder))


def names_in(folder: Path) -> set[str]:
    """Names of the files and folders directly in a folder; empty where there is none."""
    if is_local(folder):
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    try:
        with _reached(folder):
            found = _storage(folder).ls(_inside(folder, folder=True), detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    if found == [_inside(folder)]:  # a file is listed as itself
        return set()
    names = (name.rstrip("/").rpartition("/")[2] for name in found)
    return {unquote(name) if _on_web(folder) else name for name in names}


def _on_web(path: Path) -> bool:
    return not is_local(path) and cast(Any, path).protocol in _WEB


def _inside(path: Path, *, folder: bool = False) -> str:
    """The path within its file system; on the web a folder's address ends with a slash."""
    inside = str(cast(Any, path).path)
    return inside.rstrip("/") + "/" if folder and _on_web(path) else inside


def _storage(path: Path) -> Any:
    """The file system of a path that is not local; each process has its own."""
    place = cast(Any, path)
    options = tuple(sorted(place.storage_options.items()))
    return _opened(os.getpid(), place.protocol, options)


@lru_cache(maxsize=64)
def _opened(process: int, protocol: str, options: tuple[tuple[str, Any], ...]) -> Any:
    # A connection does not survive a fork, so a path's own file system would fail in a worker.
    import fsspec

    return fsspec.filesystem(protocol, **dict(options))


@contextlib.contextmanager
def _reached(path: Path) -> Iterator[None]:
    """Convert whatever a storage's package raises to an OSError of one line.

    Its own message is dropped, because it may quote a request and, with it, credentials.
    """
    try:
        yield
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec raises it also for a web server that does not answer
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise _unreachable(path, cause) from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except PermissionError:
        raise PermissionError(
            errno.EACCES, "access denied; check the credentials in the environment", str(path)
        ) from None
    except NotADirectoryError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
    except FlukeprintError:
        raise
    except Exception as error:  # of any package, of any kind
        raise _unreachable(path, error) from None


def _unreachable(path: Path, error: Exception) -> OSError:
    reason = f"{type(error).__name__}; check the network and the credentials"
    return OSError(errno.EIO, f"its storage does not answer ({reason})", str(path))
