"""Faults of an embedding on a cluster of this machine: each must end as if it had not happened.

Photographs come slowly from a web server, so that a fault finds the command at work.  Results are
compared file by file: equal bytes are equal rows in equal order.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness.drawn_storage import Web
from benchmarks.harness.places import ROOT

Process = subprocess.Popen[bytes]
PATIENCE = 200.0  # s for a command
STORE = 100 << 20
PHOTOGRAPHS = 200
RESULT = {True: "equal", False: "**differs**", None: "not shown"}


class Trial:
    """The command, its target, and the storage that its photographs come from."""

    def __init__(self, folder: Path, identifier: Path, web: Web, photographs: int) -> None:
        self.folder, self.web, self.photographs = folder, web, photographs
        self._identifier = identifier
        self.table = folder / "faults.parquet"
        names = [f"{number:09}.jpg" for number in range(photographs)]
        whose = [f"w_{number // 5}" for number in range(photographs)]
        pq.write_table(pa.table({"image": names, "identity": whose}), self.table)

    def start(self, target: Path, *more: str) -> Process:
        """Start the command."""
        words = [
            sys.executable, "-m", "flukeprint", "embed-all", str(self.table),
            "--photos", self.web.address, "--identifier", str(self._identifier),
            "--to", str(target), "--partition", "20", "--batch-size", "8", "--readers", "2",
            "--inference", "torch", "--accelerator", "cpu", *more,
        ]  # fmt: skip
        where = {
            **os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0", "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        }  # fmt: skip
        where.pop("RAY_ADDRESS", None)
        # Not a fork: a copy of a process that has a cluster hangs in its connections.
        with (self.folder / "log.txt").open("a") as log:
            return subprocess.Popen(words, env=where, cwd=ROOT, stdout=log, stderr=log)

    def finish(self, target: Path, *more: str) -> None:
        """Run the command to its end, which must be a good one."""
        status = ended(self.start(target, *more))
        if status:
            raise RuntimeError(f"ended with {status}: {(self.folder / 'log.txt').read_text()}")

    def files(self, target: Path) -> dict[str, bytes]:
        """What counts of a target."""
        found = [*(target / "embeddings").iterdir(), target / "damaged.csv"]
        return {path.name: path.read_bytes() for path in found}


def ended(process: Process) -> int:
    """Its status at the end."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise RuntimeError(f"the command did not end in {PATIENCE:.0f} s") from None


def written(target: Path) -> int:
    """Partitions that are finished in a target."""
    try:
        return (target / "finished.jsonl").read_text().count("\n")
    except OSError:
        return 0


def until(ready: Callable[[], bool], process: Process) -> None:
    """Wait while the command works."""
    begin = time.monotonic()
    while not ready():
        if process.poll() is not None:
            raise RuntimeError("the command ended before the fault")
        if time.monotonic() - begin > PATIENCE:
            raise RuntimeError("the command did not come to its middle")
        time.sleep(0.05)


@contextmanager
def cluster(workers: int) -> Iterator[tuple[Any, list[Any]]]:
    """A cluster of a head without room for actors, and nodes of one core each."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield made, [_node(made) for _ in range(workers)]
    finally:
        made.shutdown()


def _node(made: Any) -> Any:
    """A node of one core; Ray gives one 30 s to start, which a busy machine may not keep."""
    for _ in range(5):
        try:
            return made.add_node(num_cpus=1, object_store_memory=STORE)
        except Exception as error:  # of no kind of its own
            print(f"  a node did not start: {error}", flush=True)
    raise RuntimeError("no node of Ray starts here")


def node_killed(trial: Trial, target: Path) -> str:
    """A worker node of two is killed in the middle; the command goes on by itself."""
    with cluster(2) as (nodes, (first, _)):
        process = trial.start(
            target, "--engine", "ray", "--address", nodes.address, "--actors", "2"
        )
        until(lambda: written(target) >= 5, process)
        before = written(target)
        nodes.remove_node(first, allow_graceful=False)
        if ended(process):
            raise RuntimeError("the command did not outlive the node")
    return f"after {before} partitions; the command went on"


def head_lost(trial: Trial, target: Path) -> str:
    """The head of the cluster is killed in the middle; the command ends, and is started again."""
    with cluster(1) as (nodes, _):
        process = trial.start(target, "--engine", "ray", "--address", nodes.address)
        until(lambda: written(target) >= 5, process)
        before = written(target)
        nodes.remove_node(nodes.head_node, allow_graceful=False)
        begin = time.monotonic()
        status = ended(process)
        took = time.monotonic() - begin
    if not status:
        raise RuntimeError("the command did not notice")
    with cluster(1) as (nodes, _):
        trial.finish(target, "--engine", "ray", "--address", nodes.address)
    return f"after {before} partitions; ended with {status} in {took:.0f} s, started again"


def killed(trial: Trial, target: Path, *more: str) -> str:
    """The command is killed (SIGKILL) in the middle, and started again."""
    process = trial.start(target, *more)
    until(lambda: written(target) >= 5, process)
    os.kill(process.pid, signal.SIGKILL)
    ended(process)
    before = written(target)
    trial.finish(target, *more)
    return f"after {before} partitions; started again"


def killed_on_ray(trial: Trial, target: Path) -> str:
    """The command is killed in the middle, with Ray that it started here, and started again."""
    return killed(trial, target, "--engine", "ray")


def failing_storage(trial: Trial, target: Path) -> str:
    """Every fifth answer of the storage is 503."""
    trial.web.fails = 5
    before = trial.web.refused
    trial.finish(target)
    trial.web.fails = 0
    return f"{trial.web.refused - before} answers were 503"


def storage_away(trial: Trial, target: Path) -> str:
    """The storage answers nothing but 503 for five seconds."""
    process = trial.start(target)
    until(lambda: written(target) >= 5, process)
    before = trial.web.refused
    trial.web.down = True
    time.sleep(5)
    trial.web.down = False
    if ended(process):
        raise RuntimeError("the command did not wait for the storage")
    return f"{trial.web.refused - before} answers were 503; the command went on"


def slow_storage(trial: Trial, target: Path) -> str:
    """Each answer takes a quarter of a second."""
    usual, trial.web.slow = trial.web.slow, 0.25
    trial.finish(target, "--readers", "32")
    trial.web.slow = usual
    return "32 readers"


def corrupt_file(trial: Trial, target: Path) -> str:
    """A byte of a finished partition's file is changed, another is cut short, one is deleted."""
    killed(trial, target)
    first, second, third = sorted((target / "embeddings").iterdir())[:3]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(bytes(data))
    second.write_bytes(second.read_bytes()[:1000])
    third.unlink()
    trial.finish(target)
    return "the three were made again"


FAULTS = (
    killed, corrupt_file, failing_storage, storage_away, slow_storage, killed_on_ray, node_killed,
    head_lost,
)  # fmt: skip


def all_faults(
    folder: Path, identifier: Path, before: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Try each fault that did not end well before, and compare with an unbroken run."""
    shown = {row["fault"]: row for row in before if row["equal"]}
    with Web(seed=7).running() as web:
        web.slow = 0.02
        trial = Trial(folder, identifier, web, PHOTOGRAPHS)
        whole = folder / "whole"
        trial.finish(whole)
        wanted = trial.files(whole)
        assert pq.read_table(whole / "embeddings").num_rows == PHOTOGRAPHS
        for fault in FAULTS:
            what = " ".join((fault.__doc__ or "").split())
            if what in shown:
                yield shown[what]
                continue
            target = folder / fault.__name__
            begin = time.monotonic()
            told: str = ""
            same: bool | None = None  # None: it did not come to the fault, or not to an end
            try:
                told = fault(trial, target)
                same = trial.files(target) == wanted
            except Exception as error:  # whatever it is, the others are tried
                said = (folder / "log.txt").read_text().splitlines()[-1:]
                told = " ".join(f"{error}: {said}".split())[-300:]
            took = time.monotonic() - begin
            print(f"  {fault.__name__}: {RESULT[same]}; {told}", flush=True)
            yield {
                "fault": what, "told": told, "equal": same, "seconds": took,
                "photographs": PHOTOGRAPHS, "files": len(wanted) - 1,
            }  # fmt: skip
