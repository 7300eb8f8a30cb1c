"""Thumbnails of the photographs of a gallery, to show beside answers.

A thumbnail shows the photograph as the network sees it: upright, 8-bit RGB, cut to its box.
It is encoded from pixels alone, so it carries no metadata of the file (EXIF, position, camera).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import Pixels, decode_array, decode_row
from flukeprint.data.embeddings import Ints
from flukeprint.files import forget_pages, npz_on_disk, read_npz, written_whole
from flukeprint.output import followed

SIDE = 320  # px
QUALITY = 82  # at 320 px a photograph takes 5 to 35 kB
_LONGEST = 65_500  # px, the most that libjpeg encodes


def thumbnail(pixels: Pixels, side: int = SIDE, quality: int = QUALITY) -> bytes:
    """Shrink a photograph so that its long side is at most `side` px, and encode it as a JPEG.

    pixels: (h, w, 3) RGB or (h, w[, 1]) grey uint8, of any size.  Areas are averaged; a smaller
        photograph is not enlarged.
    """
    if not 1 <= side <= _LONGEST:
        raise ValueError(f"the side of a thumbnail lies between 1 and {_LONGEST} px: {side}")
    rgb = decode_array(pixels, "a thumbnail's photograph")
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


@dataclass(frozen=True)
class Thumbnails:
    """The thumbnails of n photographs in one array; `thumbnails[row]` is the JPEG of one, or None.

    data: (N,) uint8, the bytes of all files, one after the other.
    offsets: (n + 1,) int64, where each file begins; a photograph without a thumbnail has no bytes.
    """

    data: npt.NDArray[np.uint8]
    offsets: Ints

    def __post_init__(self) -> None:
        data, offsets = self.data, self.offsets
        if data.dtype != np.uint8 or data.ndim != 1:
            raise ValueError(f"the files' bytes are {data.dtype} {data.shape}, not uint8 (N,)")
        if offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) == 0:
            raise ValueError(f"offsets are {offsets.dtype} {offsets.shape}, not int64 (n + 1,)")
        begin, end = offsets[:-1], offsets[1:]
        # Compared, not subtracted: a difference of damaged offsets may overflow.
        if offsets[0] != 0 or offsets[-1] != len(data) or np.any(end < begin):
            raise ValueError(f"offsets do not divide {len(data)} bytes")
        some = end > begin
        begin, end = begin[some], end[some]
        if np.any(end - begin < 4):
            raise ValueError("a file is too short to be a JPEG")
        marks = np.stack([data[begin], data[begin + 1], data[end - 2], data[end - 1]])
        if np.any(marks != np.array([[0xFF], [0xD8], [0xFF], [0xD9]], np.uint8)):  # SOI, EOI
            raise ValueError("a file is not a whole JPEG")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes | None:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} photographs")
        return self.data[int(self.offsets[row]) : int(self.offsets[row + 1])].tobytes() or None

    def take(self, rows: npt.ArrayLike) -> "Thumbnails":
        """Select the photographs of `rows` (integers, or a boolean mask of length n), in order."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return Thumbnails.packed([self[int(row)] for row in index])

    @staticmethod
    def concatenate(parts: Sequence["Thumbnails"]) -> "Thumbnails":
        """Join the thumbnails of several catalogues, one after the other."""
        sizes = [np.diff(part.offsets) for part in parts]
        return Thumbnails(
            data=np.concatenate([np.empty(0, np.uint8), *(part.data for part in parts)]),
            offsets=np.cumsum(np.concatenate([[0], *sizes]), dtype=np.int64),
        )

    @staticmethod
    def packed(files: Sequence[bytes | None]) -> "Thumbnails":
        """Pack JPEGs that `thumbnail` made; None for a photograph without one."""
        sizes = [0 if file is None else len(file) for file in files]
        return Thumbnails(
            data=np.frombuffer(b"".join(file or b"" for file in files), dtype=np.uint8),
            offsets=np.cumsum([0, *sizes], dtype=np.int64),
        )

    @staticmethod
    def none(n: int) -> "Thumbnails":
        """The thumbnails of n photographs that have none."""
        return Thumbnails(data=np.empty(0, np.uint8), offsets=np.zeros(n + 1, np.int64))

    @staticmethod
    def of(catalog: Catalog, side: int = SIDE, *, progress: str | None = None) -> "Thumbnails":
        """Make the thumbnail of every photograph, in the catalogue's order.

        side: upper bound of the long side, px.
        progress: title of a progress bar; None for no bar.

        Raises FlukeprintError for a photograph that cannot be read.
        """
        rows = followed(range(len(catalog)), progress, len(catalog))
        return Thumbnails.packed(
            [thumbnail(decode_row(catalog, row, min_size=(side, side)), side) for row in rows]
        )

    def save(self, path: Path) -> None:
        """Write an `.npz` without pickles, atomically; FlukeprintError where that fails."""
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez(file, data=self.data, offsets=self.offsets)

    @classmethod
    def load(cls, path: Path, *, checked: bool = False) -> "Thumbnails":
        """Read what `save` wrote.

        checked: whether the file was compared with its digest.  Then the pictures stay on the disk
            until they are asked for; else all of them are read.

        Raises:
            FlukeprintError: any other file.
        """
        if checked:
            with npz_on_disk(path, "thumbnails", "data") as (arrays, mapped):
                found = cls(data=arrays["data"], offsets=arrays["offsets"])
                forget_pages(mapped)  # that were looked at
                return found
        with read_npz(path, "thumbnails") as arrays:
            return cls(data=arrays["data"], offsets=arrays["offsets"])
