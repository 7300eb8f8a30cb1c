"""A gallery of embeddings in a folder, which is opened without reading it and grows in place.

Vectors are read through a memory map.  The files (`gallery_files.py`) only ever grow, and only what
`gallery.json` counts is valid: replacing that file commits a change.  If a process is killed
half-way, the gallery is unchanged, and the next one overwrites what was left.
"""

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import PRECISIONS, Embeddings, Ints, check_stamp
from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import folder_written_whole, written_whole
from flukeprint.search.gallery_files import (
    FACTS,
    STORE_FORMAT,
    StoreFacts,
    damaged,
    name_bytes,
    number_bytes,
    read_lines,
    read_numbers,
    write_at,
)

Parts = list[tuple[str, int, bytes]]


def appended(
    f: StoreFacts, fresh: Embeddings, labels: Sequence[int], new_names: Sequence[str]
) -> tuple[Parts, StoreFacts]:
    """What to write where in a gallery's files to append photographs, and the facts afterwards.

    labels: the number of each one's identity, -1 for nobody.  new_names: of the identities whose
        numbers follow those of `f`.

    Raises:
        FlukeprintError: a name that cannot be stored.
    """
    views, kinds = f.views, [-1] * len(fresh)
    if fresh.views is not None:
        named = dict.fromkeys((*(views or ()), *(v for v in fresh.views if v is not None)))
        place = {name: i for i, name in enumerate(named)}
        views = tuple(named)
        kinds = [-1 if view is None else place[view] for view in fresh.views]
    images = name_bytes("".join(f"{name}\n" for name in fresh.images))
    identities = name_bytes("".join(f"{name}\n" for name in new_names))
    grown = replace(
        f,
        photos=f.photos + len(fresh),
        precision=max(f.precision, fresh.precision, key=PRECISIONS.index),
        views=views,
        identities=f.identities + len(new_names),
        image_bytes=f.image_bytes + len(images),
        identity_bytes=f.identity_bytes + len(identities),
    )
    parts = [
        ("vectors.f32", 4 * f.dimension * f.photos, number_bytes(fresh.vectors, np.float32)),
        ("images.txt", f.image_bytes, images),
        ("labels.i32", 4 * f.photos, number_bytes(labels, np.int32)),
        ("identities.txt", f.identity_bytes, identities),
    ]
    if views is not None:
        if f.views is None and f.photos:  # no earlier photograph has a view
            kinds = [-1] * f.photos + kinds
        before = 0 if f.views is None else 2 * f.photos
        parts.append(("views.i16", before, number_bytes(kinds, np.int16)))
    return parts, grown


class GalleryStore:
    """A gallery in a folder, for one writer at a time; readers keep what they have read."""

    def __init__(
        self,
        folder: Path,
        facts: StoreFacts,
        *,
        renamed: Mapping[int, str] | None = None,
        changed: Mapping[int, str | None] | None = None,
    ) -> None:
        """Use `open` for a gallery that is by itself.

        For one whose photographs are recorded elsewhere, facts: what counts; renamed: number of an
        identity -> its name now; changed: row -> its identity now, None for nobody's.
        """
        self.folder, self.facts = folder, facts
        self._renamed, self._changed = renamed or {}, changed or {}
        self._embeddings: Embeddings | None = None
        self._identities: list[str] | None = None
        self._number: dict[str, int] | None = None
        self._names: set[str] | None = None

    @classmethod
    def create(cls, folder: Path, embeddings: Embeddings) -> "GalleryStore":
        """Make a new gallery in `folder`, which must not hold one.

        Raises:
            FlukeprintError: there is one, a name that cannot be stored, or a full disk.
        """
        if (folder / FACTS).exists():
            raise FlukeprintError(f"{folder} holds a gallery already; remove it or choose another")
        folder.mkdir(parents=True, exist_ok=True)
        empty = StoreFacts(
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
        """Open the gallery in `folder` as it was last committed.

        Raises:
            FlukeprintError: there is none, or it is damaged.
        """
        return cls(folder, StoreFacts.read(folder))

    def __len__(self) -> int:
        """Number of photographs that are not removed."""
        return self.facts.photos - self.facts.removed

    @property
    def embeddings(self) -> Embeddings:
        """All rows, also removed ones; vectors are a memory map of the file.

        Raises:
            FlukeprintError: a file is shorter than committed, or its content is damaged.
        """
        if self._embeddings is None:
            f = self.facts
            try:
                images = read_lines(self.folder / "images.txt", f.image_bytes, f.photos)
                labels = read_numbers(self.folder / "labels.i32", np.int32, f.photos)
                names = np.array([*self._vocabulary(), None], dtype=object)
                for number, name in self._renamed.items():
                    names[number] = name
                identities = names[labels]
                for row, owner in self._changed.items():
                    identities[row] = owner
                views: tuple[str | None, ...] | None = None
                if f.views is not None:
                    kinds = np.array([*f.views, None], dtype=object)
                    numbers = read_numbers(self.folder / "views.i16", np.int16, f.photos)
                    views = tuple(kinds[numbers])
                vectors = np.memmap(
                    self.folder / "vectors.f32", np.float32, "r", shape=(f.photos, f.dimension)
                ) if f.photos else np.empty((0, f.dimension), np.float32)  # fmt: skip
                self._embeddings = Embeddings.trusted(
                    vectors, tuple(images), tuple(identities), views, f.stamp, f.precision
                )
            except (OSError, ValueError, IndexError) as error:
                self._check_born()
                raise damaged(self.folder, error) from None
            try:
                self._check_born()  # the files are open now: a later compaction replaces them
            except FlukeprintError:
                self._embeddings = None
                raise
        return self._embeddings

    @property
    def present(self) -> Embeddings:
        """The photographs that are not removed; a copy in memory if some were."""
        gone = self.removed
        if not len(gone):
            return self.embeddings
        return self.embeddings.take(np.setdiff1d(np.arange(self.facts.photos), gone))

    def compact(self) -> "GalleryStore":
        """Rewrite the gallery without the removed rows: later ones move up."""
        with self._writing():
            here = self.present
            with folder_written_whole(self.folder) as folder:
                GalleryStore.create(folder, here)
        return GalleryStore.open(self.folder)

    def _check_born(self) -> None:
        """Raise FlukeprintError if rows were numbered anew since this was opened."""
        if GalleryStore.open(self.folder).facts.born != self.facts.born:
            raise FlukeprintError(
                f"{self.folder} was compacted by another process meanwhile; load it again"
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Lock the gallery for writing, if nobody has changed it since this was opened."""
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
        """Removed rows, ascending."""
        try:
            rows = read_numbers(self.folder / "removed.i64", np.int64, self.facts.removed)
        except (OSError, ValueError) as error:
            raise damaged(self.folder, error) from None
        return np.sort(rows)

    def append(self, fresh: Embeddings) -> Ints:
        """Append photographs and return their rows; writes no more than what is added.

        Raises:
            FlukeprintError: embeddings of another network, names that are in the gallery already or
                cannot be stored, another writer, or a full disk; the gallery is then unchanged.
        """
        f = self.facts
        if fresh.stamp != f.stamp:
            check_stamp(self.embeddings, fresh)
        if fresh.vectors.shape[1] != f.dimension:
            raise ValueError(f"vectors of {fresh.vectors.shape[1]} numbers among {f.dimension}")
        self._check_names(fresh)
        number, known = self._numbering(), len(self._vocabulary())
        labels = [number.setdefault(str(name), len(number)) for name in fresh.identities]
        parts, grown = appended(f, fresh, labels, list(number)[known:])
        rows = np.arange(f.photos, grown.photos)
        try:
            self._commit(parts, grown)
        except BaseException:
            self._number = None  # the new names were not stored
            raise
        self._identities = list(number)
        if self._names is not None:
            self._names.update(fresh.images)
        return rows

    def remove(self, rows: npt.ArrayLike) -> None:
        """Remove photographs; their rows stay empty.

        Raises:
            KeyError: a row that is not there.
            FlukeprintError: another writer, or a full disk.
        """
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        gone = self.removed
        for row in wanted[(wanted < 0) | (wanted >= self.facts.photos) | np.isin(wanted, gone)]:
            raise KeyError(f"no photograph in row {int(row)}")
        fewer = StoreFacts(**{**asdict(self.facts), "views": self.facts.views,
                         "removed": len(gone) + len(wanted)})  # fmt: skip
        names = None if self._names is None else [self.embeddings.images[row] for row in wanted]
        self._commit([("removed.i64", 8 * len(gone), number_bytes(wanted, np.int64))], fewer)
        if self._names is not None and names is not None:
            self._names.difference_update(names)

    def _commit(self, parts: Iterable[tuple[str, int, bytes]], facts: StoreFacts) -> None:
        """Write each part at the committed end of its file, then the new facts."""
        try:
            with self._writing():
                for name, start, data in parts:
                    write_at(self.folder / name, start, data)
                with written_whole(self.folder / FACTS) as partial:
                    partial.write_text(facts.text())
        except OSError as error:
            raise self._cannot(error) from None
        self.facts = facts
        self._embeddings = None

    def stored_names(self) -> list[str]:
        """The names of identities as they are in the file; places are their numbers."""
        return list(self._vocabulary())

    def _vocabulary(self) -> list[str]:
        if self._identities is None:
            f = self.facts
            self._identities = read_lines(
                self.folder / "identities.txt", f.identity_bytes, f.identities
            )
        return self._identities

    def _numbering(self) -> dict[str, int]:
        if self._number is None:
            self._identities = None  # a failed append may have added names
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
