"""Drawn embeddings of photographs, and searches among them by the ranking rules."""

import numpy as np

from flukeprint.config.ranking import RankConfig
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.ranking.scoring import ScoreAdjustment, Scorer
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import IdentityMatches

OFF = RankConfig()


def search(
    queries: Embeddings,
    gallery: Gallery,
    rules: RankConfig,
    *,
    top: int,
    centers: Embeddings | None = None,
    adjustment: ScoreAdjustment | None = None,
    other_view: float | None = None,
) -> IdentityMatches:
    return Scorer(gallery, rules, centers).search(
        queries, top, adjustment=adjustment, other_view=other_view
    )


def drawn(n, names=5, d=6, seed=0, views=True, first=0):
    rng = np.random.default_rng(seed)
    animals = np.random.default_rng(123).normal(size=(names, d))
    who = rng.integers(0, names, n)
    sides = np.array(["left", "right", None], dtype=object)[rng.integers(0, 3, n)]
    vectors = animals[who] + 0.7 * rng.normal(size=(n, d))
    return Embeddings(
        vectors=unit_rows(vectors) if n else np.zeros((0, d), dtype=np.float32),
        images=tuple(f"{first + i}.jpg" for i in range(n)),
        identities=tuple(f"w{i}" for i in who),
        views=tuple(sides) if views else None,
        stamp="net",
    )


def centers_of(names, d=6, stamp="net"):
    """Two centers of every name."""
    vectors = unit_rows(np.random.default_rng(7).normal(size=(2 * len(names), d)))
    twice = tuple(names) * 2
    return Embeddings(vectors, twice, twice, None, stamp)


def same(found, one):
    """Whether identities, rows and scores of two answers are the same."""
    return (
        np.array_equal(found.labels, one.labels)
        and np.array_equal(found.rows, one.rows)
        and np.array_equal(found.scores, one.scores)
    )


def embeddings_of(
    names: list[str | None], seed: int, views: list[str] | None = None, dim: int = 8
) -> Embeddings:
    """Vectors that know nothing of the names."""
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(len(names), dim)))
    images = tuple(f"{seed}_{i}.jpg" for i in range(len(names)))
    return Embeddings(vectors, images, tuple(names), None if views is None else tuple(views), "s")
