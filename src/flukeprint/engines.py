"""What runs a network: uint8 photographs (b, 3, h, w) enter, unit embeddings (b, d) float32 leave.

Every engine runs the whole `FlukeNet.embed`: normalisation, all backbones, pooling, neck and the
division by the length.  `torch` is what the others are measured against.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from flukeprint.errors import FlukeprintError
from flukeprint.gallery import Floats, Precision
from flukeprint.half_product import has_bf16
from flukeprint.model import FlukeNet

Photos = npt.NDArray[np.uint8]

_TORCH_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(Protocol):
    """A network ready to run, for as long as its weights stay what they are."""

    name: str  # as `infer.engine` has it
    precision: Precision

    def embed(self, photos: Photos) -> Floats:
        """(b, 3, h, w) uint8 RGB, any b -> unit embeddings (b, d)."""


class TorchEngine:
    """PyTorch, channels last; on CUDA from pinned memory."""

    name = "torch"

    def __init__(self, net: FlukeNet, size: tuple[int, int], precision: Precision) -> None:
        self.precision = precision
        self._device = next(net.parameters()).device
        self._net = net.eval()
        self._run: Callable[[torch.Tensor], torch.Tensor] = net.embed

    @staticmethod
    def offers(net: FlukeNet) -> tuple[Precision, ...]:
        """Precisions on the network's device, of which the first is the reference."""
        device = next(net.parameters()).device.type
        if device == "cuda":
            return ("fp32", "bf16", "fp16") if torch.cuda.is_bf16_supported() else ("fp32", "fp16")
        return ("fp32", "bf16") if device == "cpu" and has_bf16() else ("fp32",)

    @torch.inference_mode()
    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        batch = torch.from_numpy(photos)
        if self._device.type == "cuda":
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        else:
            batch = batch.to(self._device)
        kind = _TORCH_TYPES.get(self.precision)
        with torch.autocast(self._device.type, dtype=kind, enabled=kind is not None):
            vectors = self._run(batch)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)


class CompiledEngine(TorchEngine):
    """The same through `torch.compile`, which needs a C++ compiler and takes its time to start."""

    name = "torch-compile"

    def __init__(self, net: FlukeNet, size: tuple[int, int], precision: Precision) -> None:
        super().__init__(net, size, precision)
        self._run = partial(_compiled(), net)

    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        try:
            return super().embed(photos)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            reason = str(error).strip().splitlines()[0]
            raise FlukeprintError(
                f"infer.engine=torch-compile: torch cannot compile here ({reason}); "
                "install a C++ compiler or choose infer.engine=auto"
            ) from None


@cache
def _compiled() -> Callable[[FlukeNet, torch.Tensor], torch.Tensor]:
    return torch.compile(FlukeNet.embed, dynamic=True)
