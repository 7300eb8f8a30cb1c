"""Embeddings: one unit vector for each photograph, stamped with the network that made them.

The cosine similarity of two photographs is the dot product of their vectors: higher is nearer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Generic, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import read_npz, written_whole

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)  # from exact to coarse
_appending = Lock()


def unit_rows(vectors: npt.ArrayLike) -> Floats:
    """Normalise (n, d) numbers to float32 rows of length 1; ValueError for a row of zeros."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths) & (lengths > 0)):
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        raise ValueError(f"rows of zeros or of no numbers: {listed(bad)}")
    return np.asarray(rows / lengths, dtype=np.float32)


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of n photographs, all made by one network.

    vectors: (n, d) float32, rows of length 1.
    images, identities, views: one entry a photo; None where unknown.
    stamp: digest of the network that made them; vectors of two networks do not compare.
    precision: of the network's arithmetic; of joined embeddings the coarsest.
    """

    vectors: Floats
    images: tuple[str, ...]
    identities: tuple[str | None, ...]
    views: tuple[str | None, ...] | None
    stamp: str
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2:
            raise ValueError("vectors must be float32 (n, d)")
        for name in ("vectors", "identities", "views"):
            values = getattr(self, name)
            if values is not None and len(values) != n:
                raise ValueError(f"{name} has {len(values)} entries for {n} photos")
        lengths = np.sqrt(np.einsum("nd,nd->n", self.vectors, self.vectors))
        wrong = np.flatnonzero(~(np.abs(lengths - 1) < 1e-3))  # NaN is wrong too
        if wrong.size:
            names = listed(self.images[i] for i in wrong)
            raise ValueError(f"vectors must have length 1; these have not: {names}")

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def trusted(
        cls,
        vectors: Floats,
        images: tuple[str, ...],
        identities: tuple[str | None, ...],
        views: tuple[str | None, ...] | None,
        stamp: str,
        precision: Precision,
    ) -> "Embeddings":
        """Make embeddings unchecked: checking the vectors of a memory map would read all of it."""
        if vectors.shape[:1] != (len(images),) or len(identities) != len(images):
            raise ValueError(f"vectors {vectors.shape} for {len(images)} photos")
        self = object.__new__(cls)
        for name, value in (
            ("vectors", vectors), ("images", images), ("identities", identities),
            ("views", views), ("stamp", stamp), ("precision", precision),
        ):  # fmt: skip
            object.__setattr__(self, name, value)
        return self

    def take(self, rows: npt.ArrayLike) -> "Embeddings":
        """Select the photos of `rows` (integers, or a boolean mask of length n), in that order."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return Embeddings(
            vectors=self.vectors[index],
            images=tuple(self.images[i] for i in index),
            identities=tuple(self.identities[i] for i in index),
            views=None if self.views is None else tuple(self.views[i] for i in index),
            stamp=self.stamp,
            precision=self.precision,
        )

    def followed_by(self, others: "Embeddings") -> "Embeddings":
        """Append the embeddings of further photos, made by the same network.

        `self` is not changed.  Its vectors are copied the first time only, into an array with spare
        capacity that the result shares.  Views of the others are kept where `self` has views.

        Raises FlukeprintError when another network made the others.
        """
        check_stamp(self, others)
        with _appending:
            array: GrowingArray[np.float32] | None = getattr(self, "_array", None)
            if array is None or len(array) != len(self):  # something else was appended already
                array = GrowingArray(self.vectors)
            array.extend(others.vectors)
            vectors = array.all
        views = None
        if self.views is not None:
            views = (*self.views, *(others.views or (None,) * len(others)))
        grown = Embeddings.trusted(
            vectors, (*self.images, *others.images), (*self.identities, *others.identities), views,
            self.stamp, max(self.precision, others.precision, key=PRECISIONS.index),
        )  # fmt: skip
        object.__setattr__(grown, "_array", array)
        return grown

    @staticmethod
    def concatenate(parts: Sequence["Embeddings"]) -> "Embeddings":
        """Join embeddings one after the other; FlukeprintError when two networks made them."""
        for part in parts[1:]:
            check_stamp(parts[0], part, first="the first part", second="another")
        views = tuple(view for part in parts for view in (part.views or (None,) * len(part.images)))
        return Embeddings(
            vectors=np.concatenate([part.vectors for part in parts]),
            images=tuple(image for part in parts for image in part.images),
            identities=tuple(identity for part in parts for identity in part.identities),
            views=views if any(part.views is not None for part in parts) else None,
            stamp=parts[0].stamp,
            precision=max((part.precision for part in parts), key=PRECISIONS.index),
        )

    def save(self, path: Path) -> None:
        """Write an `.npz` without pickles, atomically; FlukeprintError where that fails."""
        facts = {
            "images": self.images,
            "identities": self.identities,
            "views": self.views,
            "stamp": self.stamp,
            "precision": self.precision,
        }
        text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez(file, vectors=self.vectors, facts=text)

    @classmethod
    def load(cls, path: Path) -> "Embeddings":
        """Read what `save` wrote.  Raises FlukeprintError for any other file."""
        with read_npz(path, "embeddings") as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            views = facts["views"]
            return cls(
                vectors=arrays["vectors"],
                images=tuple(facts["images"]),
                identities=tuple(facts["identities"]),
                views=None if views is None else tuple(views),
                stamp=facts["stamp"],
                precision=facts.get("precision", "fp32"),  # files of earlier versions
            )


def check_stamp(
    one: Embeddings | str,
    other: Embeddings | str,
    *,
    first: str = "the gallery",
    second: str = "the other photographs",
) -> None:
    """Raise FlukeprintError unless one network made both embeddings.

    one, other: embeddings, or the stamps of embeddings that are stored elsewhere.
    first, second: what they are of, for the message, such as "the gallery" and "the queries".
    """
    mine, theirs = (each if isinstance(each, str) else each.stamp for each in (one, other))
    if mine != theirs:
        raise FlukeprintError(
            f"embeddings of two networks do not compare: {mine} made those of {first}, "
            f"{theirs} those of {second}; embed both with one network"
        )


class GrowingArray(Generic[Number]):
    """An array to which rows can be appended, in amortised constant time a row."""

    def __init__(self, first: npt.NDArray[Number]) -> None:
        """Begin with `first` (n, ...), which is copied before anything is appended."""
        self._rows = first
        self._count = len(first)

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> npt.NDArray[Number]:
        """(n, ...) all rows, in the order they were added; not to be changed."""
        return self._rows[: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes of the array, spare capacity included."""
        return self._rows.nbytes

    def extend(self, more: npt.NDArray[Any]) -> None:
        """Append rows (m, ...)."""
        need = self._count + len(more)
        if need > len(self._rows):
            capacity = max(need, 2 * len(self._rows))
            larger = np.empty((capacity, *self._rows.shape[1:]), self._rows.dtype)
            larger[: self._count] = self.all
            self._rows = larger
        self._rows[self._count : need] = more
        self._count = need

    def clear(self) -> None:
        """Remove all rows."""
        self._rows, self._count = self._rows[:0].copy(), 0
