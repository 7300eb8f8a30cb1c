"""Time of exact search for the five nearest photographs, beside scikit-learn and FAISS.

    python -m benchmarks.speed.exact_search [--quick]

Random embeddings clustered by individual, 512 dimensions.  Contestants take turns in one process
with as many threads as there are processors.  Results are checked against float64 sums in another
order, and times are given for several gallery sizes.  A processor that does not multiply bfloat16
numbers itself is not timed with them: there flukeprint searches in float32.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.harness.arguments import options
from benchmarks.harness.random_embeddings import random_embeddings
from benchmarks.harness.timing import in_turns, ratio, save
from flukeprint.cpu import has_bf16
from flukeprint.data.embeddings import Embeddings
from flukeprint.search.bf16 import HalfProduct
from flukeprint.search.gallery import Gallery
from flukeprint.search.index import Matches
from flukeprint.search.products import FloatProduct

D, K, QUERIES, PHOTOS, AN_ANIMAL = 512, 5, 2_000, 100_000, 20
_BLOCK = 256
OURS, OURS_BF16 = "flukeprint, float32", "flukeprint, bf16 shortlist"
OURS_NAMES, OURS_NAMES_BF16 = f"{OURS}, by individual", f"{OURS_BF16}, by individual"
BARE, BARE_BF16 = "bare product, float32", "bare product, bf16"
SKLEARN, SKLEARN_EUCLIDEAN = "scikit-learn, cosine", "scikit-learn, euclidean"
FAISS = "FAISS, flat"


def measure(quick: bool) -> dict[str, Any]:
    """Time all contestants: seconds for all queries, ratios, and seconds by gallery size."""
    photos, count = (PHOTOS // 4, QUERIES // 4) if quick else (PHOTOS, QUERIES)
    gallery, queries = pair(photos, count)
    print(f"{count:,} queries in {photos:,} photographs of {D} numbers")
    seconds = in_turns(contestants(gallery, queries))
    ratios = {
        f"{one} / {other}": ratio(seconds[one], seconds[other])
        for one, other in (
            (OURS, BARE), (OURS_BF16, BARE_BF16), (SKLEARN, OURS), (SKLEARN_EUCLIDEAN, OURS),
            (FAISS, OURS), (SKLEARN, OURS_BF16), (FAISS, OURS_BF16),
        )
        if one in seconds and other in seconds
    }  # fmt: skip
    for what, times in ratios.items():
        print(f"  {what}: {times:.2f}")
    return {
        "photographs": photos,
        "queries": count,
        "dimensions": D,
        "rows": [
            {"what": what, "median": statistics.median(took), "all": took}
            for what, took in seconds.items()
        ],
        "ratios": ratios,
        "checked": checked(gallery, queries, 100 if quick else 400),
        "growth": growth(quick),
    }


def pair(photos: int, queries: int) -> tuple[Embeddings, Embeddings]:
    """A gallery, and queries of the same individuals."""
    animals = max(K, photos // AN_ANIMAL)
    gallery = random_embeddings(photos, D, animals, seed=1).named("gallery/")
    return gallery, random_embeddings(queries, D, animals, seed=2).named("query/")


def contestants(gallery: Embeddings, queries: Embeddings) -> dict[str, Callable[[], object]]:
    """Searches to time; what is built once for a gallery is built here, untimed."""
    import faiss
    from sklearn.neighbors import NearestNeighbors

    x, y = queries.vectors, gallery.vectors
    flat = faiss.IndexFlatIP(D)
    flat.add(y)
    cosine = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(y)
    euclidean = NearestNeighbors(n_neighbors=K, metric="euclidean", algorithm="brute").fit(y)
    single = Gallery(gallery, product=FloatProduct)
    taking: dict[str, Callable[[], object]] = {
        SKLEARN: lambda: cosine.kneighbors(x),
        SKLEARN_EUCLIDEAN: lambda: euclidean.kneighbors(x),
        FAISS: lambda: flat.search(x, K),
        BARE: partial(in_blocks, x, y),
        OURS: lambda: single.search(queries, K),
        OURS_NAMES: lambda: single.search_identities(queries, K),
    }
    if has_bf16():
        x16, y16 = torch.from_numpy(x).bfloat16(), torch.from_numpy(y).bfloat16()
        half = Gallery(gallery, product=HalfProduct)
        taking |= {
            BARE_BF16: partial(in_blocks, x16, y16),
            OURS_BF16: lambda: half.search(queries, K),
            OURS_NAMES_BF16: lambda: half.search_identities(queries, K),
        }
    return taking


def in_blocks(queries: Any, photos: Any) -> None:
    """The matrix product alone, whose result is discarded."""
    for start in range(0, len(queries), _BLOCK):
        queries[start : start + _BLOCK] @ photos.T


def checked(gallery: Embeddings, queries: Embeddings, sample: int) -> dict[str, Any]:
    """Check the matches of some queries against float64 sums; AssertionError if one differs."""
    rows = np.random.default_rng(3).choice(len(queries), min(sample, len(queries)), replace=False)
    some = queries.take(np.sort(rows))
    labels = np.unique(gallery.identities, return_inverse=True)[1]
    apart = 0.0
    for kind in (FloatProduct, HalfProduct):
        searched = Gallery(gallery, product=kind)
        photos, names = searched.search(some, K), searched.search_identities(some, K)
        for place, query in enumerate(some.vectors):
            true = gallery.vectors @ query.astype(np.float64)
            order = np.argsort(-true.astype(np.float32), kind="stable")
            _, first = np.unique(labels[order], return_index=True)
            for found, want in ((photos, order), (names, order[np.sort(first)])):
                apart = max(apart, _difference(found, place, want[:K], true))
    print(f"  matches of {len(some)} queries are those of float64 sums (scores within {apart:.1e})")
    return {"queries": len(some), "greatest_difference": apart}


def _difference(found: Matches | Any, place: int, want: Any, true: Any) -> float:
    """Greatest difference of the scores; other photographs are allowed only at equal scores."""
    rows = found.rows[place]
    if not np.array_equal(rows, want) and np.abs(true[rows] - true[want]).max() > 2**-24:
        raise AssertionError(f"query {place}: {rows} instead of {want}")
    return float(np.abs(found.scores[place] - true[rows]).max())


def growth(quick: bool) -> list[dict[str, Any]]:
    """Seconds per 1,000 queries, by gallery size."""
    rows = []
    for photos in (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
        count = 1_000 if photos <= 10_000 else 300 if photos <= 100_000 else 256
        gallery, queries = pair(photos, count)
        print(f"{photos:,} photographs")
        searched = {OURS: Gallery(gallery, product=FloatProduct)}
        if has_bf16():
            searched[OURS_BF16] = Gallery(gallery)
        seconds = in_turns(
            {what: partial(one.search, queries, K) for what, one in searched.items()}, rounds=3
        )
        rows += [
            {
                "what": what,
                "photographs": photos,
                "median": 1000 / count * statistics.median(took),
                "all": [1000 / count * one for one in took],
            }
            for what, took in seconds.items()
        ]
    return rows


def main() -> None:
    """Measure and write the result file."""
    quick = options("speed.exact_search", __doc__, ["quick"]).parse_args().quick
    save("exact_search", measure(quick), quick)


if __name__ == "__main__":
    main()
