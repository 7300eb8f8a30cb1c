"""Re-ranking a short list gives what scoring every photograph gives."""

import numpy as np
import pytest

from flukeprint.config.ranking import GalleryConfig, LocalConfig, RankConfig
from flukeprint.data.embeddings import Embeddings, Floats, Ints, unit_rows
from flukeprint.ranking.rules import looks_at_all
from flukeprint.ranking.scoring import Scorer, ShortlistAdjustment
from flukeprint.search.backends import BACKENDS
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Index
from tests.search.contract import named


class Gains:
    """Adds a drawn gain to the best photographs, often the same or none."""

    def __init__(self, candidates: int, n: int, q: int) -> None:
        self.candidates = candidates
        self.gains = np.random.default_rng(5).choice([0, 0, 0.25, 0.5], (q, n)).astype(np.float32)

    def of_candidates(self, query_rows: Ints, rows: Ints, scores: Floats) -> Floats:
        return scores + self.gains[query_rows[:, None], rows]

    def __call__(self, query_rows: Ints, scores: Floats) -> Floats:
        fused = scores.copy()
        for place, query in enumerate(query_rows):
            best = np.lexsort((np.arange(scores.shape[1]), -scores[place]))[: self.candidates]
            fused[place, best] += self.gains[query, best]
        return fused


def plain(gains: Gains):
    """The same, but not known to change candidates alone."""
    return lambda rows, scores: gains(rows, scores)


def copies(n: int, different: int, seed: int) -> Embeddings:
    """Vectors whose products are exact in any order of summation, many of them equal."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-0.25, 0.25], (different, 16))
    return named(unit_rows(signs[rng.integers(0, different, n)]))


@pytest.mark.parametrize("candidates", [0, 1, 4, 25, 60])
@pytest.mark.parametrize("different", [3, 1000])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_short_list_decides_as_all_scores_do(
    candidates: int, different: int, indexed: bool
) -> None:
    photos, queries = copies(60, different, 0), copies(9, 1000, 1)
    rules = RankConfig(local=LocalConfig(candidates=4))
    gains = Gains(candidates, 60, 9)
    assert isinstance(gains, ShortlistAdjustment)
    index: Index | None = None
    if indexed:
        index = BACKENDS["hnsw"].build(photos, GalleryConfig(), None)
    whole, short = Scorer(Gallery(photos), rules), Scorer(Gallery(photos, index=index), rules)
    for top in (1, 5, 30):
        want = whole.search(queries, top, adjustment=plain(gains))
        found = short.search(queries, top, adjustment=gains)
        assert np.array_equal(found.rows, want.rows)
        assert np.array_equal(found.labels, want.labels)
        assert np.array_equal(found.scores, want.scores)
    rows = np.arange(9)[::-1]
    turned = short.search(queries, 5, adjustment=gains, rows=rows)
    again = whole.search(queries, 5, adjustment=plain(gains), rows=rows)
    assert np.array_equal(turned.rows, again.rows)


def test_candidates_of_keypoints_do_not_need_all_scores() -> None:
    assert not looks_at_all(RankConfig(local=LocalConfig(candidates=20)))
    assert looks_at_all(RankConfig(local=LocalConfig(candidates="all")))
    assert looks_at_all(RankConfig(local=LocalConfig(candidates=20), fuse=True))
    assert looks_at_all(RankConfig(local=LocalConfig(candidates=20), other_view=0.1))
