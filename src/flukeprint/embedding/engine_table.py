"""The table of inference engines, and building one by its name."""

from typing import TYPE_CHECKING

from flukeprint.data.embeddings import Precision
from flukeprint.embedding.engine import CompiledEngine, Engine, TorchEngine
from flukeprint.embedding.onnx_engine import OnnxEngine
from flukeprint.embedding.openvino_engine import OpenVinoEngine
from flukeprint.errors import FlukeprintError, nearest

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

EngineClass = type[TorchEngine] | type[OpenVinoEngine] | type[OnnxEngine]

ENGINES: dict[str, EngineClass] = {
    "torch": TorchEngine,
    "torch-compile": CompiledEngine,
    "openvino": OpenVinoEngine,
    "onnxruntime": OnnxEngine,
}


def build_engine(name: str, precision: Precision, net: "FlukeNet", size: tuple[int, int]) -> Engine:
    """Build the engine `name` for `net` and photographs of `size` (height, width).

    Raises:
        FlukeprintError: an unknown name, a package that is not installed, or a precision that the
            engine does not have on this machine.
    """
    if name not in ENGINES:
        raise FlukeprintError(f"no engine {name!r}: {nearest(name, ENGINES)}")
    kind = ENGINES[name]
    offered = kind.offers(next(net.parameters()).device.type)
    if precision not in offered:
        raise FlukeprintError(
            f"infer.precision={precision}: {name} on this machine has {', '.join(offered)}; "
            "choose one of these or auto"
        )
    return kind(net, size, precision)
