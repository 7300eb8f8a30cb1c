"""Improve vectors with their neighbours: query expansion, gallery augmentation and prototypes.

One pure function for each rule; `vector_rules.py` and `identity_scores.py` apply them in order.
Vectors are float32 rows (n, d) of length 1, or of zeros where a photograph has no direction left.
"""

import numpy as np

from flukeprint.data.embeddings import Floats, Ints
from flukeprint.ranking.neighbours import blocks, cosines, largest, neighbours, unit_or_zero
from flukeprint.search.index import Matches
from flukeprint.search.products import Product

_TRIM_PASSES, _TRIM_SHARE, _TRIM_COSINE = 2, 0.75, 0.5


def expanded(vectors: Floats, gallery: Floats, near: Matches, alpha: float) -> Floats:
    """Alpha query expansion: add to each vector (b, d) its neighbours, weighted by similarity.

    unit(x + sum of max(s, 0)**alpha * y) over the neighbours y with score s; alpha 0 adds every
    neighbour with s > 0 alike.  Sources: Radenovic et al., Fine-tuning CNN image retrieval with
    no human annotation (2018), section 3.3; for a gallery's own photographs Arandjelovic and
    Zisserman, Three things everyone should know (2012), section 3.
    """
    total = vectors.astype(np.float64)
    similar = np.maximum(near.scores.astype(np.float64), 0)
    weights = np.where(similar > 0, similar**alpha, 0)
    for place in range(near.rows.shape[1]):
        total += weights[:, place, None] * gallery[near.rows[:, place]]
    return unit_or_zero(total)


def augmented_gallery(
    vectors: Floats, k: int, alpha: float, product: Product | None = None
) -> Floats:
    """Database-side augmentation: every photograph (n, d) `expanded` by its k nearest others.

    The neighbours are added as they were before.
    """
    near = neighbours(vectors, k, product=product)
    out = np.empty_like(vectors)
    for block in blocks(len(vectors), vectors.shape[1]):
        some = Matches(near.scores[block], near.rows[block])
        out[block] = expanded(vectors[block], vectors, some, alpha)
    return out


def trimmed(vectors: Floats) -> Ints:
    """Choose an identity's photographs for its prototype, without outliers; positions ascending.

    Twice, while there are four photographs (m, d) or more: keep those whose cosine to the mean is
    above 0.5, and at least the nearest three quarters.
    Source: pudae, 3rd place of Kaggle's humpback-whale-identification (2019).
    """
    kept = np.arange(len(vectors))
    for _ in range(_TRIM_PASSES):
        if len(kept) < 4:
            break
        center = mean_direction(vectors[kept])
        near = largest(cosines(center[None], vectors[kept]), len(kept))
        above = int(np.count_nonzero(near.scores > _TRIM_COSINE))
        kept = kept[np.sort(near.rows[0, : max(above, int(len(kept) * _TRIM_SHARE))])]
    return kept


def mean_direction(vectors: Floats) -> Floats:
    """The mean (d,) of vectors (m, d), scaled to length 1; the first vector if they cancel out."""
    mean: Floats = unit_or_zero(vectors.mean(axis=0, dtype=np.float64)[None])[0]
    first: Floats = vectors[0]
    return mean if mean.any() else first
