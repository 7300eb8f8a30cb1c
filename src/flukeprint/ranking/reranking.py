"""Re-ranking.  Unit vectors and neighbours enter, better vectors or similarities leave.

The mathematics of the ranking rules, one pure function a rule; `scoring.py` puts them in order.
Vectors are float32 rows (n, d) of length 1, or of zeros where a photo has no direction left
(its cosine is 0 to everything).  A score is a similarity: higher is nearer.  Sums are made in
float64 and rounded to float32, as in `Gallery`, and matrices of photos by photos are made in
blocks of which only k neighbours stay.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Embeddings, Floats, Ints, Values
from flukeprint.errors import FlukeprintError
from flukeprint.search.exact import nearest_rows
from flukeprint.search.index import Matches
from flukeprint.search.products import FloatProduct, Product

# Most scores held at once, and gallery rows widened to float64 at once.
_SCORES_AT_ONCE = 1 << 21
_ROWS_AT_ONCE = 1 << 13
_LOW = (1 << 32) - 1
_TRIM_PASSES, _TRIM_SHARE, _TRIM_COSINE = 2, 0.75, 0.5


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of `rows` whose scores against `columns` photos fit in memory."""
    step = max(1, _SCORES_AT_ONCE // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def cosines(queries: Floats, gallery: Floats) -> Floats:
    """(b, d), (n, d) -> (b, n) cosines."""
    wide = queries.astype(np.float64)
    scores = np.empty((len(queries), len(gallery)), dtype=np.float32)
    for left in range(0, len(gallery), _ROWS_AT_ONCE):
        part = gallery[left : left + _ROWS_AT_ONCE].astype(np.float64)
        scores[:, left : left + len(part)] = wide @ part.T
    return scores


def sortable(scores: Floats) -> Ints:
    """(b, n) -> (b, n) integers of 32 bits in the order of the scores, equal where these are."""
    bits = (np.asarray(scores, dtype=np.float32) + np.float32(0)).view(np.int32)  # -0 becomes 0
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)


def keys_of(scores: Floats, rows: Ints) -> Ints:
    """(b, n) distinct integers: the greater, the higher the score; of equal ones the lower row."""
    return (sortable(scores) << 32) + (_LOW - rows)


def rows_of(keys: Ints) -> Ints:
    """The rows that `keys_of` was given."""
    return _LOW - (keys & _LOW)


def largest(scores: Floats, k: int) -> Matches:
    """(b, n) -> the min(k, n) best of each row, equal ones by ascending column."""
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
    """The min(k, n - 1) photos of (n, d) nearest to each, itself left out.

    hubs: (n,) terms of CSLS; by cosine without.  labels: (n,) identities, whose own photos are
    left out too; where too few others exist, the last scores are minus infinity.
    product: of `vectors`; by BLAS in float32 without.
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
    """Rows of length 1; rows that are nothing but rounding errors become zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    there = lengths > 1e-6
    return np.asarray(np.where(there, vectors / np.where(there, lengths, 1), 0), dtype=np.float32)


@dataclass(frozen=True)
class Whitening:
    """x -> unit((x - mean) @ matrix); mean (d,), matrix (d, m) float64."""

    mean: Values
    matrix: Values

    def __call__(self, vectors: Floats) -> Floats:
        """(b, d) -> (b, m)."""
        out = np.empty((len(vectors), self.matrix.shape[1]), dtype=np.float32)
        for block in blocks(len(vectors), self.matrix.shape[0]):
            out[block] = unit_or_zero((vectors[block] - self.mean) @ self.matrix)
        return out


def fit_whitening(vectors: Floats, dims: int) -> Whitening:
    """PCA whitening to the `dims` strongest directions of (n, d), or all there are if fewer.

    Source: Jegou and Chum, Negative evidences and co-occurences in image retrieval (2012).
    Raises FlukeprintError when the photos do not differ.
    """
    n, d = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    spread = np.zeros((d, d))
    for block in blocks(n, d):
        centered = vectors[block] - mean
        spread += centered.T @ centered
    values, directions = np.linalg.eigh(spread / n)
    values, directions = values[::-1], directions[:, ::-1]
    # Below are directions in which the photos differ by rounding alone.
    there = int(np.count_nonzero(values > max(1e-9 * values[0], 1e-12)))
    if there == 0:
        raise FlukeprintError(
            "the gallery cannot be whitened: its photos do not differ; set rank.whiten=0"
        )
    keep = min(dims, there)
    return Whitening(mean, directions[:, :keep] / np.sqrt(values[:keep]))


def fit_within(vectors: Floats, labels: Ints, weight: float) -> Whitening:
    """The whitening of the spread that photos (n, d) have around the mean of their identity.

    It shrinks directions in which an animal differs from itself.  The pooled covariance S is
    taken by `weight`, the rest of it a sphere of the same trace: weight * S + (1 - weight) *
    tr(S) / d * I, for identities are few and their photos fewer.

    labels: (n,) identity of each photo.
    Source: Hatch, Kajarekar and Stolcke, Within-class covariance normalization (2006);
    shrinkage as Ledoit and Wolf (2004).
    Raises FlukeprintError when no identity has two photos that differ.
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
    """The (n, d) less the mean of their identity, identity by identity, some (b, d) at a time."""
    step = max(1, _SCORES_AT_ONCE // (2 * vectors.shape[1]))
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[:1]] - 1))
    borders = np.append(starts, len(order))
    first = 0
    while first < len(borders) - 1:
        # As many whole identities as go together; one of many photos goes alone, in parts.
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


def expanded(vectors: Floats, gallery: Floats, near: Matches, alpha: float) -> Floats:
    """(b, d) -> (b, d) unit(x + sum of max(s, 0)**alpha * y over its neighbours y with score s).

    alpha 0 adds every neighbour with s > 0 alike.  Sources: Radenovic et al., Fine-tuning CNN
    image retrieval with no human annotation (2018), section 3.3; for a gallery's own photos
    Arandjelovic and Zisserman, Three things everyone should know (2012), section 3.
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
    """(n, d) -> (n, d), every photo `expanded` by its k nearest others as they were before."""
    near = neighbours(vectors, k, product=product)
    out = np.empty_like(vectors)
    for block in blocks(len(vectors), vectors.shape[1]):
        some = Matches(near.scores[block], near.rows[block])
        out[block] = expanded(vectors[block], vectors, some, alpha)
    return out


def hubs_of(near: Matches) -> Floats:
    """(q,) mean similarity to the neighbours, 0 for a photo without any."""
    there = np.isfinite(near.scores)
    sums = np.where(there, near.scores, 0).sum(axis=1, dtype=np.float64)
    return np.asarray(sums / np.maximum(there.sum(axis=1), 1), dtype=np.float32)


def csls(scores: Floats, query_hubs: Floats, gallery_hubs: Floats) -> Floats:
    """(b, n) cosines -> (b, n) cos - (r(x) + r(y)) / 2, half of the paper's CSLS.

    query_hubs, gallery_hubs: (b,), (n,) mean cosine r to the k nearest gallery photos, for a
    gallery photo to those of other identities: its own animal is no sign of a hub.  The paper
    takes r(y) over the queries; over the gallery an answer needs no companions.
    Source: Conneau et al., Word translation without parallel data (2018), equation 3.
    """
    return np.asarray(scores - (query_hubs[:, None] + gallery_hubs) / 2, dtype=np.float32)


def trimmed(vectors: Floats) -> Ints:
    """Positions, ascending, of the photos (m, d) that make an identity's prototype.

    Twice, while there are four or more: of the mean's neighbours keep those with a cosine
    above 0.5, at least the nearest three quarters.
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
    """(m, d) -> (d,) the mean at length 1; the first photo where they cancel out."""
    mean: Floats = unit_or_zero(vectors.mean(axis=0, dtype=np.float64)[None])[0]
    first: Floats = vectors[0]
    return mean if mean.any() else first


def ensemble(parts: Sequence[Embeddings], weights: Sequence[float] | None = None) -> Embeddings:
    """The same photos as several networks see them, side by side.

    The cosine of two results is the weighted mean of the networks' cosines: each part is
    multiplied by the root of its weight's share.  The stamp is a digest of stamps and shares.

    Args:
        parts: (n, d_i) of the same photos in the same order.
        weights: one positive number a part; equal without.

    Raises:
        FlukeprintError: different photos, identities or views, or weights that do not fit.
    """
    if not parts:
        raise FlukeprintError("an ensemble needs the embeddings of one network or more")
    given = [1.0] * len(parts) if weights is None else [float(weight) for weight in weights]
    if len(given) != len(parts) or not all(0 < weight < np.inf for weight in given):
        raise FlukeprintError(
            f"an ensemble of {len(parts)} needs as many weights above 0, not {given}"
        )
    first = parts[0]
    for number, part in enumerate(parts[1:], start=2):
        for name in ("images", "identities", "views"):
            if getattr(part, name) != getattr(first, name):
                raise FlukeprintError(
                    f"part {number} of the ensemble has other {name} than part 1; "
                    "embed the same photos in the same order with every network"
                )
    shares = [weight / sum(given) for weight in given]
    facts = [[part.stamp, f"{share:.9f}"] for part, share in zip(parts, shares, strict=True)]
    return Embeddings(
        vectors=np.concatenate(
            [
                part.vectors * np.float32(np.sqrt(share))
                for part, share in zip(parts, shares, strict=True)
            ],
            axis=1,
        ),
        images=first.images,
        identities=first.identities,
        views=first.views,
        stamp=hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16],
    )
