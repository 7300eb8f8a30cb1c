"""Cost and worth of matching keypoints: one query against a whole gallery at once, and by pairs.

    python -m benchmarks.speed.matching --photos FOLDER [--part PART ...] [--again] [--peers FOLDER]

FOLDER holds `nyala` and `lions`, as `input/` does.  Both ways of `rank.local.matcher`, `sift` and
`lnbnn`, match the same queries with the same gallery, on keypoints alone.  `growth` and `million`
draw descriptors and need no photographs.  What was measured is not measured again without --again.
Writes `benchmarks/results/matching.json` and `benchmarks/reports/matching.md`.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from benchmarks.harness.timing import machine
from benchmarks.speed import matching_growth, matching_peer
from benchmarks.speed.matching_page import page
from flukeprint.config.load import load_config
from flukeprint.config.ranking import LocalConfig
from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import split_for
from flukeprint.evaluation.comparison import paired_bootstrap
from flukeprint.evaluation.metrics import ap_at_5
from flukeprint.files import written_whole
from flukeprint.ranking.local.descriptor_index import DescriptorIndex, NearestDescriptors
from flukeprint.ranking.local.fusion import KeypointFusion, KeypointGain
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.naive_bayes import NaiveBayesMatcher, nearest_exactly

RESULT, PAGE = RESULTS / "matching.json", REPORTS / "matching.md"
FOLDS, ROUNDS, CANDIDATES = 5, 3, 300
UPRIGHT = {"nyala": True, "lions": False}  # as their recipes look for keypoints
TIMED = 5  # queries in each round
COMPARED = {"nyala": 16, "lions": 40}  # queries that are matched by pairs and exactly, too
NEIGHBOURS = (2, 3, 4, 5, 6)
VERIFIED = (0, 20, 50)
PARTS = ("nyala", "lions", "growth", "million")


@dataclass(frozen=True)
class PhotoFold:
    """Keypoints of a fold: gallery (n) and queries (q), their identities as numbers, files."""

    name: str
    gallery: KeypointStore
    queries: KeypointStore
    labels: Ints
    truths: Ints
    gallery_paths: tuple[Path, ...]
    query_paths: tuple[Path, ...]

    def some(self) -> Ints:
        """The queries that every way answers, drawn."""
        drawn = np.random.default_rng(0).permutation(len(self.queries))
        return np.sort(drawn[: COMPARED[self.name]])


def settings(name: str, **further: Any) -> LocalConfig:
    """How keypoints of a data set are found and matched."""
    return LocalConfig.model_validate(
        {"candidates": "all", "upright": UPRIGHT[name], **{"matcher": "lnbnn", **further}}
    )


def read(name: str, photos: Path, cache: Path) -> PhotoFold:
    """Fold 0 of a data set, with the keypoints of its photographs."""
    config = load_config(
        f"{name}.yaml", [f"data.root={photos / name}", f"split.folds={FOLDS}", "split.fold=0"]
    )
    catalog = read_labelled(config.data)
    split = split_for(config, catalog)
    assert catalog.paths is not None
    store = KeypointStore.of(catalog, settings(name), cache=cache, progress=name)
    names = sorted({catalog.identities[row] or "" for row in split.gallery})
    number = {one: place for place, one in enumerate(names)}
    known = [place for place, one in enumerate(split.answers) if one is not None]
    queries = split.queries[known]
    return PhotoFold(
        name,
        store.take(split.gallery),
        store.take(queries),
        np.array([number[catalog.identities[row] or ""] for row in split.gallery]),
        np.array([number[split.answers[place] or ""] for place in known]),
        tuple(catalog.paths[row] for row in split.gallery),
        tuple(catalog.paths[row] for row in queries),
    )


def in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, Any]]:
    """Wall and processor seconds of each way in each round, run as A B C A B C ...

    Other programs may keep the processors busy: processor time is that of this one alone.
    """
    took: dict[str, dict[str, Any]] = {name: {"wall": [], "cpu": []} for name in ways}
    for turn in range(-1, rounds):
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if turn >= 0:  # the one before warms up
                took[name]["cpu"].append(time.process_time() - cpu)
                took[name]["wall"].append(time.perf_counter() - wall)
    for name, both in took.items():
        print(f"  {name}: {statistics.median(both['cpu']):.3f} s of a processor", flush=True)
    return took


def aps(strengths: Floats, truths: Ints) -> Values:
    """AP@5 (q,) of identities ranked by strength (q, c), equal ones by name."""
    order = np.argsort(-strengths, axis=1, kind="stable")
    return ap_at_5(np.argmax(order == truths[:, None], axis=1) + 1)


def figures(ap: Values) -> dict[str, Any]:
    """MAP@5 and top-1 of queries."""
    return {"map5": float(ap.mean()), "top1": float((ap == 1).mean()), "queries": len(ap)}


class Remembered(DescriptorIndex):
    """An index that searches once, for the most neighbours that are asked for."""

    def __init__(self, index: DescriptorIndex, most: int) -> None:
        self.__dict__.update(index.__dict__)
        self._found: dict[bytes, NearestDescriptors] = {}
        self._most = most

    def search(self, descriptors: npt.NDArray[Any], k: int) -> NearestDescriptors:
        """Answer as the index does."""
        key = descriptors.tobytes()
        if key not in self._found:
            self._found[key] = super().search(descriptors, self._most)
        near = self._found[key]
        return NearestDescriptors(
            near.distances[:, :k], near.photographs[:, :k], near.points[:, :k]
        )


def matched(
    fold: PhotoFold, gallery: DescriptorIndex | KeypointStore, rows: Ints, **further: Any
) -> Floats:
    """Strengths of the identities (b, c) by one search of the gallery for each query."""
    matcher = NaiveBayesMatcher(gallery, fold.queries, fold.labels, settings(fold.name, **further))
    return matcher(rows, np.zeros((len(rows), len(fold.labels)), np.float32)).identities


def paired(fold: PhotoFold, rows: Ints, candidates: Ints) -> Floats:
    """Strengths of candidates (b, c), pair by pair."""
    config = settings(fold.name, matcher="sift", ratio=0.9 if fold.name == "nyala" else 0.75)
    fusion = KeypointFusion(fold.gallery, fold.queries, config, KeypointGain())
    return fusion.strengths(rows, candidates)


def measure_speed(fold: PhotoFold, index: DescriptorIndex) -> dict[str, Any]:
    """Seconds for the same queries, by pairs with some of the gallery and at once with all."""
    rng = np.random.default_rng(1)
    rows = np.sort(rng.permutation(len(fold.queries))[:TIMED])
    n = len(fold.gallery)
    candidates = np.stack([rng.permutation(n)[:CANDIDATES] for _ in rows])
    ways: dict[str, Callable[[], object]] = {"pairs": lambda: paired(fold, rows, candidates)}
    for verify in VERIFIED:
        ways[f"lnbnn, {verify} verified"] = lambda verify=verify: matched(
            fold, index, rows, verify=verify
        )
    took = in_turns(ways, ROUNDS)
    for name, both in took.items():
        pairs = TIMED * (candidates.shape[1] if name == "pairs" else n)
        for kind in ("wall", "cpu"):
            both[f"{kind}_ms_a_pair"] = 1e3 * statistics.median(both[kind]) / pairs
            both[f"{kind}_ms_a_query"] = 1e3 * statistics.median(both[kind]) / TIMED
    return {"queries": TIMED, "candidates": int(candidates.shape[1]), "ways": took}


def measure_exactness(fold: PhotoFold, index: DescriptorIndex) -> dict[str, Any]:
    """The index beside all distances: how many of the nearest it finds, and what that costs."""
    rows, k = fold.some(), settings(fold.name).neighbours + 1
    every = np.arange(len(fold.gallery))
    common = total = 0
    exact = np.zeros((len(rows), int(fold.labels.max()) + 1), np.float32)
    for place, row in enumerate(rows.tolist()):
        query = fold.queries[row]
        true = nearest_exactly(query, fold.gallery, every, k)
        near = index.search(query.descriptors, k)
        for line in range(len(query)):
            common += len(_named(true, line) & _named(near, line))
            total += len(_named(true, line))
        found = NaiveBayesMatcher(
            _Given(index, true), fold.queries, fold.labels, settings(fold.name)
        )
        exact[place] = found(np.array([row]), np.zeros((1, len(every)), np.float32)).identities[0]
    ap, there = aps(exact, fold.truths[rows]), aps(matched(fold, index, rows), fold.truths[rows])
    return {
        "neighbours": k, "recall": common / total, "exact": figures(ap), "index": figures(there),
        "map5": asdict(paired_bootstrap(ap, there)),
    }  # fmt: skip


class _Given(Remembered):
    """An index that answers with neighbours that are known already."""

    def __init__(self, index: DescriptorIndex, near: NearestDescriptors) -> None:
        super().__init__(index, 0)
        self._near = near

    def search(self, descriptors: npt.NDArray[Any], k: int) -> NearestDescriptors:
        return self._near


def _named(near: NearestDescriptors, line: int) -> set[tuple[int, float, float]]:
    """The neighbours of one descriptor, by photograph and place."""
    places = near.points[line].astype(np.float16).tolist()
    return {(row, *at) for row, at in zip(near.photographs[line].tolist(), places, strict=True)}


def measure_pairs(fold: PhotoFold, index: DescriptorIndex) -> dict[str, Any]:
    """Accuracy by pairs with the whole gallery, beside that of one search, on the same queries."""
    rows = fold.some()
    begin = time.process_time()
    every = np.tile(np.arange(len(fold.gallery)), (len(rows), 1))
    photographs = paired(fold, rows, every)
    seconds = time.process_time() - begin
    strengths = np.zeros((len(rows), int(fold.labels.max()) + 1), np.float32)
    np.maximum.at(strengths, (np.arange(len(rows))[:, None], fold.labels[every]), photographs)
    old, new = aps(strengths, fold.truths[rows]), aps(matched(fold, index, rows), fold.truths[rows])
    return {
        "pairs": figures(old), "lnbnn": figures(new), "cpu_seconds": seconds,
        "cpu_ms_a_pair": 1e3 * seconds / photographs.size,
        "map5": asdict(paired_bootstrap(old, new)),
        "top1": asdict(paired_bootstrap(old == 1, new == 1)),
    }  # fmt: skip


def measure_photos(
    name: str,
    photos: Path,
    cache: Path,
    found: dict[str, Any],
    keep: Callable[[dict[str, Any]], None],
) -> None:
    """Measure of one data set what `found` lacks; each section is kept at once."""
    fold = read(name, photos, cache)
    begin = time.process_time()
    index = DescriptorIndex.build(fold.gallery)
    built = time.process_time() - begin
    sections: dict[str, Callable[[PhotoFold, DescriptorIndex], object]] = {
        "gallery": lambda fold, _: len(fold.gallery),
        "queries": lambda fold, _: len(fold.queries),
        "descriptors": lambda fold, _: len(fold.gallery.points),
        "build_cpu_seconds": lambda *_: built,
        "memory": _bytes,
        "speed": measure_speed,
        "variants": measure_variants,
        "exactness": measure_exactness,
        "accuracy": measure_pairs,
    }
    for section, measured in sections.items():
        if section not in found:
            found[section] = measured(fold, index)
            print(f"{section}: {found[section]}", flush=True)
            keep(found)


def measure_variants(fold: PhotoFold, index: DescriptorIndex) -> list[dict[str, Any]]:
    """Accuracy of all queries with other numbers of neighbours, and with geometry."""
    once = Remembered(index, max(NEIGHBOURS) + 1)
    every = np.arange(len(fold.queries))
    rows = []
    for neighbours, verify in [*((k, 0) for k in NEIGHBOURS), *((3, v) for v in VERIFIED[1:])]:
        ap = aps(matched(fold, once, every, neighbours=neighbours, verify=verify), fold.truths)
        rows.append({"neighbours": neighbours, "verify": verify, **figures(ap)})
    return rows


def measure_peer(fold: PhotoFold, peers: Path) -> dict[str, Any]:
    """What wildlife-tools answers to the same queries."""
    rows = fold.some()
    found = matching_peer.measure(
        fold.gallery_paths, fold.query_paths, fold.labels, fold.truths, rows, peers
    )
    for row in found["rows"]:
        row.update(figures(aps(row.pop("strengths"), fold.truths[rows])))
    return found


def _bytes(fold: PhotoFold, index: DescriptorIndex) -> dict[str, int]:
    """Bytes of the keypoints and of the index, in memory and in files."""
    store = fold.gallery
    with tempfile.TemporaryDirectory() as folder:
        store.save(Path(folder) / "keypoints.npz")
        index.save(Path(folder) / "index")
        files = sum(file.stat().st_size for file in (Path(folder) / "index").iterdir())
        whole = (Path(folder) / "keypoints.npz").stat().st_size
    held = (store.points, store.descriptors, store.offsets, store.sizes)
    return {
        "store": sum(array.nbytes for array in held), "index": index.nbytes,
        "store_file": whole, "index_files": files,
    }  # fmt: skip


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = options("speed.matching", __doc__, ["render"])
    parser.add_argument("--photos", type=Path, help="folder of nyala and lions")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="of keypoints")
    parser.add_argument("--work", type=Path, default=Path("runs/matching"), help="for large files")
    parser.add_argument("--part", nargs="*", choices=PARTS, help="measure these; all by default")
    parser.add_argument("--again", action="store_true", help="also what was measured already")
    parser.add_argument("--peers", type=Path, help="folder with wildlife-tools and what it needs")
    given = parser.parse_args()
    result = _result()
    told = machine()

    def keep(part: str) -> Callable[[Any], None]:
        def written(found: Any) -> None:
            merged = {**_result(), "machine": told, part: found}
            with written_whole(RESULT) as partial:
                partial.write_text(json.dumps(merged, indent=1) + "\n")

        return written

    if not given.render:
        for part in PARTS if given.part is None else given.part:
            print(part, flush=True)
            known = {} if given.again else dict(result.get(part, {}))
            if part == "growth":
                matching_growth.measure_growth(keep(part), given.work, known)
            elif part == "million":
                if not known:
                    matching_growth.measure_million(keep(part), given.work)
            elif given.photos is None:
                parser.error("--photos names the folder of nyala and lions")
            else:
                measure_photos(part, given.photos, given.cache, known, keep(part))
        if given.peers is not None:
            for name in sorted(UPRIGHT):
                if f"peer, {name}" not in result:
                    print(f"peer, {name}", flush=True)
                    fold = read(name, given.photos, given.cache)
                    keep(f"peer, {name}")(measure_peer(fold, given.peers))
    with written_whole(PAGE) as partial:
        partial.write_text(page(_result()))


def _result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    return found


if __name__ == "__main__":
    main()
