"""`flukeprint serve`: runs an HTTP server with the API and the web page of an identifier.

It uses one port and one process; with several workers each has the identifier in its own memory,
and shows within some seconds what the others enroll.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from flukeprint.config.schema import Config, ServeConfig
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.formats.photo_formats import named_like_photo, silence_libtiff
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.class_cards import read_cards
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.showcase import Showcase, pick_examples, read_class_tables
from flukeprint.identifier.taxonomy import Taxonomy
from flukeprint.serving.api.access.hosts import hosts_advice
from flukeprint.serving.api.app import build_api
from flukeprint.serving.api.docs import DOCS, SCRIPTS
from flukeprint.serving.api.middleware import add_middleware
from flukeprint.serving.page.app import POLICY, add_pages
from flukeprint.serving.service import Service
from flukeprint.serving.sessions import SECRET

TOKEN = "FLUKEPRINT_ENROLL_TOKEN"
FEWEST_CHARACTERS = 16  # of the token
KEEP_ENGINE = "flukeprint.serving.keep_engine"  # module that does that and ends
_WORKER = "FLUKEPRINT_SERVE"  # environment variable that tells worker processes what to serve

# Connections of a worker, and of its queue; a process may often open no more than 1,024 files.
MOST_CONNECTIONS, BACKLOG = 700, 128
HEADER_SECONDS = 10.0  # for a request's headers to arrive
REQUEST_SECONDS = 600.0  # then for its body and its answer, over a slow line too


def serve(identifier: Path, config: Config) -> None:
    """Serve until SIGTERM or SIGINT; requests that have begun are finished.

    config: only its section serve and its cards and taxonomy are used.  The latter, if given,
        replace the identifier's while it is served.

    Raises:
        FlukeprintError: no identifier there, a port that is taken, enrolling without a good token,
            or examples that cannot be read.
    """
    settings = config.serve
    token = _token(settings)
    # Built here even with several workers, so that an error is reported once, not by each worker.
    app: FastAPI | str = build_app(identifier, config, token)
    if settings.workers > 1:
        app = "flukeprint.serving.server:worker"
        served = {"identifier": str(identifier), "config": config.model_dump(mode="json")}
        os.environ[_WORKER] = json.dumps(served)
        os.environ.setdefault(SECRET, secrets.token_hex(32))  # one for all workers
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"page  http://{shown}:{port}/\nAPI   http://{shown}:{port}/docs", flush=True)
    how = uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        log_level="warning",
        access_log=False,  # requests are private
        http="flukeprint.serving.server:Connection",
        backlog=BACKLOG,
        server_header=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
        timeout_worker_healthcheck=60,  # a worker that loads the network is slow to answer
        ws="none",
    )
    advice = hosts_advice(settings)
    if advice is not None:
        print(advice, file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        if settings.workers > 1:
            Multiprocess(how, sockets=[listener]).run()
        else:
            uvicorn.Server(how).run(sockets=[listener])


class Connection(H11Protocol):
    """An HTTP connection with time limits; uvicorn alone would wait for ever for a slow client.

    It is closed when the headers of a request take more than HEADER_SECONDS, aborted when the
    rest takes more than REQUEST_SECONDS, and aborted at once where there are MOST_CONNECTIONS
    already, before the process runs out of files.
    """

    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._end is not None:
            self._end.cancel()

    def _start_timer(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = self.loop.call_later(HEADER_SECONDS, self._headers_late)

    def _headers_late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()  # once the answer has been sent
        self._end = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)


def worker() -> FastAPI:
    """The application of one of several worker processes."""
    served = json.loads(os.environ[_WORKER])
    config = Config.model_validate(served["config"])
    return build_app(Path(served["identifier"]), config, _token(config.serve))


def build_app(identifier: Path, config: Config, token: str | None) -> FastAPI:
    """The application that serves the identifier in a folder: API, page and middleware.

    token: the server's own, with which one may change everything; None: there is none.

    Raises:
        FlukeprintError: no identifier there, or examples, people, photographs or tables of
            classes that cannot be read or do not fit.
    """
    settings = config.serve
    keep_memory()
    silence_decoders()
    examples = None if settings.examples is None else _examples(settings.examples)
    folder = settings.photos_folder
    if folder is not None and not folder.is_dir():
        raise FlukeprintError(f"serve.photos_folder: there is no folder {folder}")
    known = Identifier.load(identifier)
    if known.lacks_engine and "torch" not in sys.modules:
        keep_apart(identifier)
    adapt = partial(with_knowledge, config=config)
    service = Service(known, settings, path=identifier, examples=examples, adapt=adapt)
    known.warm_up(partial(print, file=sys.stderr))
    return assemble(service, token)


def keep_apart(identifier: Path) -> None:
    """Choose and keep the engine of an identifier in a process of its own.

    Torch and what it needs take more memory than everything that a server holds.  Where that
    process fails, the engine is chosen in this one.
    """
    command = [sys.executable, "-m", KEEP_ENGINE, str(identifier)]
    with contextlib.suppress(OSError):
        subprocess.run(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)


def silence_decoders() -> None:
    """Stop this process from printing warnings about the photographs that it decodes.

    Pillow warns about odd photographs and remembers each text.
    """
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")
    silence_libtiff()


def with_knowledge(identifier: Identifier, config: Config) -> Identifier:
    """The identifier with its cards and taxonomy replaced by those that `config` names.

    A class that was enrolled may be missing from the taxonomy; it has no name at any rank then.  In
    a catalogue names change: there any class may be missing, and cards of unknown ones are left
    out.
    """
    if config.cards is None and config.taxonomy is None:
        return identifier
    shown = identifier.showcase or Showcase.bare(identifier.gallery)
    before = {} if shown.taxonomy is None else shown.taxonomy.lineages
    enrolled = {name for name, lineage in before.items() if not any(lineage)}
    placed = tuple(name for name in identifier.identities if name not in enrolled)
    if identifier.kept is not None and config.taxonomy is not None:
        there = Taxonomy.read(config.taxonomy.table).lineages
        enrolled |= set(placed) - set(there)
        placed = tuple(name for name in placed if name in there)
    taxonomy, _ = read_class_tables(config.model_copy(update={"cards": None}), placed)
    if identifier.kept is None:
        _, cards = read_class_tables(
            config.model_copy(update={"taxonomy": None}), identifier.identities
        )
    else:
        there_now = set(identifier.identities)
        given = {} if config.cards is None else read_cards(config.cards)
        cards = {name: card for name, card in given.items() if name in there_now}
    if taxonomy is not None:
        blank = dict.fromkeys(enrolled, (None,) * len(taxonomy.ranks))
        taxonomy = replace(taxonomy, lineages={**blank, **taxonomy.lineages})
        shown = replace(shown, taxonomy=taxonomy)
    if cards:
        shown = replace(shown, cards=cards)
    sure = identifier.card.confidence if config.taxonomy is None else config.taxonomy.confidence
    card = identifier.card.model_copy(update={"confidence": sure})
    return replace(identifier, card=card, showcase=shown)


def assemble(service: Service, token: str | None = None) -> FastAPI:
    """The application that serves API and page of a service, with the middleware around both."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    app = build_api(service, token=token)
    add_pages(app, service, app.state.descriptions, app.state.doors)

    def page_csp(scope: Scope) -> str:
        own = scope["path"] == DOCS or scope["path"].startswith(SCRIPTS)
        return "default-src 'none'" if own else POLICY  # /docs sets its own

    add_middleware(app, service.settings, page_csp)
    return app


def _token(settings: ServeConfig) -> str | None:
    """The token for enrolling, from the environment, since a command line is visible to all."""
    if not settings.enroll:
        return None
    token = os.environ.get(TOKEN, "").strip()
    if len(token) < FEWEST_CHARACTERS:
        raise FlukeprintError(
            f"enrolling needs a token of {FEWEST_CHARACTERS} characters or more in the "
            f"environment variable {TOKEN}; set it, or serve without --enroll"
        )
    return token


def _listen(settings: ServeConfig) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        # IPPROTO_TCP is named because asyncio sets TCP_NODELAY only where it finds it.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen()  # until then another process may take the same port
        listener.set_inheritable(True)
    except OSError as error:
        raise FlukeprintError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
            "choose another with --host and --port"
        ) from None
    return listener


def _examples(folder: Path) -> Thumbnails:
    if not folder.is_dir():
        raise FlukeprintError(f"serve.examples: there is no folder {folder}")
    paths = sorted(path for path in folder.iterdir() if named_like_photo(path))
    if not paths:
        raise FlukeprintError(f"serve.examples: {folder} holds no photographs")
    return pick_examples(Catalog(images=tuple(path.name for path in paths), paths=tuple(paths)))
