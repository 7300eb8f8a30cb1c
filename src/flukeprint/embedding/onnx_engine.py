"""Run a network with ONNX Runtime on the CPU, and write it as ONNX."""

import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flukeprint.data.embeddings import Floats, Precision
from flukeprint.embedding.engine import INPUT, OUTPUT, Engine, Forward, Photos
from flukeprint.errors import FlukeprintError, needs

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

OPSET = 17


class OnnxEngine(Engine):
    """ONNX Runtime in float32; sessions for `embed` and the lanes are made at first use."""

    name = "onnxruntime"

    def __init__(self, net: "FlukeNet", size: tuple[int, int], precision: Precision) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            write_onnx(net, size, path)
            self._begin(path.read_bytes(), precision)

    @classmethod
    def read(cls, path: Path, precision: Precision) -> "OnnxEngine":
        """The engine of a file that `write_onnx` wrote."""
        engine = cls.__new__(cls)
        engine._begin(path.read_bytes(), precision)
        return engine

    def _begin(self, network: bytes, precision: Precision) -> None:
        with needs("onnx"):
            import onnxruntime
        onnxruntime.disable_telemetry_events()
        self.precision = precision
        self._network = network
        self._whole: Any = None
        self._narrow: Any = None
        self._lock = threading.Lock()

    @staticmethod
    def offers(device: str) -> tuple[Precision, ...]:
        """Precisions on this machine's CPU."""
        return ("fp32",)

    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        with self._lock:
            if self._whole is None:
                self._whole = self._session(_cores())
        return _run(self._whole, photos)

    def lanes(self) -> Sequence[Forward]:
        """See `Engine`."""
        cores = _cores()
        if cores == 1:
            return [self.embed]
        with self._lock:
            if self._narrow is None:
                self._narrow = self._session(1)
        session = self._narrow  # any number of threads may share it
        return [lambda photos: _run(session, photos)] * cores

    def _session(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        return onnxruntime.InferenceSession(
            self._network, options, providers=["CPUExecutionProvider"]
        )


def _cores() -> int:
    import torch

    return torch.get_num_threads()


def _run(session: Any, photos: Photos) -> Floats:
    return np.asarray(session.run(None, {INPUT: photos})[0], dtype=np.float32)


def write_onnx(net: "FlukeNet", size: tuple[int, int], target: Path) -> None:
    """Write the network as ONNX, float32, for photographs of `size`.

    Raises:
        FlukeprintError: the package onnx is not installed, or a layer has no counterpart in ONNX.
    """
    import torch

    from flukeprint.embedding.tracing import traceable

    with needs("onnx"):
        import onnx  # noqa: F401  torch's exporter needs it
    with traceable(net, size) as (module, photos):
        try:
            torch.onnx.export(
                module, (photos,), str(target), dynamo=False, opset_version=OPSET,
                input_names=[INPUT], output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )  # fmt: skip
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FlukeprintError(
                f"ONNX cannot represent {net.config.backbone} ({reason}); choose infer.engine=torch"
            ) from None
