"""Whiten embeddings: PCA whitening, and whitening of the variation within identities.

Both are fitted on a gallery and then applied to its photographs and to queries alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.neighbours import block_rows, blocks, unit_or_zero


@dataclass(frozen=True)
class Whitening:
    """A fitted linear map x -> unit((x - mean) @ matrix); mean (d,), matrix (d, m) float64."""

    mean: Values
    matrix: Values

    def __call__(self, vectors: Floats) -> Floats:
        """Whiten vectors: (b, d) to (b, m) rows of length 1."""
        out = np.empty((len(vectors), self.matrix.shape[1]), dtype=np.float32)
        for block in blocks(len(vectors), self.matrix.shape[0]):
            out[block] = unit_or_zero((vectors[block] - self.mean) @ self.matrix)
        return out


def fit_whitening(vectors: Floats, dims: int) -> Whitening:
    """Fit PCA whitening that keeps the `dims` strongest directions of (n, d), or all if fewer.

    Source: Jegou and Chum, Negative evidences and co-occurences in image retrieval (2012).
    Raises FlukeprintError when the photographs do not differ.
    """
    n, d = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    spread = np.zeros((d, d))
    for block in blocks(n, d):
        centered = vectors[block] - mean
        spread += centered.T @ centered
    values, directions = np.linalg.eigh(spread / n)
    values, directions = values[::-1], directions[:, ::-1]
    # Below this, directions in which the photographs differ by rounding alone.
    there = int(np.count_nonzero(values > max(1e-9 * values[0], 1e-12)))
    if there == 0:
        raise FlukeprintError(
            "the gallery cannot be whitened: its photos do not differ; set rank.whiten=0"
        )
    keep = min(dims, there)
    return Whitening(mean, directions[:, :keep] / np.sqrt(values[:keep]))


def fit_within(vectors: Floats, labels: Ints, weight: float) -> Whitening:
    """Fit whitening of the within-identity covariance, which shrinks how an animal varies itself.

    The pooled covariance S of photographs (n, d) around the mean of their identity is shrunk
    towards a sphere of the same trace, weight * S + (1 - weight) * tr(S) / d * I, because
    identities are few and their photographs fewer.

    labels: (n,) identity of each photograph.
    Source: Hatch, Kajarekar and Stolcke, Within-class covariance normalization (2006);
    shrinkage as Ledoit and Wolf (2004).
    Raises FlukeprintError when no identity has two photographs that differ.
    """
    n, d = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    freedom = max(1, n - len(np.unique(labels)))
    trace = sum(np.square(off).sum() for off in _around_own_means(vectors, labels))
    sphere = float(trace) / freedom / d
    if sphere < 1e-12:
        raise FlukeprintError(
            "rank.within has nothing to learn from: no identity of the gallery has two photos "
            "that differ; set rank.within=0"
        )
    floor = 1e-6 * sphere  # weight 1 leaves directions without any spread
    if n < d:
        # S has at most n directions of its own; all others are scaled alike.
        off = np.concatenate(list(_around_own_means(vectors, labels)))
        squares, left = np.linalg.eigh(off @ off.T / freedom)
        there = squares > 1e-12 * squares[-1]
        directions = off.T @ (left[:, there] / np.sqrt(squares[there] * freedom))
        rest = 1 / np.sqrt(max((1 - weight) * sphere, floor))
        scales = 1 / np.sqrt(np.maximum(weight * squares[there] + (1 - weight) * sphere, floor))
        return Whitening(mean, (directions * (scales - rest)) @ directions.T + rest * np.eye(d))
    spread = np.zeros((d, d))
    for off in _around_own_means(vectors, labels):
        spread += off.T @ off
    spread /= freedom
    values, directions = np.linalg.eigh(weight * spread + (1 - weight) * sphere * np.eye(d))
    values = np.maximum(values, floor)
    return Whitening(mean, (directions / np.sqrt(values)) @ directions.T)


def _around_own_means(vectors: Floats, labels: Ints) -> Iterator[Values]:
    """Photographs (n, d) minus the mean of their identity, in blocks (b, d) by identity."""
    step = block_rows(2 * vectors.shape[1])
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[:1]] - 1))
    borders = np.append(starts, len(order))
    first = 0
    while first < len(borders) - 1:
        # As many whole identities as fit in a block; one with too many photographs, in parts.
        last = int(np.searchsorted(borders, borders[first] + step, side="right")) - 1
        last = max(last, first + 1)
        rows = order[borders[first] : borders[last]]
        starts = borders[first:last] - borders[first]
        parts = [rows[i : i + step] for i in range(0, len(rows), step)]
        if len(starts) > 1:
            some = vectors[rows].astype(np.float64)
            sizes = np.diff(starts, append=len(rows))
            yield some - np.repeat(np.add.reduceat(some, starts) / sizes[:, None], sizes, axis=0)
        else:
            own = sum(vectors[part].sum(axis=0, dtype=np.float64) for part in parts) / len(rows)
            yield from (vectors[part] - own for part in parts)
        first = last
