"""What the tests of training share: the tiny configuration with runs of their own."""

import pytest

from tests.tiny import TinyConfig


@pytest.fixture(scope="module")
def tiny(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> TinyConfig:
    return tiny_config.apart(tmp_path_factory.mktemp("training"))
