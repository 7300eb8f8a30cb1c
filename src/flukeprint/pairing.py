"""Two photographs beside each other: pairs of photographs enter, a score of each leaves."""

import numpy as np
import numpy.typing as npt

from flukeprint.answering import Evidence, Method, PreparedGallery
from flukeprint.errors import FlukeprintError
from flukeprint.metrics import Values

Ints = npt.NDArray[np.int64]


class PairScorer:
    """What the ranking rules make of two photographs alone.

    The cosine of their embeddings, whitened as the gallery is, and what keypoints add that agree,
    averaged over both directions: which photograph comes first makes no difference.
    """

    def __init__(self, gallery: PreparedGallery, method: Method) -> None:
        self._gallery, self._method = gallery, method

    def __call__(self, first: Evidence, second: Evidence, pairs: Ints) -> Values:
        """(p,) scores of (p, 2) rows of `first` and of `second`.

        Raises FlukeprintError for photographs without the keypoints that the rules match, or
        embedded by two networks.
        """
        if first.embeddings.stamp != second.embeddings.stamp:
            raise FlukeprintError("embeddings of two networks do not compare; embed with one")
        whitened = self._gallery.scorer.whitened
        left = whitened(first.embeddings.vectors[pairs[:, 0]]).astype(np.float64)
        right = whitened(second.embeddings.vectors[pairs[:, 1]]).astype(np.float64)
        scores = (left * right).sum(axis=1)
        backend, gain = self._gallery.backend, self._method.gain
        if backend is None or gain.scale == 0:
            return np.asarray(scores)
        if first.keypoints is None or second.keypoints is None:
            raise FlukeprintError("the ranking rules match keypoints, and there are none of these")
        strengths = []
        for i, j in pairs.tolist():
            one, other = first.keypoints[i], second.keypoints[j]
            both = backend.match(one, other).strength, backend.match(other, one).strength
            strengths.append(sum(both) / 2)
        return np.asarray(scores + gain(strengths))
