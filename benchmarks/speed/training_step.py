"""Training throughput in photographs a second, beside Lightning and open-metric-learning.

    python -m benchmarks.speed.training_step [--quick] [--profile] [--augment]

Synthetic 480 px JPEGs of 100 animals, 224 px, dynamic ArcFace, batches of 32, augmentation 0.5.
Each contestant has a process of its own, and they train in turns, each time anew:

  plain Lightning       the same network, loss and augmentations; PIL, two workers, AdamW, float32
  open-metric-learning  its dataset, extractor, ArcFace and the loop of its README; skipped unless
                        `make .venv/peers` was run
  flukeprint            as `train.py` does, photographs decoded before
  step alone            flukeprint's forward, backward and optimiser on one batch in memory

`--profile` shows where the time of a flukeprint step goes, `--augment` the time of each transform.
"""

import argparse
import contextlib
import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.places import PEERS
from benchmarks.harness.standing import answer, standing
from benchmarks.harness.timing import in_turns, save
from benchmarks.speed.training_contestants import (
    BATCH,
    CONTESTANTS,
    SIDE,
    WEIGHTS,
    build_training,
    first_batch,
    warm_cache,
    write_photos,
)


def measure(quick: bool) -> dict[str, Any]:
    """Time all contestants: rows of {what, backbone, device, median, all} photographs a second."""
    rounds, warm = (2, 1) if quick else (3, 1)
    steps = {"tf_efficientnet_lite0": 4} if quick else {"tf_efficientnet_lite0": 4, "resnet50": 2}
    import torch

    devices = ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        warm_cache(folder)
        for device in devices:
            for backbone, count in steps.items():
                taking = list(CONTESTANTS) if device == "cpu" else ["flukeprint", "step alone"]
                if not (PEERS / "oml").is_dir() and "open-metric-learning" in taking:
                    taking.remove("open-metric-learning")
                    print("open-metric-learning is not in .peers: skipped", flush=True)
                many = count if device == "cpu" else 8  # an epoch has fifteen
                work = (backbone, warm, warm + many)
                rates = _rates(folder, taking, device, work, rounds)
                rows += [
                    {"what": what, "backbone": backbone, "device": device,
                     "median": statistics.median(every), "all": every}
                    for what, every in rates.items()
                ]  # fmt: skip
    return {"unit": "photographs a second", "rows": rows, "ratios": _ratios(rows)}


def _ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Speed-up of flukeprint over each other contestant, median over the rounds."""
    found = []
    for ours_row in (row for row in rows if row["what"] == "flukeprint"):
        for row in rows:
            alike = all(row[key] == ours_row[key] for key in ("backbone", "device"))
            if alike and row is not ours_row:
                each = [a / b for a, b in zip(ours_row["all"], row["all"], strict=True)]
                found.append({"what": f"flukeprint / {row['what']}", "backbone": row["backbone"],
                              "device": row["device"], "median": statistics.median(each),
                              "all": each})  # fmt: skip
    return found


def _rates(
    folder: Path, taking: list[str], device: str, work: tuple[str, int, int], rounds: int
) -> dict[str, list[float]]:
    """Photographs a second of contestants in each round; `work` is what `compete` reads."""
    rates: dict[str, list[float]] = {what: [] for what in taking}
    with contextlib.ExitStack() as stack:
        processes = {
            what: stack.enter_context(
                standing(
                    "speed.training_step", "--contestant", what, "--folder", str(folder),
                    environment={"TRAINING_STEP_DEVICE": device},
                )
            )
            for what in taking
        }  # fmt: skip
        for _ in range(rounds):
            for what, ask in processes.items():
                rate = float(ask(json.dumps(work)))
                rates[what].append(rate)
                print(f"  {work[0]} {device} {what}: {rate:.1f} photos/s", flush=True)
    return rates


def compete(folder: Path, what: str) -> None:
    """Main function of a contestant's process: its rate for each backbone, warm-up and steps."""

    def rate(line: str) -> float:
        backbone, warm, steps = json.loads(line)
        ends = CONTESTANTS[what](folder, backbone, steps)
        gc.collect()  # what one training leaves behind is not the next one's
        return float((len(ends) - warm) * BATCH / (ends[-1] - ends[warm - 1]))

    answer(rate)


def profile(backbone: str, steps: int = 8) -> None:
    """Print where the time of a step goes, by Lightning's phases and by operation."""
    import torch
    from lightning.pytorch.profilers import SimpleProfiler

    from flukeprint.training.passes.depthwise import QuickDepthwise

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        warm_cache(folder)
        trainer, learner, data = build_training(folder, backbone, steps)
        clock = SimpleProfiler()
        trainer.profiler = clock
        begin = time.perf_counter()
        trainer.fit(learner, data)
        print(f"{backbone}: {steps} steps, {time.perf_counter() - begin:.1f} s in all")
        print("\n".join(_slowest(clock.recorded_durations, steps)))
        photos, labels, _ = first_batch(data)
        learner.train()
        mode = trainer.precision_plugin.forward_context()
        with torch.profiler.profile() as seen, mode, QuickDepthwise():
            learner.losses(learner.net(photos), labels).total.backward()
        print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=14))


def _slowest(durations: dict[str, list[float]], steps: int) -> Iterator[str]:
    for what, every in sorted(durations.items(), key=lambda item: -sum(item[1]))[:18]:
        first, rest = every[0], every[1:] or every
        took = statistics.median(rest) * 1e3
        yield f"  {took:8.1f} ms x {len(every):4} (first {first:.2f} s) {what}"


def augment(quick: bool = False) -> dict[str, list[float]]:
    """Print the time of each augmentation when it is applied, on one core at 224 px."""
    from flukeprint.config.data import ImageConfig
    from flukeprint.training.augmentation import augmented, build_augment

    cv2.setNumThreads(0)
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 3)), (0, 0), 3)
    pixels = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
    whole = build_augment(ImageConfig())
    count = 50 if quick else 200
    parts = {}
    for transform in build_augment(ImageConfig()).transforms:
        for one in getattr(transform, "transforms", [transform]):
            parts[type(one).__name__] = (one, transform.p if transform is not one else one.p)
    runs: dict[str, Callable[[], object]] = {}
    for name, (one, share) in parts.items():
        one.p = 1
        one.set_random_state(np.random.default_rng(0), random.Random(0))
        runs[f"{name} (p {share:.2f})"] = lambda one=one: [
            one(image=pixels) for _ in range(count)
        ]  # fmt: skip
    runs["all, as drawn"] = lambda: [augmented(whole, pixels, seed) for seed in range(count)]
    seconds = in_turns(runs, rounds=5)
    for name, every in seconds.items():
        print(f"{statistics.median(every) / count * 1e3:8.3f} ms  {name}")
    return seconds


def main() -> None:
    """Measure and write the result file; or run one of the other parts."""
    parser = options("speed.training_step", __doc__, ["quick"])
    parser.add_argument("--profile", action="store_true", help="print where a step's time goes")
    parser.add_argument(
        "--augment", action="store_true", help="print the time of each augmentation"
    )
    parser.add_argument("--backbone", choices=list(WEIGHTS), default="tf_efficientnet_lite0",
                        help="of a profile")  # fmt: skip
    parser.add_argument("--contestant", choices=list(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contestant:
        compete(given.folder, given.contestant)
    elif given.profile:
        profile(given.backbone)
    elif given.augment:
        augment(given.quick)
    else:
        result = measure(given.quick)
        for row in result["ratios"]:
            print(f"{row['backbone']} {row['device']}: {row['what']} {row['median']:.2f} x")
        save("training_step", result, given.quick)


if __name__ == "__main__":
    main()
