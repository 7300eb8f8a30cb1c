"""Time functions side by side and save results as JSON with a description of the machine.

Machines are noisy: contestants take turns within one process, and medians and ratios are reported.
"""

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness.places import RESULTS
from flukeprint.files import written_whole

PACKAGES = (
    "numpy", "torch", "timm", "openvino", "onnxruntime", "faiss-cpu", "opencv-python-headless",
    "pillow", "scikit-learn", "lightning", "albumentations", "hnswlib", "usearch", "annoy",
    "qdrant-client", "open-metric-learning",
)  # fmt: skip


def timed(run: Callable[[], object]) -> float:
    """Seconds that one call of `run` takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def in_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 5, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, run as A B C A B C ...

    `warm` rounds go before and are not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(-warm, rounds):
        for name, run in contestants.items():
            took = timed(run)
            if turn >= 0:
                seconds[name].append(took)
            print(f"  {name}: {took:.3f} s{' (warming up)' if turn < 0 else ''}", flush=True)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> float:
    """Speed-up of `fast` over `slow`: the median over rounds of the quotient of their times."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def peak_mb() -> float:
    """Peak resident memory of this process, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def machine() -> dict[str, Any]:
    """Processor, instruction sets and package versions, for a result file."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    flags: set[str] = set()
    if info.is_file():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() == "flags":
                flags = set(value.split())
    known = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": name,
        "cores": len(os.sched_getaffinity(0)),
        "instructions": [flag for flag in known if flag in flags],
        "python": platform.python_version(),
        "versions": versions,
    }


def noted(path: Path) -> dict[str, Any]:
    """The rows of a result file, by their notes."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def keep_noted(path: Path, note: str, row: dict[str, Any]) -> None:
    """Keep the row of a note, in place of one of that name."""
    rows = {**noted(path), note: row}
    with written_whole(path) as partial:
        partial.write_text(json.dumps(rows, indent=1) + "\n")


def save(name: str, result: dict[str, Any], quick: bool) -> Path:
    """Write `result` and the machine to RESULTS; quick results go to a file of their own."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}{'-quick' if quick else ''}.json"
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")
    print(f"written: {path}")
    return path
