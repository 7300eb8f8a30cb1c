"""Combine the scores of a gallery's photographs into scores of its identities.

These are the rules `identity` (best photograph, mean of the best, or prototype), `prototype` (blend
with the score of the prototype) and `head` (blend with the cosine to the class centre of the
network's head).
"""

import numpy as np

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints, Values, check_stamp
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.neighbours import cosines, keys_of, rows_of, sortable
from flukeprint.ranking.reranking import mean_direction, trimmed
from flukeprint.ranking.vector_rules import VectorRules
from flukeprint.search.gallery import Gallery


class ClassCenters:
    """The class centres of the network's head that belong to identities of a gallery."""

    def __init__(self, gallery: Gallery, rules: RankConfig, centers: Embeddings | None) -> None:
        """
        Args:
            centers: (m, d), see `Scorer`; without rules.head they are not looked at.

        Raises:
            FlukeprintError: rules.head without centres, or centres of another network.
        """
        self._weight = rules.head
        self._vectors = gallery.embeddings.vectors[:0]
        self._labels = gallery.labels[:0]  # ascending
        if not rules.head:
            return
        if centers is None:
            raise FlukeprintError(
                f"rank.head={rules.head} needs the class centers, and this network comes "
                "without; train it with a loss that has them or set rank.head=0"
            )
        check_comparable(gallery, centers, "the class centers")
        number = gallery.number
        labels = np.array([number.get(name or "", -1) for name in centers.identities], np.int64)
        rows = np.argsort(labels, kind="stable")[np.count_nonzero(labels < 0) :]
        self._vectors, self._labels = centers.vectors[rows], labels[rows]

    def blended(self, raw: Floats, scores: Floats) -> Floats:
        """Blend identity scores (b, c) with the cosine to each identity's nearest class centre.

        raw: (b, d) the queries' embeddings as the network made them, like the centres.

        A centre is mostly less near than the nearest of several photographs.  So an identity
        without one (enrolled after training) has its gallery score alone, moved as the query's
        scores of the other identities are on average; unmoved it would be favoured over them.
        """
        if not len(self._vectors):
            return scores
        heads = self.heads(raw, scores)
        return np.asarray((1 - self._weight) * scores + self._weight * heads, dtype=np.float32)

    def heads(self, raw: Floats, scores: Floats) -> Values:
        """Cosines (b, c) to each identity's nearest class centre; arguments as of `blended`."""
        if not len(self._vectors):
            return scores.astype(np.float64)
        starts = np.flatnonzero(np.diff(self._labels, prepend=-1))
        near = np.maximum.reduceat(cosines(raw, self._vectors), starts, axis=1)
        trained = self._labels[starts]
        moved = (near - scores[:, trained]).mean(axis=1, dtype=np.float64, keepdims=True)
        heads = np.asarray(scores + moved)
        heads[:, trained] = near
        return heads


class IdentityScores:
    """The rules `identity` and `prototype` for the photographs of a gallery."""

    def __init__(self, labels: Ints, rules: RankConfig, vector_rules: VectorRules) -> None:
        """
        Args:
            labels: (n,) identity of each photograph, numbers from 0 on.
            vector_rules: of the same gallery, whose vectors make prototypes.
        """
        self._labels, self._rules = labels, rules
        self._order = np.argsort(labels, kind="stable")  # an identity's photographs together
        self._sizes = np.bincount(labels)
        self._starts = np.searchsorted(labels[self._order], np.arange(len(self._sizes)))
        if rules.prototype or rules.identity == "prototype":
            vectors = vector_rules.gallery_vectors
            photos = np.split(self._order, self._starts[1:])
            kept = [rows[trimmed(vectors[rows])] for rows in photos]
            self._prototypes = np.stack([mean_direction(vectors[rows]) for rows in kept])
            self._kept, self._kept_sizes = np.concatenate(kept), np.array([len(k) for k in kept])

    def best_photos(self, photos: Floats) -> Ints:
        """Each identity's best photograph (b, c) by scores (b, n), the lowest row of equal ones."""
        keys = keys_of(photos[:, self._order], self._order)
        return rows_of(np.maximum.reduceat(keys, self._starts, axis=1))

    def __call__(self, vectors: Floats, plain: Floats, photos: Floats, best: Ints) -> Floats:
        """Scores (b, c) of the identities.

        vectors: (b, d) of the queries.  plain, photos: (b, n) cosines of the photographs, and
        their scores after all rules so far.  best: (b, c) of `best_photos`.
        """
        if self._rules.identity == "prototype":
            return self._of_prototypes(vectors, plain, photos)
        if self._rules.identity == "mean":
            scores = self._mean_of_best(photos)
        else:
            scores = np.take_along_axis(photos, best, axis=1)
        weight = np.float32(self._rules.prototype)
        if not weight:
            return scores
        return (1 - weight) * scores + weight * self._of_prototypes(vectors, plain, photos)

    def _of_prototypes(self, vectors: Floats, plain: Floats, photos: Floats) -> Floats:
        scores = cosines(vectors, self._prototypes)
        if photos is plain:
            return scores
        # Rules change the scores of photographs: a prototype takes the mean change of its own.
        change = (photos - plain)[:, self._kept].astype(np.float64)
        starts = np.cumsum(self._kept_sizes) - self._kept_sizes
        means = np.add.reduceat(change, starts, axis=1) / self._kept_sizes
        return np.asarray(scores + means, dtype=np.float32)

    def _mean_of_best(self, photos: Floats) -> Floats:
        # One sort: by identity, then by descending score.
        order = np.argsort((self._labels << 32) - sortable(photos), axis=1)
        sizes = np.minimum(self._sizes, self._rules.best)
        place = np.arange(len(self._labels)) - np.repeat(self._starts, self._sizes)
        kept = place < np.repeat(sizes, self._sizes)
        scores = np.take_along_axis(photos, order, axis=1).astype(np.float64)
        sums = np.add.reduceat(np.where(kept, scores, 0), self._starts, axis=1)
        return np.asarray(sums / sizes, dtype=np.float32)


def check_comparable(gallery: Gallery, others: Embeddings, what: str) -> None:
    """Refuse embeddings that do not compare with the gallery's.

    what: what `others` are of, for the message.

    Raises:
        FlukeprintError: another network made them.
        ValueError: they are of another dimension.
    """
    check_stamp(gallery.embeddings, others, second=what)
    if others.vectors.shape[1] != gallery.embeddings.vectors.shape[1]:
        raise ValueError(f"the gallery and {what} differ in dimension")
