"""Scoring.  Queries, a gallery and rules enter, the nearest identities of each query leave.

The rules of `RankConfig` in this order, with the range of the scores after each:

    whiten, within,
    augment_gallery, expand            better vectors; cosines stay in [-1, 1]
    hubness                            cos - (r(x) + r(y)) / 2, in [-2, 2]; mostly near 0
    reciprocal                         (1 - w) score + w J, J in [0, 1] the common neighbours
    other_view                         less by at most `other_view`
    boost                              whatever it adds, photo by photo
    identity                           max and mean stay in the range of the photos
    head                               (1 - w) score + w cosine with the class center

All off, the answer is `Gallery.search_identities`, to the bit.  No rule lets a query's
answer depend on the other queries.  A threshold holds for the rules it was fitted with.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from flukeprint.config.schema import RankConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.k_reciprocal import Reciprocal
from flukeprint.ranking.reranking import (
    Whitening,
    augmented_gallery,
    blocks,
    cosines,
    csls,
    expanded,
    fit_whitening,
    fit_within,
    hubs_of,
    keys_of,
    largest,
    mean_direction,
    neighbours,
    rows_of,
    sortable,
    trimmed,
)
from flukeprint.search.exact import nearest_rows
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import IdentityMatches, Matches
from flukeprint.search.products import FloatProduct, Product

_MOST_COPIED = 1 << 28  # bytes of whitened vectors that may be copied, to be searched faster


class ScoreAdjustment(Protocol):
    """Changes the scores of photos, for example by local features."""

    def __call__(self, query_rows: Ints, scores: Floats) -> Floats:
        """(b,) rows of the queries, (b, n) scores of the gallery's photos -> (b, n)."""


class PhotoScores(NamedTuple):
    """Scores of one block of b queries for all n photographs of the gallery.

    block: places of the queries.  raw, vectors: (b, d) their embeddings as they came, and
    whitened and expanded.  cosines: (b, n) of `vectors`; photos: (b, n) after the rules that
    look at neighbours and views.
    """

    block: slice
    raw: Floats
    vectors: Floats
    cosines: Floats
    photos: Floats


class Scorer:
    """A gallery prepared for its rules: what does not depend on the queries is made once."""

    def __init__(
        self, gallery: Gallery, rules: RankConfig, centers: Embeddings | None = None
    ) -> None:
        """
        Args:
            gallery: of n photos.
            rules: their `local` section is the business of `boost`.
            centers: (m, d) class centers as the network's head has them, `identities` naming the
                classes, several rows of a class allowed.  Looked at only if rules.head is not 0;
                classes that the gallery lacks are left out.

        Raises:
            FlukeprintError: rules.head without centers, centers of another network, a gallery
                that cannot be whitened, or rules for a gallery whose index may miss some.
        """
        self.gallery, self.rules = gallery, rules
        if gallery.index is not None and not gallery.index.exact and looks_at_all(rules):
            raise FlukeprintError(
                f"the section rank looks at all photographs, and gallery.backend="
                f"{gallery.index.name} finds only some; set gallery.backend=exact or leave the "
                "rules of rank at their defaults"
            )
        self._labels = gallery.labels
        self._order = np.argsort(self._labels, kind="stable")  # an identity's photos together
        self._starts = np.searchsorted(
            self._labels[self._order], np.arange(len(gallery.vocabulary))
        )
        self._sizes = np.bincount(self._labels)
        self._centers, self._center_labels = self._known_centers(centers)
        plain = gallery.embeddings.vectors
        self._whitenings: list[Whitening] = []
        if rules.whiten:
            self._whitenings.append(fit_whitening(plain, rules.whiten))
        if rules.within:
            fitted = fit_within(self.whitened(plain), self._labels, rules.within)
            self._whitenings.append(fitted)
        self._hubs = None
        if rules.hubness:
            product = gallery.product(self._vectors)
            near = neighbours(self._vectors, rules.hubness, labels=self._labels, product=product)
            self._hubs = hubs_of(near)
        self._reciprocal = (
            Reciprocal(self._vectors, rules.reciprocal, self._hubs)
            if rules.reciprocal and rules.reciprocal_weight
            else None
        )
        if rules.identity == "prototype":
            photos = np.split(self._order, self._starts[1:])
            kept = [rows[trimmed(self._vectors[rows])] for rows in photos]
            self._prototypes = np.stack([mean_direction(self._vectors[rows]) for rows in kept])
            self._kept, self._kept_sizes = np.concatenate(kept), np.array([len(k) for k in kept])

    def search(
        self,
        queries: Embeddings,
        top: int,
        *,
        boost: ScoreAdjustment | None = None,
        rows: Ints | None = None,
        other_view: float | None = None,
    ) -> IdentityMatches:
        """The `top` best identities of every query (or all, if fewer), best first.

        Args:
            queries: (q, d), embedded by the gallery's network.
            boost: called with blocks of queries.
            rows: (q,) the numbers by which `boost` knows the queries; 0 to q - 1 without.
            other_view: taken from the score of photos whose view is known and differs from the
                query's; without it the number of rules.other_view.

        Returns:
            Scores with the photo that speaks for each identity: its best one, whatever
            rules.identity says.  Equal scores by ascending row of that photo.

        Raises:
            FlukeprintError: another network embedded the queries.
            ValueError: rules.other_view is `fit` and no number is given.
        """
        if top < 1:
            raise ValueError(f"at least one identity must be asked for, not {top}")
        self._check_network(queries, "queries")
        other_view = self._other_view(other_view)
        if boost is None and other_view == 0 and self._plain():
            return self.gallery.search_identities(queries, top)
        keep = min(top, len(self.gallery.vocabulary))
        if boost is None and other_view == 0 and self._only_vectors():
            vectors = self._improved(queries.vectors)
            scores, found = nearest_rows(vectors, self._vectors, keep, self._product, self._labels)
            return IdentityMatches(scores, self._labels[found], found, self.gallery.vocabulary)
        scores = np.empty((len(queries), keep), dtype=np.float32)
        found = np.empty((len(queries), keep), dtype=np.int64)
        numbers = np.arange(len(queries)) if rows is None else rows
        for block, raw, vectors, plain, photos in self.photo_scores(queries, other_view):
            if boost is not None:
                photos = _boosted(boost, numbers[block], photos)
            best = self._best(photos)
            names = self._blended(raw, self._of_identities(vectors, plain, photos, best))
            keys = np.sort(keys_of(names, best), axis=1)[:, ::-1][:, :keep]
            found[block] = rows_of(keys)
            scores[block] = np.take_along_axis(names, self._labels[found[block]], axis=1)
        return IdentityMatches(scores, self._labels[found], found, self.gallery.vocabulary)

    def photo_scores(
        self, queries: Embeddings, other_view: float | None = None
    ) -> Iterator[PhotoScores]:
        """Blocks of queries with the score of every photograph, before any boost.

        other_view: as for `search`.

        Raises:
            FlukeprintError: another network embedded the queries.
        """
        self._check_network(queries, "queries")
        other_view = self._other_view(other_view)
        mine, theirs = view_numbers(queries.views, self.gallery.embeddings.views)
        for block in blocks(len(queries), len(self.gallery)):
            raw = queries.vectors[block]
            vectors = self._improved(raw)
            plain = cosines(vectors, self._vectors)
            photos = self._related(vectors, plain)
            if other_view and mine is not None and theirs is not None:
                differ = (mine[block, None] != theirs) & (mine[block, None] >= 0) & (theirs >= 0)
                photos = photos - np.float32(other_view) * differ.astype(np.float32)
            yield PhotoScores(block, raw, vectors, plain, photos)

    def _other_view(self, given: float | None) -> float:
        if given is not None:
            return given
        if self.rules.other_view == "fit":
            raise ValueError("other_view is to be fitted: hand over what fit_other_view chose")
        return self.rules.other_view

    @cached_property
    def _vectors(self) -> Floats:
        """(n, d') the gallery's, whitened and augmented; made when photos are searched."""
        vectors = self.whitened(self.gallery.embeddings.vectors)
        if not self.rules.augment_gallery:
            return vectors
        product = self.gallery.product(vectors)
        return augmented_gallery(vectors, self.rules.augment_gallery, self.rules.alpha, product)

    @cached_property
    def _product(self) -> Product:
        """Made when it is needed; of many whitened vectors, a copy already, no further one."""
        if self._vectors.nbytes > _MOST_COPIED:
            return FloatProduct(self._vectors)
        return self.gallery.product(self._vectors)

    def _plain(self) -> bool:
        """Whether no rule changes anything; other_view is the caller's to look at."""
        rules = self.rules
        return self._nearest_decides() and not any(
            (rules.whiten, rules.within, rules.expand, rules.augment_gallery)
        )

    def _only_vectors(self) -> bool:
        """Whether rules give better vectors and no more; other_view is looked at by `search`."""
        return self._nearest_decides() and not self._plain()

    def _nearest_decides(self) -> bool:
        rules = self.rules
        reciprocal = rules.reciprocal and rules.reciprocal_weight
        return rules.identity == "max" and not any((rules.head, rules.hubness, reciprocal))

    def _check_network(self, others: Embeddings, what: str) -> None:
        mine = self.gallery.embeddings
        if others.stamp != mine.stamp:
            raise FlukeprintError(
                f"embeddings of two networks do not compare: {mine.stamp} made the gallery, "
                f"{others.stamp} the {what}; embed both with one network"
            )
        if others.vectors.shape[1] != mine.vectors.shape[1]:
            raise ValueError(f"the gallery and the {what} differ in dimension")

    def _known_centers(self, centers: Embeddings | None) -> tuple[Floats, Ints]:
        """(m, d) centers of identities in the gallery, by ascending label, and their labels."""
        if not self.rules.head:
            return self.gallery.embeddings.vectors[:0], self._labels[:0]
        if centers is None:
            raise FlukeprintError(
                f"rank.head={self.rules.head} needs the class centers, and this network comes "
                "without; train it with a loss that has them or set rank.head=0"
            )
        self._check_network(centers, "class centers")
        number = self.gallery.number
        labels = np.array([number.get(name or "", -1) for name in centers.identities], np.int64)
        rows = np.argsort(labels, kind="stable")[np.count_nonzero(labels < 0) :]
        return centers.vectors[rows], labels[rows]

    def whitened(self, vectors: Floats) -> Floats:
        """(b, d) embeddings as the gallery's own are whitened, (b, d') rows of length 1."""
        for whitening in self._whitenings:
            vectors = whitening(vectors)
        return vectors

    def _improved(self, vectors: Floats) -> Floats:
        vectors = self.whitened(vectors)
        if self.rules.expand:
            k = min(self.rules.expand, len(self._vectors))
            if self._only_vectors():
                near = Matches(*nearest_rows(vectors, self._vectors, k, self._product))
            else:  # few queries come at once
                near = largest(cosines(vectors, self._vectors), k)
            vectors = expanded(vectors, self._vectors, near, self.rules.alpha)
        return vectors

    def _related(self, vectors: Floats, scores: Floats) -> Floats:
        """(b, n) scores after the rules that look at neighbours."""
        hubs = None
        if self._hubs is not None:
            hubs = hubs_of(largest(scores, self.rules.hubness))
            scores = csls(scores, hubs, self._hubs)
        if self._reciprocal is not None:
            weight = np.float32(self.rules.reciprocal_weight)
            near = largest(scores, self.rules.reciprocal)
            common = self._reciprocal.common(vectors, near, hubs)
            scores = (1 - weight) * scores + weight * common
        return scores

    def _best(self, photos: Floats) -> Ints:
        """(b, n) -> (b, c) each identity's best photo, the lowest row of equal ones."""
        keys = keys_of(photos[:, self._order], self._order)
        return rows_of(np.maximum.reduceat(keys, self._starts, axis=1))

    def _of_identities(self, vectors: Floats, plain: Floats, photos: Floats, best: Ints) -> Floats:
        """(b, c) scores of the identities from the scores of their photos."""
        if self.rules.identity == "mean":
            return self._mean_of_best(photos)
        if self.rules.identity == "max":
            return np.take_along_axis(photos, best, axis=1)
        scores = cosines(vectors, self._prototypes)
        if photos is plain:
            return scores
        # A prototype has no photo-wise scores: it takes the mean change of its own photos'.
        change = (photos - plain)[:, self._kept].astype(np.float64)
        starts = np.cumsum(self._kept_sizes) - self._kept_sizes
        means = np.add.reduceat(change, starts, axis=1) / self._kept_sizes
        return np.asarray(scores + means, dtype=np.float32)

    def _mean_of_best(self, photos: Floats) -> Floats:
        # One sort: by identity, then by descending score.
        order = np.argsort((self._labels << 32) - sortable(photos), axis=1)
        sizes = np.minimum(self._sizes, self.rules.best)
        place = np.arange(len(self._labels)) - np.repeat(self._starts, self._sizes)
        kept = place < np.repeat(sizes, self._sizes)
        scores = np.take_along_axis(photos, order, axis=1).astype(np.float64)
        sums = np.add.reduceat(np.where(kept, scores, 0), self._starts, axis=1)
        return np.asarray(sums / sizes, dtype=np.float32)

    def _blended(self, raw: Floats, scores: Floats) -> Floats:
        """With the nearest center of each identity; both as the network made them.

        A center is mostly less near than the nearest of several photos.  So an identity without
        one (enrolled after training) has its gallery score alone, moved as the query's scores
        of the others are on average; unmoved it would be favoured over them.
        """
        if not len(self._centers):
            return scores
        starts = np.flatnonzero(np.diff(self._center_labels, prepend=-1))
        near = np.maximum.reduceat(cosines(raw, self._centers), starts, axis=1)
        trained = self._center_labels[starts]
        moved = (near - scores[:, trained]).mean(axis=1, dtype=np.float64, keepdims=True)
        heads = scores + moved
        heads[:, trained] = near
        weight = self.rules.head
        return np.asarray((1 - weight) * scores + weight * heads, dtype=np.float32)


def _boosted(boost: ScoreAdjustment, rows: Ints, scores: Floats) -> Floats:
    changed = np.asarray(boost(rows, scores), dtype=np.float32)
    if changed.shape != scores.shape:
        raise ValueError(f"a boost of {scores.shape} scores returned {changed.shape}")
    return changed


def looks_at_all(rules: RankConfig) -> bool:
    """Whether the rules need the scores of all photos of the gallery, so that no index will do."""
    changed = (
        rules.head, rules.whiten, rules.within, rules.expand, rules.augment_gallery, rules.hubness,
        rules.reciprocal and rules.reciprocal_weight, rules.other_view, rules.local.candidates,
    )  # fmt: skip
    return rules.identity != "max" or any(changed)


def view_numbers(
    queries: Sequence[str | None] | None, gallery: Sequence[str | None] | None
) -> tuple[Ints | None, Ints | None]:
    """(q,), (n,) numbers, the same for the same view, -1 for an unknown one.

    None, None where either side knows no views at all.
    """
    if queries is None or gallery is None:
        return None, None
    number: dict[str | None, int] = {None: -1}
    mine, theirs = (
        np.array([number.setdefault(view, len(number)) for view in views], dtype=np.int64)
        for views in (queries, gallery)
    )
    return mine, theirs
