"""What several test files share: photographs, the tiny configuration and its run, one thread."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Tiny arrays are done before a second thread has woken up.  Read when numpy and torch are imported,
# by this process and by the commands that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import HealthCheck, settings

from flukeprint.cli import app
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run
from tests import postgresql
from tests.says import Says
from tests.tiny import TinyConfig, drawn

torch.set_num_threads(1)
# How long an example takes says how busy the machine is.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")
# Speeds of engines are measured anew, and are nobody else's.
os.environ["FLUKEPRINT_CACHE"] = tempfile.mkdtemp(prefix="flukeprint-tests-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("FLUKEPRINT_PHOTOS"):
        skip = pytest.mark.skip(reason="FLUKEPRINT_PHOTOS names no real photographs")
        for item in items:
            if item.get_closest_marker("photos"):  # `keywords` hold names of folders as well
                item.add_marker(skip)


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder with lions/, nyala/, spiders/ and humpback/."""
    return Path(os.environ["FLUKEPRINT_PHOTOS"])


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[1]


@pytest.fixture
def at_repository(repository: Path) -> Iterator[Path]:
    """The working directory is the repository's root, as for its commands."""
    before = Path.cwd()
    os.chdir(repository)
    yield repository
    os.chdir(before)


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> TinyConfig:
    """The tiny configuration with its photographs; who trains does so `apart`."""
    return drawn(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_run(tiny_config: TinyConfig) -> Run:
    """The one finished run of `tiny_config`, its test photographs identified; not to be changed."""
    from flukeprint.submission.infer import infer  # they take seconds to import
    from flukeprint.training.train import train

    run = train(tiny_config())
    infer(tiny_config("infer.threshold=none"), run)
    return run


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    """Runs a command: what it prints, and the refusal with which it ends."""

    def run(*command: str | Path) -> tuple[str, str | None]:
        capsys.readouterr()
        error = None
        try:
            app([str(word) for word in command], standalone_mode=False)
        except FlukeprintError as refusal:
            error = str(refusal)
        return capsys.readouterr().out, error

    return run


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The address of a PostgreSQL server: that of the environment, or one started for the tests."""
    given = os.environ.get(postgresql.URL)
    if given:
        yield given
        return
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgresql.server())
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no PostgreSQL server can be started here: {error}")
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest) -> str | None:
    """`url` of a catalogue: None for SQLite, and the address of a PostgreSQL server."""
    if request.param == "sqlite":
        return None
    return str(request.getfixturevalue("postgresql_url"))
