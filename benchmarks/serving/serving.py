"""Measure `flukeprint serve` beside a plain FastAPI handler; figures leave for a page.

    python benchmarks/serving.py --identifier RUN/identifier --photos FOLDER

Both run as processes of their own on this machine and are asked in turns (A B A B ...) by 1, 4 and
16 clients at once; what each figure is stands in the page, `serving.md` beside this script.  The
page is written when all has been measured, so a killed run leaves the old one.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from closed_loop import Load, Spent, Target, ask_each, drive, first_identity, load_of
from processes import Server, busy_seconds, machine, running
from serving_page import QUEUE, SERVICES, Measured, Plan, Settled, page

from flukeprint.data.readers.layout import SUFFIXES
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.identifier.card import read_card

HERE = Path(__file__).parent
PARTS = ("photos", "file")  # what each calls the part of a form with the photograph
MOST_PHOTOS = 60


@dataclass(frozen=True)
class Beginning:
    """A server that has just started: seconds until ready, ms of its first answer, MiB before."""

    target: Target
    seconds: float
    first: float
    memory: float


def measure(plan: Plan, say: Callable[[str], None]) -> Measured:
    """Measure as planned; `say` is told of every step.

    Raises FlukeprintError for a server that does not start or a photograph that it refuses.
    """
    begun: tuple[list[Beginning], list[Beginning]] = ([], [])
    for _ in range(plan.starts - 1):
        for service in (0, 1):
            with _started(plan, service) as server:
                begun[service].append(_begun(plan, service, server, say))
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        for service in (0, 1):
            servers.append(stack.enter_context(_started(plan, service)))
            begun[service].append(_begun(plan, service, servers[-1], say))
        targets = [began[-1].target for began in begun]
        alone = [_alone(plan, target, say) for target in targets]
        warm = [server.memory_mb() for server in servers]

        def load(service: int, clients: int, requests: int | None) -> Load:
            at = servers[service], targets[service]
            return _load(plan, *at, clients, requests, alone[service])

        loads: dict[int, list[tuple[Load, Load]]] = {clients: [] for clients in plan.clients}
        for turn in range(plan.rounds):
            for clients in plan.clients:
                pair = load(0, clients, plan.requests), load(1, clients, plan.requests)
                loads[clients].append(pair)
                say(f"round {turn + 1} of {plan.rounds}, {clients} clients: {_said(*pair)}")
        late = [server.memory_mb() for server in servers]
    with _started(plan, 0, f"serve.queue={QUEUE}") as server:
        target = Target(server.port, PARTS[0])
        ask_each(target, plan.photos[:QUEUE], 4)
        crowd = _load(plan, server, target, plan.crowd, None, alone[0])
        say(f"{plan.crowd} clients, serve.queue={QUEUE}: {_said(crowd)}")
    one, other = (
        Settled(
            tuple(start.seconds for start in began),
            tuple(start.first for start in began),
            (began[-1].memory, warm[service], late[service]),
        )
        for service, began in enumerate(begun)
    )
    alike = np.mean([first == second for first, second in zip(*alone, strict=True)])
    return Measured(loads, (one, other), crowd, float(alike))


def _started(plan: Plan, service: int, *more: str) -> contextlib.AbstractContextManager[Server]:
    """One of SERVICES in a process of its own, with `more` settings where it has any."""
    if service:
        command = [sys.executable, str(HERE / "plain_service.py"), str(plan.identifier)]
        return running(command, plan.plain_threads)
    command = [sys.executable, "-m", "flukeprint", "serve", "--port", "0", *more]
    return running([*command, "--identifier", str(plan.identifier)])


def _begun(plan: Plan, service: int, server: Server, say: Callable[[str], None]) -> Beginning:
    target, memory = Target(server.port, PARTS[service]), server.memory_mb()
    (answer,) = ask_each(target, plan.photos[:1], 1)
    say(f"{SERVICES[service]}: ready after {server.start_seconds:.1f} s")
    return Beginning(target, server.start_seconds, 1000 * (answer.end - answer.begin), memory)


def _alone(plan: Plan, target: Target, say: Callable[[str], None]) -> list[str]:
    """The first identity of each photograph, asked one after the other; warms the server up."""
    samples = ask_each(target, plan.photos, 1)
    refused = [sample for sample in samples if sample.status != 200]
    if refused:
        raise FlukeprintError(
            f"{len(refused)} of {len(samples)} photographs were not answered, the first with "
            f"status {refused[0].status}; measure with photographs that can be read"
        )
    say(f"{len(samples)} photographs, one by one")
    return [first_identity(sample.body) for sample in samples]


def _load(
    plan: Plan,
    server: Server,
    target: Target,
    clients: int,
    requests: int | None,
    alone: Sequence[str],
) -> Load:
    def clocks() -> tuple[float, float, float, float]:
        return server.cpu_seconds(), time.process_time(), busy_seconds(), time.perf_counter()

    before = clocks()
    run = drive(target, plan.photos, clients, seconds=plan.seconds, requests=requests)
    spent = [after - then for after, then in zip(clocks(), before, strict=True)]
    cores = os.cpu_count() or 1
    return load_of(run, alone, Spent(spent[0], spent[1], spent[2], spent[3] * cores))


def _said(*loads: Load) -> str:
    return "; ".join(
        f"{name} {load.rate:.1f}/s, p95 {load.p95:.0f} ms"
        + (f", refused {load.refused}" if load.refused else "")
        + (f", failed {load.failed}, lost {load.lost}" if load.failed or load.lost else "")
        for name, load in zip(SERVICES, loads, strict=False)
    )


def chosen(folder: Path) -> tuple[bytes, ...]:
    """The photographs of a folder, of more than MOST_PHOTOS every so many.

    Raises FlukeprintError where there are none.
    """
    there = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in there if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FlukeprintError(f"--photos: {folder} holds no photographs; name a folder with some")
    places = np.linspace(0, len(paths) - 1, min(len(paths), MOST_PHOTOS)).astype(int)
    return tuple(paths[place].read_bytes() for place in places)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--identifier", type=Path, required=True, help="its folder")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="at once")
    parser.add_argument("--seconds", type=float, default=7.0, help="of each run")
    parser.add_argument("--requests", type=int, help="end a run after so many answers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=3, help="of each server, to time them")
    parser.add_argument("--crowd", type=int, default=64, help="clients of the overload")
    parser.add_argument("--plain-threads", type=int, help="OMP_NUM_THREADS of the plain handler")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    given = parser.parse_args()
    numbers = (*given.clients, given.rounds, given.starts, given.crowd)
    if min(*numbers, given.requests or 1, given.plain_threads or 1) < 1 or given.seconds <= 0:
        parser.error("numbers must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the page stays as it was"))
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    try:
        read_card(given.identifier)
        plan = Plan(
            given.identifier.absolute(), chosen(given.photos), tuple(given.clients),
            given.seconds, given.requests, given.rounds, given.starts, given.crowd,
            given.plain_threads,
        )  # fmt: skip
        text = page(plan, measure(plan, say), machine())
        with written_whole(given.out) as path:
            path.write_text(text)
    except FlukeprintError as error:
        sys.exit(f"error: {error}")
    print(given.out)


if __name__ == "__main__":
    main()
