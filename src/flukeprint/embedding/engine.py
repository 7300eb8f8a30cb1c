"""Inference engines: run a network on uint8 photographs (b, 3, h, w) for unit embeddings (b, d).

Every engine runs the whole `FlukeNet.embed`: normalisation, all backbones, pooling, neck and the
division by the length; embeddings are float32.  `torch` is the reference for the others.
"""

import contextlib
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from flukeprint.cpu import has_bf16
from flukeprint.data.embeddings import Floats, Precision
from flukeprint.errors import FlukeprintError

if TYPE_CHECKING:
    from torch import Tensor

    from flukeprint.models.network import FlukeNet

Photos = npt.NDArray[np.uint8]
Forward = Callable[[Photos], Floats]  # (b, 3, h, w) uint8 RGB, any b -> unit embeddings (b, d)
INPUT, OUTPUT = "photos", "embeddings"  # names in an exported network
_TORCH_TYPES = {"bf16": "bfloat16", "fp16": "float16"}


class Engine(ABC):
    """A network ready to run, until its weights change."""

    name: ClassVar[str]  # as in `infer.engine`
    precision: Precision

    @abstractmethod
    def embed(self, photos: Photos) -> Floats:
        """Embed one batch on all cores: (b, 3, h, w) uint8 RGB, any b -> unit embeddings (b, d)."""

    def lanes(self) -> Sequence[Forward]:
        """Functions that embed a batch on one core each, to be run at once for throughput.

        One thread at a time may call a lane.  They embed more photographs a second than `embed`,
        where cores wait for each other after every layer.  An engine without lanes returns one:
        `embed` itself.
        """
        return [self.embed]

    def embed_many(self, batches: Sequence[Photos]) -> list[Floats]:
        """Embed several batches, spread over the lanes; results in the order given."""
        lanes = self.lanes()
        found: list[Floats | None] = [None] * len(batches)
        left = iter(range(len(batches)))  # a range's iterator gives each number once, to any thread

        def go(run: Forward) -> None:
            for place in left:
                found[place] = run(batches[place])

        if len(lanes) == 1:
            go(lanes[0])
        else:
            with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as pool:
                list(pool.map(go, lanes))
        return [vectors for vectors in found if vectors is not None]


def embed_in_parts(engine: Engine, photos: Photos) -> Floats:
    """Embed (m, 3, h, w) as (m, d), 16 at a time, so that memory does not grow with m."""
    parts = [engine.embed(photos[start : start + 16]) for start in range(0, len(photos), 16)]
    return np.concatenate(parts)


class TorchEngine(Engine):
    """PyTorch on the device of the network; for CUDA batches are pinned."""

    name = "torch"

    def __init__(self, net: "FlukeNet", size: tuple[int, int], precision: Precision) -> None:
        self.precision = precision
        self._device = next(net.parameters()).device
        # Engines are cached with their network, so they must not keep it alive.
        self._net = weakref.ref(net.eval())

    @staticmethod
    def offers(device: str) -> tuple[Precision, ...]:
        """Precisions on a type of device, such as cuda; the first is the reference."""
        if device == "cuda":
            import torch

            return ("fp32", "bf16", "fp16") if torch.cuda.is_bf16_supported() else ("fp32", "fp16")
        return ("fp32", "bf16") if device == "cpu" and has_bf16() else ("fp32",)

    def embed(self, photos: Photos) -> Floats:
        """See `Engine`."""
        import torch

        net = self._net()
        if net is None:
            raise RuntimeError("the network of this engine was deleted")
        batch = torch.from_numpy(photos)
        if self._device.type == "cuda":
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        else:
            batch = batch.to(self._device)
        named = _TORCH_TYPES.get(self.precision)
        kind = None if named is None else getattr(torch, named)
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=kind, enabled=kind is not None),
        ):
            vectors = self._run(net, batch)
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    def _run(self, net: "FlukeNet", batch: "Tensor") -> "Tensor":
        from flukeprint.models.network import embed_in_shares

        return embed_in_shares(net, batch)


class CompiledEngine(TorchEngine):
    """PyTorch with `torch.compile`, which needs a C++ compiler and is slow to start."""

    name = "torch-compile"

    def _run(self, net: "FlukeNet", batch: "Tensor") -> "Tensor":
        with _compiling():
            return _compiled()(net, batch)


def check_compiler(device: str) -> None:
    """Refuse a machine on which torch cannot compile, by compiling next to nothing there."""
    import torch

    with _compiling():
        torch.compile(torch.neg)(torch.zeros(2, device=device))


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    import torch

    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        reason = str(error).strip().splitlines()[0]
        raise FlukeprintError(
            f"infer.engine=torch-compile: torch cannot compile here ({reason}); "
            "install a C++ compiler or choose infer.engine=auto"
        ) from None


@cache
def _compiled() -> "Callable[[FlukeNet, Tensor], Tensor]":
    import torch

    from flukeprint.models.network import FlukeNet

    return torch.compile(FlukeNet.embed, dynamic=True)
