"""The engines by name: a network enters, an `Engine` that runs it leaves."""

from flukeprint.engine_onnxruntime import OnnxEngine
from flukeprint.engine_openvino import OpenVinoEngine
from flukeprint.engines import CompiledEngine, Engine, TorchEngine
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.gallery import Precision
from flukeprint.model import FlukeNet

Kind = type[TorchEngine] | type[OpenVinoEngine] | type[OnnxEngine]

ENGINES: dict[str, Kind] = {
    "torch": TorchEngine,
    "torch-compile": CompiledEngine,
    "openvino": OpenVinoEngine,
    "onnxruntime": OnnxEngine,
}


def build_engine(name: str, precision: Precision, net: FlukeNet, size: tuple[int, int]) -> Engine:
    """The engine `name` for `net` and photographs of `size` (height, width).

    Raises:
        FlukeprintError: an unknown name, a package that is not installed, or a precision that the
            engine does not have on this machine.
    """
    if name not in ENGINES:
        raise FlukeprintError(f"no engine {name!r}: {nearest(name, ENGINES)}")
    kind = ENGINES[name]
    offered = kind.offers(net)
    if precision not in offered:
        raise FlukeprintError(
            f"infer.precision={precision}: {name} on this machine has {', '.join(offered)}; "
            "choose one of these or auto"
        )
    return kind(net, size, precision)
