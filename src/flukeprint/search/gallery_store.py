"""A gallery on disk that grows and opens at once: `Embeddings` enter, `Embeddings` leave.

    gallery.json      how much of the files below counts; replaced as a whole, it is the commit
    vectors.f32       (n, d) float32, one row after the other; looked at through a memory map
    images.txt        a line each
    labels.i32        number of each photograph's identity, a line of
    identities.txt
    views.i16         number of each view in gallery.json, or -1
    removed.i64       rows that are no longer there

Files only ever grow, and what lies behind the commit does not count: killed half-way, the gallery
is what it was, and the next one writes over the rest.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import PRECISIONS, Embeddings, Ints, Precision, check_stamp
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import folder_written_whole, written_whole

FACTS = "gallery.json"
STORE_FORMAT = 1


@dataclass(frozen=True)
class Facts:
    """What `gallery.json` holds; counts are of what is committed."""

    format: int
    photos: int
    dimension: int
    stamp: str
    precision: Precision
    views: tuple[str, ...] | None  # names; None: nobody knows any
    identities: int
    image_bytes: int
    identity_bytes: int
    removed: int
    born: str = ""  # another one when the rows are counted anew

    def __post_init__(self) -> None:
        counts = (self.photos, self.identities, self.image_bytes, self.identity_bytes, self.removed)
        if self.format != STORE_FORMAT or min(counts) < 0 or self.dimension < 1:
            raise ValueError(f"format {self.format}, this version reads {STORE_FORMAT}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision}")


class GalleryStore:
    """One writer at a time; who has read it keeps what they saw."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.folder, self.facts = folder, facts
        self._embeddings: Embeddings | None = None
        self._identities: list[str] | None = None
        self._number: dict[str, int] | None = None
        self._names: set[str] | None = None

    @classmethod
    def create(cls, folder: Path, embeddings: Embeddings) -> "GalleryStore":
        """A new gallery in `folder`, which must not hold one.

        Raises:
            FlukeprintError: there is one, names that cannot be kept, or a full disk.
        """
        if (folder / FACTS).exists():
            raise FlukeprintError(f"{folder} holds a gallery already; remove it or choose another")
        folder.mkdir(parents=True, exist_ok=True)
        empty = Facts(
            format=STORE_FORMAT, photos=0,
            dimension=embeddings.vectors.shape[1], stamp=embeddings.stamp,
            precision=embeddings.precision, views=None if embeddings.views is None else (),
            identities=0, image_bytes=0, identity_bytes=0, removed=0, born=uuid.uuid4().hex,
        )  # fmt: skip
        store = cls(folder, empty)
        store.append(embeddings)
        return store

    @classmethod
    def open(cls, folder: Path) -> "GalleryStore":
        """The gallery in `folder`, as it was last committed.

        Raises:
            FlukeprintError: there is none, or it is damaged.
        """
        try:
            tree = json.loads((folder / FACTS).read_text())
            views = tree["views"]
            facts = Facts(**{**tree, "views": None if views is None else tuple(views)})
        except FileNotFoundError:
            raise FlukeprintError(f"no gallery in {folder}; make one first") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(folder, error) from None
        return cls(folder, facts)

    def __len__(self) -> int:
        """Photographs that are there."""
        return self.facts.photos - self.facts.removed

    @property
    def embeddings(self) -> Embeddings:
        """All rows, those that are removed too; vectors are a memory map of the file.

        Raises:
            FlukeprintError: a file is shorter than the commit says, or holds something else.
        """
        if self._embeddings is None:
            f = self.facts
            try:
                images = _lines(self.folder / "images.txt", f.image_bytes, f.photos)
                labels = _numbers(self.folder / "labels.i32", np.int32, f.photos)
                names = np.array([*self._vocabulary(), None], dtype=object)
                views: tuple[str | None, ...] | None = None
                if f.views is not None:
                    kinds = np.array([*f.views, None], dtype=object)
                    views = tuple(kinds[_numbers(self.folder / "views.i16", np.int16, f.photos)])
                vectors = np.memmap(
                    self.folder / "vectors.f32", np.float32, "r", shape=(f.photos, f.dimension)
                ) if f.photos else np.empty((0, f.dimension), np.float32)  # fmt: skip
                self._embeddings = Embeddings.trusted(
                    vectors, tuple(images), tuple(names[labels]), views, f.stamp, f.precision
                )
            except (OSError, ValueError, IndexError) as error:
                self._check_born()
                raise _damaged(self.folder, error) from None
            try:
                self._check_born()  # now the files are open, and stay those they were
            except FlukeprintError:
                self._embeddings = None
                raise
        return self._embeddings

    @property
    def present(self) -> Embeddings:
        """The photographs that are there; a copy in memory once some were removed."""
        gone = self.removed
        if not len(gone):
            return self.embeddings
        return self.embeddings.take(np.setdiff1d(np.arange(self.facts.photos), gone))

    def compact(self) -> "GalleryStore":
        """The same without the rows that are empty: later ones move up."""
        with self._writing():
            here = self.present
            with folder_written_whole(self.folder) as folder:
                GalleryStore.create(folder, here)
        return GalleryStore.open(self.folder)

    def _check_born(self) -> None:
        """Raise FlukeprintError where the rows were counted anew since this was opened."""
        if GalleryStore.open(self.folder).facts.born != self.facts.born:
            raise FlukeprintError(
                f"{self.folder} was compacted by another process meanwhile; load it again"
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Nobody else writes meanwhile, nor has since this was opened."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise FlukeprintError(
                f"another process is writing to {self.folder}; try again when it is done"
            ) from None
        except OSError as error:
            raise self._cannot(error) from None
        try:
            there = self.folder / FACTS
            if there.exists() and GalleryStore.open(self.folder).facts != self.facts:
                raise FlukeprintError(
                    f"{self.folder} was changed by another process meanwhile; load it again"
                )
            yield
        finally:
            lock.release()

    def _cannot(self, error: OSError) -> FlukeprintError:
        return FlukeprintError(
            f"cannot write {self.folder}: {error.strerror or error}; nothing was changed"
        )

    @property
    def removed(self) -> Ints:
        """Rows that are no longer there, ascending."""
        try:
            rows = _numbers(self.folder / "removed.i64", np.int64, self.facts.removed)
        except (OSError, ValueError) as error:
            raise _damaged(self.folder, error) from None
        return np.sort(rows)

    def append(self, fresh: Embeddings) -> Ints:
        """Add photographs behind those that are there; their rows.  What it costs is what is added.

        Raises:
            FlukeprintError: of another network, names that are there already or cannot be kept,
                somebody else is writing, or a full disk; the gallery is then what it was.
        """
        f = self.facts
        if fresh.stamp != f.stamp:
            check_stamp(self.embeddings, fresh)
        if fresh.vectors.shape[1] != f.dimension:
            raise ValueError(f"vectors of {fresh.vectors.shape[1]} numbers among {f.dimension}")
        self._check_names(fresh)
        number, known = self._numbering(), len(self._vocabulary())
        labels = [number.setdefault(str(name), len(number)) for name in fresh.identities]
        new = list(number)[known:]
        views, kinds = f.views, [-1] * len(fresh)
        if fresh.views is not None:
            named = dict.fromkeys((*(views or ()), *(v for v in fresh.views if v is not None)))
            place = {name: i for i, name in enumerate(named)}
            views = tuple(named)
            kinds = [-1 if view is None else place[view] for view in fresh.views]
        images = _written("".join(f"{name}\n" for name in fresh.images))
        identities = _written("".join(f"{name}\n" for name in new))
        grown = Facts(
            format=STORE_FORMAT, photos=f.photos + len(fresh), dimension=f.dimension, stamp=f.stamp,
            precision=max(f.precision, fresh.precision, key=PRECISIONS.index), views=views,
            identities=f.identities + len(new), image_bytes=f.image_bytes + len(images),
            identity_bytes=f.identity_bytes + len(identities), removed=f.removed, born=f.born,
        )  # fmt: skip
        rows = np.arange(f.photos, grown.photos)
        parts = [
            ("vectors.f32", 4 * f.dimension * f.photos, _raw(fresh.vectors, np.float32)),
            ("images.txt", f.image_bytes, images),
            ("labels.i32", 4 * f.photos, _raw(labels, np.int32)),
            ("identities.txt", f.identity_bytes, identities),
        ]
        if views is not None:
            if f.views is None and f.photos:  # until now nobody knew any
                kinds = [-1] * f.photos + kinds
            before = 0 if f.views is None else 2 * f.photos
            parts.append(("views.i16", before, _raw(kinds, np.int16)))
        try:
            self._commit(parts, grown)
        except BaseException:
            self._number = None  # the new names are not known after all
            raise
        self._identities = list(number)
        if self._names is not None:
            self._names.update(fresh.images)
        return rows

    def remove(self, rows: npt.ArrayLike) -> None:
        """Take photographs out; their rows stay empty.

        Raises:
            KeyError: a row that is not there.
            FlukeprintError: somebody else is writing, or a full disk.
        """
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        gone = self.removed
        for row in wanted[(wanted < 0) | (wanted >= self.facts.photos) | np.isin(wanted, gone)]:
            raise KeyError(f"no photograph in row {int(row)}")
        fewer = Facts(**{**asdict(self.facts), "views": self.facts.views,
                         "removed": len(gone) + len(wanted)})  # fmt: skip
        names = None if self._names is None else [self.embeddings.images[row] for row in wanted]
        self._commit([("removed.i64", 8 * len(gone), _raw(wanted, np.int64))], fewer)
        if self._names is not None and names is not None:
            self._names.difference_update(names)

    def _commit(self, parts: Iterable[tuple[str, int, bytes]], facts: Facts) -> None:
        """Write each part behind what is committed of its file, then the new facts."""
        try:
            with self._writing():
                for name, start, data in parts:
                    _put(self.folder / name, start, data)
                with written_whole(self.folder / FACTS) as partial:
                    partial.write_text(json.dumps(asdict(facts)) + "\n")
        except OSError as error:
            raise self._cannot(error) from None
        self.facts = facts
        self._embeddings = None

    def _vocabulary(self) -> list[str]:
        if self._identities is None:
            f = self.facts
            self._identities = _lines(
                self.folder / "identities.txt", f.identity_bytes, f.identities
            )
        return self._identities

    def _numbering(self) -> dict[str, int]:
        if self._number is None:
            self._identities = None  # what an append that failed had added
            self._number = {name: i for i, name in enumerate(self._vocabulary())}
        return self._number

    def _check_names(self, fresh: Embeddings) -> None:
        if self._names is None:
            gone = set(self.removed.tolist())
            self._names = {
                name for row, name in enumerate(self.embeddings.images) if row not in gone
            } if self.facts.photos else set()  # fmt: skip
        twice = [name for name in fresh.images if name in self._names]
        if twice or len(set(fresh.images)) < len(fresh.images):
            some = twice or [n for n in set(fresh.images) if fresh.images.count(n) > 1]
            raise FlukeprintError(f"photographs are in the gallery already: {listed(some)}")
        nameless = [i for i, who in zip(fresh.images, fresh.identities, strict=True) if who is None]
        if nameless:
            raise FlukeprintError(f"gallery photos without an identity: {listed(nameless)}")
        for name in (*fresh.images, *fresh.identities):
            if "\n" in str(name):
                raise FlukeprintError(f"a name must stand on one line, {name!r} does not")


def _put(path: Path, start: int, data: bytes) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    with os.fdopen(handle, "r+b") as file:
        if file.seek(0, os.SEEK_END) < start:
            raise OSError(f"{path.name} is shorter than the gallery says")
        file.seek(start)
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _raw(values: npt.ArrayLike, kind: Any) -> bytes:
    return np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<")).tobytes()


def _written(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # file names may be any bytes
    except UnicodeEncodeError as error:
        raise FlukeprintError(f"a name holds no text ({error.reason}); rename it") from None


def _lines(path: Path, length: int, count: int) -> list[str]:
    if not count:
        return []
    with path.open("rb") as file:
        text = file.read(length).decode("utf-8", "surrogateescape")
    lines = text.split("\n")[:-1]
    if len(lines) != count:
        raise ValueError(f"{path.name} holds {len(lines)} names, not {count}")
    return lines


def _numbers(path: Path, kind: Any, count: int) -> npt.NDArray[Any]:
    if not count:
        return np.empty(0, dtype=kind)
    numbers = np.fromfile(path, np.dtype(kind).newbyteorder("<"), count)
    if len(numbers) != count:
        raise ValueError(f"{path.name} holds {len(numbers)} numbers, not {count}")
    return numbers.astype(kind, copy=False)


def _damaged(folder: Path, error: Exception) -> FlukeprintError:
    return FlukeprintError(f"{folder} holds no whole gallery ({error}); make it again")
