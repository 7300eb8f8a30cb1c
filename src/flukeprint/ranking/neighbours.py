"""Find nearest neighbours among unit vectors, with or without a correction for hubs.

Vectors are float32 rows (n, d) of length 1, or of zeros where a photograph has no direction left
(its cosine is 0 to everything).  A score is a similarity: higher is nearer.  Sums are made in
float64 and rounded to float32, as in `Gallery`.  Matrices of photographs by photographs are made
in blocks, of which only the k nearest neighbours are kept.
"""

from collections.abc import Iterator

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.search.exact import nearest_rows
from flukeprint.search.index import Matches
from flukeprint.search.products import FloatProduct, Product

# Most scores held at once, and gallery rows widened to float64 at once.
_SCORES_AT_ONCE = 1 << 21
_ROWS_AT_ONCE = 1 << 13
_LOW = (1 << 32) - 1


def block_rows(columns: int) -> int:
    """How many rows of `columns` numbers fit in a block, at least 1."""
    return max(1, _SCORES_AT_ONCE // max(1, columns))


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of `rows` whose scores against `columns` photographs fit in a block."""
    step = block_rows(columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def cosines(queries: Floats, gallery: Floats) -> Floats:
    """Cosines (b, n) of queries (b, d) to a gallery (n, d), summed in float64."""
    wide = queries.astype(np.float64)
    scores = np.empty((len(queries), len(gallery)), dtype=np.float32)
    for left in range(0, len(gallery), _ROWS_AT_ONCE):
        part = gallery[left : left + _ROWS_AT_ONCE].astype(np.float64)
        scores[:, left : left + len(part)] = wide @ part.T
    return scores


def sortable(scores: Floats) -> Ints:
    """Integers (b, n) of 32 bits that sort as the scores (b, n) do, equal where these are equal."""
    bits = (np.asarray(scores, dtype=np.float32) + np.float32(0)).view(np.int32)  # -0 becomes 0
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)


def keys_of(scores: Floats, rows: Ints) -> Ints:
    """Distinct integers (b, n) that sort by score; equal scores by row, the lower row above."""
    return (sortable(scores) << 32) + (_LOW - rows)


def rows_of(keys: Ints) -> Ints:
    """The rows that keys of `keys_of` stand for."""
    return _LOW - (keys & _LOW)


def largest(scores: Floats, k: int) -> Matches:
    """The min(k, n) highest scores of each row of (b, n), equal ones by ascending column."""
    n = scores.shape[1]
    keys = keys_of(scores, np.arange(n))
    if 0 < k < n:
        keys = np.partition(keys, n - k, axis=1)[:, n - k :]
    rows = rows_of(np.sort(keys, axis=1)[:, ::-1][:, :k])
    return Matches(np.take_along_axis(scores, rows, axis=1), rows)


def neighbours(
    vectors: Floats,
    k: int,
    hubs: Floats | None = None,
    labels: Ints | None = None,
    product: Product | None = None,
) -> Matches:
    """The min(k, n - 1) nearest neighbours of each photograph of (n, d) among the others.

    hubs: (n,) mean similarities for `csls`; None: neighbours by cosine.  labels: (n,) identities;
    neighbours of the same identity are left out too, and where too few others exist, the last
    scores are minus infinity.
    product: prepared from `vectors`; None: BLAS in float32.
    """
    n = len(vectors)
    width = min(k, n - 1)
    if hubs is None and width > 0:
        own = np.arange(n) if labels is None else labels
        product = product or FloatProduct(vectors)
        return Matches(*nearest_rows(vectors, vectors, width, product, barred=(own, own)))
    scores, rows = np.empty((n, width), dtype=np.float32), np.empty((n, width), dtype=np.int64)
    for block in blocks(n, n):
        part = cosines(vectors[block], vectors)
        if hubs is not None:
            part = csls(part, hubs[block], hubs)
        part[np.arange(len(part)), np.arange(block.start, block.stop)] = -np.inf
        if labels is not None:
            part[labels[block, None] == labels] = -np.inf
        found = largest(part, width)
        scores[block], rows[block] = found.scores, found.rows
    return Matches(scores, rows)


def unit_or_zero(vectors: Values) -> Floats:
    """Scale rows to length 1; rows that are nothing but rounding errors become zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    there = lengths > 1e-6
    return np.asarray(np.where(there, vectors / np.where(there, lengths, 1), 0), dtype=np.float32)


def hubs_of(near: Matches) -> Floats:
    """Mean similarity (q,) to the nearest neighbours, the r of `csls`; 0 without any."""
    there = np.isfinite(near.scores)
    sums = np.where(there, near.scores, 0).sum(axis=1, dtype=np.float64)
    return np.asarray(sums / np.maximum(there.sum(axis=1), 1), dtype=np.float32)


def csls(scores: Floats, query_hubs: Floats, gallery_hubs: Floats) -> Floats:
    """Correct cosines (b, n) for hubs, photographs that are near to everything.

    The score is cos - (r(x) + r(y)) / 2, half of the paper's CSLS.
    query_hubs, gallery_hubs: (b,), (n,) mean cosine r to the k nearest gallery photographs; for
    a gallery photograph those of other identities, as its own animal is no sign of a hub.  The
    paper takes r(y) over the queries; with the gallery, an answer does not depend on which other
    queries there are.
    Source: Conneau et al., Word translation without parallel data (2018), equation 3.
    """
    return np.asarray(scores - (query_hubs[:, None] + gallery_hubs) / 2, dtype=np.float32)
