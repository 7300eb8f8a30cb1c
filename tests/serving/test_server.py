"""The command `serve`: its workers, its refusals to start, and limits on connections."""

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from flukeprint import cli
from flukeprint.config.schema import ServeConfig
from flukeprint.embedding.engine_timings import EngineTrials
from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.server import Connection, _listen
from tests.serving.api.http_client import BEARER, connected, expected, post, well
from tests.serving.in_thread import running
from tests.serving.served import TOKEN, answer, copied, photo, served


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a process that has ended, but was not waited for


def about(value: Any) -> Any:
    """The same with numbers that may be rounded otherwise: a server may take another engine."""
    if isinstance(value, dict):
        return {key: about(one) for key, one in value.items()}
    if isinstance(value, list):
        return [about(one) for one in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


def test_several_workers_answer_alike_and_end_together(identifier: Path, known: Identifier) -> None:
    with served(identifier, "--workers", "2") as running:
        answers = []
        for _ in range(6):
            with connected(running) as client:  # each connection may reach another worker
                answers.append(well(post(client, "identify", photo(1))))
        assert answers == answers[:1] * 6
        assert answers[0] == about(expected(known.judge([photo(1)])[0], 1, "new_whale"))
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()]
        assert len(workers) >= 2
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) in (0, -signal.SIGTERM)
        assert "Traceback" not in running.said()
    end = time.monotonic() + 20
    while any(map(lives, workers)):
        assert time.monotonic() < end, "workers outlive the first process"
        time.sleep(0.05)


def test_it_answers_without_torch(
    identifier: Path, known: Identifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is chosen in another process, and kept; all that a server does goes without."""
    notes = {"FLUKEPRINT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for name, value in notes.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(EngineTrials, "rate", lambda trials, option: len(option.engine))
    Identifier.load(identifier).keep_engine()  # OpenVINO, however fast it is here
    folder = copied(identifier, tmp_path)
    with served(folder, enroll=True, environment=notes) as running:
        with connected(running) as client:
            found = well(post(client, "identify", photo(1)))
            assert found == about(expected(known.judge([photo(1)])[0], 1, "new_whale"))
            fields = {"identity": "w_500", "keep_photos": "yes", "force": "yes"}
            well(post(client, "enroll", photo(500), data=fields, headers=BEARER), 201)
            again = well(post(client, "identify", photo(500)))
            assert again["answers"][0]["identity"] == "w_500"
        loaded = Path(f"/proc/{running.process.pid}/maps").read_text()
        assert "libopenvino" in loaded
        assert "libtorch" not in loaded
        assert not any(line.startswith("engine: ") for line in running.said().splitlines())


def test_what_one_worker_enrolls_all_show(identifier: Path, tmp_path: Path) -> None:
    folder = copied(identifier, tmp_path)

    def enrolled(number: int) -> dict[str, Any]:
        fields = {"identity": f"w_{number}", "keep_photos": "yes", "force": "yes"}
        with connected(running) as client:
            return dict(
                well(post(client, "enroll", photo(number), data=fields, headers=BEARER), 201)
            )

    with served(folder, "--workers", "2", enroll=True) as running:
        for number in range(500, 504):  # they may come to different workers
            assert enrolled(number)["identity"] == f"w_{number}"
        end, right = time.monotonic() + 60, 0
        while right < 12:  # new connections, to both workers
            assert time.monotonic() < end, "a worker does not show what another has enrolled"
            with connected(running) as client:
                found = [well(post(client, "identify", photo(n))) for n in range(500, 504)]
            names = [one["answers"][0]["identity"] for one in found]
            right = right + 1 if names == [f"w_{n}" for n in range(500, 504)] else 0
        assert "Traceback" not in running.said()
    assert set(Identifier.load(folder).identities) >= {f"w_{n}" for n in range(500, 504)}


def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """Start the command, which has to end with an error of one line; that line."""
    monkeypatch.setattr(sys, "argv", ["flukeprint", "serve", *more])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.startswith("engine: ")]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_what_cannot_be_served_is_said_in_one_line(
    identifier: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(*more: str, folder: Path = identifier) -> str:
        return fail(monkeypatch, capsys, "--identifier", str(folder), "--port", "0", *more)

    monkeypatch.delenv("FLUKEPRINT_ENROLL_TOKEN", raising=False)
    for workers in ("1", "2"):
        assert "no identifier" in said("--workers", workers, folder=tmp_path)
        assert "no folder" in said("--workers", workers, f"serve.examples={tmp_path}/nowhere")
    assert "FLUKEPRINT_ENROLL_TOKEN" in said("--enroll")
    monkeypatch.setenv("FLUKEPRINT_ENROLL_TOKEN", "too short")
    assert "16 characters" in said("--enroll")
    monkeypatch.setenv("FLUKEPRINT_ENROLL_TOKEN", TOKEN)
    assert "did you mean queue" in said("serve.queu=3")
    assert "serve.queue" in said("serve.queue=0")
    assert "cannot listen" in said("--host", "192.0.2.1")
    (tmp_path / "cards.csv").write_text("class,name\nw_nobody,Nobody\n")
    assert "w_nobody" in said(f"cards={tmp_path}/cards.csv")
    (tmp_path / "ranks.csv").write_text("class,genus\nw_nobody,Nobody\n")
    assert "has no row for" in said(f"taxonomy={{table: {tmp_path}/ranks.csv}}")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"port {port}" in said("--port", port)


def test_answers_leave_at_once() -> None:
    """Without TCP_NODELAY, which asyncio sets only for TCP, small answers take 40 ms longer."""
    with (
        _listen(ServeConfig(port=0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.proto == socket.IPPROTO_TCP


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers `yes`, or at /long with more than any buffer holds."""
    body = b"x" * (1 << 26) if scope["path"] == "/long" else b"yes"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The address of a server with short time limits and few connections."""
    for name, value in (("HEADER_SECONDS", 1), ("REQUEST_SECONDS", 0.2), ("MOST_CONNECTIONS", 4)):
        monkeypatch.setattr(f"flukeprint.serving.server.{name}", value)
    config = uvicorn.Config(plain, port=0, log_level="critical", lifespan="off", http=Connection)
    with running(config) as address:
        yield address


def ended(line: socket.socket) -> bool:
    """Wait until the server has closed or aborted the connection."""
    with contextlib.suppress(ConnectionError):
        while line.recv(1 << 20):
            pass
    return True


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_who_never_finishes_a_request_is_not_waited_for(
    hasty: tuple[str, int], said: bytes
) -> None:
    with socket.create_connection(hasty, 30) as line:
        line.sendall(said)
        assert ended(line)
    with socket.create_connection(hasty, 30) as line:  # nor after a first request
        line.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert answer(line)[0] == 200
        line.sendall(said)
        assert ended(line)


def test_who_never_reads_his_answer_is_cut_off(hasty: tuple[str, int]) -> None:
    for pause in (2.5, 10, 40):  # a busy server looks at its clock late
        with socket.create_connection(hasty, 30) as line:
            line.sendall(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(pause)
            got = 0
            with contextlib.suppress(ConnectionError):
                while part := line.recv(1 << 20):
                    got += len(part)
        if got < 1 << 26:
            return
    pytest.fail("all of it was sent")


def test_too_many_connections_do_not_hold_up_those_that_are_there(
    hasty: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flukeprint.serving.server.HEADER_SECONDS", 60)
    with contextlib.ExitStack() as opened:
        lines = [opened.enter_context(socket.create_connection(hasty, 30)) for _ in range(4)]
        assert ended(opened.enter_context(socket.create_connection(hasty, 30)))
        for line in lines:
            line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert answer(line)[0] == 200
