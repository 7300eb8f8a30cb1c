"""Run a network with OpenVINO on the CPU, and write it for OpenVINO.

bf16 rounds every activation to 8 bits, and the last layers amplify the errors of the first.  So the
first layers may stay in float32: the graph is cut after `exact_layers` convolutions or matrix
products on any path from the input, and the two parts run one after the other.
"""

import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.cpu import has_bf16
from flukeprint.data.embeddings import Floats, Precision
from flukeprint.embedding.engine import INPUT, OUTPUT, Engine, Forward, Photos
from flukeprint.errors import FlukeprintError, needs

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

HEAVY = frozenset({"Convolution", "GroupConvolution", "MatMul"})

# Tried in this order until the embeddings are near enough to those of float32.
EXACT_LAYERS = (0, 2, 6, 12, 20)


class OpenVinoEngine(Engine):
    """OpenVINO, one graph for all batch sizes; `embed` and the lanes are compiled at first use."""

    name = "openvino"

    def __init__(
        self,
        net: "FlukeNet",
        size: tuple[int, int],
        precision: Precision,
        exact_layers: int = 0,
    ) -> None:
        self._begin(openvino_model(net, size), precision, exact_layers)

    @classmethod
    def read(
        cls, path: Path, precision: Precision, exact_layers: int = 0, threads: int | None = None
    ) -> "OpenVinoEngine":
        """The engine of a file that `write_openvino` or `save` wrote.

        threads: None takes torch's number.
        """
        engine = cls.__new__(cls)
        engine._begin(core().read_model(path), precision, exact_layers, threads)
        return engine

    def save(self, target: Path) -> None:
        """Write the network as `target` (.xml) and the weights beside it (.bin), float32."""
        _write(self._model, target)

    def _begin(
        self, model: Any, precision: Precision, exact_layers: int, threads: int | None = None
    ) -> None:
        self.precision = precision
        self.exact_layers = exact_layers
        self._model, self._threads = model, threads
        if precision == "fp32":
            self._parts = [(model, "f32")]
        elif exact_layers:
            first, rest = cut(model.clone(), exact_layers)  # weights are shared
            self._parts = [(first, "f32"), (rest, "bf16")]
        else:
            self._parts = [(model, "bf16")]
        self._whole: Forward | None = None
        self._lanes: list[Forward] = []
        self._lock = threading.Lock()

    @staticmethod
    def offers(device: str) -> tuple[Precision, ...]:
        """Precisions on this machine's CPU."""
        return ("fp32", "bf16") if has_bf16() else ("fp32",)

    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        with self._lock:  # an inference request serves one thread at a time
            if self._whole is None:
                (self._whole,) = self._compiled(1)
            return self._whole(photos)

    def lanes(self) -> Sequence[Forward]:
        """See `Engine`."""
        cores = self._cores()
        if cores == 1:
            return [self.embed]
        with self._lock:
            if not self._lanes:
                self._lanes = self._compiled(cores)
        return self._lanes

    def _cores(self) -> int:
        if self._threads is not None:
            return self._threads
        import torch

        return torch.get_num_threads()

    def _compiled(self, streams: int) -> list[Forward]:
        settings = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": self._cores()}
        compiled = [
            core().compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": how, **settings})
            for part, how in self._parts
        ]
        return [
            _one_after_the_other([part.create_infer_request() for part in compiled])
            for _ in range(streams)
        ]


def core() -> Any:
    """The one `openvino.Core` of the process, which is never deleted.

    A core installs a signal stack, and restores the one before when it is deleted.  Two cores that
    are not deleted in reverse order leave a signal stack installed whose memory is freed, and the
    next signal (of a child process that ends, say) kills the process without a message.
    """
    with _making_core:
        return _the_core()


_making_core = threading.Lock()


@cache
def _the_core() -> Any:
    return _openvino().Core()


def _openvino() -> Any:
    """The package, which does not report its use.

    Its import would do so over the network, by a process that a command then waits for.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    with needs("fast"):
        import openvino
    return openvino


def _one_after_the_other(requests: Sequence[Any]) -> Forward:
    def run(photos: Photos) -> Floats:
        given: list[Any] = [np.ascontiguousarray(photos)]
        for request in requests:
            found = request.infer(given, share_inputs=True, share_outputs=True)
            given = [found[output] for output in range(len(found))]
        return np.array(given[0], dtype=np.float32)

    return run


def openvino_model(net: "FlukeNet", size: tuple[int, int]) -> Any:
    """An `openvino.Model` of the network, float32, for photographs of `size`.

    The front end is called directly: `openvino.convert_model` reports every conversion to its
    vendor.

    Raises:
        FlukeprintError: OpenVINO is not installed, or a layer has no counterpart in it.
    """
    import torch

    from flukeprint.embedding.tracing import traceable

    openvino = _openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with traceable(net, size) as (module, photos):
        traced = torch.jit.trace(module, photos, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(
            traced, example_input=photos, trace_kwargs={"check_trace": False}
        )
        reader = FrontEndManager().load_by_framework("pytorch")
        try:
            model = reader.convert(reader.load(decoder))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise FlukeprintError(
                f"OpenVINO cannot represent {net.config.backbone} ({reason}); "
                "choose infer.engine=torch"
            ) from None
    model.reshape({0: openvino.PartialShape([-1, 3, *size])})
    model.input(0).get_tensor().set_names({INPUT})
    model.output(0).get_tensor().set_names({OUTPUT})
    # Written and read again it does not refer to torch's trace, which is freed before it.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        _write(model, path)
        return core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def write_openvino(net: "FlukeNet", size: tuple[int, int], target: Path) -> None:
    """Write the network as `target` (.xml) and the weights beside it (.bin), float32.

    Raises:
        FlukeprintError: as `openvino_model`.
    """
    model = openvino_model(net, size)
    _write(model, target)


def _write(model: Any, target: Path) -> None:
    """Write a model as .xml and .bin; by itself OpenVINO would halve the precision of weights."""
    _openvino().save_model(model, target, compress_to_fp16=False)


def cut(model: Any, exact_layers: int) -> tuple[Any, Any]:
    """Split `model` into two that compute the same one after the other; it is changed by it.

    The first holds all operations with at most `exact_layers` convolutions or matrix products on
    the longest path from the input; values that cross the cut are its outputs, and the inputs of
    the second.

    Raises:
        FlukeprintError: no operation lies behind the cut.
    """
    openvino = _openvino()
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
    if not crossing:
        raise FlukeprintError(
            f"the network has no layers behind the first {exact_layers}, which stay in float32; "
            "choose infer.precision=fp32"
        )
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
    """Names of the operations that depend on the input, unlike constants."""
    moving: set[str] = set()
    for op in ordered:
        if op.get_type_name() == "Parameter" or any(name in moving for name in _sources(op)):
            moving.add(op.get_friendly_name())
    return moving
