"""The benchmark of the service: its arithmetic, its clients, and one small run of the script."""

import importlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flukeprint.errors import FlukeprintError
from tests.serving.served import photo

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("closed_loop", "processes", "serving_page", "serving")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules, found as the script finds them: beside itself."""
    sys.path.insert(0, str(BENCHMARKS))
    yield {name: importlib.import_module(name) for name in NAMES}
    sys.path.remove(str(BENCHMARKS))
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def loop(scripts: dict[str, ModuleType]) -> ModuleType:
    return scripts["closed_loop"]


def body(*names: str | None) -> bytes:
    return json.dumps({"answers": [{"identity": name} for name in names]}).encode()


def test_the_figures_of_a_run(loop: ModuleType) -> None:
    times = np.random.default_rng(0).gamma(3, 0.05, 41)  # seconds
    ends = 10 + np.cumsum(np.full(41, 0.2))
    samples = [
        loop.Sample(i % 2, end - time, end, 200, None, body(None, "ab"[i % 2]))
        for i, (time, end) in enumerate(zip(times, ends, strict=True))
    ]
    other = [
        loop.Sample(0, 8.0, 9.0, 200, None, body("a")),  # before the measured part
        loop.Sample(0, 19.0, 21.0, 200, None, body("b")),  # after it, and another answer
        loop.Sample(1, 11.0, 11.5, 503, 2.0),
        loop.Sample(1, 11.0, 11.5, 503),  # without Retry-After: failed
        loop.Sample(1, 11.0, 11.5, 422),
        loop.Sample(1, 11.0, 11.5, 0),
    ]
    run = loop.Run(tuple(samples + other), 10.0, 20.0)
    found = loop.load_of(run, ["a", "b"], loop.Spent(9.2, 0.5, 14.7, 20.0))
    assert found.answers == 41
    assert found.rate == pytest.approx(41 / (41 * 0.2))
    expected = np.percentile(1000 * times, [50, 95, 99])
    assert (found.p50, found.p95, found.p99) == pytest.approx(tuple(expected))
    assert (found.refused, found.failed, found.lost, found.changed) == (1, 2, 1, 1)
    assert found.cpu_ms == pytest.approx(9200 / 46)  # 47 requests, one of them without an answer
    assert (found.clients, found.others) == pytest.approx((0.025, 0.25))
    nothing = loop.load_of(loop.Run((), 10.0, 20.0), ["a"], loop.Spent(0, 0, 0, 20.0))
    assert nothing.rate == 0
    assert np.isnan(nothing.p95)


def test_ratios_are_of_pairs(scripts: dict[str, ModuleType], loop: ModuleType) -> None:
    def load(rate: float) -> Any:
        return loop.Load(1, rate, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0)

    pairs = [(load(8), load(2)), (load(3), load(3)), (load(10), load(5))]
    assert scripts["serving_page"].ratios(pairs, "rate") == (2, 1, 4)  # of medians it were 8 / 3


class Stub(BaseHTTPRequestHandler):
    """Answers by what the photograph says."""

    protocol_version = "HTTP/1.1"
    connections: list[tuple[str, int]]  # one entry a request

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        said = re.fullmatch(
            rb'--(\S+)\r\nContent-Disposition: form-data; name="file"; filename="photo"\r\n'
            rb"Content-Type: application/octet-stream\r\n\r\n(\w+)\r\n--\1--\r\n",
            sent,
        )
        assert said is not None
        self.connections.append(self.client_address)
        if said[2] == b"cut":
            self.close_connection = True
            return
        self.send_response({b"busy": 503, b"bad": 422}.get(said[2], 200))
        if said[2] == b"busy":
            self.send_header("Retry-After", "0")
        answer = body(said[2].decode())
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub(loop: ModuleType) -> Iterator[Any]:
    Stub.connections = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield loop.Target(server.server_address[1], "file")
        server.shutdown()
        thread.join()


def test_every_request_is_accounted_for(stub: Any, loop: ModuleType) -> None:
    photos = [b"one", b"busy", b"two", b"cut", b"bad"]
    samples = loop.ask_each(stub, photos, 2)
    assert [sample.status for sample in samples] == [200, 503, 200, 0, 422]
    assert [sample.photo for sample in samples] == [0, 1, 2, 3, 4]
    assert [sample.retry_after for sample in samples] == [None, 0, None, None, None]
    assert loop.first_identity(samples[2].body) == "two"


def test_clients_keep_their_connections_and_all_are_at_work(stub: Any, loop: ModuleType) -> None:
    run = loop.drive(stub, [b"one", b"two", b"three"], 3, seconds=60, requests=20)
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
        assert loop.first_identity(sample.body) == ("one", "two", "three")[sample.photo]


def test_a_run_is_longer_until_there_are_as_many_answers_as_clients(
    stub: Any, loop: ModuleType
) -> None:
    run = loop.drive(stub, [b"one"], 4, seconds=1e-9)
    assert len(run.measured()) >= 4


def test_photographs_must_be_answered(
    stub: Any, scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    plan = scripts["serving"].Plan(tmp_path, (b"one", b"bad", b"bad"))
    with pytest.raises(FlukeprintError, match=r"2 of 3 photographs .* first with status 422"):
        scripts["serving"]._alone(plan, stub, lambda text: None)


@pytest.fixture
def run_script(
    scripts: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Runs the script on three photographs; the page that it is to write."""
    folder, page = tmp_path / "photographs", tmp_path / "serving.md"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(photo(number, 1))
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(identifier: Path, *more: str) -> Path:
        given = ["--identifier", str(identifier), "--photos", str(folder), "--out", str(page)]
        monkeypatch.setattr(sys, "argv", ["serving.py", *given, *more])
        scripts["serving"].main()
        return page

    return run


def test_the_script_writes_its_page(
    run_script: Callable[..., Path],
    identifier: Path,
    scripts: dict[str, ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ("--clients", "2", "--requests", "6", "--rounds", "2", "--starts", "1")
    page = run_script(identifier, *small, "--seconds", "2", "--crowd", "40")
    assert "round 2 of 2, 2 clients: flukeprint serve " in capsys.readouterr().err
    text = page.read_text()
    number = r"[\d.]+"
    for name in ("flukeprint serve", "plain handler"):
        assert re.search(rf"\| 2 \| {name} \| \*\*{number}\*\* \[.*\| 12 \|\n", text), text
    assert re.search(rf"\| 2 \| ({number} \[{number} to {number}\] \| ){{4}}", text), text
    for never in ("requests without an answer", "answers of another status"):
        assert re.search(rf"\| {never}.* \| 0 \| 0 \|", text), text
    assert re.search(r"same first identity from both: \d+ % of", text), text
    answered, refused = re.findall(r"\n\| (\d+) \| (\d+) \| [\d.]+ \| \d+ \| \d+ \|\n", text)[0]
    assert int(answered) >= 40
    assert int(refused) > 0  # more clients than serve.queue

    def killed(*_: object) -> None:
        sys.exit("stopped")

    monkeypatch.setattr(scripts["serving"], "measure", killed)
    with pytest.raises(SystemExit, match="stopped"):
        run_script(identifier)
    assert page.read_text() == text
    assert [path.name for path in tmp_path.iterdir() if "serving" in path.name] == [page.name]


def test_what_is_missing_is_said(run_script: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .* is no identifier"):
        run_script(tmp_path)
    with pytest.raises(SystemExit):
        run_script(tmp_path, "--rounds", "0")
