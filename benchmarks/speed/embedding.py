"""Throughput of embedding photographs from disk, beside a plain loop and open-metric-learning.

    python -m benchmarks.speed.embedding [--quick] [--photos input/nyala/train]

EfficientNet-Lite0 and ResNet-50, 224 px, on the CPU; synthetic JPEGs of 480 px and of 12
megapixels.  Contestants take turns; peers run in processes of their own, with Python's usual memory
allocator.  `plain loop`: Pillow, torchvision's transforms, a DataLoader with two workers, torch in
float32.  `open-metric-learning`: its own `inference` with the same transforms (skipped unless
`make .venv/peers` was run).  `forward pass alone`: the engine that flukeprint chose, on batches in
memory.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.harness.arguments import options
from benchmarks.harness.places import PEERS
from benchmarks.harness.timing import in_turns, machine, save
from benchmarks.speed.embedding_peers import (
    BACKBONES,
    LOOPS,
    SIDE,
    WORKERS,
    peer,
    run_peer,
    settings,
)
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.embedding.embed import embed
from flukeprint.embedding.engine import Engine, Photos
from flukeprint.embedding.engine_choice import pick_engine
from flukeprint.embedding.engine_table import ENGINES, build_engine
from flukeprint.embedding.photos import PhotoCache
from flukeprint.embedding.prefetch import LANE_BATCH
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet, build_model


def write_jpegs(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Write JPEGs with texture at all scales; a few pictures repeat under many names."""
    rng = np.random.default_rng(0)
    different = min(count, 24 if height < 1000 else 4)
    pictures = []
    for _ in range(different):
        photo = np.zeros((height, width, 3), np.float32)
        for scale in (1, 2, 4, 16, 64):
            small = rng.standard_normal((height // scale + 1, width // scale + 1, 3), np.float32)
            large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            photo += large * (1.5 * scale**0.8)
        pixels = np.clip(128 + photo, 0, 255).astype(np.uint8)
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        pictures.append(encoded.tobytes())
    folder.mkdir()
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(pictures[number % different])
    return paths


def contest(
    name: str, kind: str, paths: list[Path], few: int, rounds: int, folder: Path
) -> list[dict[str, Any]]:
    """Time all contestants with one network and one kind of photographs.

    few: number of photographs for peers, which are slower.
    """
    backbone, weights = BACKBONES[name]
    torch.manual_seed(0)
    config = settings(backbone, weights, None)
    net: FlukeNet = build_model(config.model, (SIDE, SIDE)).eval()
    stamp = EmbeddingRecipe(config.image).stamped(net).stamp
    every = Catalog(images=tuple(path.name for path in paths), paths=tuple(paths))
    cached = settings(backbone, weights, folder / f"cache-{backbone}-{kind}").image

    def ours(image: Any, precision: Any) -> Callable[[], object]:
        return lambda: embed(
            net,
            every,
            EmbeddingRecipe(image, stamp=stamp),
            Compute(workers=WORKERS, precision=precision),
        )

    # Chosen before timing starts, as it happens once per machine.
    sample = np.stack([PhotoCache(every, config.image)[row] for row in range(min(64, len(every)))])
    ready = np.ascontiguousarray(sample.transpose(0, 3, 1, 2))
    exact, engine = (
        pick_engine(
            net, (SIDE, SIDE), "auto", precision, stamp=stamp, sample=lambda: ready,
            passes=10**6, report=print,
        )
        for precision in ("fp32", "auto")
    )  # fmt: skip
    print(f"  in float32 {exact.name}")
    rounds_alone = max(1, len(paths) // len(ready))
    parts = in_parts(engine, ready) * rounds_alone

    peers = [what for what in LOOPS if what == "plain loop" or PEERS.is_dir()]
    contestants: dict[str, tuple[Callable[[], object], int]] = {
        "flukeprint": (ours(config.image, "auto"), len(paths)),
        "flukeprint, float32": (ours(config.image, "fp32"), len(paths)),
        "flukeprint, decoded before": (ours(cached, "auto"), len(paths)),
        "forward pass alone": (
            lambda: engine.embed_many(parts), rounds_alone * len(ready),
        ),
    }  # fmt: skip
    if engine.precision == "fp32":
        del contestants["flukeprint, float32"]  # the same as `flukeprint`
    with contextlib.ExitStack() as stack:
        others = {what: (stack.enter_context(peer(what, name, paths[:few])), few) for what in peers}
        taking = {**others, **contestants}
        print(f"{name}, {kind}", flush=True)
        seconds = in_turns({what: run for what, (run, _) in taking.items()}, rounds)
    rates = {what: [taking[what][1] / took for took in every] for what, every in seconds.items()}
    rows = []
    for what, all_rates in rates.items():
        ratios = [mine / other for mine, other in zip(all_rates, rates["plain loop"], strict=True)]
        shares = [
            mine / other for mine, other in zip(all_rates, rates["forward pass alone"], strict=True)
        ]
        rows.append(
            {
                "what": what, "backbone": name, "photographs": kind,
                "median": statistics.median(all_rates), "all": all_rates,
                "times_plain": statistics.median(ratios),
                "share_of_forward": statistics.median(shares),
                "engine": f"{engine.name} {engine.precision}",
            }
        )  # fmt: skip
    return rows


def in_parts(engine: Engine, photos: Photos) -> list[Photos]:
    """Split into batches of the engine's best size: a core for each, or all cores for one."""
    size = LANE_BATCH if len(engine.lanes()) > 1 else 32
    return [photos[start : start + size] for start in range(0, len(photos), size)]


def engines(quick: bool) -> list[dict[str, Any]]:
    """Forward passes a second of every available engine and precision, on batches in memory."""
    rows = []
    for name, (backbone, weights) in BACKBONES.items():
        config = settings(backbone, weights, None)
        net = build_model(config.model, (SIDE, SIDE)).eval()
        photos = np.random.default_rng(0).integers(0, 256, (32, 3, SIDE, SIDE), np.uint8)
        for engine, kind in ENGINES.items():
            if engine == "torch-compile":
                continue  # needs a minute and a compiler
            for precision in kind.offers("cpu"):
                try:
                    runner = build_engine(engine, precision, net, (SIDE, SIDE))
                except FlukeprintError as error:
                    print(f"  {engine} {precision}: {error}")
                    continue
                parts, took = in_parts(runner, photos), []
                for turn in range(3 if quick else 7):
                    begin = time.perf_counter()
                    runner.embed_many(parts)
                    if turn:
                        took.append(len(photos) / (time.perf_counter() - begin))
                rows.append(
                    {
                        "what": f"{engine} {precision}", "backbone": name,
                        "median": statistics.median(took), "all": took,
                    }
                )  # fmt: skip
                print(f"  {name}, {engine} {precision}: {rows[-1]['median']:.0f} a second")
    return rows


def growth(paths: list[Path], quick: bool) -> list[dict[str, Any]]:
    """Seconds for 10^2 .. 10^4 photographs of 480 px; pictures repeat under other names."""
    backbone, weights = BACKBONES["EfficientNet-Lite0"]
    config = settings(backbone, weights, None)
    net = build_model(config.model, (SIDE, SIDE)).eval()
    recipe = EmbeddingRecipe(config.image).stamped(net)
    compute = Compute(workers=WORKERS, engine="openvino")
    rows: list[dict[str, Any]] = []
    sizes = (100, 1000) if quick else (100, 1000, 10_000)
    for n in (sizes[0], *sizes):  # the first chooses the engine and is not counted
        some = [paths[row % len(paths)] for row in range(n)]
        catalog = Catalog(images=tuple(f"{row}.jpg" for row in range(n)), paths=tuple(some))
        begin = time.perf_counter()
        embed(net, catalog, recipe, compute)
        rows.append({"photographs": n, "seconds": time.perf_counter() - begin})
        print(f"  {n:,} photographs: {rows[-1]['seconds']:.1f} s")
    return rows[1:]


def enlarged(folder: Path, photos: list[Path]) -> list[Path]:
    """Write real photographs upscaled to 12 megapixels, with grain as a camera adds."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = []
    for path in photos:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]
        large = cv2.resize(pixels, (4000, 3000), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 4, (1500, 2000, 1)).astype(np.float32)
        noisy = large + cv2.resize(grain, (4000, 3000))[:, :, None]
        paths.append(folder / path.name)
        encoded = cv2.imencode(
            ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90]
        )[1]
        paths[-1].write_bytes(encoded.tobytes())
    return paths


def measure(quick: bool, photos: Path | None = None) -> dict[str, Any]:
    """Measure everything, with real photographs if a folder is given."""
    warnings.filterwarnings("ignore")
    keep_memory()
    rounds = 3
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, some = (320, 32) if quick else (640, 64)
        if photos is None:
            small = write_jpegs(folder / "small", many, 400, 480)
            large = write_jpegs(folder / "large", some, 3000, 4000)
        else:
            small = sorted(photos.absolute().glob("*.jpg"))[:many]
            if len(small) < many:
                raise SystemExit(f"{photos} holds {len(small)} JPEGs, and {many} are needed")
            large = enlarged(folder / "large", small[:some])
        size = statistics.median(path.stat().st_size for path in large) / 1e6
        for backbone in BACKBONES:
            if quick and backbone != "EfficientNet-Lite0":
                continue
            deep = backbone == "ResNet-50"
            seen, few = (small[:384], 64) if deep else (small, 192)
            rows += contest(backbone, "480 px", seen, few, rounds, folder)
            seen = large[:48] if deep else large
            rows += contest(backbone, "12 megapixels", seen, 32, rounds, folder)
        grown = growth(small, quick)
    return {
        "rows": rows, "engines": engines(quick), "growth": grown, "large_megabytes": size,
        "cores": machine()["cores"],
    }  # fmt: skip


def main() -> None:
    """Measure and write the result file."""
    parser = options("speed.embedding", __doc__, ["quick"])
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs, instead of drawn ones")
    parser.add_argument("--peer", nargs=2, metavar=("LOOP", "NETWORK"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer is not None:
        run_peer(*given.peer)
        return
    name = "embedding" if given.photos is None else "embedding_real"
    save(name, measure(given.quick, given.photos), given.quick)


if __name__ == "__main__":
    main()
