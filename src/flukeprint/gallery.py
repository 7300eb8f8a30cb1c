"""The gallery.  `Embeddings` enter, the nearest photos or identities of each query leave.

`Embeddings` are n unit vectors of d numbers with the photos' names.  `Gallery.search`
gives `Matches` (q, k) by photo, `Gallery.search_identities` gives `IdentityMatches`
(q, t) by identity.  A score is a cosine similarity: higher is nearer.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from flukeprint.errors import FlukeprintError, listed
from flukeprint.files import read_npz, written_whole

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)  # from exact to coarse

# Most scores held at once, and gallery rows widened to float64 at once.
_SCORES_AT_ONCE = 1 << 22
_ROWS_AT_ONCE = 1 << 13
_LOW = (1 << 32) - 1
_MAGNITUDE = 0x7FFFFFFF


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
        lengths = np.linalg.norm(self.vectors, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) < 1e-3))  # NaN is wrong too
        if wrong.size:
            names = listed(self.images[i] for i in wrong)
            raise ValueError(f"vectors must have length 1; these have not: {names}")

    def __len__(self) -> int:
        return len(self.images)

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

    @staticmethod
    def concatenate(parts: Sequence["Embeddings"]) -> "Embeddings":
        """One after the other.  Raises FlukeprintError when two networks made them."""
        for part in parts[1:]:
            _check_stamp(parts[0], part)
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


def _check_stamp(one: Embeddings, other: Embeddings) -> None:
    if one.stamp != other.stamp:
        raise FlukeprintError(
            f"embeddings of two networks do not compare: {one.stamp} made the first (the gallery), "
            f"{other.stamp} the second; embed both with one network"
        )


@dataclass(frozen=True)
class Matches:
    """The k nearest gallery photos of q queries, k at most the size of the gallery.

    scores: (q, k) float32, descending; equal ones by ascending row.
    rows: (q, k) int64, positions in the gallery's embeddings.
    """

    scores: Floats
    rows: Ints

    def __post_init__(self) -> None:
        _check_descending(self.scores, self.rows)


@dataclass(frozen=True)
class IdentityMatches:
    """The t nearest identities of q queries, each once, scored by its nearest photo.

    scores: (q, t) float32, descending; t = min(asked for, identities in the gallery).
    labels: (q, t) int64, positions in `vocabulary`.
    rows: (q, t) int64, the identity's nearest photo, a position in the gallery's embeddings.
    vocabulary: the gallery's identities, sorted.
    """

    scores: Floats
    labels: Ints
    rows: Ints
    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_descending(self.scores, self.rows)
        if self.labels.shape != self.scores.shape:
            raise ValueError("scores and labels differ in shape")


def _check_descending(scores: Floats, rows: Ints) -> None:
    if scores.ndim != 2 or scores.shape != rows.shape:
        raise ValueError("scores and rows must both be (q, k)")
    if not np.all(scores[:, 1:] <= scores[:, :-1]):
        raise ValueError("scores must descend")


class Gallery:
    """Exact cosine search in labelled photos, in blocks: memory does not grow with the queries.

    Products are summed in float64 and rounded to float32.  So copies of a photo tie exactly
    (the lower row comes first), and a query's answer does not depend on its companions.
    An approximate index takes the place of `search` and keeps `Matches` and its order.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        """Raises FlukeprintError for an empty gallery or photos without an identity."""
        if len(embeddings) == 0:
            raise FlukeprintError("the gallery is empty; give it photos with identities")
        nameless = [
            image
            for image, identity in zip(embeddings.images, embeddings.identities, strict=True)
            if identity is None
        ]
        if nameless:
            raise FlukeprintError(
                f"gallery photos without an identity: {listed(nameless)}; name or remove them"
            )
        self.embeddings = embeddings
        self.identities: tuple[str, ...] = tuple(str(name) for name in embeddings.identities)
        self.vocabulary: tuple[str, ...] = tuple(sorted(set(self.identities)))
        self._number = {name: i for i, name in enumerate(self.vocabulary)}
        labels = [self._number[name] for name in self.identities]
        self._labels: Ints = np.array(labels, dtype=np.int64)
        order = np.argsort(self._labels, kind="stable")  # an identity's photos stand together
        self._starts = np.searchsorted(self._labels[order], np.arange(len(self.vocabulary)))
        self._vectors = embeddings.vectors[order]
        self._tie: Ints = len(order) - 1 - order

    def __len__(self) -> int:
        return len(self.embeddings)

    def rows_of(self, identity: str) -> list[int]:
        """The rows of an identity's photos, ascending; empty for one that is not there."""
        rows: list[int] = np.flatnonzero(self._labels == self._number.get(identity, -1)).tolist()
        return rows

    def search(self, queries: Embeddings, k: int) -> Matches:
        """The min(k, n) nearest photos of every query.

        Raises FlukeprintError when another network embedded the queries.
        """
        keys = _collect((_largest(block, k) for block in self._keys(queries)), k, len(self))
        return Matches(_score(keys), self._row(keys))

    def search_identities(self, queries: Embeddings, top: int) -> IdentityMatches:
        """The `top` nearest identities of every query (or all, if fewer), exactly.

        All photos are searched, so an identity that fills the first hundred places of a
        search by photo does not hide the others.  Raises FlukeprintError as `search` does.
        """
        best = (np.maximum.reduceat(block, self._starts, axis=1) for block in self._keys(queries))
        keys = _collect((_largest(block, top) for block in best), top, len(self.vocabulary))
        rows = self._row(keys)
        return IdentityMatches(_score(keys), self._labels[rows], rows, self.vocabulary)

    def _keys(self, queries: Embeddings) -> Iterator[Ints]:
        """(b, n) for block after block of queries: score and row in one sortable integer.

        The high half orders as the float32 score does (its bits, the magnitude inverted below
        zero), the low half counts rows downwards.  No two keys of a query are equal, so
        partition and maximum are exact and settle ties.
        """
        _check_stamp(self.embeddings, queries)
        n = len(self)
        step = max(1, _SCORES_AT_ONCE // n)
        for start in range(0, len(queries), step):
            wide = queries.vectors[start : start + step].astype(np.float64)
            scores = np.empty((len(wide), n), dtype=np.float32)
            for left in range(0, n, _ROWS_AT_ONCE):
                part = self._vectors[left : left + _ROWS_AT_ONCE].astype(np.float64)
                scores[:, left : left + len(part)] = wide @ part.T
            bits = (scores + np.float32(0)).view(np.int32)  # -0 becomes 0: they are equal
            high = np.where(bits < 0, bits ^ _MAGNITUDE, bits).astype(np.int64)
            yield (high << 32) + self._tie

    def _row(self, keys: Ints) -> Ints:
        return len(self) - 1 - (keys & _LOW)


def _largest(keys: Ints, k: int) -> Ints:
    """(b, min(k, n)) the largest of each row of (b, n), descending."""
    if k < 1:
        raise ValueError(f"at least one match must be asked for, not {k}")
    n = keys.shape[1]
    if k < n:
        keys = np.partition(keys, n - k, axis=1)[:, n - k :]
    return np.sort(keys, axis=1)[:, ::-1]


def _collect(blocks: Iterator[Ints], k: int, n: int) -> Ints:
    return np.concatenate([np.empty((0, min(k, n)), dtype=np.int64), *blocks])


def _score(keys: Ints) -> Floats:
    high = (keys >> 32).astype(np.int32)
    return np.where(high < 0, high ^ _MAGNITUDE, high).astype(np.int32).view(np.float32)
