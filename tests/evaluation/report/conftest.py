"""The drawn run that most tests of the report share."""

import pytest

from flukeprint.evaluation.report.material import RunMaterial
from tests.evaluation.report.drawn_run import drawn_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunMaterial:
    """Not to be changed."""
    return drawn_run(tmp_path_factory.mktemp("drawn"))
