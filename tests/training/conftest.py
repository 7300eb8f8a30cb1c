"""What the tests of training share: the tiny configuration with runs of their own."""

from collections.abc import Iterator

import pytest

from flukeprint.evaluation.fold_pictures import draw_fold
from flukeprint.identifier.runs import Run
from flukeprint.training import train as training
from tests.tiny import TinyConfig


@pytest.fixture(scope="module")
def tiny(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> TinyConfig:
    return tiny_config.apart(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="package", autouse=True)
def without_pictures(tiny_run: Run) -> Iterator[None]:
    """Trainings of this process draw none, which takes half of the time of a tiny one.

    `tiny_run`, which other tests share, has its own; `with_pictures` draws again.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_fold", lambda *_, **__: ())
        yield


@pytest.fixture
def with_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_fold", draw_fold)
