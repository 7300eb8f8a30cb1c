"""Project the gallery's embeddings (n, d) to a two-dimensional map, positions (n, 2) in [-1, 1].

Similar photographs tend to be near each other; axes and distances between groups mean nothing.
"""

import numpy as np
import numpy.typing as npt

from flukeprint.data.embeddings import Floats, Values

# Photographs of a t-SNE; with fewer or more the map is of the principal components.
FEWEST_PHOTOS, MOST = 5, 5_000
TSNE_INPUTS = 50  # principal components that t-SNE starts from
NEIGHBOURS = 3  # among which a photograph that is added later is placed
_NOTHING = 1e-6  # a spread of unit float32 vectors that is due to rounding
_ROWS_AT_ONCE = 1 << 13
_SCORES_AT_ONCE = 1 << 22


def project(vectors: Floats) -> Floats:
    """Project unit vectors (n, d) to (n, 2) float32; the longer axis fills [-1, 1].

    From 5 to 5,000 photographs: t-SNE of the first 50 principal components, initialised with PCA
    (van der Maaten and Hinton, JMLR 9:2579, 2008; Barnes-Hut, van der Maaten, JMLR 15:3221, 2014;
    Kobak and Berens, Nature Communications 10:5416, 2019, for that).  Otherwise the first two
    principal components.  The same vectors give the same positions; equal vectors are all at 0, 0.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2:
        raise ValueError(f"vectors are {vectors.shape}, not (n, d)")
    n = len(vectors)
    components = principal_components(vectors, TSNE_INPUTS)
    if FEWEST_PHOTOS <= n <= MOST and np.ptp(components[:, 0]) > _NOTHING:
        return _scaled(_tsne(components))
    return _scaled(components[:, :2])


def principal_components(vectors: npt.ArrayLike, most: int) -> Values:
    """PCA: coordinates (n, min(most, d)) on the principal axes, at least two columns.

    The axis of the largest variance is first; its sign is such that the photograph farthest from
    the mean is positive.  Memory does not grow with n beyond the result.
    Source: Jolliffe, Principal Component Analysis (2002), chapter 3.
    """
    rows = np.asarray(vectors)
    n, d = rows.shape
    out = np.zeros((n, max(2, min(most, d))))
    if n < 2 or d == 0:
        return out
    middle = rows.mean(axis=0, dtype=np.float64)
    starts = range(0, n, _ROWS_AT_ONCE)
    scatter = np.zeros((d, d))
    for start in starts:
        part = rows[start : start + _ROWS_AT_ONCE] - middle
        scatter += part.T @ part
    axes = np.linalg.eigh(scatter).eigenvectors[:, ::-1][:, :most]
    for start in starts:
        part = rows[start : start + _ROWS_AT_ONCE] - middle
        out[start : start + len(part), : axes.shape[1]] = part @ axes
    farthest = np.abs(out).argmax(axis=0)
    signs = np.sign(out[farthest, np.arange(out.shape[1])])
    return np.asarray(out * np.where(signs < 0, -1.0, 1.0))


def placed(known_vectors: Floats, xy: Floats, fresh: Floats) -> Floats:
    """Place photographs that were added after the projection on its map: (m, 2) float32.

    known_vectors: (n, d) unit vectors with positions `xy` (n, 2).  fresh: (m, d) unit vectors.
    The position is the mean over the 3 nearest known photographs (or all, if fewer), weighted by
    their similarity; negative ones have no weight, and if all are negative, weights are equal.
    Of equally near photographs the lower row is taken.
    """
    n, d = known_vectors.shape
    if n == 0 or xy.shape != (n, 2) or fresh.shape != (len(fresh), d):
        raise ValueError(
            f"{fresh.shape} vectors cannot be placed among {known_vectors.shape} at {xy.shape}"
        )
    out = np.empty((len(fresh), 2), dtype=np.float32)
    step = max(1, _SCORES_AT_ONCE // n)
    for start in range(0, len(fresh), step):
        some = fresh[start : start + step].astype(np.float64)
        # Rounded as in the gallery, so that copies of a photograph tie exactly.
        scores = np.empty((len(some), n), dtype=np.float32)
        for left in range(0, n, _ROWS_AT_ONCE):
            part = known_vectors[left : left + _ROWS_AT_ONCE].astype(np.float64)
            scores[:, left : left + len(part)] = some @ part.T
        nearest = np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]
        weights = np.maximum(np.take_along_axis(scores, nearest, axis=1), 0).astype(np.float64)
        weights[weights.sum(axis=1) < _NOTHING] = 1
        weights /= weights.sum(axis=1, keepdims=True)
        out[start : start + step] = np.einsum("mk,mkc->mc", weights, xy[nearest])
    return out


def _tsne(components: Values) -> Values:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n = len(components)
    # As init="pca" would make it, from the components that are computed already.
    start = components[:, :2] / components[:, 0].std() * 1e-4
    tsne = TSNE(
        init=start.astype(np.float32), perplexity=min(30.0, (n - 1) / 3), random_state=0, n_jobs=1
    )
    # In one thread sums have one order.  It is also faster where cores are shared, because threads
    # wait for each other thousands of times.
    with threadpool_limits(limits=1, user_api="openmp"):
        return np.asarray(tsne.fit_transform(components.astype(np.float32)), dtype=np.float64)


def _scaled(positions: Values) -> Floats:
    """Shift and scale positions, both axes alike, so that the longer one fills [-1, 1]."""
    if len(positions) == 0:
        return np.empty((0, 2), dtype=np.float32)
    low, high = positions.min(axis=0), positions.max(axis=0)
    half = float((high - low).max() / 2)
    if half < _NOTHING:
        return np.zeros(positions.shape, dtype=np.float32)
    return np.asarray(np.clip((positions - (low + high) / 2) / half, -1, 1), dtype=np.float32)
