"""The small identifier that all tests of serving share, trained and saved once a session."""

from pathlib import Path

import pytest

from flukeprint.identifier.identifier import Identifier
from tests.serving.served import make_identifier


@pytest.fixture(scope="session")
def identifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the identifier, which no test may change; see `copied`."""
    return make_identifier(tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="session")
def known(identifier: Path) -> Identifier:
    """The same, loaded in this process."""
    known = Identifier.load(identifier)
    known.warm_up()  # as the service does
    return known
