"""What enrolling, renaming, undoing and loading cost in catalogues of a thousand to a million.

    python -m benchmarks.speed.catalogue [--quick]
    python -m benchmarks.speed.catalogue --render    reports/catalogue.md from the results

Embeddings are drawn, and photographs are enrolled with embeddings given: the network is not timed.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from benchmarks.harness.random_embeddings import random_embeddings
from benchmarks.harness.timing import machine, save, timed
from flukeprint.config.load import load_config
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.appending import Examined
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features
from flukeprint.records.edits import remove_photographs, rename
from flukeprint.records.journal import Note, undo

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BACKENDS = ("exact", "ivf_pq")
DIMENSION, SHARE = 128, 5  # numbers of an embedding; photographs of an animal
NOTE = Note("benchmark")
ROUNDS = 20
PAGE = REPORTS / "catalogue.md"
WHAT = {
    "enroll": "enroll one photograph of a known animal",
    "enroll nameless": "enroll one of a new animal, its name suggested",
    "first enroll": "the first one after loading",
    "rename": "rename an animal",
    "undo": "undo that",
    "load": "load the identifier",
    "load, processor": "the same, processor time of all its threads",
    "load without": "load it, three photographs removed",
    "catch up": "read it again after an event, in the same process",
    "begin": "begin the catalogue, once",
}


def make_identifier(folder: Path, photos: int, backend: str) -> Path:
    """Write an identifier with a gallery of drawn embeddings, without pictures."""
    config = load_config(
        None,
        [
            "image.height=32", "image.width=48", "model.backbone=test_resnet",
            "model.weights=none", f"model.embedding_dim={DIMENSION}",
            f"gallery.backend={backend}", "gallery.recall_at_5=0.5",
        ],
    )  # fmt: skip
    torch.manual_seed(0)
    net = build_model(config.model, (32, 48))
    drawn = random_embeddings(photos, DIMENSION, max(2, photos // SHARE), seed=1).named("p")
    gallery = replace(drawn, stamp=network_digest(net, EmbeddingRecipe.of(config)))
    build_identifier(config, net, Features(gallery), 0.5).save(folder / "kept")
    return folder / "kept"


def examined(known: Identifier, number: int) -> Examined:
    """A photograph like none of the gallery, as the network would have found it."""
    vector = unit_rows(np.random.default_rng([7, number]).normal(size=(1, DIMENSION)))
    found = Embeddings(vector, (f"e{number}.jpg",), (None,), None, known.card.stamp)
    return Examined(Features(found), (0,), (f"{number:032x}",), (None,))


def renaming(keeper: Keeper, old: str, new: str) -> Callable[[], object]:
    return lambda: rename(keeper.database, old, new, NOTE, new_label="new_individual")


def measure(photos: int, backend: str) -> dict[str, Any]:
    """Seconds of each call: all rounds."""
    took: dict[str, list[float]] = {}

    def clock(what: str, call: Callable[[], object]) -> None:
        took.setdefault(what, []).append(timed(call))

    with tempfile.TemporaryDirectory() as name:
        folder = make_identifier(Path(name), photos, backend)
        gc.collect()
        begin = time.perf_counter()
        Keeper.open(folder, author="benchmark")
        took["begin"] = [time.perf_counter() - begin]
        for _ in range(7):
            before = time.process_time()
            clock("load", lambda: Identifier.load(folder))
            took.setdefault("load, processor", []).append(time.process_time() - before)
            gc.collect()
        keeper = Keeper.open(folder)
        known = keeper.identifier

        def enroll(number: int, whom: str | None) -> Callable[[], object]:
            photo = NewPhotograph(b"", f"e{number}", f"e{number}.jpg", whom)
            given = examined(known, number)
            return lambda: keeper.enroll([photo], NOTE, examined=given)

        somebody = known.gallery.identities[photos // 2]
        clock("first enroll", enroll(0, somebody))
        for number in range(ROUNDS):
            clock("enroll", enroll(2 * number + 1, somebody))
            clock("enroll nameless", enroll(2 * number + 2, None))
        for number in range(ROUNDS):
            old = known.gallery.identities[number * (photos // ROUNDS)]
            assert old is not None
            clock("rename", renaming(keeper, old, f"renamed {number}"))
            clock("undo", lambda: undo(keeper.database, NOTE))
        for number in range(5):
            enroll(1000 + number, somebody)()
            clock("catch up", lambda: keeper.identifier)
            gc.collect()
        base = keeper.database
        remove_photographs(base, [known.gallery.images[row] for row in (1, 500, photos - 1)], NOTE)
        for _ in range(7):
            clock("load without", lambda: Identifier.load(folder))
            gc.collect()
    row = {"photos": photos, "backend": backend, "seconds": took}
    print(photos, backend, {what: round(statistics.median(s), 4) for what, s in took.items()})
    return row


def number_text(seconds: float) -> str:
    """Seconds or milliseconds, to three figures."""
    return f"{seconds:.2f} s" if seconds >= 0.995 else f"{1000 * seconds:.3g} ms"


def page(result: dict[str, Any]) -> str:
    """The report: a table for each back end, medians."""
    rows = result["rows"]
    sizes = sorted({row["photos"] for row in rows})
    text = [
        "# What a catalogue costs against its size\n",
        f"Written by `python -m benchmarks.speed.catalogue`. Medians; {result['machine']['cpu']}, "
        f"{result['machine']['cores']} cores{result.get('note', '')}. Drawn embeddings of "
        f"{DIMENSION} numbers, {SHARE} photographs of an animal, SQLite in the identifier's "
        "folder, no thumbnails; the network's own time is not in it.\n",
    ]
    for backend in BACKENDS:
        there = {row["photos"]: row["seconds"] for row in rows if row["backend"] == backend}
        told = "exact search" if backend == "exact" else "an index (`ivf_pq`)"
        text.append(f"## With {told}\n")
        text.append("| | " + " | ".join(f"{size:,}" for size in sizes if size in there) + " |")
        text.append("|---|" + "---|" * len(there))
        for what, name in WHAT.items():
            cells = [number_text(statistics.median(there[size][what])) for size in sizes
                     if size in there]  # fmt: skip
            text.append(f"| {name} | " + " | ".join(cells) + " |")
        text.append("")
    text.append(
        "Enrolling looks for copies in the gallery as it was loaded, through its index where it "
        "has one, and in what came since; with exact search it compares with every photograph. "
        "Each event is flushed to the disk before it is confirmed. A process that has enrolled "
        'reads the identifier again before its next identification ("read it again").\n'
    )
    return "\n".join(text)


def main() -> None:
    """Measure what is not there yet, and write results and report."""
    parser: argparse.ArgumentParser = options("speed.catalogue", __doc__, ["quick", "render"])
    parser.add_argument("--note", help="what else ran on the machine, for the report")
    given = parser.parse_args()
    file = RESULTS / f"catalogue{'-quick' if given.quick else ''}.json"
    result: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"rows": []}
    if given.note:
        result["note"] = f"; {given.note}"
        file.write_text(json.dumps(result, indent=1) + "\n")
    if not given.render:
        for photos in SIZES[:2] if given.quick else SIZES:
            for backend in BACKENDS:
                if not any(
                    (r["photos"], r["backend"]) == (photos, backend) for r in result["rows"]
                ):
                    result["rows"].append(measure(photos, backend))
                    result.pop("machine", None)
                    save("catalogue", result, given.quick)
    if not given.quick:
        PAGE.write_text(page({"machine": machine(), **result}))
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
