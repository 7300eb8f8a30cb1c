"""What the digests of an identifier's files cost when it is opened and enrolled into.

    python -m benchmarks.speed.integrity [--quick]

The gallery is random, of 1,000,000 photographs with 512 numbers each, with an index of product
codes; the network is tiny, so that the times are those of the gallery.  Checking is timed in turns
with other digests of the same bytes.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness.arguments import options
from benchmarks.harness.random_embeddings import random_embeddings
from benchmarks.harness.timing import save, timed
from flukeprint.config.load import load_config
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.identifier import state as module
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.card import read_card
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import CHUNK
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features

ROUNDS = 5


def make_identifier(folder: Path, photos: int) -> Path:
    """Write an identifier with a gallery of random embeddings."""
    config = load_config(
        None,
        [
            "image.height=32", "image.width=48", "model.backbone=test_resnet",
            "model.weights=none", "model.embedding_dim=512", "gallery.backend=ivf_pq",
            "gallery.recall_at_5=0.5",
        ],
    )  # fmt: skip
    torch.manual_seed(0)
    net = build_model(config.model, (32, 48))
    gallery = random_embeddings(photos, 512, photos // 4, seed=1).named("p")
    gallery = replace(gallery, stamp=network_digest(net, EmbeddingRecipe.of(config)))
    build_identifier(config, net, Features(gallery), 0.5).save(folder / "kept")
    return folder / "kept"


def digest_with(name: str, files: list[Path]) -> None:
    """Digest the same bytes in the same chunks with an algorithm of the standard library."""

    def one(part: tuple[Path, int]) -> None:
        with part[0].open("rb", buffering=0) as file:
            file.seek(part[1])
            hashlib.new(name, file.read(CHUNK)).digest()

    parts = [(file, start) for file in files for start in range(0, file.stat().st_size, CHUNK)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, parts))


def measure(quick: bool) -> dict[str, Any]:
    """Open, check and enroll in turns; medians in seconds."""
    photos = 50_000 if quick else 1_000_000
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        kept = make_identifier(Path(name), photos)
        card = read_card(kept)
        files = [path for path in kept.rglob("*") if path.is_file()]
        check = module.check_digests
        calls: dict[str, Callable[[], Any]] = {
            "check all digests": lambda: check(kept, card),
            "open without the check": lambda: Identifier.load(kept),
            "open": lambda: Identifier.load(kept),
            "the same bytes with sha256": lambda: digest_with("sha256", files),
            "the same bytes with blake2b": lambda: digest_with("blake2b", files),
        }
        for _ in range(ROUNDS):
            for what, call in calls.items():
                module.check_digests = check
                if what == "open without the check":
                    module.check_digests = lambda *_: None
                took.setdefault(what, []).append(timed(call))
        module.check_digests = check
        known = Identifier.load(kept)
        rng = np.random.default_rng(0)
        for number in range(ROUNDS + 1):
            photo = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
            begin = time.perf_counter()
            grown = known.enroll("w_new", [photo])
            middle = time.perf_counter()
            known = grown.save(kept)
            if number:  # the first copies the gallery into memory, once
                took.setdefault("enroll", []).append(middle - begin)
                took.setdefault("save what was enrolled", []).append(time.perf_counter() - middle)
        size = sum(file.stat().st_size for file in files)
    seconds = {what: statistics.median(each) for what, each in took.items()}
    for what, value in seconds.items():
        print(f"{what}: {value:.3f} s")
    return {"photos": photos, "dimension": 512, "bytes": size, "rounds": ROUNDS, "seconds": seconds}


def main() -> None:
    """Measure and write the result file."""
    quick = options("speed.integrity", __doc__, ["quick"]).parse_args().quick
    save("integrity", measure(quick), quick)


if __name__ == "__main__":
    main()
