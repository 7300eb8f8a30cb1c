"""Peak memory of searching, ranking and validating large galleries.

    python -m benchmarks.speed.memory [--quick]

200,000 gallery photographs and 20,000 queries of 512 dimensions; each case runs in a process of its
own.  The peak is that of the whole process and includes the imported packages and the embeddings,
which the cases `packages` and `embeddings` measure alone.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT, module_command
from benchmarks.harness.random_embeddings import random_embeddings
from benchmarks.harness.timing import peak_mb, save

D, PHOTOS, QUERIES, AN_ANIMAL = 512, 200_000, 20_000, 10
FEW = (
    512  # queries of cases that score all photographs: every block of queries needs the same memory
)


def measure(quick: bool) -> dict[str, Any]:
    """Run each case in its own process: rows with its peak in MB and its seconds."""
    photos, queries = (50_000, 2_000) if quick else (PHOTOS, QUERIES)
    rows = []
    for case in ("packages", *CASES):
        command = module_command("speed.memory", "--case", case, str(photos), str(queries))
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{case}: {done.stderr}")
        row = {"what": case, **json.loads(done.stdout.splitlines()[-1])}
        rows.append({**row, "all": [row["median"]]})
        print(f"  {case}: {row['median']:,.0f} MB, {row['seconds']:.1f} s", flush=True)
    return {"photographs": photos, "queries": queries, "dimensions": D, "rows": rows}


def embeddings(photos: int, queries: int) -> tuple[Any, Any]:
    """Features and split of a made-up catalogue, gallery and queries interleaved.

    A tenth of the queries show individuals that are not in the gallery.
    """
    from flukeprint.data.splits import Split
    from flukeprint.ranking.features import Features

    n, animals = photos + queries, photos // AN_ANIMAL
    # New individuals: all their photographs are queries.
    made = random_embeddings(n, D, animals + queries // (10 * AN_ANIMAL), seed=1)
    is_query = made.animals >= animals
    others = np.flatnonzero(~is_query)
    is_query[np.random.default_rng(2).choice(others, queries - is_query.sum(), replace=False)] = (
        True
    )
    embedded = made.named("")
    names = embedded.identities
    views = tuple(("left", "right")[row % 2] for row in range(n))
    gallery, places = np.flatnonzero(~is_query), np.flatnonzero(is_query)
    known = {names[row] for row in gallery.tolist()}
    answers = tuple(names[row] if names[row] in known else None for row in places.tolist())
    features = Features(replace(embedded, views=views))
    return features, Split(gallery, gallery, places, answers)


def _search(features: Any, split: Any) -> None:
    from flukeprint.search.gallery import Gallery

    gallery, queries = features.take(split.gallery), features.take(split.queries)
    Gallery(gallery.embeddings).search_identities(queries.embeddings, 5)


def _rank(features: Any, split: Any, few: bool = False, **rules: Any) -> None:
    from flukeprint.config.ranking import RankConfig
    from flukeprint.ranking.pipeline import QueryRanker
    from flukeprint.ranking.rules import FittedRules

    queries = split.queries[:FEW] if few else split.queries
    ranker = QueryRanker(features.take(split.gallery), features.take(queries), RankConfig(**rules))
    ranker.rank(FittedRules(rules=RankConfig(**rules)))


def _validation(features: Any, split: Any, **rules: Any) -> None:
    from flukeprint.config.ranking import RankConfig
    from flukeprint.config.schema import Config
    from flukeprint.evaluation.fold_calibration import calibrate_fold
    from flukeprint.evaluation.validation import validate

    config = Config(name="memory", rank=RankConfig(**rules))
    result, method = validate(features, split, config)
    facts = calibrate_fold(features, split, config, result, method)
    print(result.text(), facts.outside, file=sys.stderr)


CASES: dict[str, Callable[[Any, Any], None]] = {
    "embeddings": lambda features, split: None,
    "search by individual": _search,
    "rank.within": lambda features, split: _rank(features, split, within=0.5),
    "rank.whiten, rank.expand": lambda features, split: _rank(
        features, split, whiten=256, expand=3
    ),
    "rules that score all photographs": lambda features, split: _rank(
        features, split, few=True, identity="mean", other_view=0.05
    ),
    "validation": _validation,
    "validation with rank.within": lambda features, split: _validation(features, split, within=0.5),
}


def main() -> None:
    """Measure and write the result file; or run one case, as a process of its own."""
    parser = options("speed.memory", __doc__, ["quick"])
    parser.add_argument(
        "--case", nargs=3, metavar=("CASE", "PHOTOS", "QUERIES"), help="run this case alone"
    )
    given = parser.parse_args()
    if given.case is None:
        save("memory", measure(given.quick), given.quick)
        return
    case, photos, queries = given.case
    if case == "packages":
        import flukeprint.evaluation.fold_calibration  # noqa: F401

        print(json.dumps({"median": peak_mb(), "seconds": 0.0}))
        return
    features, split = embeddings(int(photos), int(queries))
    begin = time.perf_counter()
    CASES[case](features, split)
    print(json.dumps({"median": peak_mb(), "seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
