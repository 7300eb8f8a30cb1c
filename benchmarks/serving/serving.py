"""Throughput, latency and memory of `flukeprint serve` beside a plain FastAPI handler.

    python -m benchmarks.serving.serving --identifier RUN/identifier --photos FOLDER

Both run as processes of their own on this machine and are loaded in turns (A B A B ...) by 1, 4 and
16 concurrent clients; the page, `benchmarks/reports/serving.md`, defines each figure.  It is
written when all has been measured, so a killed run leaves the old one.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.arguments import options
from benchmarks.harness.load_client import (
    Load,
    ProcessorTime,
    Target,
    ask_each,
    drive,
    first_identity,
    load_of,
)
from benchmarks.harness.places import REPORTS, module_command
from benchmarks.harness.processes import Server, busy_seconds, machine_text, running
from benchmarks.serving.render import QUEUE, SERVICES, Measured, Plan, ServiceFigures, page
from flukeprint.data.formats.photo_formats import named_like_photo
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.identifier.card import read_card

PARTS = ("photos", "file")  # name of the form field with the photograph, of each service
MOST_PHOTOS = 60


@dataclass(frozen=True)
class Started:
    """A server after its start: seconds until ready, ms of the first answer, MiB before it."""

    target: Target
    seconds: float
    first: float
    memory: float


def measure(plan: Plan, report: Callable[[str], None]) -> Measured:
    """Measure both services as planned; `report` gets a line after every step.

    Raises FlukeprintError for a server that does not start or a photograph that it refuses.
    """
    starts: tuple[list[Started], list[Started]] = ([], [])
    for _ in range(plan.starts - 1):
        for service in (0, 1):
            with _started(plan, service) as server:
                starts[service].append(_first_answer(plan, service, server, report))
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        for service in (0, 1):
            servers.append(stack.enter_context(_started(plan, service)))
            starts[service].append(_first_answer(plan, service, servers[-1], report))
        targets = [own[-1].target for own in starts]
        alone = [_alone(plan, target, report) for target in targets]
        warm = [server.memory_mb() for server in servers]

        def load(service: int, clients: int, requests: int | None) -> Load:
            at = servers[service], targets[service]
            return _load(plan, *at, clients, requests, alone[service])

        loads: dict[int, list[tuple[Load, Load]]] = {clients: [] for clients in plan.clients}
        for turn in range(plan.rounds):
            for clients in plan.clients:
                pair = load(0, clients, plan.requests), load(1, clients, plan.requests)
                loads[clients].append(pair)
                report(f"round {turn + 1} of {plan.rounds}, {clients} clients: {_line(*pair)}")
        late = [server.memory_mb() for server in servers]
    with _started(plan, 0, f"serve.queue={QUEUE}") as server:
        target = Target(server.port, PARTS[0])
        ask_each(target, plan.photos[:QUEUE], 4)
        crowd = _load(plan, server, target, plan.crowd, None, alone[0])
        report(f"{plan.crowd} clients, serve.queue={QUEUE}: {_line(crowd)}")
    one, other = (
        ServiceFigures(
            tuple(start.seconds for start in own),
            tuple(start.first for start in own),
            (own[-1].memory, warm[service], late[service]),
        )
        for service, own in enumerate(starts)
    )
    alike = np.mean([first == second for first, second in zip(*alone, strict=True)])
    return Measured(loads, (one, other), crowd, float(alike))


def _started(plan: Plan, service: int, *more: str) -> contextlib.AbstractContextManager[Server]:
    """Start one of SERVICES in a process of its own, with `more` settings if it takes any."""
    if service:
        command = module_command("serving.plain_service", str(plan.identifier))
        return running(command, plan.plain_threads)
    command = [sys.executable, "-m", "flukeprint", "serve", "--port", "0", *more]
    return running([*command, "--identifier", str(plan.identifier)])


def _first_answer(
    plan: Plan, service: int, server: Server, report: Callable[[str], None]
) -> Started:
    target, memory = Target(server.port, PARTS[service]), server.memory_mb()
    (answer,) = ask_each(target, plan.photos[:1], 1)
    report(f"{SERVICES[service]}: ready after {server.start_seconds:.1f} s")
    return Started(target, server.start_seconds, 1000 * (answer.end - answer.begin), memory)


def _alone(plan: Plan, target: Target, report: Callable[[str], None]) -> list[str]:
    """First identity of each photograph, sent one after the other; also warms the server up."""
    samples = ask_each(target, plan.photos, 1)
    refused = [sample for sample in samples if sample.status != 200]
    if refused:
        raise FlukeprintError(
            f"{len(refused)} of {len(samples)} photographs were not answered, the first with "
            f"status {refused[0].status}; measure with photographs that can be read"
        )
    report(f"{len(samples)} photographs, one by one")
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
    return load_of(run, alone, ProcessorTime(spent[0], spent[1], spent[2], spent[3] * cores))


def _line(*loads: Load) -> str:
    return "; ".join(
        f"{name} {load.rate:.1f}/s, p95 {load.p95:.0f} ms"
        + (f", refused {load.refused}" if load.refused else "")
        + (f", failed {load.failed}, lost {load.lost}" if load.failed or load.lost else "")
        for name, load in zip(SERVICES, loads, strict=False)
    )


def chosen(folder: Path) -> tuple[bytes, ...]:
    """Read the photographs of a folder, at most MOST_PHOTOS evenly spaced ones.

    Raises FlukeprintError where there are none.
    """
    there = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in there if named_like_photo(path))
    if not paths:
        raise FlukeprintError(f"--photos: {folder} holds no photographs; name a folder with some")
    places = np.linspace(0, len(paths) - 1, min(len(paths), MOST_PHOTOS)).astype(int)
    return tuple(paths[place].read_bytes() for place in places)


def main() -> None:
    """Measure and write the page."""
    parser = options("serving.serving", __doc__)
    parser.add_argument("--identifier", type=Path, required=True, help="folder of an identifier")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs to send")
    parser.add_argument(
        "--clients", type=int, nargs="+", default=[1, 4, 16], help="numbers of concurrent clients"
    )
    parser.add_argument("--seconds", type=float, default=7.0, help="duration of each run")
    parser.add_argument("--requests", type=int, help="answers after which a run ends early")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each service")
    parser.add_argument("--starts", type=int, default=3, help="timed starts of each server")
    parser.add_argument("--crowd", type=int, default=64, help="clients of the overload")
    parser.add_argument("--plain-threads", type=int, help="OMP_NUM_THREADS of the plain handler")
    parser.add_argument("--out", type=Path, default=REPORTS / "serving.md", help="page")
    given = parser.parse_args()
    numbers = (*given.clients, given.rounds, given.starts, given.crowd)
    if min(*numbers, given.requests or 1, given.plain_threads or 1) < 1 or given.seconds <= 0:
        parser.error("numbers must be above 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the page stays as it was"))
    begin = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {text}", file=sys.stderr, flush=True)

    try:
        read_card(given.identifier)
        plan = Plan(
            given.identifier.absolute(), chosen(given.photos), tuple(given.clients),
            given.seconds, given.requests, given.rounds, given.starts, given.crowd,
            given.plain_threads,
        )  # fmt: skip
        text = page(plan, measure(plan, report), machine_text())
        with written_whole(given.out) as path:
            path.write_text(text)
    except FlukeprintError as error:
        sys.exit(f"error: {error}")
    print(given.out)


if __name__ == "__main__":
    main()
