"""Metrics that compare two embeddings, as similarities: the higher, the nearer.

`METRICS` makes each from the photographs of a gallery, of which only Mahalanobis learns something.
On vectors of one length cosine and Euclidean order photographs alike: |x - y|^2 = 2 - 2 x.y.
"""

from collections.abc import Callable

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.errors import FlukeprintError

# Similarities (b, n) of vectors (b, d) and (n, d), both float64.
Similarity = Callable[[Values, Values], Values]
MOST_AT_ONCE = 1 << 17  # differences of coordinates, which stay in the processor's cache
_SMALLEST = 1e-6  # of the mean variance: no direction counts for more than by this


def cosine(left: Values, right: Values) -> Values:
    """Cosine similarity x.y / (|x| |y|)."""
    return np.asarray(_unit(left) @ _unit(right).T)


def euclidean(left: Values, right: Values) -> Values:
    """Minus the Euclidean distance |x - y|, by |x|^2 - 2 x.y + |y|^2."""
    squares = (
        np.einsum("bd,bd->b", left, left)[:, None]
        - 2 * left @ right.T
        + np.einsum("nd,nd->n", right, right)
    )
    return np.asarray(-np.sqrt(np.maximum(squares, 0)))


def manhattan(left: Values, right: Values) -> Values:
    """Minus the Minkowski distance with p = 1: the sum of |x_i - y_i|."""
    return _blockwise(left, right, lambda apart: np.asarray(-apart.sum(axis=2)))


def minkowski_3(left: Values, right: Values) -> Values:
    """Minus the Minkowski distance with p = 3: (sum of |x_i - y_i|^3)^(1/3)."""
    return _blockwise(
        left, right, lambda apart: np.asarray(-np.cbrt((apart * apart * apart).sum(axis=2)))
    )


def fit_mahalanobis(vectors: Values, labels: Ints) -> Similarity:
    """Make minus the Mahalanobis distance: sqrt((x - y)' W^-1 (x - y)).

    W is the covariance of photographs (n, d) within their identities, labels (n,).  It is shrunk
    towards a sphere by as much as few photographs demand (Ledoit and Wolf, A well-conditioned
    estimator for large-dimensional covariance matrices, J. Multivariate Analysis 88:365, 2004), so
    that n < d works.  m photographs of an identity give m - 1 independent differences (Helmert
    contrasts), each of covariance W.

    Raises FlukeprintError where no identity has two photographs that differ.
    """
    from scipy.linalg import helmert
    from sklearn.covariance import ledoit_wolf

    rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    differences = [helmert(len(mine)) @ vectors[mine] for mine in rows if len(mine) > 1]
    spread = np.concatenate(differences) if differences else np.zeros((1, vectors.shape[1]))
    if not np.any(np.abs(spread) > 1e-9):
        raise FlukeprintError(
            "Mahalanobis needs an individual with two different photographs in the gallery, to "
            "learn how the photographs of one differ; there is none"
        )
    covariance, _ = ledoit_wolf(spread, assume_centered=True)
    variances, axes = np.linalg.eigh(covariance)
    variances = np.maximum(variances, _SMALLEST * variances.mean())
    whitening = axes / np.sqrt(variances)

    def mahalanobis(left: Values, right: Values) -> Values:
        return euclidean(left @ whitening, right @ whitening)

    return mahalanobis


METRICS: dict[str, Callable[[Values, Ints], Similarity]] = {
    "cosine": lambda vectors, labels: cosine,
    "euclidean": lambda vectors, labels: euclidean,
    "minkowski p=1": lambda vectors, labels: manhattan,
    "minkowski p=3": lambda vectors, labels: minkowski_3,
    "mahalanobis": fit_mahalanobis,
}


def _unit(vectors: Values) -> Values:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _blockwise(left: Values, right: Values, combine: Callable[[Values], Values]) -> Values:
    """Combine |x - y| (b, n, d) to (b, n), so few at once that they stay in the cache."""
    found = np.empty((len(left), len(right)))
    dimension = max(1, right.shape[1])
    step = max(1, MOST_AT_ONCE // dimension)
    some = max(1, MOST_AT_ONCE // (dimension * max(1, min(step, len(right)))))
    for top in range(0, len(left), some):
        block = left[top : top + some, None, :]
        for start in range(0, len(right), step):
            part = right[start : start + step]
            apart = np.abs(block - part)
            found[top : top + len(block), start : start + len(part)] = combine(apart)
    return found
