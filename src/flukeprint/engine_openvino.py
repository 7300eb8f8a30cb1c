"""OpenVINO on the CPU: a network enters, an `Engine` leaves.

bf16 rounds every activation to 8 bits, and what the first layers lose the last ones amplify.  So
the first layers may stay in float32: the graph is cut after `exact_layers` convolutions or
matrix products on any way from the input, and the two halves run one after the other.
"""

from collections.abc import Iterable
from threading import Lock
from typing import Any

import numpy as np

from flukeprint.engine_export import openvino_model
from flukeprint.engines import Photos
from flukeprint.errors import needs
from flukeprint.gallery import Floats, Precision
from flukeprint.half_product import has_bf16
from flukeprint.model import FlukeNet

HEAVY = frozenset({"Convolution", "GroupConvolution", "MatMul"})
# Tried in this order until the embeddings are near enough to those of float32.
EXACT_LAYERS = (0, 2, 6, 12)


class OpenVinoEngine:
    """Compiled once for all batch sizes; both cores work on one batch."""

    name = "openvino"

    def __init__(
        self,
        net: FlukeNet,
        size: tuple[int, int],
        precision: Precision,
        exact_layers: int = 0,
    ) -> None:
        with needs("fast"):
            import openvino
        self.precision = precision
        self.exact_layers = exact_layers
        core = openvino.Core()
        model = openvino_model(net, size)
        if precision == "fp32":
            parts = [(model, "f32")]
        elif exact_layers:
            first, rest = cut(model, exact_layers)
            parts = [(first, "f32"), (rest, "bf16")]
        else:
            parts = [(model, "bf16")]
        self._turn = Lock()  # a request serves one thread at a time
        self._parts = [
            core.compile_model(
                part, "CPU", {"INFERENCE_PRECISION_HINT": how, "PERFORMANCE_HINT": "LATENCY"}
            ).create_infer_request()
            for part, how in parts
        ]

    @staticmethod
    def offers(net: FlukeNet) -> tuple[Precision, ...]:
        """Precisions on this machine's CPU."""
        return ("fp32", "bf16") if has_bf16() else ("fp32",)

    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        given: list[Any] = [np.ascontiguousarray(photos)]
        with self._turn:
            for part in self._parts:
                found = part.infer(given, share_inputs=True, share_outputs=True)
                given = [found[output] for output in range(len(found))]
            return np.array(given[0], dtype=np.float32)


def cut(model: Any, exact_layers: int) -> tuple[Any, Any]:
    """Two models that do what `model` does, the first with what lies before the cut.

    The first holds all operations with at most `exact_layers` convolutions or matrix products on
    the longest way from the input; what crosses the cut are its outputs and the second's inputs.
    """
    import openvino

    depth: dict[str, int] = {}
    ordered = model.get_ordered_ops()
    for op in ordered:
        before = max((depth[source] for source in _sources(op)), default=0)
        depth[op.get_friendly_name()] = before + (op.get_type_name() in HEAVY and before >= 0)
    moving = _depends_on_input(ordered)
    crossing = []
    for op in ordered:
        name = op.get_friendly_name()
        if name not in moving or depth[name] > exact_layers or op.get_type_name() == "Result":
            continue
        for output in op.outputs():
            takers = [t.get_node().get_friendly_name() for t in output.get_target_inputs()]
            if any(depth[taker] > exact_layers for taker in takers):
                crossing.append(output)
    first = openvino.Model(
        [openvino.opset13.result(output) for output in crossing], model.get_parameters(), "first"
    )
    first = first.clone()
    entries = []
    for output in crossing:
        entry = openvino.opset13.parameter(output.get_partial_shape(), output.get_element_type())
        for target in list(output.get_target_inputs()):
            taker = target.get_node()
            if taker.get_type_name() == "Result" and taker not in model.get_results():
                continue
            if depth.get(taker.get_friendly_name(), 0) > exact_layers:
                target.replace_source_output(entry.output(0))
        entries.append(entry)
    rest = openvino.Model(model.get_results(), entries, "rest")
    return first, rest


def _sources(op: Any) -> Iterable[str]:
    return [value.get_source_output().get_node().get_friendly_name() for value in op.inputs()]


def _depends_on_input(ordered: Iterable[Any]) -> set[str]:
    """Names of the operations that are no constants."""
    moving: set[str] = set()
    for op in ordered:
        if op.get_type_name() == "Parameter" or any(name in moving for name in _sources(op)):
            moving.add(op.get_friendly_name())
    return moving
