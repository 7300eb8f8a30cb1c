"""Give mutated inputs to targets in worker processes: failures, hangs, crashes and memory."""

import random
import re
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.endurance.ground import Ground, generator
from benchmarks.endurance.journal import Result
from benchmarks.endurance.processes import forkserver
from benchmarks.endurance.targets import TARGETS, TIMEOUT, judged

PASSES = 6  # over the same inputs, to see whether memory grows
FLAT_MB = 16.0  # growth that is none: caches of libraries and of the allocator
SETTLED = 2  # passes after which caches are filled


def run_inputs(ground: Ground, kind: str, seed: int, numbers: Iterable[int]) -> Iterator[Result]:
    """The trials with these numbers; a worker that hangs or crashes is replaced."""
    worker = None
    for number in numbers:
        if worker is None:
            worker = _Worker(ground, kind)
        start = time.monotonic()
        outcome, faults = worker.ask(seed, number)
        if outcome in ("hung", "crashed"):
            worker.close()
            worker = None
        seconds = round(time.monotonic() - start, 3)
        yield Result("inputs", kind, number, seed, outcome, faults, seconds)
    if worker is not None:
        worker.close()


def memory_of(ground: Ground, kind: str, seed: int, inputs: int) -> Result:
    """Resident memory of one worker after each of PASSES over the same inputs."""
    start = time.monotonic()
    worker = _Worker(ground, kind)
    held = []
    for _ in range(PASSES):
        for number in range(inputs):
            outcome, _ = worker.ask(seed, number)
            if outcome in ("hung", "crashed"):
                worker.close()
                worker = _Worker(ground, kind)
                held.clear()
        held.append(worker.memory_mb())
    worker.close()
    grown = held[-1] - held[min(SETTLED, len(held)) - 1] if held else 0.0
    faults = [f"memory grew by {grown:.1f} MB in {len(held) - SETTLED} passes"] * (grown > FLAT_MB)
    return Result(
        "memory", kind, 0, seed, f"{grown:+.1f} MB", faults, round(time.monotonic() - start, 1),
        {"mb": [round(mb, 1) for mb in held], "inputs": inputs},
    )  # fmt: skip


class _Worker:
    def __init__(self, ground: Ground, kind: str) -> None:
        self.kind = kind
        self.line, other = forkserver.Pipe()
        self.process = forkserver.Process(
            target=_work, args=(other, str(ground.root), kind), daemon=True
        )
        self.process.start()
        other.close()
        if not self.line.poll(120) or self.line.recv() != "ready":
            raise RuntimeError(f"the worker for {kind} did not start")

    def ask(self, seed: int, number: int) -> tuple[str, list[str]]:
        try:
            self.line.send((seed, number))
            if not self.line.poll(TIMEOUT):
                return "hung", [f"no answer within {TIMEOUT:g} s"]
            outcome, faults = self.line.recv()
            return outcome, faults
        except (EOFError, OSError):
            self.process.join(10)
            return "crashed", [f"the process ended ({self.process.exitcode})"]

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def close(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.join()


def _work(line: Connection, root: str, kind: str) -> None:
    import torch

    torch.set_num_threads(1)
    ground = Ground(Path(root))
    target = TARGETS[kind](ground, ground.root / "inputs" / kind)
    line.send("ready")
    while True:
        try:
            seed, number = line.recv()
        except EOFError:
            return
        rng: random.Random = generator(seed, kind, number)
        line.send(judged(target, rng))
