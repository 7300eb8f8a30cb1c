"""What matched keypoints say about photographs and identities, whatever matched them."""

from typing import NamedTuple, Protocol

from flukeprint.data.embeddings import Floats, Ints


class LocalStrengths(NamedTuple):
    """How strongly b queries match a gallery of n photographs of c identities; 0 for no match.

    photographs: (b, n) float32, sums of weights over the descriptors of the query.
    identities: (b, c) float32, the same by identity; a descriptor counts once for each of them, so
        that many alike photographs of one animal gain it nothing.
    """

    photographs: Floats
    identities: Floats


class LocalMatcher(Protocol):
    """Matches the keypoints of queries with a gallery's."""

    def __call__(self, query_rows: Ints, scores: Floats) -> LocalStrengths:
        """Strengths for queries at (b,) rows, whose scores (b, n) may choose who is matched."""
