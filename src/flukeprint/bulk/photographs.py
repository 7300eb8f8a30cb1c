"""The photographs of a partition: where they are, and their pixels, whatever their storage does.

A storage that fails for a while is asked again; one that fails for good ends the run, because its
photographs are not damaged.  A damaged photograph is remembered with its reason, and black pixels
stand in for it until its row is left out.
"""

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flukeprint.config.data import ImageConfig
from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.decoding import Pixels, look
from flukeprint.data.exchange.any_table.cells import number_of, text_of
from flukeprint.data.exchange.any_table.columns import SHARES, choose, field_named
from flukeprint.data.formats.photo_formats import UnusableError
from flukeprint.data.readers.boxes import CORNERS, box_of_cell
from flukeprint.embedding.photos import fit, kept_size
from flukeprint.errors import FlukeprintError
from flukeprint.storage import is_local, join, parse_path, read_bytes

WAITS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # s between the tries
FIELDS = ("image", "file_path", "folder", "identity", "view", "box", *CORNERS)
_BOXES = ("box", *CORNERS)
_FOR_GOOD = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Of a disk: what another machine or a worn one does, which may be over in a moment.
_PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EHOSTDOWN, errno.ENOTCONN)


def find_columns(headers: Sequence[str], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """The columns that tell of photographs: field of FIELDS -> header.

    asked: fields whose column was named; the others have it by a known name.

    Raises:
        FlukeprintError: none names the photographs, one that there is not, or boxes in shares.
    """
    for field in asked:
        if field_named(field) not in FIELDS:
            raise FlukeprintError(
                f"--column {field}={asked[field]}: no such field is read; there are "
                f"{', '.join(FIELDS)}"
            )
    told = [name for name in headers if field_named(name) in FIELDS or name in asked.values()]
    paths = [name for name in headers if name.strip().casefold() == "path"]
    if paths and not any(field_named(name) in ("image", "file_path") for name in (*told, *asked)):
        asked, told = {**asked, "image": paths[0]}, [*told, paths[0]]
    places = choose(told, asked, where).places
    found = {field: told[place] for field, place in places.items() if field in FIELDS}
    if "image" not in found and "file_path" not in found:
        raise FlukeprintError(
            f"{where} has no column that names photographs; say which with --column image=NAME"
        )
    if any(field_named(name) in SHARES for name in headers) and not found.keys() & {*_BOXES}:
        raise FlukeprintError(
            f"{where} has boxes in shares of the photographs; give them in pixels, as "
            f"{', '.join(CORNERS)}"
        )
    corners = [name for name in CORNERS if name in found]
    if corners and len(corners) < len(CORNERS):
        raise FlukeprintError(f"{where}: a box needs {', '.join(CORNERS)}, found {corners}")
    return found


class PartitionPhotos:
    """Pixels of the photographs of a partition's rows, by row; several threads may ask.

    damaged: row -> why it cannot be used, of those that were asked for.
    """

    def __init__(
        self,
        rows: Any,
        columns: Mapping[str, str],
        root: Path,
        image: ImageConfig,
        *,
        list_unreachable: bool = False,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use the `pyarrow.Table` of a partition.

        root: where names of photographs begin.
        list_unreachable: list what its storage refuses to the last as damaged.
        """
        self.damaged: dict[int, str] = {}
        self._cells = {field: rows[name].to_pylist() for field, name in columns.items()}
        self._count, self._root, self._image = len(rows), root, image
        self._list_unreachable, self._wait = list_unreachable, wait

    def catalog(self) -> Catalog:
        """The rows as a catalogue, each under its number; its paths are not looked at."""
        views = self._texts("view")
        return Catalog(
            images=tuple(map(str, range(self._count))),
            paths=(self._root,) * self._count,
            views=None if views is None else tuple(views),
        )

    def names(self) -> list[str | None]:
        """What the table calls each photograph."""
        names = self._texts("image") or self._texts("file_path")
        return names or [None] * self._count

    def _texts(self, field: str) -> list[str | None] | None:
        cells = self._cells.get(field)
        return None if cells is None else [text_of(cell) for cell in cells]

    def __getitem__(self, row: int) -> Pixels:
        need = kept_size(self._image)
        try:
            data = self._read(row)
            return fit(look(data, box=self._box(row), min_size=need).pixels, self._image)
        except UnusableError as error:
            self.damaged[row] = error.reason
            return np.zeros((*need, 3), np.uint8)

    def _path(self, row: int) -> Path:
        def cell(field: str) -> str | None:
            return text_of(self._cells[field][row]) if field in self._cells else None

        try:
            place, folder = cell("file_path") or cell("image"), cell("folder")
            if place is None:
                raise UnusableError("the row names no photograph")
            if "://" in place:
                return parse_path(place)
        except FlukeprintError as error:
            raise UnusableError(str(error)) from None
        if "file_path" not in self._cells and folder is not None:
            place = f"{folder.rstrip('/')}/{place}"
        return Path(place) if place.startswith("/") else join(self._root, place)

    def _box(self, row: int) -> Box | None:
        try:
            if "box" in self._cells:
                return box_of_cell(self._cells["box"][row], "the box")
            if CORNERS[0] not in self._cells:
                return None
            numbers = [number_of(self._cells[name][row], name) for name in CORNERS]
        except FlukeprintError as error:
            raise UnusableError(str(error)) from None
        known = [number for number in numbers if number is not None]
        if not known:
            return None
        if len(known) < len(CORNERS):
            raise UnusableError("its box lacks a corner")
        return known[0], known[1], known[2], known[3]

    def _read(self, row: int) -> bytes:
        path = self._path(row)
        began = time.monotonic()
        for pause in (*WAITS, None):
            try:
                return read_bytes(path)
            except _FOR_GOOD as error:
                raise UnusableError(error.strerror or "no such file") from None
            except ValueError:  # a name with a zero in it
                raise UnusableError("no name of a file") from None
            except OSError as error:
                reason = error.strerror or type(error).__name__
                if is_local(path) and error.errno not in _PASSING:
                    raise UnusableError(f"cannot be read ({reason})") from None
                if pause is not None:
                    self._wait(pause)
                elif self._list_unreachable:
                    raise UnusableError(f"cannot be read ({reason})") from None
                else:
                    raise FlukeprintError(
                        f"photograph {path}: {reason}; asked {len(WAITS) + 1} times in "
                        f"{time.monotonic() - began:.0f} s.  The same command goes on where it "
                        "stopped; --list-unreachable lists such photographs as damaged"
                    ) from None
        raise AssertionError("the last try returns or raises")
