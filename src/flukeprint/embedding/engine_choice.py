"""Which engine: a network and some of its photographs enter, the engine to use leaves.

`auto` takes the fastest that is installed and passes `engine_parity` on photographs of the
catalogue.  Speeds are measured for about a second each and remembered for this machine, network
and size; verdicts are remembered for the network's weights.
"""

import hashlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from flukeprint.config import schema as scale_config
from flukeprint.data.embeddings import Precision
from flukeprint.embedding.engine import CompiledEngine, Engine, Photos, TorchEngine, embed_in_parts
from flukeprint.embedding.engine_timings import EngineTimings
from flukeprint.embedding.onnx_engine import OnnxEngine
from flukeprint.embedding.openvino_engine import EXACT_LAYERS, OpenVinoEngine
from flukeprint.embedding.parity import Parity, measure_parity
from flukeprint.embedding.prefetch import LANE_BATCH
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.models.network import FlukeNet

# Fewer passes of the network than these are over before a measurement is.
WORTH_MEASURING = 300

# By how much an engine that rounds must be faster than the fastest that does not.
WORTH_ROUNDING = 1.2
PHOTOGRAPHS = 64  # that parity is looked at on
_SECONDS = 0.6  # of each measurement
DrawPhotos = Callable[[], Photos]
EngineClass = type[TorchEngine] | type[OpenVinoEngine] | type[OnnxEngine]

# Engines live as long as their network; most take a second to build.
_built: WeakKeyDictionary[FlukeNet, dict[tuple[object, ...], Engine]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Candidate:
    """An engine that might be taken; exact_layers as `OpenVinoEngine` has it."""

    engine: str
    precision: Precision
    exact_layers: int = 0

    def __str__(self) -> str:
        partly = f", first {self.exact_layers} layers fp32" if self.exact_layers else ""
        return f"{self.engine} {self.precision}{partly}"


def pick_engine(
    net: FlukeNet,
    size: tuple[int, int],
    engine: scale_config.EngineName,
    precision: scale_config.PrecisionName,
    *,
    stamp: str,
    sample: DrawPhotos,
    passes: int,
    report: Callable[[str], None] | None = None,
) -> Engine:
    """The engine for `passes` photographs of `size` (height, width) going through `net`.

    With engine and precision both `auto` (or fp32) and few passes it is torch in float32, unless a
    better one has been built for the network already.

    Args:
        net: on its device, in evaluation mode.
        stamp: digest of the network's weights.
        sample: gives photographs (m, 3, *size) to try engines on, m about PHOTOGRAPHS.
        report: told in one line what was chosen and why, when something was measured for it.

    Raises:
        FlukeprintError: an engine that is not installed or not possible here, or that was asked
            for and does not see what torch sees.
    """
    plain = engine in ("auto", "torch") and precision in ("auto", "fp32")
    kept = _built.setdefault(net, {})
    wish = (engine, precision, size, _state_of(net, stamp))
    if wish in kept:
        return kept[wish]
    device = next(net.parameters()).device.type
    if engine == "torch" and precision == "fp32":
        return build_engine("torch", "fp32", net, size)
    candidates = _candidates(net, engine, precision, device)
    if plain and (passes < WORTH_MEASURING or len(candidates) == 1):
        return build_engine("torch", "fp32", net, size)
    chosen = _Chooser(net, size, stamp, sample, report).choose(candidates)
    # A stale engine of other weights must not be found again, nor held on to.
    for key in [key for key in kept if key[-1] != wish[-1]]:
        del kept[key]
    kept[wish] = chosen
    return chosen


def _state_of(net: FlukeNet, stamp: str) -> tuple[object, ...]:
    """Changes when the weights do, even if the stamp was not made anew."""
    tensors = [*net.parameters(), *net.buffers()]
    return (stamp, *((id(t), 0 if t.is_inference() else t._version) for t in tensors))


def _candidates(net: FlukeNet, engine: str, precision: str, device: str) -> list[Candidate]:
    """What the wish leaves open, torch in float32 first where it is among them."""
    if engine not in ("auto", *ENGINES):
        build_engine(engine, "fp32", net, net.size)  # says which are known
    if device != "cpu" and engine in ("openvino", "onnxruntime"):
        raise FlukeprintError(
            f"infer.engine={engine} runs on the CPU, and the network is on {device}; "
            "set train.accelerator=cpu or infer.engine=auto"
        )
    # torch-compile takes a minute to start, and ONNX Runtime was never the fastest: they must be
    # asked for.
    names = [engine] if engine != "auto" else ["torch"]
    if engine == "auto" and device == "cpu" and find_spec("openvino") is not None:
        names.append("openvino")
    found = []
    for name in names:
        offered: tuple[Precision, ...] = ENGINES[name].offers(net)
        for kind in offered:
            if precision in ("auto", kind):
                found += [
                    Candidate(name, kind, layers)
                    for layers in (EXACT_LAYERS if (name, kind) == ("openvino", "bf16") else (0,))
                ]
    if not found:
        have = {kind for name in names for kind in ENGINES[name].offers(net)}
        raise FlukeprintError(
            f"infer.precision={precision}: {' and '.join(names)} on this machine have "
            f"{', '.join(sorted(have))}; choose one of these or auto"
        )
    return found


class _Chooser:
    """Measures and compares, no more than it must; forgets what it tried."""

    def __init__(
        self,
        net: FlukeNet,
        size: tuple[int, int],
        stamp: str,
        sample: DrawPhotos,
        report: Callable[[str], None] | None,
    ) -> None:
        self._net, self._size, self._stamp, self._sample, self._report = (
            net,
            size,
            stamp,
            sample,
            report,
        )
        self._notes = EngineTimings.read()
        self._photos: Photos | None = None
        self._reference: Any = None
        self._measured = False
        self._engines: dict[Candidate, Engine] = {}

    def choose(self, candidates: list[Candidate]) -> Engine:
        """The fastest that may be used."""
        rates: dict[Candidate, float] = {}
        refused: list[str] = []
        passed_bf16 = False
        for candidate in candidates:
            if candidate.exact_layers and passed_bf16:
                continue  # fewer exact layers were enough
            try:
                why = self._parity(candidate).refusal(candidate.precision)
            except FlukeprintError as error:
                if len(candidates) == 1:
                    raise
                why = str(error)
            if why is not None:
                refused.append(f"{candidate}: {why}")
                continue
            passed_bf16 |= candidate.engine == "openvino" and candidate.precision == "bf16"
            rates[candidate] = self._rate(candidate) if len(candidates) > 1 else 1.0
        self._notes.write()
        if not rates:
            raise FlukeprintError(
                f"{refused[-1]}; refused, choose infer.precision=fp32 or infer.engine=torch"
            )
        exact = max((r for c, r in rates.items() if c.precision == "fp32"), default=0.0)
        allowed = {
            c: r for c, r in rates.items() if c.precision == "fp32" or r >= WORTH_ROUNDING * exact
        }
        best = max(allowed, key=lambda c: allowed[c])
        if self._report is not None and self._measured:
            others = ", ".join(f"{c} {r:.0f}" for c, r in rates.items() if c != best)
            parity = self._parity(best)
            self._report(
                f"engine: {best}, {rates[best]:.0f} photographs a second here ({others}); least "
                f"cosine to torch fp32 {parity.least_cosine:.5f} on {parity.photos} photographs, "
                f"{parity.same_lists:.0%} of their five nearest the same to the place"
            )
        return self._engine(best)

    def _engine(self, candidate: Candidate) -> Engine:
        if candidate not in self._engines:
            if candidate.exact_layers:
                built: Engine = OpenVinoEngine(
                    self._net, self._size, candidate.precision, candidate.exact_layers
                )
            else:
                built = build_engine(candidate.engine, candidate.precision, self._net, self._size)
            self._engines[candidate] = built
        return self._engines[candidate]

    def _ready(self) -> Photos:
        if self._photos is None:
            self._photos = self._sample()
        return self._photos

    def _parity(self, candidate: Candidate) -> Parity:
        if (candidate.engine, candidate.precision) == ("torch", "fp32"):
            return Parity(0, 1.0, 1.0, 0.0)
        key = f"{self._stamp} {self._size} {candidate} {_versions(candidate.engine)}"
        known = self._notes.parity.get(key)
        if known is not None:
            return known
        photos = self._ready()
        if self._reference is None:
            plain = build_engine("torch", "fp32", self._net, self._size)
            self._reference = embed_in_parts(plain, photos)
        found = measure_parity(self._reference, embed_in_parts(self._engine(candidate), photos))
        if found.photos >= PHOTOGRAPHS // 2:  # of a few photographs nothing is concluded for long
            self._notes.parity[key] = found
        return found

    def _rate(self, candidate: Candidate) -> float:
        """Photographs a second."""
        key = f"{_machine(self._net)} {_shape(self._net)} {self._size} {candidate} "
        key += _versions(candidate.engine)
        known = self._notes.rates.get(key)
        if known is not None:
            return known
        engine, photo = self._engine(candidate), self._ready()[:1]
        lanes = len(engine.lanes())
        engine.embed_many([photo] * lanes)
        begin = time.perf_counter()
        engine.embed_many([photo] * lanes)
        once = time.perf_counter() - begin
        # As `embed` will ask for them, unless that takes long.
        most = LANE_BATCH if lanes > 1 else 4 * LANE_BATCH
        batch = np.repeat(photo, int(min(most, max(1, _SECONDS / once / 2))), axis=0)
        rounds = [batch] * lanes
        engine.embed_many(rounds)
        took: list[float] = []
        while sum(took) < _SECONDS or len(took) < 2:
            begin = time.perf_counter()
            engine.embed_many(rounds)
            took.append(time.perf_counter() - begin)
        rate = len(batch) * lanes / min(took)  # what disturbs only slows
        self._notes.rates[key] = rate
        self._measured = True
        return rate


def _machine(net: FlukeNet) -> str:
    device = next(net.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = torch.cpu.get_capabilities()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name} x{cores} {torch.get_num_threads()} threads"


def _shape(net: FlukeNet) -> str:
    """What the speed depends on: the layers, not their weights."""
    shapes = repr([(name, tuple(t.shape)) for name, t in net.state_dict().items()])
    return f"{net.config.backbone} {hashlib.sha256(shapes.encode()).hexdigest()[:8]}"


def _versions(engine: str) -> str:
    package = "torch" if engine.startswith("torch") else engine
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # built from source
        return package


ENGINES: dict[str, EngineClass] = {
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
