"""Several processes enroll into one identifier at once; all photographs are there afterwards."""

import itertools
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.endurance.ground import Ground, emptied, left_overs
from benchmarks.endurance.journal import Result
from benchmarks.endurance.kills import last_line
from benchmarks.endurance.processes import finished
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier

PROCESSES = 4
MOST_TRIES = 200


def run_crowd(ground: Ground, seed: int, photographs: int, commands: int) -> Result:
    """PROCESSES writers, each of which enrolls `photographs` in so many commands, in turn.

    A command that is refused, because another writes, is given again.
    """
    start = time.monotonic()
    folder = emptied(ground.root / "crowd") / "identifier"
    shutil.copytree(ground.unbroken("plain").identifier, folder)
    before = len(Identifier.load(folder).gallery)
    supply = ground.photographs(seed + 1)
    each = photographs // commands
    plans = [
        [(f"animal {who} {turn}", list(itertools.islice(supply, each))) for turn in range(commands)]
        for who in range(PROCESSES)
    ]
    with ThreadPoolExecutor(PROCESSES) as pool:
        told = list(pool.map(lambda plan: _writer(folder, plan), plans))
    faults = [fault for found, _ in told for fault in found]
    refused = sum(count for _, count in told)
    wanted = PROCESSES * each * commands
    there = 0
    try:
        known = Identifier.load(folder)
        there = len(known.gallery) - before
        for name, photos in itertools.chain(*plans):
            found = known.gallery.identities.count(name)
            if found != len(photos):
                faults.append(f"{found} of {len(photos)} photographs of an animal are there")
    except FlukeprintError as error:
        faults.append(f"the identifier cannot be loaded: {str(error)[:200]}")
    if there != wanted:
        faults.append(f"{there} of {wanted} photographs are there")
    faults += left_overs(folder.parent)
    return Result(
        "enrolling", f"{PROCESSES} at once, {commands} commands of {each}", 0, seed,
        f"{there} of {wanted} there", faults, round(time.monotonic() - start, 2),
        {"refused": refused},
    )  # fmt: skip


def _writer(folder: Path, plan: list[tuple[str, list[Path]]]) -> tuple[list[str], int]:
    """Enroll all of a plan; faults, and the number of commands that were refused."""
    faults, refused = [], 0
    for name, photos in plan:
        for _ in range(MOST_TRIES):
            code, said = finished(
                "flukeprint", "enroll", folder, *photos, "--identity", name, seconds=600
            )
            if code == 0:
                break
            refused += 1
            if "Traceback" in said or code != 2:
                faults.append(f"enroll failed ({code}): {last_line(said)}")
                break
            time.sleep(0.2)
        else:
            faults.append(f"enroll was refused {MOST_TRIES} times: {last_line(said)}")
    return faults, refused
