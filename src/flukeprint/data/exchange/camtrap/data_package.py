"""Opens a Data Package: `datapackage.json` and the tables it names, in a folder or a ZIP file.

Nothing is unpacked to the disk, and nothing is fetched from the network.
"""

import gzip
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import pandas as pd

from flukeprint.data.table_format import LARGEST_ZIPPED, unreadable
from flukeprint.errors import FlukeprintError

DESCRIPTION = "datapackage.json"
_LARGEST_DESCRIPTION = 2**26  # bytes
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_STARTS = re.compile(r"[\\/]|[a-zA-Z]:[\\/]")


def is_address(text: str) -> bool:
    """Whether it is a URL."""
    return _ADDRESS.match(text) is not None


def leads_out(name: str) -> bool:
    """Whether a name of a file, of any system, may lead out of the folder it is relative to."""
    if _STARTS.match(name) or (os.name == "nt" and PureWindowsPath(name).drive):
        return True
    return ".." in re.split(r"[\\/]", name)


@dataclass(frozen=True)
class TableText:
    """A table's text, and how it is written; packed: whether its file is gzip."""

    text: str
    encoding: str
    packed: bool
    separator: str
    quote: str
    double_quotes: bool
    escape: str | None
    blanks: bool  # after separators are no part of cells


@dataclass(frozen=True)
class DataPackage:
    """An opened package.

    place: the path that was asked for.  folder: where relative names of files begin on the disk.
    description: of `datapackage.json`.
    """

    place: Path
    folder: Path
    description: dict[str, Any]
    archive: zipfile.ZipFile | None = None
    base: str = ""  # folder of the description in the archive, "" or with / at its end

    def holds(self, name: str) -> bool:
        """Whether the ZIP file has a file of that name relative to the description."""
        return self.archive is not None and self.base + name in self.archive.NameToInfo

    def has_table(self, name: str) -> bool:
        """Whether there is a resource of that name."""
        return any(one["name"] == name for one in self._resources())

    def table(
        self, name: str, columns: Sequence[str], missing: Sequence[str] = ("",)
    ) -> pd.DataFrame:
        """Read those of the columns that the table has, as text; missing: cells without a value."""
        resource = next((one for one in self._resources() if one["name"] == name), None)
        if resource is None:
            raise FlukeprintError(f"{self.place}: {DESCRIPTION} names no table `{name}`")
        inside = self._inside(resource)
        path = self.folder / inside
        dialect = self._dialect(resource)
        schema = resource.get("schema")
        if isinstance(schema, dict) and isinstance(schema.get("missingValues"), list):
            missing = [str(one) for one in schema["missingValues"]]
        encoding = str(resource.get("encoding") or "utf-8")
        if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
            encoding = "utf-8-sig"  # real packages begin with a mark that is not announced
        try:
            with self._opened(inside, resource) as file:
                table = pd.read_csv(
                    file,
                    dtype=str,
                    usecols=lambda column: column.strip() in columns,
                    keep_default_na=False,
                    na_values=list(missing),
                    index_col=False,
                    encoding=encoding,
                    compression=None,
                    low_memory=False,
                    **dialect,
                )
        except FlukeprintError:
            raise
        except (FileNotFoundError, KeyError):
            raise FlukeprintError(
                f"{self.place}: the table {inside} is missing, which {DESCRIPTION} names"
            ) from None
        except LookupError:
            raise FlukeprintError(
                f"{self.place}: {DESCRIPTION} gives {inside} an unknown encoding, {encoding}"
            ) from None
        except (
            pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeError, OSError, EOFError,
            zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError,
            TypeError,
        ) as error:  # fmt: skip
            raise unreadable(path, error) from None
        return table.rename(columns=str.strip)

    def file_of(self, name: str) -> str:
        """The name of a table's file, relative to the description."""
        resource = next(one for one in self._resources() if one["name"] == name)
        return self._inside(resource)

    def files(self) -> set[str]:
        """Names of the files of all resources."""
        found: set[str] = set()
        for one in self._resources():
            paths = one.get("path")
            found.update(path for path in (paths if isinstance(paths, list) else [paths]) if path)
        return found | {DESCRIPTION}

    def text_of(self, name: str) -> TableText:
        """A table as it is written."""
        resource = next(one for one in self._resources() if one["name"] == name)
        dialect = self._dialect(resource)
        encoding = str(resource.get("encoding") or "utf-8")
        inside = self._inside(resource)
        with self._opened(inside, resource) as file:
            content = file.read()
        with self._raw(inside) as file:
            packed = file.read(2) == b"\x1f\x8b"
        return TableText(
            content.decode(encoding), encoding, packed, str(dialect["sep"]),
            str(dialect.get("quotechar") or '"'), dialect.get("doublequote") is not False,
            dialect.get("escapechar") or None, bool(dialect.get("skipinitialspace")),
        )  # fmt: skip

    def _resources(self) -> list[dict[str, Any]]:
        found = self.description.get("resources")
        return [
            one
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict) and isinstance(one.get("name"), str)
        ]

    def _inside(self, resource: dict[str, Any]) -> str:
        """The checked name of a table's file."""
        paths = resource.get("path")
        path = paths[0] if isinstance(paths, list) and len(paths) == 1 else paths
        name = resource["name"]
        if not isinstance(path, str) or not path:
            raise FlukeprintError(
                f"{self.place}: the table `{name}` is not one file; write it as one CSV file"
            )
        if is_address(path):
            raise FlukeprintError(
                f"{self.place}: the table `{name}` lies at {path}: download it, and name the file"
            )
        if leads_out(path):
            raise FlukeprintError(
                f"{self.place}: the table `{name}` has the path {path}, which leads out of the "
                "package; keep its tables in it"
            )
        if path.lower().endswith((".parquet", ".xlsx", ".json")):
            raise FlukeprintError(f"{self.place}: {path} is no CSV table; write it as CSV")
        return PurePosixPath(path).as_posix()

    def _dialect(self, resource: dict[str, Any]) -> dict[str, Any]:
        """How pandas reads the table; both versions of Data Package nest and name it their way."""
        dialect = resource.get("dialect") or {}
        if not isinstance(dialect, dict):
            raise FlukeprintError(
                f"{self.place}: the dialect of `{resource['name']}` is in another file; write it "
                f"into {DESCRIPTION}"
            )
        if isinstance(dialect.get("csv"), dict):
            dialect = dialect | dialect["csv"]
        names = {
            "delimiter": "sep", "quoteChar": "quotechar", "doubleQuote": "doublequote",
            "escapeChar": "escapechar", "skipInitialSpace": "skipinitialspace",
            "commentChar": "comment",
        }  # fmt: skip
        if dialect.get("header") is False:
            raise FlukeprintError(
                f"{self.place}: the table `{resource['name']}` has no line of column names; add it"
            )
        return {"sep": ","} | {
            names[key]: value for key, value in dialect.items() if key in names and value != ""
        }

    @contextmanager
    def _opened(self, inside: str, resource: dict[str, Any]) -> Iterator[IO[bytes]]:
        packed = str(resource.get("compression") or "")
        if not packed and inside.lower().endswith(".gz"):
            packed = "gz"
        if packed not in ("", "no", "gz"):
            raise FlukeprintError(f"{self.place}: {inside} is packed as {packed}: unpack it")
        with self._raw(inside) as file:
            if not packed or packed == "no":
                yield file
                return
            with gzip.open(file) as unpacked:
                content = unpacked.read(LARGEST_ZIPPED + 1)
        if len(content) > LARGEST_ZIPPED:
            raise FlukeprintError(f"{self.place}: {inside} is a very large table: unpack it")
        yield BytesIO(content)

    @contextmanager
    def _raw(self, inside: str) -> Iterator[IO[bytes]]:
        if self.archive is None:
            with (self.folder / inside).open("rb") as file:
                yield file
            return
        member = self.archive.getinfo(self.base + inside)
        if member.file_size > LARGEST_ZIPPED:
            raise FlukeprintError(f"{self.place}: {inside} is a very large table: unpack it")
        with self.archive.open(member) as packed:
            yield packed


@contextmanager
def open_package(path: Path) -> Iterator[DataPackage]:
    """Open the package at `path`: a folder, its datapackage.json, or a ZIP file with one.

    Raises:
        FlukeprintError: it is missing or damaged, or its names lead out of it.
    """
    path = Path(path)
    if path.is_dir() or path.name == DESCRIPTION:
        file = path / DESCRIPTION if path.is_dir() else path
        try:
            with file.open("rb") as opened:
                content = opened.read(_LARGEST_DESCRIPTION + 1)
        except FileNotFoundError:
            raise FlukeprintError(f"{file} is missing; check the path") from None
        except OSError as error:
            raise FlukeprintError(f"{file} cannot be read: {error.strerror}") from None
        yield DataPackage(path, file.parent, _described(file, content))
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise FlukeprintError(f"{path} is missing; check the path") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise FlukeprintError(
            f"{path} is neither a folder, {DESCRIPTION} nor a ZIP file that can be read ({error})"
        ) from None
    with archive:
        for name in archive.namelist():
            if leads_out(name):
                raise FlukeprintError(
                    f"{path}: its file {name} would lead out of it; pack it anew without"
                )
        found = [name for name in archive.namelist() if name.rpartition("/")[2] == DESCRIPTION]
        if not found:
            raise FlukeprintError(f"{path} has no {DESCRIPTION}")
        member = archive.getinfo(min(found, key=lambda name: (name.count("/"), name)))
        if member.file_size > _LARGEST_DESCRIPTION:
            raise FlukeprintError(f"{path}: {member.filename} is very large")
        try:
            content = archive.read(member)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, OSError) as e:
            raise FlukeprintError(f"{path}: {member.filename} cannot be read ({e})") from None
        base = member.filename[: -len(DESCRIPTION)]
        yield DataPackage(path, path.parent, _described(path, content), archive, base)


def _described(path: Path, content: bytes) -> dict[str, Any]:
    if len(content) > _LARGEST_DESCRIPTION:
        raise FlukeprintError(f"{path} is very large for a {DESCRIPTION}")
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FlukeprintError(f"{path}: {DESCRIPTION} is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise FlukeprintError(f"{path}: {DESCRIPTION} is no description of a package")
    return found
