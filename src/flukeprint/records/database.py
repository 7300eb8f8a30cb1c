"""The database of a catalogue: SQLite in the identifier's folder, or a PostgreSQL server.

`catalogue.json` in the folder says that there is one, and where.  A writing transaction keeps all
other writers out, so what it reads stays true until it commits; a reading one sees one state.
"""

import contextlib
import json
import logging
import os
import re
import ssl
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from flukeprint.errors import FlukeprintError, needs
from flukeprint.files import written_whole
from flukeprint.records.pointer import POINTER
from flukeprint.records.schema import VERSION, catalogue, tables

FILE = "catalogue.db"
PATIENCE = 60  # seconds that a writer waits for another one
URL = "FLUKEPRINT_CATALOGUE_URL"  # environment variable: instead of the address in the pointer


class UnusableCatalogueError(FlukeprintError):
    """The database does not answer, or another process holds it; nothing was changed."""


class Database:
    """Transactions on a catalogue's tables."""

    def __init__(self, engine: sa.Engine, label: str) -> None:
        """Use `open` or `make`.  label: what messages call it; it holds no password."""
        self._engine, self.label = engine, label

    @classmethod
    def open(cls, folder: Path) -> "Database":
        """Open the catalogue of the identifier in `folder`.

        Raises:
            FlukeprintError: there is none, its server does not answer, or another version made it.
        """
        try:
            pointer = json.loads((folder / POINTER).read_text())
            url, namespace = pointer["url"], pointer["namespace"]
        except FileNotFoundError:
            raise FlukeprintError(f"{folder} keeps no catalogue yet; enroll a photograph") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FlukeprintError(f"{folder / POINTER} cannot be read: {error}") from None
        if url is None and not (folder / FILE).is_file():
            raise FlukeprintError(f"{folder / FILE} is missing; restore it from a copy")
        found = _on_disk(folder / FILE) if url is None else _on_server(url, namespace)
        with found.reading() as connection:
            version = connection.scalar(sa.select(catalogue.c.version))
        if version != VERSION:
            raise FlukeprintError(
                f"{found.label} is of version {version} and this program reads {VERSION}; "
                "use the version of flukeprint that wrote it"
            )
        return found

    @classmethod
    def make(
        cls, folder: Path, url: str | None, fill: Callable[[sa.Connection], None]
    ) -> "Database":
        """Make the catalogue of an identifier; nobody finds it before it is whole.

        url: of a PostgreSQL server; None: SQLite in the folder.
        fill: inserts its first rows.

        Raises:
            FlukeprintError: it cannot be written, or the server refuses.
        """
        namespace = f"flukeprint_{uuid.uuid4().hex[:12]}"
        if url is None:
            with written_whole(folder / FILE) as draft:
                made = _on_disk(draft)
                with made.writing() as connection:
                    tables.create_all(connection)
                    fill(connection)
            for left in (f"{FILE}-wal", f"{FILE}-shm"):  # of one that was killed while it was made
                (folder / left).unlink(missing_ok=True)
            with contextlib.closing(_on_disk(folder / FILE)) as whole, whole.plain() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        else:
            url = without_password(url)
            made = _on_server(url, namespace)
            with made.writing(new=True) as connection:
                connection.execute(sa.schema.CreateSchema(namespace))
                tables.create_all(connection)
                fill(connection)
        with written_whole(folder / POINTER) as draft:
            draft.write_text(json.dumps({"url": url, "namespace": namespace}) + "\n")
        made.close()
        return cls.open(folder)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the catalogue, whatever others write meanwhile."""
        with self._told(), self._engine.connect() as connection:
            if self._is_server:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def writing(self, *, new: bool = False) -> Iterator[sa.Connection]:
        """A transaction of the one writer; it commits at the end of the block, whole or not at all.

        new: the tables are not there yet.
        """
        with self._told(), self._engine.connect() as connection:
            connection = connection.execution_options(flukeprint_writes=True)
            transaction = connection.begin()
            try:
                if self._is_server and not new:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}s'")
                    connection.execute(sa.select(catalogue.c.id).with_for_update())
                yield connection
            except BaseException:
                with contextlib.suppress(Exception):  # the connection may be gone as well
                    transaction.rollback()
                raise
            try:
                transaction.commit()
            except Exception as error:
                if not (self._is_server and _is_cut_off(error)):
                    raise
                raise FlukeprintError(
                    f"{self.label} was cut off while it kept the change; flukeprint history "
                    "tells whether it did"
                ) from error

    @contextlib.contextmanager
    def plain(self) -> Iterator[sa.Connection]:
        """A connection outside any transaction."""
        with self._told(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def _is_server(self) -> bool:
        return self._engine.dialect.name != "sqlite"

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say what a database refuses in one line, without the statement and its values."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            said = str(error.orig)
            if "locked" in said or "lock timeout" in said:
                raise UnusableCatalogueError(
                    f"another process is still writing to {self.label}; try again when it is done"
                ) from None
            raise UnusableCatalogueError(
                f"{self.label} cannot be used: {_reason(error.orig)}; nothing was changed"
            ) from error
        except sa.exc.SQLAlchemyError as error:
            raise UnusableCatalogueError(f"{self.label} cannot be used: {error}") from error
        except Exception as error:  # of the driver, where a server ends in the middle of an answer
            if self._is_server and _is_cut_off(error):
                raise UnusableCatalogueError(
                    f"{self.label} cannot be used: {_reason(error)}; nothing was changed"
                ) from error
            raise


def _is_cut_off(error: Exception) -> bool:
    """Whether a connection to a server ended; not all that the driver raises then is wrapped."""
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated or isinstance(error, sa.exc.InterfaceError)
    if isinstance(error, ConnectionError):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    # Half an answer fails anywhere in the driver, also as a KeyError.
    return last is not None and last.tb_frame.f_globals.get("__name__", "").startswith("pg8000")


def _on_disk(path: Path) -> Database:
    readable = _for_readers(path)
    engine = sa.create_engine(
        readable or sa.URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"timeout": PATIENCE, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not when Python thinks so
        connection.execute("PRAGMA foreign_keys=ON")
        if readable is None:
            connection.execute("PRAGMA synchronous=FULL")  # what is confirmed survives a power cut

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("flukeprint_writes")
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        connection.info["written"] = path.stat().st_mtime_ns if readable else None

    @sa.event.listens_for(engine, "commit")
    def commit(connection: sa.Connection) -> None:
        if readable and path.stat().st_mtime_ns != connection.info["written"]:
            raise FlukeprintError(f"{path} was changed while it was read; try again")

    return Database(engine, str(path))


def _for_readers(path: Path) -> sa.URL | None:
    """The address of a database in a folder that this process cannot write; else None.

    Even to read in WAL mode SQLite writes files beside it, unless it is told that nobody writes.
    Where those of another one's transactions are there, they are read as they are.
    """
    if not path.is_file() or os.access(path.parent, os.W_OK):
        return None
    log = path.with_name(f"{path.name}-wal")
    alone = {} if log.is_file() and log.stat().st_size else {"immutable": "1"}
    return sa.URL.create(
        "sqlite",
        database=f"file:{quote(str(path.absolute()))}",
        query={"mode": "ro", **alone, "uri": "true"},
    )


def _on_server(url: str, namespace: str) -> Database:
    with needs("postgresql"):
        import pg8000  # noqa: F401
    elsewhere = os.environ.get(URL)
    what, given = (URL, elsewhere) if elsewhere else ("catalogue.url", url)
    shown = without_password(given, what)
    address = sa.make_url(given)
    if address.get_backend_name() != "postgresql":
        raise FlukeprintError(
            f"{what} {shown} is no PostgreSQL address; write postgresql://user@host/database"
        )
    pool = logging.getLogger("sqlalchemy.pool")
    if not pool.handlers:  # it would print a traceback of each connection that a server cut off
        pool.addHandler(logging.NullHandler())
    password = address.password or os.environ.get("PGPASSWORD")
    engine = sa.create_engine(
        address.set(drivername="postgresql+pg8000", password=password),
        poolclass=NullPool,  # every opened catalogue would hold a connection, and forks share it
        execution_options={"schema_translate_map": {None: namespace}},
        hide_parameters=True,
    )
    sa.event.listen(engine, "do_connect", _connect)
    return Database(engine, f"catalogue {shown}")


def _connect(dialect: Any, record: object, words: list[Any], options: dict[str, Any]) -> Any:
    """Connect with TLS where the server has it, as the driver does by itself.

    But it reads all certificates of the system each time, most of the time that it takes, and
    then checks none.
    """
    import pg8000

    try:
        return dialect.connect(*words, **options, ssl_context=_unchecked())
    except pg8000.InterfaceError as error:
        if "refuses SSL" not in str(error):
            raise
        return dialect.connect(*words, **options, ssl_context=False)


@cache
def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def without_password(url: str, what: str = "catalogue.url") -> str:
    """An address as it may be written down: its password is left out.

    what: where it was given, for the message.

    Raises:
        FlukeprintError: it is no address.
    """
    try:
        whole = sa.make_url(url)
        rest = {key: value for key, value in whole.query.items() if "password" not in key}
        return sa.URL.create(
            whole.drivername, whole.username, None, whole.host, whole.port, whole.database, rest
        ).render_as_string()  # `URL.set` keeps a password that it is to set to None
    except sa.exc.ArgumentError:
        raise FlukeprintError(
            f"{what} is no address; write postgresql://user@host/database"
        ) from None


def _reason(error: BaseException | None) -> str:
    """What a driver says, in one line; pg8000 gives a table of codes, `M` its message."""
    told = error.args[0] if error is not None and error.args else error
    text = str(told.get("M", told)) if isinstance(told, dict) else str(told)
    return re.sub(r"password=\S+", "password=...", " ".join(text.split()))
