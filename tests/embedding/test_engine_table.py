"""The table of engines has the names of the configuration."""

from typing import get_args

import pytest

from flukeprint.config.ranking import EngineName
from flukeprint.embedding.engine_table import ENGINES, build_engine
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import SIZE


def test_the_table_has_the_names_of_the_configuration() -> None:
    assert set(ENGINES) == set(get_args(EngineName)) - {"auto"}
    assert all(kind.name == name for name, kind in ENGINES.items())


def test_unknown_engines_and_precisions_are_refused(shared_net: FlukeNet) -> None:
    with pytest.raises(FlukeprintError, match=r"no engine 'openvinno'.*openvino"):
        build_engine("openvinno", "fp32", shared_net, SIZE)
    with pytest.raises(FlukeprintError, match="onnxruntime on this machine has fp32"):
        build_engine("onnxruntime", "int8", shared_net, SIZE)
