"""Most main memory that large galleries need: each case in a process of its own.

    python benchmarks/memory.py [--quick]

200,000 gallery photographs and 20,000 queries of 512 numbers.  The peak is that of the whole
process; of that, `packages` (torch, above all) and `embeddings` are there before any case begins.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from drawn_vectors import draw
from timing import peak_mb, save

D, PHOTOS, QUERIES, AN_ANIMAL = 512, 200_000, 20_000, 10
FEW = 512  # queries of cases that score all photographs: blocks are alike, however many follow


def measure(quick: bool) -> dict[str, Any]:
    """Rows with the peak in MB and the seconds of each case."""
    photos, queries = (50_000, 2_000) if quick else (PHOTOS, QUERIES)
    rows = []
    for case in ("packages", *CASES):
        command = [sys.executable, __file__, "--case", case, str(photos), str(queries)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{case}: {done.stderr}")
        row = {"what": case, **json.loads(done.stdout.splitlines()[-1])}
        rows.append({**row, "all": [row["median"]]})
        print(f"  {case}: {row['median']:,.0f} MB, {row['seconds']:.1f} s", flush=True)
    return {"photographs": photos, "queries": queries, "dimensions": D, "rows": rows}


def embeddings(photos: int, queries: int) -> tuple[Any, Any]:
    """A catalogue's evidence and its split; gallery and queries stand mixed.

    A tenth of the queries is of individuals that the gallery lacks.
    """
    from flukeprint.data.splits import Split
    from flukeprint.ranking.features import Features

    n, animals = photos + queries, photos // AN_ANIMAL
    # Strangers: animals of which all photographs are queries.
    drawn = draw(n, D, animals + queries // (10 * AN_ANIMAL), seed=1)
    asked = drawn.animals >= animals
    known = np.flatnonzero(~asked)
    asked[np.random.default_rng(2).choice(known, queries - asked.sum(), replace=False)] = True
    embedded = drawn.embeddings("")
    names = embedded.identities
    views = tuple(("left", "right")[row % 2] for row in range(n))
    gallery, places = np.flatnonzero(~asked), np.flatnonzero(asked)
    there = {names[row] for row in gallery.tolist()}
    answers = tuple(names[row] if names[row] in there else None for row in places.tolist())
    evidence = Features(replace(embedded, views=views))
    return evidence, Split(gallery, gallery, places, answers)


def _search(evidence: Any, split: Any) -> None:
    from flukeprint.search.gallery import Gallery

    gallery, queries = evidence.take(split.gallery), evidence.take(split.queries)
    Gallery(gallery.embeddings).search_identities(queries.embeddings, 5)


def _answers(evidence: Any, split: Any, few: bool = False, **rules: Any) -> None:
    from flukeprint.config.schema import RankConfig
    from flukeprint.ranking.pipeline import FittedRules, QueryRanker

    asked = split.queries[:FEW] if few else split.queries
    ranker = QueryRanker(evidence.take(split.gallery), evidence.take(asked), RankConfig(**rules))
    ranker.rank(FittedRules(rules=RankConfig(**rules)))


def _validation(evidence: Any, split: Any, **rules: Any) -> None:
    from flukeprint.config.schema import Config, RankConfig
    from flukeprint.evaluation.fold_calibration import calibrate_fold
    from flukeprint.evaluation.validation import validate

    config = Config(name="memory", rank=RankConfig(**rules))
    result, method = validate(evidence, split, config)
    facts = calibrate_fold(evidence, split, config, result, method)
    print(result.text(), facts.outside, file=sys.stderr)


CASES: dict[str, Callable[[Any, Any], None]] = {
    "embeddings": lambda evidence, split: None,
    "search by individual": _search,
    "rank.within": lambda evidence, split: _answers(evidence, split, within=0.5),
    "rank.whiten, rank.expand": lambda evidence, split: _answers(
        evidence, split, whiten=256, expand=3
    ),
    "rules that score all photographs": lambda evidence, split: _answers(
        evidence, split, few=True, identity="mean", other_view=0.05
    ),
    "validation": _validation,
    "validation with rank.within": lambda evidence, split: _validation(evidence, split, within=0.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="50,000 and 2,000")
    parser.add_argument("--case", nargs=3, metavar=("CASE", "PHOTOS", "QUERIES"))
    asked = parser.parse_args()
    if asked.case is None:
        save("memory", measure(asked.quick), asked.quick)
        return
    case, photos, queries = asked.case
    if case == "packages":
        import flukeprint.evaluation.fold_calibration  # noqa: F401

        print(json.dumps({"median": peak_mb(), "seconds": 0.0}))
        return
    evidence, split = embeddings(int(photos), int(queries))
    begin = time.perf_counter()
    CASES[case](evidence, split)
    print(json.dumps({"median": peak_mb(), "seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
