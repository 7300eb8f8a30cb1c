"""The load generator: its arithmetic and its clients."""

import numpy as np
import pytest

from benchmarks.harness.load_client import (
    ProcessorTime,
    Run,
    Sample,
    Target,
    ask_each,
    drive,
    first_identity,
    load_of,
)
from tests.benchmarks.stub_service import Stub, body


def test_the_figures_of_a_run() -> None:
    times = np.random.default_rng(0).gamma(3, 0.05, 41)  # seconds
    ends = 10 + np.cumsum(np.full(41, 0.2))
    samples = [
        Sample(i % 2, end - time, end, 200, None, body(None, "ab"[i % 2]))
        for i, (time, end) in enumerate(zip(times, ends, strict=True))
    ]
    other = [
        Sample(0, 8.0, 9.0, 200, None, body("a")),  # before the measured part
        Sample(0, 19.0, 21.0, 200, None, body("b")),  # after it, and another answer
        Sample(1, 11.0, 11.5, 503, 2.0),
        Sample(1, 11.0, 11.5, 503),  # without Retry-After: failed
        Sample(1, 11.0, 11.5, 422),
        Sample(1, 11.0, 11.5, 0),
    ]
    run = Run(tuple(samples + other), 10.0, 20.0)
    found = load_of(run, ["a", "b"], ProcessorTime(9.2, 0.5, 14.7, 20.0))
    assert found.answers == 41
    assert found.rate == pytest.approx(41 / (41 * 0.2))
    expected = np.percentile(1000 * times, [50, 95, 99])
    assert (found.p50, found.p95, found.p99) == pytest.approx(tuple(expected))
    assert (found.refused, found.failed, found.lost, found.changed) == (1, 2, 1, 1)
    assert found.cpu_ms == pytest.approx(9200 / 46)  # 47 requests, one of them without an answer
    assert (found.clients, found.others) == pytest.approx((0.025, 0.25))
    nothing = load_of(Run((), 10.0, 20.0), ["a"], ProcessorTime(0, 0, 0, 20.0))
    assert nothing.rate == 0
    assert np.isnan(nothing.p95)


def test_every_request_is_accounted_for(stub: Target) -> None:
    photos = [b"one", b"busy", b"two", b"cut", b"bad"]
    samples = ask_each(stub, photos, 2)
    assert [sample.status for sample in samples] == [200, 503, 200, 0, 422]
    assert [sample.photo for sample in samples] == [0, 1, 2, 3, 4]
    assert [sample.retry_after for sample in samples] == [None, 0, None, None, None]
    assert first_identity(samples[2].body) == "two"


def test_clients_keep_their_connections_and_all_are_at_work(stub: Target) -> None:
    run = drive(stub, [b"one", b"two", b"three"], 3, seconds=60, requests=20)
    inside = run.measured()
    assert len(inside) == 20
    assert max(sample.end for sample in inside) == run.end
    # Sent and answered: nothing is lost of what was under way at the end.
    assert len(run.samples) == len(Stub.connections)
    assert len(set(Stub.connections)) == 3
    before = [sample for sample in run.samples if sample.end <= run.begin]
    assert len(before) >= 3
    assert {sample.photo for sample in inside} == {0, 1, 2}
    for sample in run.samples:
        assert first_identity(sample.body) == ("one", "two", "three")[sample.photo]


def test_a_run_is_longer_until_there_are_as_many_answers_as_clients(stub: Target) -> None:
    run = drive(stub, [b"one"], 4, seconds=1e-9)
    assert len(run.measured()) >= 4
