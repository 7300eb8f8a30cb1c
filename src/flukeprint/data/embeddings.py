"""What a network saw: unit vectors (n, d) with names, and the nearest of them.

`Embeddings` are n unit vectors of d numbers with the photos' names; `Matches` (q, k) are rows of
them by descending score.  A score is a cosine similarity: higher is nearer.
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

Precision = Literal["fp32", "fp16", "bf16", "int8"]
_growing = Lock()
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)
Values = npt.NDArray[np.float64]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)  # from exact to coarse


def unit_rows(vectors: npt.ArrayLike) -> Floats:
    """(n, d) numbers as float32 rows of length 1.  Raises ValueError for a row of zeros."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths) & (lengths > 0)):
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        raise ValueError(f"rows of zeros or of no numbers: {listed(bad)}")
    return np.asarray(rows / lengths, dtype=np.float32)


@dataclass(frozen=True)
class Embeddings:
    """Photos as the network sees them.

    vectors: (n, d) float32, rows of length 1.
    images, identities, views: one entry a photo; None where nobody knows.
    stamp: digest of the network that made them; vectors of two networks do not compare.
    precision: of the network's arithmetic; the lowest of all parts.
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
        """Without looking at every number, which for a memory map would read the whole file."""
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
        """The photos of `rows` (integers, or a boolean mask of length n), in that order."""
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
        """These and then the others, of one network.

        These vectors are copied the first time only: then there is room behind them, and whoever
        holds the shorter ones sees what they saw.  Views of the others count where these have any.
        """
        check_stamp(self, others)
        with _growing:
            room: GrowingArray[np.float32] | None = getattr(self, "_room", None)
            if room is None or len(room) != len(self):  # others follow these already
                room = GrowingArray(self.vectors)
            room.extend(others.vectors)
            vectors = room.all
        views = None
        if self.views is not None:
            views = (*self.views, *(others.views or (None,) * len(others)))
        grown = Embeddings.trusted(
            vectors, (*self.images, *others.images), (*self.identities, *others.identities), views,
            self.stamp, max(self.precision, others.precision, key=PRECISIONS.index),
        )  # fmt: skip
        object.__setattr__(grown, "_room", room)
        return grown

    @staticmethod
    def concatenate(parts: Sequence["Embeddings"]) -> "Embeddings":
        """One after the other.  Raises FlukeprintError when two networks made them."""
        for part in parts[1:]:
            check_stamp(parts[0], part)
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
        """Write an `.npz` without pickles: all of it or, with FlukeprintError, nothing."""
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


def check_stamp(one: Embeddings, other: Embeddings) -> None:
    """Raise FlukeprintError unless one network made both, the first the gallery's."""
    if one.stamp != other.stamp:
        raise FlukeprintError(
            f"embeddings of two networks do not compare: {one.stamp} made the first (the gallery), "
            f"{other.stamp} the second; embed both with one network"
        )


class GrowingArray(Generic[Number]):
    """As a Python list of rows, but an array; adding costs what is added, on average."""

    def __init__(self, first: npt.NDArray[Number]) -> None:
        """`first` (n, ...) is never written to: there is no room behind it."""
        self._room = first
        self._count = len(first)

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> npt.NDArray[Number]:
        """(n, ...) in the order added; not to be changed."""
        return self._room[: self._count]

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return self._room.nbytes

    def extend(self, more: npt.NDArray[Any]) -> None:
        """Add rows (m, ...) to the end."""
        need = self._count + len(more)
        if need > len(self._room):
            room = max(need, 2 * len(self._room))
            larger = np.empty((room, *self._room.shape[1:]), self._room.dtype)
            larger[: self._count] = self.all
            self._room = larger
        self._room[self._count : need] = more
        self._count = need

    def clear(self) -> None:
        """Forget all."""
        self._room, self._count = self._room[:0].copy(), 0
