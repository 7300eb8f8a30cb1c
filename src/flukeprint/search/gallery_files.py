"""The files of a gallery on disk: their layout, and reading and writing single ones.

    gallery.json      counts of what is committed in the files below: `StoreFacts`
    vectors.f32       (n, d) float32, row by row
    images.txt        a line each
    labels.i32        number of each photograph's identity, a line of
    identities.txt
    views.i16         number of each view in gallery.json, or -1
    removed.i64       rows that were removed

`GalleryStore` says when they are written.  Numbers are little-endian.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import PRECISIONS, Precision
from flukeprint.errors import FlukeprintError

FACTS = "gallery.json"
APPENDED = (
    "vectors.f32", "images.txt", "labels.i32", "identities.txt", "views.i16", "removed.i64",
)  # fmt: skip
STORE_FORMAT = 1


@dataclass(frozen=True)
class StoreFacts:
    """What `gallery.json` holds; counts are of committed entries and bytes."""

    format: int
    photos: int
    dimension: int
    stamp: str
    precision: Precision
    views: tuple[str, ...] | None  # their names; None: no photograph has a known view
    identities: int
    image_bytes: int
    identity_bytes: int
    removed: int
    born: str = ""  # changes when rows are numbered anew

    def __post_init__(self) -> None:
        counts = (self.photos, self.identities, self.image_bytes, self.identity_bytes, self.removed)
        if self.format != STORE_FORMAT or min(counts) < 0 or self.dimension < 1:
            raise ValueError(f"format {self.format}, this version reads {STORE_FORMAT}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision}")

    @classmethod
    def read(cls, folder: Path) -> "StoreFacts":
        """Read the facts of the gallery in `folder`.

        Raises:
            FlukeprintError: there is none, or it is damaged.
        """
        try:
            return cls.of_text((folder / FACTS).read_text())
        except FileNotFoundError:
            raise FlukeprintError(f"no gallery in {folder}; make one first") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, error) from None

    @classmethod
    def of_text(cls, text: str) -> "StoreFacts":
        """Read what `text` gave; ValueError, KeyError or TypeError for anything else."""
        tree = json.loads(text)
        views = tree["views"]
        return cls(**{**tree, "views": None if views is None else tuple(views)})

    def sizes(self) -> dict[str, int]:
        """Committed bytes of each file."""
        n, views = self.photos, 0 if self.views is None else 2
        sizes = (
            4 * self.dimension * n, self.image_bytes, 4 * n, self.identity_bytes, views * n,
            8 * self.removed,
        )  # fmt: skip
        return dict(zip(APPENDED, sizes, strict=True))

    def text(self) -> str:
        """The content of `gallery.json`."""
        return json.dumps(asdict(self)) + "\n"


def write_at(path: Path, start: int, data: bytes) -> None:
    """Write `data` at byte `start` of a file, which ends there afterwards, and flush it to disk."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    with os.fdopen(handle, "r+b") as file:
        if file.seek(0, os.SEEK_END) < start:
            raise OSError(f"{path.name} is shorter than the gallery says")
        file.seek(start)
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def number_bytes(values: npt.ArrayLike, kind: Any) -> bytes:
    """Numbers as they are stored, of the given dtype."""
    return np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<")).tobytes()


def name_bytes(text: str) -> bytes:
    """Names as they are stored; FlukeprintError for one that is no text."""
    try:
        return text.encode("utf-8", "surrogateescape")  # file names may be any bytes
    except UnicodeEncodeError as error:
        raise FlukeprintError(f"a name holds no text ({error.reason}); rename it") from None


def read_lines(path: Path, length: int, count: int) -> list[str]:
    """The first `count` names of a file, which take `length` bytes; ValueError if they do not."""
    if not count:
        return []
    with path.open("rb") as file:
        text = file.read(length).decode("utf-8", "surrogateescape")
    lines = text.split("\n")[:-1]
    if len(lines) != count:
        raise ValueError(f"{path.name} holds {len(lines)} names, not {count}")
    return lines


def read_numbers(path: Path, kind: Any, count: int) -> npt.NDArray[Any]:
    """The first `count` numbers of a file; ValueError where there are fewer."""
    if not count:
        return np.empty(0, dtype=kind)
    numbers = np.fromfile(path, np.dtype(kind).newbyteorder("<"), count)
    if len(numbers) != count:
        raise ValueError(f"{path.name} holds {len(numbers)} numbers, not {count}")
    return numbers.astype(kind, copy=False)


def damaged(folder: Path, error: Exception) -> FlukeprintError:
    """The error to raise where the files of a gallery do not fit together."""
    return FlukeprintError(f"{folder} holds no whole gallery ({error}); make it again")
