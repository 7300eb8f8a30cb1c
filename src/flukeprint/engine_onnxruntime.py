"""ONNX Runtime on the CPU: a network enters, an `Engine` leaves."""

import tempfile
from pathlib import Path

import numpy as np

from flukeprint.engine_export import INPUT, write_onnx
from flukeprint.engines import Photos
from flukeprint.errors import needs
from flukeprint.gallery import Floats, Precision
from flukeprint.model import FlukeNet


class OnnxEngine:
    """Float32, any batch size."""

    name = "onnxruntime"

    def __init__(self, net: FlukeNet, size: tuple[int, int], precision: Precision) -> None:
        with needs("onnx"):
            import onnxruntime
        onnxruntime.disable_telemetry_events()
        self.precision = precision
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            write_onnx(net, size, path)
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), providers=["CPUExecutionProvider"]
            )

    @staticmethod
    def offers(net: FlukeNet) -> tuple[Precision, ...]:
        """Precisions on this machine's CPU."""
        return ("fp32",)

    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        return np.asarray(self._session.run(None, {INPUT: photos})[0], dtype=np.float32)
