"""Render the figures of `serving.py` as a Markdown page."""

import json
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness.load_client import Load
from flukeprint.identifier.card import read_card

SERVICES = ("flukeprint serve", "plain handler")
QUEUE = 16  # serve.queue of the overload


@dataclass(frozen=True)
class Plan:
    """What to measure; the options of the command explain each field."""

    identifier: Path
    photos: tuple[bytes, ...]
    clients: tuple[int, ...] = (1, 4, 16)
    seconds: float = 7.0
    requests: int | None = None
    rounds: int = 5
    starts: int = 3
    crowd: int = 64
    plain_threads: int | None = None


@dataclass(frozen=True)
class ServiceFigures:
    """Figures of one service that do not depend on the number of clients.

    starts: seconds until ready.  first: milliseconds of the first answer after each start.
    memory: MiB when ready, after every photograph was sent once, and at the end.
    """

    starts: tuple[float, ...]
    first: tuple[float, ...]
    memory: tuple[float, float, float]


@dataclass(frozen=True)
class Measured:
    """All measured figures, of both services in the order of SERVICES.

    loads: clients -> the load of each service in every round.  crowd: overload of the first one.
    alike: share of photographs with the same first answer from both.
    """

    loads: dict[int, list[tuple[Load, Load]]]
    settled: tuple[ServiceFigures, ServiceFigures]
    crowd: Load
    alike: float


def page(plan: Plan, found: Measured, host: str) -> str:
    """Write the page; host: the machine, in words."""
    every = [load for pairs in found.loads.values() for pair in pairs for load in pair]
    own = "PyTorch's own number of threads"
    threads = own if plan.plain_threads is None else f"OMP_NUM_THREADS={plan.plain_threads}"
    end = "" if plan.requests is None else f" or until {plan.requests} answers"
    return "\n\n".join([
        "# Serving",
        "Written by "
        "`python -m benchmarks.serving.serving --identifier RUN/identifier --photos FOLDER`.",
        _paragraph(
            f"**{SERVICES[0]}** is the real process with its own settings. **{SERVICES[1]}** is "
            "`benchmarks/serving/plain_service.py`: uvicorn with one handler, `def identify(file: "
            "UploadFile)`, which FastAPI runs in its pool of threads. For each request it opens "
            "the photograph with Pillow, turns it by EXIF, resizes it, runs its variants (zooms, "
            "mirror) through the network one by one, in evaluation and inference mode and with "
            f"{threads}, takes numpy's cosine with the gallery and returns "
            "the five best identities as JSON. Network, weights, gallery, sizes and variants are "
            "the same in both. The plain one has no queue, no limits, no checks of what is sent, "
            "no ranking rules and no probabilities."
        ),
        _paragraph(
            f"{_of_identifier(plan)} Machine: {host}; clients and servers share it. Of all cores, "
            f"neither the measured server nor the clients had {_span(every, 'others', 100)} % of "
            f"the time (other work); the clients had {_span(every, 'clients', 100)} %."
        ),
        _paragraph(
            "Clients form a closed loop, each with a kept-alive connection of its own: it sends "
            "the next request as soon as it has its answer. A run is measured from when every "
            f"client has had an answer, for {plan.seconds:g} s{end}, longer while there are fewer "
            f"answers than clients; in each of {plan.rounds} rounds both services are measured in "
            "turns. Figures are medians over rounds, brackets their lowest and highest; "
            "latency is from sending to the whole answer; CPU is the server's processor time for "
            "each request."
        ),
        _rates(found),
        "The first over the second in each round, the median of these, and their range:",
        _ratios(found),
        _settled(found),
        f"The same first identity from both: {100 * found.alike:.0f} % of the photographs.",
        _paragraph(
            f"Overload: {plan.crowd} clients of {SERVICES[0]} with serve.queue={QUEUE}, in one "
            "run; a client waits as long as Retry-After says."
        ),
        _crowd(found.crowd),
    ]) + "\n"  # fmt: skip


def _of_identifier(plan: Plan) -> str:
    card = read_card(plan.identifier)
    backbones = " + ".join([card.model.backbone, *(more.backbone for more in card.model.beside)])
    variants = card.recipe.variants
    rules = card.method.rules.model_dump(exclude_defaults=True)
    ranked = f", rank {json.dumps(rules)}" if rules else ""
    size = np.mean([len(photo) for photo in plan.photos]) / 1024
    return (
        f"Identifier `{card.name}`: {backbones}, {card.image.height} x {card.image.width}, "
        f"{variants} variants of a photograph{ranked}; {len(plan.photos)} photographs of "
        f"{size:.0f} KiB on average in rotation."
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _rates(found: Measured) -> str:
    lines = [
        "| clients | service | answers a second | p50 ms | p95 ms | p99 ms | CPU ms | answers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for clients, pairs in found.loads.items():
        for service, name in enumerate(SERVICES):
            loads = [pair[service] for pair in pairs]
            cells = [
                f"**{_middle(loads, 'rate', 1)}** [{_span(loads, 'rate', 1, 1)}]",
                f"{_middle(loads, 'p50')} [{_span(loads, 'p50')}]",
                f"{_middle(loads, 'p95')} [{_span(loads, 'p95')}]",
                _middle(loads, "p99"),
                _middle(loads, "cpu_ms"),
                str(sum(load.answers for load in loads)),
            ]
            lines.append(f"| {clients} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratios(pairs: Sequence[tuple[Load, Load]], name: str) -> tuple[float, float, float]:
    """Quotient of the first service and the second in each round: median, lowest, highest."""
    each = [getattr(one, name) / getattr(other, name) for one, other in pairs]
    return statistics.median(each), min(each), max(each)


def _ratios(found: Measured) -> str:
    names = ("rate", "p50", "p95", "p99", "cpu_ms")
    lines = [
        "| clients | answers a second | p50 | p95 | p99 | CPU |",
        "|---|---|---|---|---|---|",
    ]
    for clients, pairs in found.loads.items():
        cells = ["{:.2f} [{:.2f} to {:.2f}]".format(*ratios(pairs, name)) for name in names]
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _settled(found: Measured) -> str:
    columns = []
    for service, settled in enumerate(found.settled):
        loads = [pair[service] for pairs in found.loads.values() for pair in pairs]
        loads += [found.crowd] * (service == 0)
        columns.append([
            f"{statistics.median(settled.starts):.1f}",
            f"{statistics.median(settled.first):.0f}",
            *(f"{memory:.0f}" for memory in settled.memory),
            str(sum(load.lost for load in loads)),
            str(sum(load.failed for load in loads)),
            str(sum(load.changed for load in loads)),
        ])  # fmt: skip
    starts = len(found.settled[0].starts)
    names = [
        f"seconds from start to ready, median of {starts}",
        f"milliseconds of the first answer, median of {starts}",
        "memory when ready, MiB (resident)",
        "memory after all photographs once, MiB",
        "memory after all rounds, MiB",
        "requests without an answer (overload included)",
        "answers of another status than 200, or 503 with Retry-After",
        "answers under load whose first identity differs from that when asked alone",
    ]
    head = [f"| | {SERVICES[0]} | {SERVICES[1]} |", "|---|---|---|"]
    rows = zip(names, *columns, strict=True)
    return "\n".join([*head, *(f"| {name} | {one} | {other} |" for name, one, other in rows)])


def _crowd(crowd: Load) -> str:
    cells = (crowd.answers, crowd.refused, *(f"{n:.0f}" for n in (crowd.p50, crowd.p95)))
    return (
        "| answered, 200 | refused, 503 with Retry-After | answers a second "
        "| p50 of the answered, ms | p95, ms |\n|---|---|---|---|---|\n"
        f"| {cells[0]} | {cells[1]} | {crowd.rate:.1f} | {cells[2]} | {cells[3]} |"
    )


def _middle(loads: Sequence[Load], name: str, digits: int = 0) -> str:
    return f"{statistics.median(getattr(load, name) for load in loads):.{digits}f}"


def _span(loads: Sequence[Load], name: str, scale: float = 1, digits: int = 0) -> str:
    values = [scale * getattr(load, name) for load in loads]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"
