"""Project embeddings to two and three dimensions, to be looked at: PCA, t-SNE and UMAP.

Every projection is deterministic.  Axes and distances between groups mean something for PCA alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values

FEWEST = 5  # photographs that a map of neighbours needs
NEIGHBOURS = 5  # of which trustworthiness is told
_INPUTS = 50  # principal components that t-SNE and UMAP start from
_NOTHING = 1e-6  # a spread of unit float32 vectors that is due to rounding


@dataclass(frozen=True)
class Projection:
    """The same n photographs in the plane, flat (n, 2), and in space, solid (n, 3)."""

    name: str
    flat: Values
    solid: Values


def principal_axes(vectors: Floats) -> tuple[Values, Values]:
    """PCA: coordinates (n, k) on the principal axes, widest first, and shares of variance (k,).

    k is the smaller of n and d, 3 at least (columns of zeros are added).  The sign of an axis is
    such that the photograph farthest from the mean is positive.  The shares are 0 where all
    vectors are equal.
    Source: Jolliffe, Principal Component Analysis (2002), chapter 3.
    """
    rows = vectors.astype(np.float64)
    rows -= rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    at = left * singular
    farthest = np.abs(at).argmax(axis=0)
    at *= np.where(at[farthest, np.arange(at.shape[1])] < 0, -1.0, 1.0)
    total = float((singular**2).sum())
    shares = singular**2 / total if total > _NOTHING**2 * len(rows) else np.zeros(len(singular))
    more = max(0, 3 - at.shape[1])
    return np.pad(at, ((0, 0), (0, more))), np.pad(shares, (0, more))


def project(axes: Values) -> list[Projection]:
    """All projections of photographs with the coordinates `axes` (n, k) of `principal_axes`.

    Besides PCA there are others from FEWEST photographs on, where not all of them are in one place;
    UMAP only where umap-learn is installed.
    """
    found = [Projection("PCA", axes[:, :2], axes[:, :3])]
    if len(axes) >= FEWEST and np.ptp(axes[:, 0]) > _NOTHING:
        some = axes[:, :_INPUTS]
        found += [
            Projection(name, make(some, 2), make(some, 3))
            for name, make in PROJECTIONS.items()
            if name != "UMAP" or umap_installed()
        ]
    return found


def umap_installed() -> bool:
    """Whether umap-learn, an optional package, is there."""
    return find_spec("umap") is not None


def _tsne(axes: Values, dimensions: int) -> Values:
    """t-SNE (van der Maaten and Hinton, JMLR 9:2579, 2008; Barnes-Hut, JMLR 15:3221, 2014).

    500 steps, and in space coarser cells, are as trustworthy as more and finer ones, in a third of
    the time.  It starts from the principal components (Kobak and Berens, Nature Communications
    10:5416, 2019).
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    start = axes[:, :dimensions] / axes[:, 0].std() * 1e-4
    tsne = TSNE(
        dimensions, init=start.astype(np.float32), perplexity=min(30.0, (len(axes) - 1) / 3),
        random_state=0, n_jobs=1, max_iter=500, angle=0.8 if dimensions == 3 else 0.5,
    )  # fmt: skip
    with threadpool_limits(limits=1, user_api="openmp"):  # sums in one order
        return np.asarray(tsne.fit_transform(axes.astype(np.float32)), dtype=np.float64)


def _umap(axes: Values, dimensions: int) -> Values:
    """UMAP (McInnes, Healy and Melville, arXiv:1802.03426, 2018)."""
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed keeps it to one thread, and it says so
        made = UMAP(
            n_components=dimensions, n_neighbors=min(15, len(axes) - 1), random_state=0
        ).fit_transform(axes.astype(np.float32))
    return np.asarray(made, dtype=np.float64)


PROJECTIONS: dict[str, Callable[[Values, int], Values]] = {"t-SNE": _tsne, "UMAP": _umap}


def trustworthiness(vectors: Floats, at: Values, neighbours: int = NEIGHBOURS) -> float:
    """How far neighbours on a map (n, 2 or 3) are neighbours in the embedding: 0 to 1, 1 is best.

    Venna and Kaski, Neighborhood preservation in nonlinear projection methods (ICANN 2001).
    """
    from sklearn.manifold import trustworthiness as measured

    return float(measured(vectors, at, n_neighbors=min(neighbours, max(1, (len(at) - 1) // 2))))


def same_nearest(at: Values, animals: Ints) -> float | None:
    """Share of photographs whose nearest one at (n, d) shows the same animal.

    animals: (n,) numbers, -1 where unknown.  Only animals with two photographs there count; None
    where there are none.
    """
    counts = np.bincount(animals[animals >= 0], minlength=1)
    rows = np.flatnonzero((animals >= 0) & (counts[animals] > 1))
    if not len(rows):
        return None
    squares = (at * at).sum(axis=1)
    far = squares[rows, None] + squares - 2 * at[rows] @ at.T
    far[np.arange(len(rows)), rows] = np.inf
    return float((animals[far.argmin(axis=1)] == animals[rows]).mean())
