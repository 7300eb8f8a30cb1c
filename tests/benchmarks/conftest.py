from collections.abc import Iterator

import pytest

from benchmarks.harness.load_client import Target
from tests.benchmarks.stub_service import stub_service


@pytest.fixture
def stub() -> Iterator[Target]:
    with stub_service() as target:
        yield target
