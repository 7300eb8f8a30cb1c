"""Apply the ranking rules that improve embeddings: whitening, gallery augmentation and expansion.

After these rules a score is still a cosine.  `scoring.py` applies the rules that change scores.
"""

from functools import cached_property

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Floats
from flukeprint.ranking.neighbours import cosines, largest
from flukeprint.ranking.reranking import augmented_gallery, expanded
from flukeprint.ranking.whitening import Whitening, fit_whitening, fit_within
from flukeprint.search.exact import nearest_rows
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches
from flukeprint.search.products import FloatProduct, Product

_MOST_COPIED = 1 << 28  # bytes of whitened vectors that may be copied, to be searched faster


class VectorRules:
    """The rules `whiten`, `within`, `augment_gallery` and `expand`, fitted on a gallery."""

    def __init__(self, gallery: Gallery, rules: RankConfig) -> None:
        """Fit the whitening; raises FlukeprintError for a gallery that cannot be whitened."""
        self._gallery, self._rules = gallery, rules
        plain = gallery.embeddings.vectors
        self._whitenings: list[Whitening] = []
        if rules.whiten:
            self._whitenings.append(fit_whitening(plain, rules.whiten))
        if rules.within:
            fitted = fit_within(self.whitened(plain), gallery.labels, rules.within)
            self._whitenings.append(fitted)

    @cached_property
    def gallery_vectors(self) -> Floats:
        """The gallery's vectors (n, d'), whitened and augmented; made when first needed."""
        vectors = self.whitened(self._gallery.embeddings.vectors)
        if not self._rules.augment_gallery:
            return vectors
        product = self._gallery.product(vectors)
        return augmented_gallery(vectors, self._rules.augment_gallery, self._rules.alpha, product)

    @cached_property
    def product(self) -> Product:
        """The product of `gallery_vectors`, made when first needed.

        Many whitened vectors are a copy already, of which no further copy is made.
        """
        if self.gallery_vectors.nbytes > _MOST_COPIED:
            return FloatProduct(self.gallery_vectors)
        return self._gallery.product(self.gallery_vectors)

    def whitened(self, vectors: Floats) -> Floats:
        """Whiten embeddings (b, d) as the gallery's own: (b, d') rows of length 1."""
        for whitening in self._whitenings:
            vectors = whitening(vectors)
        return vectors

    def improved(self, vectors: Floats, *, many: bool) -> Floats:
        """Whiten and expand the embeddings (b, d) of queries.

        many: find neighbours without all cosines at once; False for a small block of queries.
        """
        vectors = self.whitened(vectors)
        if self._rules.expand:
            k = min(self._rules.expand, len(self.gallery_vectors))
            if many:
                near = Matches(*nearest_rows(vectors, self.gallery_vectors, k, self.product))
            else:
                near = largest(cosines(vectors, self.gallery_vectors), k)
            vectors = expanded(vectors, self.gallery_vectors, near, self._rules.alpha)
        return vectors
