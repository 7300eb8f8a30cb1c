"""Closed-loop load generator: clients send photographs to a service; throughput and latency.

Each client has a kept-alive connection of its own and sends the next request as soon as it has the
response.  Requests are encoded before the run and responses are parsed after it, so that clients
take little processor time from the service they measure.
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
RESPONSE_TIMEOUT = 120.0  # seconds that a client waits for a response


@dataclass(frozen=True)
class Target:
    """A service at `port` of this machine; `part` names the form field of the photograph."""

    port: int
    part: str
    path: str = "/v1/identify"


@dataclass(frozen=True)
class Sample:
    """One request: the number of its photograph, when it was sent and answered (s, monotonic).

    status: of HTTP; 0 for no complete response.  retry_after: seconds of the header, if sent.
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

    It begins when every client has had a response, so that all of them are active throughout.
    """

    samples: tuple[Sample, ...]
    begin: float
    end: float

    def measured(self) -> tuple[Sample, ...]:
        """The samples that ended in the measured part."""
        return tuple(one for one in self.samples if self.begin < one.end <= self.end)


def form(photo: bytes, part: str) -> bytes:
    """Encode one photograph as a multipart/form-data body (RFC 7578)."""
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
    """Load a service with `clients` concurrent clients that send `photos` in rotation.

    Measures for `seconds`, longer while there are fewer answers than clients, and stops early at
    `requests` answers.  Requests under way at the end are completed.  Retry-After is obeyed.
    """
    loop = _Loop(target, photos, itertools.count(), requests)
    with ThreadPoolExecutor(clients) as pool:
        try:
            active = [pool.submit(loop.client) for _ in range(clients)]
            while loop.started < clients and not any(client.done() for client in active):
                time.sleep(0.002)
            begin = loop.begin()
            loop.enough.wait(seconds)
            late = time.perf_counter() + RESPONSE_TIMEOUT
            while loop.answered < min(clients, requests or clients) and time.perf_counter() < late:
                time.sleep(0.002)
        finally:
            end = loop.stop()
    for client in active:
        client.result()  # raises the client's exception
    return Run(tuple(loop.samples), begin, end)


def ask_each(target: Target, photos: Sequence[bytes], clients: int) -> tuple[Sample, ...]:
    """Send each photograph once, `clients` at a time; the samples in the photographs' order."""
    loop = _Loop(target, photos, iter(range(len(photos))), None)
    with ThreadPoolExecutor(clients) as pool:
        try:
            for client in [pool.submit(loop.client) for _ in range(clients)]:
                client.result()
        finally:
            loop.stop()
    return tuple(sorted(loop.samples, key=lambda one: one.photo))


class _Loop:
    """State that the clients of one run share."""

    def __init__(
        self, target: Target, photos: Sequence[bytes], turns: Iterator[int], wanted: int | None
    ) -> None:
        self.samples: list[Sample] = []
        self.started = 0  # clients that have had an answer
        self.answered = 0  # requests of the measured part
        self.enough = threading.Event()  # `requests` are answered
        self._target, self._wanted = target, wanted
        self._bodies = [form(photo, target.part) for photo in photos]
        self._turns = turns  # its `next` is atomic: no two clients get the same number
        self._begin, self._end = float("inf"), float("inf")
        self._over = threading.Event()
        self._lock = threading.Lock()

    def begin(self) -> float:
        """Begin the measured part; the time."""
        with self._lock:
            self._begin = time.perf_counter()
        return self._begin

    def stop(self) -> float:
        """Send no more requests; the end of the measured part: the last wanted answer, or now."""
        self._over.set()
        with self._lock:
            self._end = min(self._end, time.perf_counter())
        return self._end

    def client(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._target.port, timeout=RESPONSE_TIMEOUT)
        first = True
        for turn in self._turns:
            if self._over.is_set():
                break
            sample = self._request(connection, turn % len(self._bodies))
            self._keep(sample, first)
            first = False
            if sample.status == 0:
                connection.close()
                self._over.wait(0.1)
            elif sample.retry_after is not None:
                self._over.wait(sample.retry_after)
        connection.close()

    def _request(self, connection: HTTPConnection, photo: int) -> Sample:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        begin = time.perf_counter()
        try:
            connection.request("POST", self._target.path, self._bodies[photo], kind)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException):
            return Sample(photo, begin, time.perf_counter(), 0)
        end = time.perf_counter()
        header = answer.getheader("Retry-After")
        wait = None if header is None else float(header)
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
class ProcessorTime:
    """Processor seconds of the server, the clients and the whole machine in a run.

    seconds: duration of the run times the number of cores, such as 20 for 10 s of 2 cores.
    """

    server: float
    clients: float
    whole: float
    seconds: float


@dataclass(frozen=True)
class Load:
    """Throughput, latency and errors of a run.

    answers: number of status 200 in the measured part; rate: per second; p50, p95, p99: latency
        in milliseconds, interpolated linearly between ranks.
    refused: number of 503 with Retry-After in the measured part.
    failed, lost: other statuses, and requests without a response, in the whole run.
    changed: answers whose first identity differs from the one without load, in the whole run.
    cpu_ms: the server's processor time per request.  clients, others: share of all cores used by
        the clients, and by other processes.
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


def load_of(run: Run, alone: Sequence[str], spent: ProcessorTime) -> Load:
    """The figures of a run; alone: the first identity of each photograph without load."""
    inside = run.measured()
    good = [one for one in inside if one.status == 200]
    times = np.array([one.end - one.begin for one in good]) * 1000
    p50, p95, p99 = np.percentile(times, (50, 95, 99)) if good else (np.nan,) * 3
    # Both ends lie at an answer, so that no partial answer is counted.
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
    """The first known individual in a response; a null, `new individual`, is passed over."""
    answers = json.loads(body)["answers"]
    return next(str(one["identity"]) for one in answers if one["identity"] is not None)


def _busy(sample: Sample) -> bool:
    return sample.status == 503 and sample.retry_after is not None
