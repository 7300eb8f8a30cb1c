"""Score a gallery's identities for queries by the ranking rules of `RankConfig`.

The rules are applied in this order; the right column is the range of the scores after each:

    whiten, within,
    augment_gallery, expand            better vectors; cosines stay in [-1, 1]
    hubness                            cos - (r(x) + r(y)) / 2, in [-2, 2]; mostly near 0
    reciprocal                         (1 - w) score + w J, J in [0, 1] shared neighbours
    other_view                         lower by at most `other_view`
    adjustment                         whatever it adds, photograph by photograph (keypoints)
    identity                           max and mean stay in the range of the photographs
    prototype                          (1 - w) score + w cosine to the mean of its photographs
    head                               (1 - w) score + w cosine to the class centre
    fuse                               instead of adjustment and head: the probability of
                                       `score_parts.py`, in [0, 1]

With all rules off the result is that of `Gallery.search_identities`, to the bit.  No rule lets a
query's answer depend on the other queries.  A threshold holds for the rules it was fitted with.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.identity_scores import ClassCenters, IdentityScores, check_comparable
from flukeprint.ranking.k_reciprocal import Reciprocal
from flukeprint.ranking.local.strengths import LocalMatcher
from flukeprint.ranking.neighbours import (
    blocks,
    cosines,
    csls,
    hubs_of,
    keys_of,
    largest,
    neighbours,
    rows_of,
)
from flukeprint.ranking.rules import looks_at_all, nearest_decides, plain_cosines
from flukeprint.ranking.score_parts import Fusion, PartScores, PhotoScores, ScoreParts
from flukeprint.ranking.vector_rules import VectorRules
from flukeprint.search.candidates import Candidates, leading
from flukeprint.search.exact import nearest_rows
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import IdentityMatches

_PHOTOS_EACH = 8  # photographs looked for, for each identity that is wanted
_DEEPEST = 4096  # photographs of a query above which identities are searched for instead


class ScoreAdjustment(Protocol):
    """Changes the scores of photographs, for example by matched keypoints."""

    def __call__(self, query_rows: Ints, scores: Floats) -> Floats:
        """Adjusted scores (b, n) from (b,) rows of the queries and their (b, n) scores."""


@runtime_checkable
class ShortlistAdjustment(ScoreAdjustment, Protocol):
    """Raises the scores of each query's best photographs by cosine, and changes no others."""

    @property
    def candidates(self) -> int:
        """How many of a query's best photographs may change."""

    def of_candidates(self, query_rows: Ints, rows: Ints, scores: Floats) -> Floats:
        """Scores (b, c), none lower, of gallery rows (b, c) with scores (b, c), best first."""


class Scorer:
    """Scores queries against one gallery; what does not depend on the queries is made once."""

    def __init__(
        self, gallery: Gallery, rules: RankConfig, centers: Embeddings | None = None
    ) -> None:
        """
        Args:
            gallery: of n photographs.
            rules: all but the section `local`, which an `adjustment` of `search` applies.
            centers: (m, d) class centres of the network's head, `identities` naming the classes;
                a class may have several rows.  Used only if rules.head is not 0; classes that
                the gallery lacks are left out.

        Raises:
            FlukeprintError: rules.head without centres, centres of another network, a gallery
                that cannot be whitened, or an index that may miss photographs with rules that
                need all of them.
        """
        self.gallery, self.rules = gallery, rules
        if gallery.index is not None and not gallery.index.exact and looks_at_all(rules):
            raise FlukeprintError(
                f"the section rank looks at all photographs, and gallery.backend="
                f"{gallery.index.name} finds only some; set gallery.backend=exact or leave the "
                "rules of rank at their defaults"
            )
        self._labels = gallery.labels
        self._centers = ClassCenters(gallery, rules, centers)
        self._vector_rules = VectorRules(gallery, rules)
        self._hubs = None
        if rules.hubness:
            vectors = self._vector_rules.gallery_vectors
            product = gallery.product(vectors)
            near = neighbours(vectors, rules.hubness, labels=self._labels, product=product)
            self._hubs = hubs_of(near)
        self._reciprocal = (
            Reciprocal(self._vector_rules.gallery_vectors, rules.reciprocal, self._hubs)
            if rules.reciprocal and rules.reciprocal_weight
            else None
        )
        self._identity_scores = IdentityScores(self._labels, rules, self._vector_rules)

    def search(
        self,
        queries: Embeddings,
        top: int,
        *,
        adjustment: ScoreAdjustment | None = None,
        rows: Ints | None = None,
        other_view: float | None = None,
    ) -> IdentityMatches:
        """Find the `top` best identities of every query (or all, if fewer), best first.

        Args:
            queries: (q, d), embedded by the gallery's network.
            adjustment: changes the photographs' scores, a block of queries at a time.
            rows: (q,) the numbers by which `adjustment` knows the queries; None: 0 to q - 1.
            other_view: subtracted from the score of photographs whose view is known and differs
                from the query's; None: the number of rules.other_view.

        Returns:
            Scores, each with the row of the identity's best-matching photograph, whatever
            rules.identity is.  Equal scores are ordered by that row.

        Raises:
            FlukeprintError: another network embedded the queries.
            ValueError: rules.other_view is `fit` and no number is given.
        """
        if top < 1:
            raise ValueError(f"at least one identity must be asked for, not {top}")
        check_comparable(self.gallery, queries, "the queries")
        other_view = self._other_view(other_view)
        if self.rules.fuse:
            raise ValueError("rules that fuse the parts of a score need `search_fused`")
        if adjustment is None and other_view == 0 and plain_cosines(self.rules):
            return self.gallery.search_identities(queries, top)
        keep = min(top, len(self.gallery.vocabulary))
        if (
            other_view == 0
            and plain_cosines(self.rules)
            and isinstance(adjustment, ShortlistAdjustment)
        ):
            numbers = np.arange(len(queries)) if rows is None else rows
            return self._shortlisted(queries, top, adjustment, numbers)
        if adjustment is None and other_view == 0 and self._only_vectors():
            ours = self._vector_rules
            vectors = ours.improved(queries.vectors, many=True)
            scores, found = nearest_rows(
                vectors, ours.gallery_vectors, keep, ours.product, self._labels
            )
            return IdentityMatches(scores, self._labels[found], found, self.gallery.vocabulary)
        scores = np.empty((len(queries), keep), dtype=np.float32)
        found = np.empty((len(queries), keep), dtype=np.int64)
        numbers = np.arange(len(queries)) if rows is None else rows
        for block, raw, vectors, plain, photos in self.photo_scores(queries, other_view):
            if adjustment is not None:
                photos = _adjusted(adjustment, numbers[block], photos)
            best = self._identity_scores.best_photos(photos)
            of_identities = self._identity_scores(vectors, plain, photos, best)
            names = self._centers.blended(raw, of_identities)
            scores[block], found[block] = self._first(names, best, keep)
        return IdentityMatches(scores, self._labels[found], found, self.gallery.vocabulary)

    def _shortlisted(
        self, queries: Embeddings, top: int, adjustment: ShortlistAdjustment, rows: Ints
    ) -> IdentityMatches:
        """What `search` finds by all scores, from the best photographs and identities alone.

        An identity without a photograph among the candidates keeps its score, and none falls: so it
        is among the first `top` only if it is there by cosine.
        """
        q, n, keep = len(queries), len(self.gallery), min(top, len(self.gallery.vocabulary))
        count = min(adjustment.candidates, n)
        if not count:
            return self.gallery.search_identities(queries, top)
        deeper = _PHOTOS_EACH * keep
        near = self.gallery.search(queries, max(count, deeper if deeper <= _DEEPEST else 0))
        gained = near.scores.copy()
        gained[:, :count] = adjustment.of_candidates(
            rows, near.rows[:, :count], near.scores[:, :count]
        )
        width = near.rows.shape[1]
        found = Candidates(np.repeat(np.arange(q), width), near.rows.ravel(), gained.ravel())
        # Most often the best photographs are of enough identities already.
        kinds = [len(np.unique(names)) for names in self._labels[near.rows]]
        few = np.flatnonzero(np.array(kinds, np.int64) < keep)
        if len(few):
            plain = self.gallery.search_identities(queries.take(few), top)
            more = Candidates(np.repeat(few, keep), plain.rows.ravel(), plain.scores.ravel())
            found = Candidates.joined([found, more])
        scores, best = leading(found, q, keep, self._labels)
        return IdentityMatches(scores, self._labels[best], best, self.gallery.vocabulary)

    def search_fused(
        self,
        queries: Embeddings,
        top: int,
        fusion: Fusion,
        *,
        local: LocalMatcher | None = None,
        rows: Ints | None = None,
        other_view: float | None = None,
    ) -> IdentityMatches:
        """Find the `top` likeliest identities of every query by the fused parts of their scores.

        fusion: fitted for these rules.  The other arguments are those of `part_scores`.
        """
        keep = min(top, len(self.gallery.vocabulary))
        scores = np.empty((len(queries), keep), dtype=np.float32)
        found = np.empty((len(queries), keep), dtype=np.int64)
        for found_in in self.part_scores(queries, local=local, rows=rows, other_view=other_view):
            block, photos, strengths, parts = found_in
            best = self._identity_scores.best_photos(fusion.of_photographs(photos, strengths))
            names = fusion(parts)
            scores[block], found[block] = self._first(names, best, keep)
        return IdentityMatches(scores, self._labels[found], found, self.gallery.vocabulary)

    def _first(self, names: Floats, best: Ints, keep: int) -> tuple[Floats, Ints]:
        """Scores and photographs (b, keep) of the best identities, by scores and best rows (b, c).

        Equal scores are ordered by row.
        """
        found = rows_of(np.sort(keys_of(names, best), axis=1)[:, ::-1][:, :keep])
        return np.take_along_axis(names, self._labels[found], axis=1), found

    def part_scores(
        self,
        queries: Embeddings,
        *,
        local: LocalMatcher | None = None,
        rows: Ints | None = None,
        other_view: float | None = None,
    ) -> Iterator[PartScores]:
        """Score every identity by each part alone, for blocks of queries.

        Args:
            local: matches keypoints; None leaves that part out.
            rows: (q,) the numbers by which `local` knows the queries; None: 0 to q - 1.
            other_view: as for `search`.
        """
        numbers = np.arange(len(queries)) if rows is None else rows
        for block, raw, vectors, plain, photos in self.photo_scores(queries, other_view):
            best = self._identity_scores.best_photos(photos)
            of_identities = self._identity_scores(vectors, plain, photos, best)
            matched = None if local is None else local(numbers[block], photos)
            head = None
            if self.rules.head:
                head = self._centers.heads(raw, of_identities).astype(np.float32)
            yield PartScores(
                block,
                photos,
                None if matched is None else matched.photographs,
                ScoreParts(of_identities, head, None if matched is None else matched.identities),
            )

    def photo_scores(
        self, queries: Embeddings, other_view: float | None = None
    ) -> Iterator[PhotoScores]:
        """Score every photograph for blocks of queries, before any adjustment.

        other_view: as for `search`.

        Raises:
            FlukeprintError: another network embedded the queries.
        """
        check_comparable(self.gallery, queries, "the queries")
        other_view = self._other_view(other_view)
        mine, theirs = view_numbers(queries.views, self.gallery.embeddings.views)
        for block in blocks(len(queries), len(self.gallery)):
            raw = queries.vectors[block]
            vectors = self._vector_rules.improved(raw, many=self._only_vectors())
            plain = cosines(vectors, self._vector_rules.gallery_vectors)
            photos = self._related(vectors, plain)
            if other_view and mine is not None and theirs is not None:
                differ = (mine[block, None] != theirs) & (mine[block, None] >= 0) & (theirs >= 0)
                photos = photos - np.float32(other_view) * differ.astype(np.float32)
            yield PhotoScores(block, raw, vectors, plain, photos)

    def whitened(self, vectors: Floats) -> Floats:
        """Whiten embeddings (b, d) as the gallery's own: (b, d') rows of length 1."""
        return self._vector_rules.whitened(vectors)

    def _other_view(self, given: float | None) -> float:
        if given is not None:
            return given
        if self.rules.other_view == "fit":
            raise ValueError(
                "other_view is to be fitted: pass the number that fit_other_view chose"
            )
        return self.rules.other_view

    def _only_vectors(self) -> bool:
        """Whether the rules improve vectors and change nothing else, `other_view` aside."""
        return nearest_decides(self.rules) and not plain_cosines(self.rules)

    def _related(self, vectors: Floats, scores: Floats) -> Floats:
        """Scores (b, n) after the rules that look at neighbours."""
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


def _adjusted(adjustment: ScoreAdjustment, rows: Ints, scores: Floats) -> Floats:
    changed = np.asarray(adjustment(rows, scores), dtype=np.float32)
    if changed.shape != scores.shape:
        raise ValueError(f"an adjustment of {scores.shape} scores returned {changed.shape}")
    return changed


def view_numbers(
    queries: Sequence[str | None] | None, gallery: Sequence[str | None] | None
) -> tuple[Ints | None, Ints | None]:
    """Number the views of queries (q,) and gallery (n,): equal for equal views, -1 for unknown.

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
