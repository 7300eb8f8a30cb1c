"""Opens a Darwin Core Archive: the files of a folder or a ZIP file.

Nothing is unpacked to the disk, no name leads out of the archive, and nothing is fetched.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flukeprint.data.exchange.camtrap.data_package import is_address, leads_out
from flukeprint.data.table_format import LARGEST_ZIPPED
from flukeprint.errors import FlukeprintError

DESCRIPTION = "meta.xml"
LARGEST_DESCRIPTION = 2**24  # bytes


@dataclass(frozen=True)
class Archive:
    """An opened archive.

    place: the path that was asked for.  folder: where relative names of files begin on the disk.
    """

    place: Path
    folder: Path
    zipped: zipfile.ZipFile | None = None
    base: str = ""  # folder of meta.xml in the ZIP file, "" or with / at its end

    def holds(self, name: str) -> bool:
        """Whether the ZIP file has a file of that name relative to meta.xml."""
        return self.zipped is not None and self.base + name in self.zipped.NameToInfo

    def checked(self, name: str) -> str:
        """A table's name as meta.xml gives it, where it is one in the archive."""
        if is_address(name):
            raise FlukeprintError(
                f"{self.place}: the table {name} lies on the web: download it, and name the file"
            )
        if not name or leads_out(name):
            raise FlukeprintError(
                f"{self.place}: {DESCRIPTION} names the table {name!r}, which is not in the "
                "archive; keep its tables in it"
            )
        return name

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a table of a checked name.

        Raises KeyError or FileNotFoundError where it is missing.
        """
        if self.zipped is None:
            with (self.folder / name).open("rb") as file:
                yield file
            return
        member = self.zipped.getinfo(self.base + name)
        if member.file_size > LARGEST_ZIPPED:
            raise FlukeprintError(f"{self.place}: {name} is a very large table: unpack it")
        with self.zipped.open(member) as packed:
            yield packed

    def description(self) -> bytes:
        """The bytes of meta.xml."""
        try:
            if self.zipped is not None:
                size = self.zipped.getinfo(self.base + DESCRIPTION).file_size
                if size > LARGEST_DESCRIPTION:
                    raise FlukeprintError(f"{self.place}: {DESCRIPTION} is very large")
            with self.opened(DESCRIPTION) as file:
                content = file.read(LARGEST_DESCRIPTION + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise FlukeprintError(f"{self.place} has no {DESCRIPTION}") from None
        except (
            zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError,
        ) as error:  # fmt: skip
            raise FlukeprintError(f"{self.place}: {DESCRIPTION} cannot be read ({error})") from None
        if len(content) > LARGEST_DESCRIPTION:
            raise FlukeprintError(f"{self.place}: {DESCRIPTION} is very large")
        return content


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open the archive at `path`: a folder, its meta.xml, or a ZIP file with one.

    Raises:
        FlukeprintError: it is missing or damaged, or its names lead out of it.
    """
    path = Path(path)
    if path.is_dir() or path.name == DESCRIPTION:
        yield Archive(path, path if path.is_dir() else path.parent)
        return
    try:
        zipped = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise FlukeprintError(f"{path} is missing; check the path") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise FlukeprintError(
            f"{path} is neither a folder, {DESCRIPTION} nor a ZIP file that can be read ({error})"
        ) from None
    with zipped:
        for name in zipped.namelist():
            if leads_out(name):
                raise FlukeprintError(
                    f"{path}: its file {name} would lead out of it; pack it anew without"
                )
        found = [name for name in zipped.namelist() if name.rpartition("/")[2] == DESCRIPTION]
        if not found:
            raise FlukeprintError(f"{path} has no {DESCRIPTION}")
        first = min(found, key=lambda name: (name.count("/"), name))
        yield Archive(path, path.parent, zipped, first[: -len(DESCRIPTION)])
