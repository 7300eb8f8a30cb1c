"""What a fold's queries teach besides the threshold: a split enters, `FoldFacts` leave."""

from dataclasses import dataclass

from flukeprint.answering import Evidence, Method, PreparedGallery
from flukeprint.config import Config
from flukeprint.gallery import Embeddings, Gallery
from flukeprint.half_product import fastest_product
from flukeprint.identifier_card import Measured
from flukeprint.outside import Outside, closeness
from flukeprint.pairing import PairScorer
from flukeprint.splits import Split
from flukeprint.validation import Validation
from flukeprint.verification import Pairs, Verifier, sample_pairs

MOST_PAIRS = 5000  # of different individuals, and of the same


@dataclass(frozen=True)
class FoldFacts:
    """outside, verifier: None where the configuration wants none or the queries are too few."""

    measured: Measured
    outside: Outside | None
    verifier: Verifier | None


def fold_facts(
    evidence: Evidence,
    split: Split,
    config: Config,
    result: Validation,
    method: Method,
    centers: Embeddings | None = None,
) -> FoldFacts:
    """Of the fold's queries against its gallery, none of which the network has learnt.

    evidence: of the whole catalogue that `split` has the rows of.
    """
    gallery, queries = evidence.take(split.gallery), evidence.take(split.queries)
    outside = None
    if config.infer.outside is not None and len(queries):
        plain = Gallery(gallery.embeddings, product=fastest_product)
        outside = Outside.fit(closeness(plain, queries.embeddings), config.infer.outside)
        del plain  # with its vectors in bf16
    prepared = PreparedGallery(gallery, config.rank, centers)
    same, other = sample_pairs(
        queries.embeddings.identities, prepared.gallery.identities, seed=config.split.seed,
        most_other=MOST_PAIRS, most_same=MOST_PAIRS,
    )  # fmt: skip
    score = PairScorer(prepared, method)
    pairs = Pairs(score(queries, gallery, same), score(queries, gallery, other))
    return FoldFacts(Measured.of(result.scores), outside, Verifier.fit(pairs))
