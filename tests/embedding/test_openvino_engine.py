"""Cutting a graph in two, and the one core of a process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flukeprint.embedding import openvino_engine
from flukeprint.embedding.openvino_engine import OpenVinoEngine, core, cut
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet
from tests.embedding.tiny import MODELS, SIZE, drawn, seen


@pytest.mark.parametrize("exact", [1, 3, 7])
@pytest.mark.parametrize("model", MODELS)
def test_halves_do_what_the_whole_does(
    model: str, exact: int, shared_nets: dict[str, FlukeNet]
) -> None:
    net, photos = shared_nets[model], drawn(4)
    given = [photos]
    for part in cut(openvino_engine.openvino_model(net, SIZE), exact):
        run = core().compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = run(given)
        given = [found[place] for place in range(len(found))]
    np.testing.assert_allclose(given[0], seen(net, photos), atol=1e-4)


def test_openvino_does_not_report_its_use() -> None:
    """Its import would, over the network; one of this process may have been another's."""
    done = subprocess.run(
        [sys.executable, "-c", REPORTS], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub"]


REPORTS = """
import sys
from flukeprint.embedding.openvino_engine import core
core()
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
print(*(name for name, module in sys.modules.items() if "openvino_telemetry" in name and module))
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_no_engine_leaves_a_signal_stack_that_is_gone() -> None:
    """With such a stack the next signal would kill the process, without a message."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_STACK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["mapped"]


SIGNAL_STACK = """
import ctypes, gc, torch
from flukeprint.config.training import ModelConfig
from flukeprint.embedding import openvino_engine
from flukeprint.embedding.openvino_engine import OpenVinoEngine
from flukeprint.models.network import build_model

class Stack(ctypes.Structure):
    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

net = build_model(ModelConfig(backbone="test_resnet", weights="none", embedding_dim=8), (32, 48))
photos = torch.zeros((1, 3, 32, 48), dtype=torch.uint8).numpy()
first = OpenVinoEngine(net, (32, 48), "fp32")
first.embed(photos)
second = OpenVinoEngine(net, (32, 48), "fp32")
second.embed(photos)
del first
gc.collect()
del second
gc.collect()
stack = Stack()
ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
for line in open("/proc/self/maps"):
    low, high = (int(end, 16) for end in line.split()[0].split("-"))
    if stack.place and low <= stack.place < high:
        print("mapped")
"""


def test_there_must_be_something_behind_the_cut(shared_net: FlukeNet) -> None:
    with pytest.raises(FlukeprintError, match="no layers behind the first 100"):
        OpenVinoEngine(shared_net, SIZE, "bf16", 100)
