"""The database behind a catalogue: opened, refused in one line, and apart from others."""

import contextlib
import json
import socket
import ssl
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa

from flukeprint.errors import FlukeprintError
from flukeprint.records import database as module
from flukeprint.records.database import FILE, URL, Database, without_password
from flukeprint.records.edits import rename
from flukeprint.records.journal import Note
from flukeprint.records.pointer import POINTER, has_catalogue
from flukeprint.records.schema import catalogue, individuals
from tests.catalogues import NEW, begun, state, whose

ANA = Note("ana")
SECRET = "a%20word%20that%20nobody%20may%20see"


def said(error: pytest.ExceptionInfo[FlukeprintError]) -> str:
    text = str(error.value)
    chain, cause = [text], error.value.__cause__
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__
    for one in chain:
        assert SECRET not in one
        assert "nobody may see" not in one
    assert "\n" not in text
    return text


def test_what_is_written_is_there_when_it_is_opened_again(
    tmp_path: Path, catalogue_url: str | None
) -> None:
    made = begun(tmp_path / "kept", catalogue_url, [("a", 2)])
    rename(made, "a", "b", ANA, new_label=NEW)
    before = state(made)
    made.close()
    assert has_catalogue(tmp_path / "kept")
    assert state(Database.open(tmp_path / "kept")) == before


def test_a_reader_sees_one_state_while_another_writes(
    tmp_path: Path, catalogue_url: str | None
) -> None:
    made = begun(tmp_path / "kept", catalogue_url, [("a", 2)])
    other = Database.open(tmp_path / "kept")
    asked = sa.select(individuals.c.name)
    with made.reading() as connection:
        assert connection.scalar(asked) == "a"
        rename(other, "a", "b", ANA, new_label=NEW)
        assert connection.scalar(asked) == "a"
    assert whose(made) == {"a/0.jpg": "b", "a/1.jpg": "b"}


def test_a_catalogue_in_a_folder_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept?100%"
    made = begun(folder, None, [("a", 1)])
    before = state(made)
    made.close()
    files = sorted(path.name for path in folder.iterdir())
    with monkeypatch.context() as patch:  # root may write everywhere
        patch.setattr(module.os, "access", lambda *_: False)
        reader = Database.open(folder)
    assert state(reader) == before
    assert sorted(path.name for path in folder.iterdir()) == files
    with pytest.raises(FlukeprintError, match="readonly database; nothing was changed"):
        rename(reader, "a", "b", ANA, new_label=NEW)

    asked = sa.select(individuals.c.name)

    def disturbed() -> None:
        with reader.reading() as connection:
            assert connection.scalar(asked) == "a"
            rename(made, "a", "c", ANA, new_label=NEW)

    with pytest.raises(FlukeprintError, match="changed while it was read"):
        disturbed()
    with made.reading() as beside:  # somebody else's log is there
        assert beside.scalar(asked) == "c"
        rename(Database.open(folder), "a", "d", ANA, new_label=NEW)
        with monkeypatch.context() as patch:
            patch.setattr(module.os, "access", lambda *_: False)
            assert whose(Database.open(folder)) == {"a/0.jpg": "d"}


def test_nothing_of_a_block_that_fails_is_kept(tmp_path: Path, catalogue_url: str | None) -> None:
    made = begun(tmp_path / "kept", catalogue_url, [("a", 1)])
    before = state(made)

    def fail() -> None:
        with made.writing() as connection:
            connection.execute(individuals.update().values(name="x"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(FlukeprintError, match="nothing was changed"), made.writing() as connection:
        connection.execute(individuals.update().values(name=None))
    assert state(made) == before


def test_a_writer_that_waits_too_long_says_so(
    tmp_path: Path, catalogue_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1)
    made = begun(tmp_path / "kept", catalogue_url, [("a", 1)])
    other = Database.open(tmp_path / "kept")
    with made.writing(), pytest.raises(FlukeprintError) as error:
        rename(other, "a", "b", ANA, new_label=NEW)
    assert "another process is still writing" in said(error)
    rename(other, "a", "b", ANA, new_label=NEW)


def test_no_connection_reads_the_certificates_of_the_system(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is most of the time of one, and the driver then checks none."""
    made = begun(tmp_path / "one", postgresql_url, [("a", 1)])
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", None)
    rename(made, "a", "b", ANA, new_label=NEW)
    assert whose(made) == {"a/0.jpg": "b"}


def test_a_server_that_has_tls_is_spoken_to_in_tls(tmp_path: Path) -> None:
    heard = []

    def answer() -> None:
        with server.accept()[0] as client:
            heard.append(client.recv(8))
            client.sendall(b"S")
            heard.append(client.recv(3))

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = Thread(target=answer)
        serving.start()
        address = f"postgresql://ana@127.0.0.1:{server.getsockname()[1]}/whales"
        with pytest.raises(FlukeprintError):  # it hangs up in the middle of that
            Database.make(tmp_path, address, lambda _: None)
        serving.join()
    asked, hello = heard
    assert asked == (8).to_bytes(4) + (80877103).to_bytes(4)  # "SSLRequest" of its protocol
    assert hello[:2] == bytes([22, 3])  # a handshake of TLS


def test_two_catalogues_in_one_database(tmp_path: Path, postgresql_url: str) -> None:
    one = begun(tmp_path / "one", postgresql_url, [("a", 1)])
    other = begun(tmp_path / "other", postgresql_url, [("a", 2), ("b", 1)])
    names = [
        json.loads((tmp_path / n / POINTER).read_text())["namespace"] for n in ("one", "other")
    ]
    assert len(set(names)) == 2
    before = state(other)
    rename(one, "a", "x", ANA, new_label=NEW)
    assert state(other) == before
    assert whose(one) == {"a/0.jpg": "x"}


def test_a_password_is_written_nowhere(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = sa.make_url(postgresql_url).set(password="a word that nobody may see")
    made = begun(tmp_path / "kept", secret.render_as_string(hide_password=False), [("a", 1)])
    assert SECRET not in (tmp_path / "kept" / POINTER).read_text()
    assert "nobody" not in (tmp_path / "kept" / POINTER).read_text() + made.label
    with pytest.raises(FlukeprintError) as error, made.writing() as connection:
        connection.execute(individuals.update().values(name=None))
    assert "cannot be used" in said(error)
    monkeypatch.setenv(URL, secret.render_as_string(hide_password=False))
    assert whose(Database.open(tmp_path / "kept")) == {"a/0.jpg": "a"}


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql://ana:{SECRET}@127.0.0.1:{port}/whales"
    with pytest.raises(FlukeprintError) as error:
        begun(tmp_path / "kept", url, [("a", 1)])
    text = said(error)
    assert f"catalogue postgresql://ana@127.0.0.1:{port}/whales cannot be used" in text
    assert not has_catalogue(tmp_path / "kept")
    (tmp_path / "kept" / POINTER).write_text(
        json.dumps({"url": without_password(url), "namespace": "flukeprint_x"})
    )
    with pytest.raises(FlukeprintError) as error:
        Database.open(tmp_path / "kept")
    assert str(port) in said(error)


@pytest.mark.parametrize(
    ("url", "said_of_it"),
    [("whales", "is no address"), ("mysql://ana@host/db", "is no PostgreSQL")],
)
def test_an_address_elsewhere_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said_of_it: str
) -> None:
    (tmp_path / POINTER).write_text(
        json.dumps({"url": "postgresql://ana@127.0.0.1/whales", "namespace": "flukeprint_x"})
    )
    monkeypatch.setenv(URL, url)
    with pytest.raises(FlukeprintError) as error:
        Database.open(tmp_path)
    assert URL in said(error)
    assert said_of_it in said(error)


def test_a_database_or_a_user_that_is_not_there(tmp_path: Path, postgresql_url: str) -> None:
    for change in ({"database": "nowhere"}, {"username": "nobody_known"}):
        url = sa.make_url(postgresql_url).set(password="a word that nobody may see", **change)
        with pytest.raises(FlukeprintError) as error:
            begun(tmp_path / "kept", url.render_as_string(hide_password=False), [("a", 1)])
        assert "does not exist" in said(error)


def test_a_catalogue_that_was_dropped_on_the_server(tmp_path: Path, postgresql_url: str) -> None:
    made = begun(tmp_path / "kept", postgresql_url, [("a", 1)])
    pointer = json.loads((tmp_path / "kept" / POINTER).read_text())
    with made.writing() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {pointer['namespace']} CASCADE")
    with pytest.raises(FlukeprintError) as error:
        Database.open(tmp_path / "kept")
    assert "does not exist" in said(error)


@pytest.mark.parametrize(
    "url",
    ["mysql://ana:SECRET@host/whales", "mysql://h/x?password=SECRET", "nonsense", "sqlite:///x.db"],
)
def test_no_address_of_a_server(tmp_path: Path, url: str) -> None:
    with pytest.raises(FlukeprintError) as error:
        begun(tmp_path / "kept", url.replace("SECRET", SECRET), [("a", 1)])
    assert "postgresql://user@host/database" in said(error)
    assert not has_catalogue(tmp_path / "kept")


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="keeps no catalogue yet"):
        Database.open(tmp_path)
    made = begun(tmp_path / "kept", None, [("a", 1)])
    with made.writing() as connection:
        connection.execute(catalogue.update().values(version=99))
    with pytest.raises(FlukeprintError, match="of version 99 and this program reads 1"):
        Database.open(tmp_path / "kept")
    made.close()
    (tmp_path / "kept" / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(FlukeprintError) as error:
        Database.open(tmp_path / "kept")
    assert "not a database" in said(error)
    (tmp_path / "kept" / FILE).unlink()
    with pytest.raises(FlukeprintError, match="is missing; restore it"):
        Database.open(tmp_path / "kept")
    (tmp_path / "kept" / POINTER).write_text("{")
    with pytest.raises(FlukeprintError) as error:
        Database.open(tmp_path / "kept")
    assert "cannot be read" in said(error)


def test_a_half_made_catalogue_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for left in (f"{FILE}-wal", f"{FILE}-shm", FILE):  # of a process that died in between
        (folder / left).write_bytes(b"left")
    made = begun(folder, None, [("a", 1)])
    assert whose(made) == {"a/0.jpg": "a"}
    with made.plain() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize("answer", [b"", b"N", b"\0" * 30, b"R\0\0\0\x08\0\0\0\0Z\0\0"])
def test_a_server_that_ends_in_the_middle_of_an_answer(tmp_path: Path, answer: bytes) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.recv(1000)
                connection.sendall(answer)
                connection.close()

    Thread(target=serve, daemon=True).start()
    url = f"postgresql://ana:{SECRET}@127.0.0.1:{server.getsockname()[1]}/whales"
    with pytest.raises(FlukeprintError) as error:
        begun(tmp_path / "kept", url, [("a", 1)])
    assert "cannot be used" in said(error)
    server.close()
