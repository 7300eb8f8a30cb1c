"""Kill the writers of a catalogue and its database server, let many write at once, and count.

    python -m benchmarks.endurance.catalogue [--quick] [--seed N] [--only KIND]

A writer is a forked process that has imported everything; it runs one command after the other, as
typed, until SIGKILL ends it or the server under it.  What it had printed then has to be there,
once, and the identifier on the disk has to agree with the records.  Writes
results/catalogue_endurance.json.
"""

import contextlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import sqlalchemy as sa
import torch
from tqdm import tqdm

from benchmarks.endurance.ground import drawn
from benchmarks.endurance.page import CATALOGUE, put_catalogue_section
from benchmarks.harness.arguments import options
from benchmarks.harness.timing import save
from flukeprint.cli import app
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.records.database import Database
from flukeprint.records.schema import catalogue, changes, events, individuals, parts, photographs
from tests import postgresql
from tests.keeper.kept import identifier  # the tiny one of the tests

KILLS = {"sqlite": 300, "postgresql": 100, "server": 60}
WRITERS, READERS, SECONDS = 8, 2, 60
ANIMALS = 6
LONGEST = 1.2  # seconds from the start of a writer to its kill, at most


@dataclass
class Ground:
    """One catalogue, of which every trial goes on from where the one before ended.

    vectors: image -> its embedding, of what was looked at already.
    """

    folder: Path
    photos: Path
    server: postgresql.Server | None = None
    vectors: dict[str, Any] = field(default_factory=dict)


# Writers.


def commands(ground: Ground, seed: int) -> Iterator[list[str]]:
    """Endless random commands on the catalogue, as a user types them."""
    rng = random.Random(seed)
    kept = str(ground.folder)
    for number in itertools.count():
        with Database.open(ground.folder).reading() as connection:
            names = list(
                connection.execute(
                    sa.select(individuals.c.name).where(~individuals.c.removed)
                ).scalars()
            )
            images = list(
                connection.execute(
                    sa.select(photographs.c.image).where(~photographs.c.removed)
                ).scalars()
            )
        what = rng.choice(
            ["photo", "photo", "new", "table", "rename", "merge", "split", "move", "remove", "undo"]
        )
        some = rng.sample(images, min(2, len(images) - 1))
        name, other = rng.sample(names, 2) if len(names) > 1 else (names[0], names[0])
        fresh = f"w_{seed}_{number}"
        if what in ("photo", "new"):
            path = ground.photos / f"{fresh}.png"
            path.write_bytes(drawn(seed, number))
            whom = ["--suggest"] if what == "new" else ["--identity", name]
            yield ["enroll", kept, str(path), *whom, "--force", "--json"]
        elif what == "table":
            lines = ["image,identity,date,latitude,longitude"]
            for place in range(4):
                path = ground.photos / f"{fresh}_{place}.png"
                path.write_bytes(drawn(seed, 1000 * (number + 1) + place))
                lines.append(f"{path.name},{(name, fresh)[place % 2]},2025-05-0{place + 1},-27,32")
            table = ground.photos / f"{fresh}.csv"
            table.write_text("\n".join(lines) + "\n")
            yield ["enroll", kept, str(table), "--new", "--force", "--json"]
        elif what == "rename":
            yield ["rename", kept, name, fresh, "--json"]
        elif what == "merge" and len(names) > ANIMALS // 2:
            yield ["merge", kept, name, other, "--json"]
        elif what == "split":
            yield ["split", kept, name, "-p", some[0], "--to", fresh, "--json"]
        elif what == "move":
            yield ["move", kept, *some, "--to", name, "--json"]
        elif what == "remove" and len(images) > 4:
            yield ["remove", kept, "-p", some[0], "--json"]
        elif what == "undo":
            yield ["undo", kept, "--json"]


def write(ground: Ground, seed: int, said: int, until: Callable[[], bool] | None = None) -> None:
    """Run commands, and report the event of each one that printed it as a line of JSON."""
    for words in commands(ground, seed):
        if until is not None and until():
            return
        printed = io.StringIO()
        refused = None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            try:
                app(words, standalone_mode=False)
            except FlukeprintError as error:
                refused = str(error)
        if refused is None:
            event = {"did": words[0], **json.loads(printed.getvalue())}
        else:
            event = {"did": words[0], "refused": refused}
        os.write(said, (json.dumps(event) + "\n").encode())


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Run `work(pipe)` in a forked process: its number, and the end to read of the pipe."""
    out, into = os.pipe()
    sys.stdout.flush()
    number = os.fork()
    if number:
        os.close(into)
        return number, out
    os.close(out)
    code = 0
    try:
        os.setsid()
        work(into)
    except BaseException as error:
        os.write(into, (json.dumps({"did": "fault", "fault": repr(error)}) + "\n").encode())
        code = 1
    finally:
        os._exit(code)


def lines(pipe: int) -> list[dict[str, Any]]:
    """What a process that has ended had printed; half a line was not printed."""
    with os.fdopen(pipe, "rb") as file:
        whole = file.read().split(b"\n")[:-1]
    return [json.loads(line) for line in whole]


# What has to hold.


def told_events(said: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {one["event"]["id"] if "event" in one else one["id"]: one
            for one in said if "refused" not in one and one["did"] != "fault"}  # fmt: skip


def faults_of(ground: Ground, before: int, said: list[dict[str, Any]], writers: int) -> list[str]:
    """What is wrong with the catalogue after its writers ended.

    before: number of the last event until then.  said: all that the writers printed.
    """
    faults = [f"a command failed: {one['fault']}" for one in said if one["did"] == "fault"]
    told = told_events(said)
    database = Database.open(ground.folder)
    with database.reading() as connection:
        after = connection.execute(sa.select(events).where(events.c.id > before)).all()
        last = connection.scalar(sa.select(catalogue.c.last_event))
        noted = connection.execute(
            sa.select(changes.c.event_id, sa.func.count())
            .where(
                changes.c.event_id > before, changes.c.of_table == photographs.name,
                changes.c.before.is_(None),
            )
            .group_by(changes.c.event_id)
        ).all()  # fmt: skip
        rows = connection.execute(
            sa.select(photographs, individuals.c.name, individuals.c.removed.label("gone"))
            .outerjoin(individuals, individuals.c.id == photographs.c.individual_id)
        ).all()  # fmt: skip
        kept = set(connection.execute(sa.select(parts.c.row)).scalars())
        first = connection.scalar(sa.select(catalogue.c.first_photos)) or 0
    there = {one.id: one for one in after}
    for number, event in told.items():
        summary = event["event"]["summary"] if "event" in event else event["summary"]
        if number not in there:
            faults.append(f"event {number} was printed and is lost: {summary}")
        elif there[number].summary != summary:
            faults.append(f"event {number} is another one than was printed: {summary}")
    more = len(there) - len(told)
    if not 0 <= more <= writers:
        faults.append(f"{len(there)} events, of which {len(told)} were printed by {writers}")
    if sorted(there) != list(range(before + 1, before + 1 + len(there))) or last != (
        before + len(there)
    ):
        faults.append("the events are not numbered one after the other")
    made = dict(map(tuple, noted))
    for number, event in there.items():
        if event.kind == "enroll" or event.kind == "import":
            wanted = int(event.summary.split()[0].replace(",", ""))
            if made.get(number) != wanted:
                faults.append(f"half an event: {event.summary}, {made.get(number)} rows")
    if sorted(one.row for one in rows) != list(range(len(rows))):
        faults.append("the rows of photographs are not those of the gallery")
    if kept != set(range(first, len(rows))):
        faults.append("photographs lack what the gallery keeps of them")
    if any(one.gone for one in rows if not one.removed):
        faults.append("a photograph shows an animal that is removed")
    known = Identifier.load(ground.folder)
    pairs = list(zip(known.gallery.images, known.gallery.identities, strict=True))
    if Counter(pairs) != Counter((one.image, one.name) for one in rows if not one.removed):
        faults.append("the identifier and the records disagree")
    if len(set(known.gallery.images)) != len(pairs):
        faults.append("a photograph appears twice")
    for place, image in enumerate(known.gallery.images):
        vector = known.gallery.vectors[place]
        if image not in ground.vectors:
            file = ground.photos / image
            if not file.is_file():
                ground.vectors[image] = np.array(vector)
                continue
            ground.vectors[image] = known.embed([file]).vectors[0]
        if not np.allclose(vector, ground.vectors[image], atol=1e-5):
            faults.append(f"{image} has the embedding of another photograph")
    return faults


# Kills.


def last_of(ground: Ground) -> int:
    with Database.open(ground.folder).reading() as connection:
        return int(connection.scalar(sa.select(catalogue.c.last_event)) or 0)


def kill_writer(ground: Ground, seed: int) -> tuple[int, list[str]]:
    """One trial: confirmed events, and what was wrong afterwards."""
    rng = random.Random(seed)
    before = last_of(ground)
    number, pipe = forked(lambda said: write(ground, seed, said))
    time.sleep(rng.uniform(0.02, LONGEST))
    os.killpg(number, signal.SIGKILL)
    os.waitpid(number, 0)
    said = lines(pipe)
    return len(told_events(said)), faults_of(ground, before, said, 1)


def kill_server(ground: Ground, seed: int) -> tuple[int, list[str]]:
    """The same, but the server is killed under a writer that goes on, and started again."""
    assert ground.server is not None
    rng = random.Random(seed)
    before = last_of(ground)
    end = time.monotonic() + LONGEST + 1.0
    number, pipe = forked(lambda said: write_on(ground, seed, said, lambda: time.monotonic() > end))
    time.sleep(rng.uniform(0.02, LONGEST))
    ground.server.kill()
    time.sleep(rng.uniform(0, 0.3))
    ground.server.start()
    os.waitpid(number, 0)
    said = lines(pipe)
    # A commit whose answer was lost is there or not, and so is that of a command after it.
    lost = sum("cannot be used" in one.get("refused", "") for one in said)
    return len(told_events(said)), faults_of(ground, before, said, lost)


def write_on(ground: Ground, seed: int, said: int, until: Callable[[], bool]) -> None:
    """Write although the database is gone for a while."""
    for turn in itertools.count():
        try:
            write(ground, seed + 100_000 * turn, said, until)
        except FlukeprintError as error:  # the commands could not be chosen
            if "cannot be used" not in str(error):
                raise
            time.sleep(0.02)
        else:
            return


# Many at once.


def read(ground: Ground, said: int, until: Callable[[], bool]) -> None:
    """Read the identifier and its records again and again, and say where they disagree."""
    looks, keeper = 0, Keeper.open(ground.folder)
    while not until():
        known = keeper.identifier
        assert known.kept is not None
        with keeper.database.reading() as connection:
            last = connection.scalar(sa.select(catalogue.c.last_event))
            whole = connection.scalar(
                sa.select(sa.func.count()).select_from(photographs).where(~photographs.c.removed)
            )
            stored = connection.scalar(sa.select(sa.func.count()).select_from(photographs))
            half = connection.scalar(
                sa.select(sa.func.count()).select_from(events).where(
                    ~sa.exists().where(changes.c.event_id == events.c.id), events.c.id > 1
                )
            )  # fmt: skip
            newest = connection.scalar(sa.select(sa.func.max(events.c.id)))
        looks += 1
        event = known.kept.records.event
        if last == event and (whole, stored) != (len(known.gallery), known.kept.stored):
            raise AssertionError(f"gallery of {len(known.gallery)} and {whole} records at {event}")
        if half or newest != last:
            raise AssertionError(f"half of event {newest}")
        if len(set(known.gallery.images)) != len(known.gallery):
            raise AssertionError("a photograph twice")
    os.write(said, (json.dumps({"did": "read", "refused": "", "looks": looks}) + "\n").encode())


def crowd(ground: Ground, seed: int, seconds: float) -> dict[str, Any]:
    """Eight writers and two readers at once."""
    before = last_of(ground)
    end = time.monotonic() + seconds
    over = lambda: time.monotonic() > end  # noqa: E731
    started = [
        forked(lambda said, place=place: write(ground, seed + place, said, over))  # type: ignore[misc]
        for place in range(WRITERS)
    ]
    readers = [forked(lambda said: read(ground, said, over)) for _ in range(READERS)]
    said: list[dict[str, Any]] = []
    # Pipes hold little: each is read while its process runs.
    for number, pipe in [*started, *readers]:
        said += lines(pipe)
        os.waitpid(number, 0)
    looks = sum(one.get("looks", 0) for one in said)
    refused = sum(bool(one.get("refused")) for one in said)
    faults = faults_of(ground, before, [one for one in said if "looks" not in one], 0)
    if len([one for one in said if "looks" in one]) != READERS:
        faults.append("a reader failed")
    busy = sum("still writing" in one.get("refused", "") for one in said)
    return {
        "writers": WRITERS, "readers": READERS, "seconds": seconds,
        "events": len(told_events(said)), "looks": looks, "refused": refused,
        "gave_up_waiting": busy, "faults": faults,
    }  # fmt: skip


def begun(work: Path, name: str, server: postgresql.Server | None) -> Ground:
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "photos").mkdir()
    kept = identifier(folder, animals=ANIMALS, frames=2)
    Keeper.open(kept, author="ana", url=None if server is None else server.url)
    return Ground(kept, folder / "photos", server)


def trials(ground: Ground, kind: str, count: int, seed: int) -> dict[str, Any]:
    """So many kills on one catalogue, one after the other."""
    kill = kill_server if kind == "server" else kill_writer
    confirmed, faults, begin = 0, [], time.monotonic()
    for number in tqdm(range(count), kind, unit="kill", mininterval=2):
        events_, wrong = kill(ground, 1_000_000 * seed + 1000 * number)
        confirmed += events_
        faults += [f"kill {number}: {one}" for one in wrong]
        for fault in wrong:
            print(f"\n  FAULT {kind} {number}: {fault}", flush=True)
        if len(faults) > 20:
            break
    return {
        "kind": kind, "kills": number + 1, "confirmed": confirmed, "events": last_of(ground),
        "photographs": len(Identifier.load(ground.folder).gallery), "faults": faults,
        "seconds": round(time.monotonic() - begin),
    }  # fmt: skip


def main() -> int:
    parser = options("endurance.catalogue", __doc__, ["quick"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="sqlite, postgresql, server, with commas; all")
    parser.add_argument("--kills", type=int, help="of each kind, instead of its own number")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = given.only.split(",") if given.only else list(KILLS)
    result: dict[str, Any] = {"seed": given.seed, "kills": [], "crowds": []}
    with tempfile.TemporaryDirectory(prefix="endurance-") as name, contextlib.ExitStack() as stack:
        os.environ["FLUKEPRINT_CACHE"] = f"{name}/measured"
        server = None
        if {"postgresql", "server"} & set(kinds):
            try:
                server = stack.enter_context(postgresql.server(durable=True))
            except RuntimeError as error:
                print(f"without PostgreSQL: {error}")
        for kind in kinds:
            if kind != "sqlite" and server is None:
                continue
            ground = begun(Path(name), kind, None if kind == "sqlite" else server)
            count = given.kills or (KILLS[kind] // 20 if given.quick else KILLS[kind])
            result["kills"].append(trials(ground, kind, count, given.seed))
            if kind != "server":
                ground = begun(Path(name), f"{kind}-crowd", ground.server)
                found = crowd(ground, 77, 5 if given.quick else SECONDS)
                result["crowds"].append({"kind": kind, **found})
                print(result["crowds"][-1])
    if given.quick or given.kills is not None:
        save("catalogue_endurance", result, True)
    else:
        if CATALOGUE.is_file():  # what was not measured anew
            there = json.loads(CATALOGUE.read_text())
            for name in ("kills", "crowds"):
                result[name] += [one for one in there[name] if one["kind"] not in kinds]
        save("catalogue_endurance", result, False)
        put_catalogue_section()
    wrong = [fault for one in (*result["kills"], *result["crowds"]) for fault in one["faults"]]
    print("\n".join(wrong) or "no faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
