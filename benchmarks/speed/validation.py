"""A validation among 10^6 photographs: all queries of a fold, and samples of them.

    python -m benchmarks.speed.validation [--quick]

Photographs are vectors drawn as those of `speed.search`; an individual has three in the mean, and a
third of them one alone.  A fold of five asks the rest, by the same code as a training's: its 10^4
and 10^5 queries that `split.queries` draws, and all of them.  The peak of memory is that of the
process, packages and vectors included; samples come first, so that each row has its own.
"""

import time
from typing import Any

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.timing import peak_mb, save
from benchmarks.speed.search import STAMP, D, photographer
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.splits import split_for
from flukeprint.evaluation.fold_calibration import calibrate_fold
from flukeprint.evaluation.validation import validate
from flukeprint.ranking.features import Features

MEAN = 3  # photographs of an individual
ALIKE = (0.15, 0.6)  # cosines of two photographs of one individual


def drawn(n: int) -> tuple[Catalog, Features]:
    """A catalogue of n photographs with a long tail of individuals, and their features."""
    rng = np.random.default_rng(0)
    individuals = n // 2  # more than are needed
    who = np.repeat(np.arange(individuals), rng.geometric(1 / MEAN, individuals))[:n]
    who = rng.permutation(who)
    names = tuple(f"w{animal}" for animal in who.tolist())
    photos = tuple(f"{row}.jpg" for row in range(n))
    vectors = photographer(rng, int(who.max()) + 1, *ALIKE)(who)
    # Pictures that differ, as copies are never divided by a split.
    pixels = np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 1, 4)
    return (
        Catalog(images=photos, identities=names, pixels=pixels),
        Features(Embeddings.trusted(vectors, photos, names, None, STAMP, "fp32")),
    )


def measured(catalog: Catalog, features: Features, queries: int | None) -> dict[str, Any]:
    """A row: seconds of the split and of the rest, memory and MAP@5 with its interval."""
    config = Config.model_validate({"name": "drawn", "split": {"queries": queries}})
    begin = time.perf_counter()
    split = split_for(config, catalog)
    apart = time.perf_counter()
    found, method = validate(features, split, config)
    calibrate_fold(features, split, config, found, method)
    end = time.perf_counter()
    map5 = found.scores.map5
    row = {
        "what": "all" if queries is None else f"{queries:,} drawn",
        "queries": len(split.queries),
        "gallery": len(split.gallery),
        "reported": found.scores.queries,
        "split_seconds": apart - begin,
        "median": end - apart,
        "mb": peak_mb(),
        "map5": map5.mean,
        "low": map5.low,
        "high": map5.high,
    }
    print(f"  {row}", flush=True)
    return {**row, "all": [row["median"]]}


def main() -> None:
    """Measure and write the result file."""
    given = options("speed.validation", __doc__, ["quick"]).parse_args()
    n, samples = (20_000, (500, 2_000)) if given.quick else (1_000_000, (10_000, 100_000))
    catalog, features = drawn(n)
    rows = [measured(catalog, features, queries) for queries in (*samples, None)]
    save("validation", {"photographs": n, "dimension": D, "rows": rows}, given.quick)


if __name__ == "__main__":
    main()
