"""Folders of the benchmarks, and the command that runs one of their modules in its own process."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the repository; benchmarks run in it
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"
REPORTS = BENCHMARKS / "reports"
PLOTS = BENCHMARKS / "plots"
PEERS = ROOT / ".peers"  # packages to compare with, installed by `make .venv/peers`


def module_command(module: str, *arguments: str) -> list[str]:
    """Command line of a benchmark such as `speed.search`, to be started with `cwd=ROOT`."""
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]
