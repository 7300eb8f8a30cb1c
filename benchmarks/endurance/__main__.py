"""Kill commands, mutate inputs and enroll at once, and count what went wrong.

    python -m benchmarks.endurance [--quick] [--seed N] [--into FILE] [--work FOLDER]

Every trial is a line of the file of results, so that the same command goes on where it was cut off;
`--only PART/KIND/NUMBER` repeats one trial with its seed.  docs/reliability.md holds the figures.
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from benchmarks.endurance.crowd import run_crowd
from benchmarks.endurance.ground import Ground, lay_ground
from benchmarks.endurance.inputs import memory_of, run_inputs
from benchmarks.endurance.journal import Journal, Result, fault_lines, summary
from benchmarks.endurance.kills import AREAS, ENDED, run_kills
from benchmarks.endurance.page import PAGE, write_page
from benchmarks.endurance.targets import TARGETS, TIMEOUT
from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from flukeprint.errors import FlukeprintError

PARTS = ("kills", "inputs", "memory", "enrolling")
SHARES = {  # of all inputs
    "photographs": 0.3, "tables": 0.25, "configs": 0.15, "identifiers": 0.1, "runs": 0.05,
    "requests": 0.15,
}  # fmt: skip


def main() -> int:
    parser = options("endurance", __doc__, ("quick", "render"))
    parser.add_argument("--seed", type=int, default=0, help="of all trials")
    parser.add_argument("--parts", default=",".join(PARTS), help="which, with commas between")
    parser.add_argument("--kinds", default="", help="areas and sorts of input, with commas; all")
    parser.add_argument("--kills", type=int, help="500; 25 with --quick")
    parser.add_argument("--inputs", type=int, help="10000; 500 with --quick")
    parser.add_argument("--only", help="PART/KIND/NUMBER: this trial alone, not kept")
    parser.add_argument("--into", type=Path, help="file of results, lines of JSON")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/endurance", help="folder of work")
    parser.add_argument("--fresh", action="store_true", help="begin the file of results anew")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    # Of killed processes, whose semaphores nobody gave back.
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
    os.environ["FLUKEPRINT_CACHE"] = str(given.work.absolute() / "measured")
    into = given.into or given.work / f"results{'-quick' if given.quick else ''}.jsonl"
    if given.fresh or given.only:
        into = into.with_name(f"{into.stem}-only.jsonl") if given.only else into
        into.unlink(missing_ok=True)
    print(f"seed {given.seed}; results: {into}", flush=True)
    ground = lay_ground(given.work)
    journal = Journal(into)
    stopped = False
    try:
        for result in () if given.render else _trials(ground, journal, given):
            journal.add(result)
    except KeyboardInterrupt:
        stopped = True
        print("\nstopped; the same command goes on from here", file=sys.stderr)
    results = [one for one in journal.results.values() if one.seed == given.seed]
    print("\n" + summary(results))
    faults = fault_lines(results)
    whole = not (given.quick or given.only or given.kinds) and given.parts == ",".join(PARTS)
    if given.render or (whole and not stopped):
        write_page(results, TIMEOUT)
        print(f"written: {PAGE}")
    print("\n".join(faults) or "no faults")
    return 1 if faults else 0


def _trials(ground: Ground, journal: Journal, given: argparse.Namespace) -> Iterator[Result]:
    if given.only:
        part, kind, number = given.only.split("/")
        if part == "kills":
            yield from run_kills(ground, kind, given.seed, [int(number)], true_every=0)
        else:
            yield from run_inputs(ground, kind, given.seed, [int(number)])
        return
    parts = given.parts.split(",")
    kinds = given.kinds.split(",") if given.kinds else [*AREAS, *TARGETS]
    kills = given.kills or (25 if given.quick else 500)
    inputs = given.inputs or (500 if given.quick else 10_000)
    if "inputs" in parts:
        for kind in (kind for kind in TARGETS if kind in kinds):
            count = round(inputs * SHARES[kind])
            wanted = [n for n in range(count) if ("inputs", kind, n, given.seed) not in journal]
            trials = run_inputs(ground, kind, given.seed, wanted)
            yield from tqdm(trials, f"inputs: {kind}", len(wanted), unit="input", mininterval=1)
    if "kills" in parts:
        for kind in (kind for kind in AREAS if kind in kinds):
            yield from _killed(ground, journal, given, kind, kills // len(AREAS))
    if "memory" in parts:
        for kind in (kind for kind in TARGETS if kind in kinds):
            if ("memory", kind, 0, given.seed) not in journal:
                print(f"memory: {kind}", flush=True)
                yield memory_of(ground, kind, given.seed, 20 if given.quick else 200)
    if "enrolling" in parts:
        for photographs, commands in ((20, 2), (20, 1)) if given.quick else ((200, 10), (200, 1)):
            print(f"enrolling: four times {photographs} photographs at once", flush=True)
            yield run_crowd(ground, given.seed, photographs, commands)


def _killed(
    ground: Ground, journal: Journal, given: argparse.Namespace, kind: str, wanted: int
) -> Iterator[Result]:
    """Trials until so many commands were killed; those that ended before do not count."""
    done = journal.of("kills", kind, given.seed)
    numbers = itertools.count(1 + max((one.number for one in done), default=-1))
    left = wanted - sum(one.outcome != ENDED for one in done)
    start = time.monotonic()
    with tqdm(total=max(left, 0), desc=f"kills: {kind}", unit="kill") as bar:
        if left <= 0:
            return
        every = 0 if given.quick else 25
        for result in run_kills(ground, kind, given.seed, numbers, true_every=every):
            yield result
            if result.outcome != ENDED:
                left -= 1
                bar.update()
            if left <= 0:
                return
            if result.outcome == "failed by itself" and time.monotonic() - start > 3600:
                raise FlukeprintError(f"kills of {kind} go on for an hour; see {journal.path}")


if __name__ == "__main__":
    sys.exit(main())
