"""Clients in a closed loop: a service and photographs enter, samples and their figures leave.

Each client has a connection of its own, kept alive, and asks again as soon as it has its answer.
Requests are whole bytes before anything begins and answers are kept as they come, so that clients
leave the processor to the service they measure.
"""

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

import numpy as np

BOUNDARY = "a-boundary-that-no-photograph-holds"
PATIENCE = 120.0  # seconds that a client waits for an answer


@dataclass(frozen=True)
class Target:
    """A service at `port` of this machine that takes a photograph in the part `part`."""

    port: int
    part: str
    path: str = "/v1/identify"


@dataclass(frozen=True)
class Sample:
    """One request: the place of its photograph, when it was sent and answered (s, monotonic).

    status: of HTTP; 0 where no whole answer came.  retry_after: seconds, where they are named.
    """

    photo: int
    begin: float
    end: float
    status: int
    retry_after: float | None = None
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Run:
    """All samples of a run, and when its measured part began and ended.

    It begins when every client has had an answer, so that all of them are at work throughout.
    """

    samples: tuple[Sample, ...]
    begin: float
    end: float

    def measured(self) -> tuple[Sample, ...]:
        """The samples that ended in the measured part."""
        return tuple(one for one in self.samples if self.begin < one.end <= self.end)


def form(photo: bytes, part: str) -> bytes:
    """A multipart/form-data body (RFC 7578) of one photograph."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="{part}"; filename="photo"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()


def drive(
    target: Target,
    photos: Sequence[bytes],
    clients: int,
    *,
    seconds: float,
    requests: int | None = None,
) -> Run:
    """Let `clients` ask about `photos` in rotation, and measure for `seconds`.

    Longer while there are fewer answers than clients, and only until there are `requests`; what
    is under way at the end is finished.  Who is told Retry-After waits as long.
    """
    loop = _Loop(target, photos, itertools.count(), requests)
    with ThreadPoolExecutor(clients) as pool:
        try:
            at_work = [pool.submit(loop.client) for _ in range(clients)]
            while loop.started < clients and not any(client.done() for client in at_work):
                time.sleep(0.002)
            begin = loop.begin()
            loop.enough.wait(seconds)
            late = time.perf_counter() + PATIENCE
            while loop.answered < min(clients, requests or clients) and time.perf_counter() < late:
                time.sleep(0.002)
        finally:
            end = loop.stop()
    for client in at_work:
        client.result()  # raises what ended it
    return Run(tuple(loop.samples), begin, end)


def ask_each(target: Target, photos: Sequence[bytes], clients: int) -> tuple[Sample, ...]:
    """One sample of each photograph, in their order; `clients` ask at once."""
    loop = _Loop(target, photos, iter(range(len(photos))), None)
    with ThreadPoolExecutor(clients) as pool:
        try:
            for client in [pool.submit(loop.client) for _ in range(clients)]:
                client.result()
        finally:
            loop.stop()
    return tuple(sorted(loop.samples, key=lambda one: one.photo))


class _Loop:
    """What the clients of one run share."""

    def __init__(
        self, target: Target, photos: Sequence[bytes], turns: Iterator[int], wanted: int | None
    ) -> None:
        self.samples: list[Sample] = []
        self.started = 0  # clients that have had an answer
        self.answered = 0  # requests of the measured part
        self.enough = threading.Event()  # as many as wanted
        self._target, self._wanted = target, wanted
        self._bodies = [form(photo, target.part) for photo in photos]
        self._turns = turns  # one step of it is one step of the interpreter: no two get the same
        self._begin, self._end = float("inf"), float("inf")
        self._over = threading.Event()
        self._lock = threading.Lock()

    def begin(self) -> float:
        """The measured part begins."""
        with self._lock:
            self._begin = time.perf_counter()
        return self._begin

    def stop(self) -> float:
        """No more requests; when the measured part ended: with the last wanted answer, or now."""
        self._over.set()
        with self._lock:
            self._end = min(self._end, time.perf_counter())
        return self._end

    def client(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._target.port, timeout=PATIENCE)
        first = True
        for turn in self._turns:
            if self._over.is_set():
                break
            sample = self._asked(connection, turn % len(self._bodies))
            self._keep(sample, first)
            first = False
            if sample.status == 0:
                connection.close()
                self._over.wait(0.1)
            elif sample.retry_after is not None:
                self._over.wait(sample.retry_after)
        connection.close()

    def _asked(self, connection: HTTPConnection, photo: int) -> Sample:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        begin = time.perf_counter()
        try:
            connection.request("POST", self._target.path, self._bodies[photo], kind)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException):
            return Sample(photo, begin, time.perf_counter(), 0)
        end = time.perf_counter()
        told = answer.getheader("Retry-After")
        wait = None if told is None else float(told)
        return Sample(photo, begin, end, answer.status, wait, body)

    def _keep(self, sample: Sample, first: bool) -> None:
        with self._lock:
            self.samples.append(sample)
            self.started += first
            self.answered += sample.status == 200 and sample.end > self._begin
            if self.answered == self._wanted and not self.enough.is_set():
                self._end = sample.end
                self.enough.set()


@dataclass(frozen=True)
class Spent:
    """Seconds of processor that the server, the clients and the whole machine had in a run.

    seconds: that the run took, all cores of the machine counted, such as 20 for 10 s of 2 cores.
    """

    server: float
    clients: float
    whole: float
    seconds: float


@dataclass(frozen=True)
class Load:
    """What a run came to.

    answers: of status 200 in the measured part; rate: of them a second; p50, p95, p99: their
        milliseconds, linear between ranks.
    refused: 503 with Retry-After, in the measured part.
    failed, lost: in all of the run, other statuses, and requests without an answer.
    changed: in all of the run, answers with another first identity than when nobody else asked.
    cpu_ms: the server's processor time for each request.  clients, others: the share of all cores
        that the clients had, and that neither server nor clients had.
    """

    answers: int
    rate: float
    p50: float
    p95: float
    p99: float
    refused: int
    failed: int
    lost: int
    changed: int
    cpu_ms: float
    clients: float
    others: float


def load_of(run: Run, alone: Sequence[str], spent: Spent) -> Load:
    """The figures of a run; alone: the first identity of each photograph when nobody else asked."""
    inside = run.measured()
    good = [one for one in inside if one.status == 200]
    times = np.array([one.end - one.begin for one in good]) * 1000
    p50, p95, p99 = np.percentile(times, (50, 95, 99)) if good else (np.nan,) * 3
    # Up to the last answer: both ends lie at an answer, so no part of one is left out.
    span = max((one.end for one in good), default=run.end) - run.begin
    whole = [one for one in run.samples if one.status == 200]
    return Load(
        answers=len(good),
        rate=len(good) / span,
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        refused=sum(_busy(one) for one in inside),
        failed=sum(one.status not in (0, 200) and not _busy(one) for one in run.samples),
        lost=sum(one.status == 0 for one in run.samples),
        changed=sum(first_identity(one.body) != alone[one.photo] for one in whole),
        cpu_ms=1000 * spent.server / max(1, sum(one.status != 0 for one in run.samples)),
        clients=spent.clients / spent.seconds,
        others=max(0.0, spent.whole - spent.server - spent.clients) / spent.seconds,
    )


def first_identity(body: bytes) -> str:
    """The first individual that a body names; `new individual`, a null, is none."""
    answers = json.loads(body)["answers"]
    return next(str(one["identity"]) for one in answers if one["identity"] is not None)


def _busy(sample: Sample) -> bool:
    return sample.status == 503 and sample.retry_after is not None
