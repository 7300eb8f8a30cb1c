"""What the doctor of a catalogue looks at: who is on which photograph, in which view and encounter.

Photographs are compared with those of the same view alone: the two flanks of an animal do not look
alike.  Those without a known view are compared with each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints, unit_rows
from flukeprint.records.kinds import PhotoRecord

ALIKE = 0.95  # cosine from which two photographs of an animal count as one encounter
FEW = 10  # photographs of a view of which no middle is taken away


@dataclass(frozen=True)
class Groups:
    """Groups of photographs of one view, each with the mean direction of its photographs.

    means: (g, d) float32 of length 1.  sizes: (g,) number of photographs.
    owners: (g,) labels of their animals.
    """

    means: Floats
    sizes: Ints
    owners: Ints

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True)
class CatalogueMaterial:
    """A catalogue of n photographs of named animals.

    vectors: (n, d) float32 unit rows, compared by their cosines, the middle of each view at 0.
    names: (k) animals, sorted.  labels: (n,) the animal of each photograph, its place among names.
    views: names of the known views, sorted.  view_of: (n,) place among these, -1 where unknown.
    encounter_of: (n,) equal for photographs of one encounter.
    encounters_known: whether they were recorded; told from photographs that look alike otherwise.
    """

    images: tuple[str, ...]
    vectors: Floats
    names: tuple[str, ...]
    labels: Ints
    views: tuple[str, ...]
    view_of: Ints
    encounter_of: Ints
    encounters_known: bool = False

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(
        cls,
        gallery: Embeddings,
        photographs: Sequence[PhotoRecord] | None = None,
        vectors: Floats | None = None,
    ) -> "CatalogueMaterial":
        """Gather it from a gallery and, where there are some, the records of its photographs.

        vectors: (n, d) that are compared instead of the gallery's, such as whitened ones.
        """
        records = {record.image: record for record in photographs or ()}
        mine = [records.get(image) for image in gallery.images]
        told = gallery.views or (None,) * len(gallery)
        views = [
            view if record is None or record.view is None else record.view
            for record, view in zip(mine, told, strict=True)
        ]
        known = tuple(sorted({view for view in views if view is not None}))
        place = {view: number for number, view in enumerate(known)}
        view_of = np.array([-1 if view is None else place[view] for view in views], np.int64)
        names, labels = np.unique(np.array(gallery.identities, dtype=str), return_inverse=True)
        labels = labels.astype(np.int64)
        recorded = [None if record is None else record.encounter for record in mine]
        some = any(number is not None for number in recorded)
        raw = gallery.vectors if vectors is None else vectors
        return cls(
            images=gallery.images,
            vectors=centred(raw, view_of),
            names=tuple(str(name) for name in names),
            labels=labels,
            views=known,
            view_of=view_of,
            encounter_of=_numbered(recorded) if some else look_alikes(raw, labels, view_of),
            encounters_known=some,
        )

    @cached_property
    def rows_of(self) -> dict[tuple[int, int], Ints]:
        """Rows of each (animal, view) that has photographs, ascending."""
        order = np.lexsort((self.view_of, self.labels))
        keys = np.stack([self.labels[order], self.view_of[order]], axis=1)
        cuts = np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1
        found: dict[tuple[int, int], Ints] = {}
        for rows in np.split(order, cuts):
            if len(rows):
                found[int(self.labels[rows[0]]), int(self.view_of[rows[0]])] = rows
        return found

    def each_view(self) -> Iterator[int]:
        """The views that have photographs, by number; -1 are those without a known one."""
        yield from np.unique(self.view_of).tolist()

    def animals(self, view: int) -> Groups:
        """All photographs of each animal in one view, as a group."""
        return self.groups(
            [(label, rows) for (label, seen), rows in self.rows_of.items() if seen == view]
        )

    def groups(self, members: Sequence[tuple[int, Ints]]) -> Groups:
        """Groups of rows, each with the label of its animal."""
        d = self.vectors.shape[1]
        means = np.zeros((len(members), d), np.float32)
        for place, (_, rows) in enumerate(members):
            means[place] = direction(self.vectors[rows].astype(np.float64).sum(axis=0))
        return Groups(
            means,
            np.array([len(rows) for _, rows in members], np.int64),
            np.array([label for label, _ in members], np.int64),
        )

    def encounters(self, rows: Ints) -> list[Ints]:
        """These rows by encounter, in the order of the first of each."""
        _, first, which = np.unique(self.encounter_of[rows], return_index=True, return_inverse=True)
        return [rows[which == number] for number in np.argsort(first).tolist()]


def direction(total: np.ndarray) -> Floats:
    """A vector at length 1; zeros stay zeros, whose cosine is 0 to everything."""
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-12 else np.zeros_like(total), np.float32)


def centred(vectors: Floats, view_of: Ints) -> Floats:
    """Vectors with the mean of their view taken away, at length 1 again."""
    moved = vectors.astype(np.float32, copy=True)
    for view in np.unique(view_of).tolist():
        rows = np.flatnonzero(view_of == view)
        if len(rows) >= FEW:
            moved[rows] -= vectors[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(moved, axis=1)
    gone = lengths < 1e-6  # nothing is left of a photograph that is the mean itself
    moved[gone] = vectors[gone]
    return unit_rows(moved)


def look_alikes(vectors: Floats, labels: Ints, view_of: Ints) -> Ints:
    """Number photographs (n,) equal where those of an animal's view are nearly the same picture.

    They are of one burst, so they bear no witness for each other.
    """
    from scipy.sparse.csgraph import connected_components

    found = np.arange(len(labels), dtype=np.int64)
    order = np.lexsort((view_of, labels))
    keys = np.stack([labels[order], view_of[order]], axis=1)
    for rows in np.split(order, np.flatnonzero((np.diff(keys, axis=0) != 0).any(axis=1)) + 1):
        if len(rows) > 1:
            near = vectors[rows] @ vectors[rows].T >= ALIKE
            _, parts = connected_components(near, directed=False)
            for part in np.unique(parts):
                found[rows[parts == part]] = rows[parts == part].min()
    return found


def _numbered(recorded: Sequence[int | None]) -> Ints:
    """Numbers (n,) of encounters; photographs without one are one each."""
    numbers = {value: place for place, value in enumerate(dict.fromkeys(recorded))}
    return np.array(
        [
            len(numbers) + row if value is None else numbers[value]
            for row, value in enumerate(recorded)
        ],
        np.int64,
    )
