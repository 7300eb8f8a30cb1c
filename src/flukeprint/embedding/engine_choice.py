"""Choose the inference engine of a network: the fastest that gives the same answers as PyTorch.

Speeds are measured for about a second each and remembered, see `engine_timings.py`; what was chosen
for a saved network is kept, see `kept_engine.py`.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from flukeprint.config.ranking import EngineName, PrecisionName
from flukeprint.data.embeddings import Precision
from flukeprint.embedding.engine import Engine, check_compiler
from flukeprint.embedding.engine_table import ENGINES, build_engine
from flukeprint.embedding.engine_timings import (
    FEWEST_REMEMBERED,
    DrawPhotos,
    EngineOption,
    EngineTrials,
)
from flukeprint.embedding.kept_engine import SINGLE, Asked, KeptEngines, can_keep
from flukeprint.embedding.openvino_engine import EXACT_LAYERS
from flukeprint.errors import FlukeprintError, check_installed, nearest
from flukeprint.models.lazy_network import LazyNetwork

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

# Fewer passes of the network than this take less time than measuring engines.
WORTH_MEASURING = 300

# By how much an engine that rounds must be faster than the fastest that does not.
WORTH_ROUNDING = 1.2
# OpenVINO in float32 is measured again another time where it is this much slower than the fastest.
DOUBTFUL = 0.3
# Engine -> the extra that installs it, and its packages.
PACKAGES = {"openvino": ("fast", "openvino"), "onnxruntime": ("onnx", "onnx", "onnxruntime")}
PHOTOGRAPHS = 2 * FEWEST_REMEMBERED  # on which parity is measured

# Engines live as long as their network; most take a second to build.
_built: "WeakKeyDictionary[FlukeNet, dict[tuple[object, ...], Engine]]" = WeakKeyDictionary()
_read: WeakKeyDictionary[LazyNetwork, dict[tuple[object, ...], Engine]] = WeakKeyDictionary()


def pick_engine(
    net: "FlukeNet | LazyNetwork",
    size: tuple[int, int],
    engine: EngineName,
    precision: PrecisionName,
    *,
    stamp: str,
    sample: DrawPhotos,
    passes: int,
    report: Callable[[str], None] | None = None,
) -> Engine:
    """Choose and build the engine to embed `passes` photographs of `size` (height, width).

    `auto` takes the fastest engine that is installed and passes parity on photographs of the
    catalogue.  With engine and precision both `auto` (or fp32) and few passes it is torch in
    float32, unless a better one has been built for the network already, or kept.

    Args:
        net: on its device, in evaluation mode.  What is chosen for a lazy one is kept, and one that
            is not built stays so where an engine was kept.
        stamp: digest of the network's weights.
        sample: gives photographs (m, 3, *size) to try engines on, m about PHOTOGRAPHS.
        report: receives one line on the choice and its reason, if something was measured for it.

    Raises:
        FlukeprintError: an engine that is not installed or not possible here, or a configured one
            that fails parity with torch.
    """
    plain = engine in ("auto", "torch") and precision in ("auto", "fp32")
    lazy = isinstance(net, LazyNetwork)
    if isinstance(net, LazyNetwork):
        few = plain and passes < WORTH_MEASURING
        if engine in ("auto", "openvino"):
            found = kept_engine(net, size, SINGLE if few else (engine, precision), stamp)
            if found is not None:
                return found
        net = net.get()
    kept = _built.setdefault(net, {})
    key = (engine, precision, size, _state_of(net, stamp))
    if key in kept:
        return kept[key]
    device = next(net.parameters()).device.type
    if engine == "torch" and precision == "fp32":
        return build_engine("torch", "fp32", net, size)
    options = _options(engine, precision, device)
    if plain and (passes < WORTH_MEASURING or len(options) == 1):
        return build_engine("torch", "fp32", net, size)
    trials = EngineTrials(net, size, stamp, sample)
    option = _fastest(trials, options, report)
    chosen = trials.engine(option)
    if lazy and device == "cpu" and can_keep() and not trials.doubted:
        import torch

        KeptEngines(stamp, size).keep(
            net, (engine, precision), option, chosen, torch.get_num_threads()
        )
    # An engine of other weights must not be found again, nor kept in memory.
    for old in [old for old in kept if old[-1] != key[-1]]:
        del kept[old]
    kept[key] = chosen
    return chosen


def forget_engines(net: "FlukeNet") -> None:
    """Free the engines of a network that is trained further: OpenVINO's hold a GB and more."""
    _built.pop(net, None)


def kept_engine(net: LazyNetwork, size: tuple[int, int], asked: Asked, stamp: str) -> Engine | None:
    """The engine of a network that has not been built, as it was kept; None where none was.

    asked: infer.engine and infer.precision.
    """
    if net.built is not None:  # and so may be on another device, or have other weights
        return None
    held = _read.setdefault(net, {})
    key = (asked, size, stamp)
    if key not in held:
        found = KeptEngines(stamp, size).engine(asked)
        if found is None:
            return None
        held[key] = found
    return held[key]


def _state_of(net: "FlukeNet", stamp: str) -> tuple[object, ...]:
    """A key that changes with the weights, even if the stamp was not computed again."""
    tensors = [*net.parameters(), *net.buffers()]
    return (stamp, *((id(t), 0 if t.is_inference() else t._version) for t in tensors))


def check_engine(engine: str, precision: str, device: str) -> None:
    """Refuse an engine or a precision that is not possible here, before anything is embedded.

    Args:
        engine, precision: of `infer`.
        device: type of the network's device, such as cpu or cuda.

    Raises:
        FlukeprintError: an unknown name, a package or a compiler that is not installed, an engine
            of another device, or a precision that the engine does not have on this machine.
    """
    _options(engine, precision, device)
    if engine == "torch-compile":
        check_compiler(device)


def _options(engine: str, precision: str, device: str) -> list[EngineOption]:
    """The options that the settings leave, torch in float32 first where it is one of them."""
    if engine not in ("auto", *ENGINES):
        raise FlukeprintError(f"no engine {engine!r}: {nearest(engine, ENGINES)}")
    if device != "cpu" and engine in ("openvino", "onnxruntime"):
        raise FlukeprintError(
            f"infer.engine={engine} runs on the CPU, and the network is on {device}; "
            "set train.accelerator=cpu or infer.engine=auto"
        )
    # torch-compile takes a minute to start, and ONNX Runtime was never the fastest: they must be
    # configured by name.
    check_installed(*PACKAGES.get(engine, ("",)))
    names = [engine] if engine != "auto" else ["torch"]
    if engine == "auto" and device == "cpu" and find_spec("openvino") is not None:
        names.append("openvino")
    found = []
    for name in names:
        offered: tuple[Precision, ...] = ENGINES[name].offers(device)
        for kind in offered:
            if precision in ("auto", kind):
                found += [
                    EngineOption(name, kind, layers)
                    for layers in (EXACT_LAYERS if (name, kind) == ("openvino", "bf16") else (0,))
                ]
    if not found:
        have = {kind for name in names for kind in ENGINES[name].offers(device)}
        raise FlukeprintError(
            f"infer.precision={precision}: {' and '.join(names)} on this machine have "
            f"{', '.join(sorted(have))}; choose one of these or auto"
        )
    return found


def _fastest(
    trials: EngineTrials, options: list[EngineOption], report: Callable[[str], None] | None
) -> EngineOption:
    """The fastest engine that passes parity; rounding must be worth it."""
    rates: dict[EngineOption, float] = {}
    refused: list[str] = []
    passed_bf16 = False
    for option in options:
        if option.exact_layers and passed_bf16:
            continue  # fewer exact layers were enough
        try:
            why = trials.parity(option).refusal(option.precision)
        except FlukeprintError as error:
            if len(options) == 1:
                raise
            why = str(error)
        if why is not None:
            refused.append(f"{option}: {why}")
            continue
        passed_bf16 |= option.engine == "openvino" and option.precision == "bf16"
        rates[option] = trials.rate(option) if len(options) > 1 else 1.0
    usual = EngineOption("openvino", "fp32")
    if usual in rates and rates[usual] < DOUBTFUL * max(rates.values()):
        # Elsewhere it is faster than torch: other work that took all cores was what was measured.
        trials.doubt(usual)
    trials.timings.write()
    if not rates:
        raise FlukeprintError(
            f"{refused[-1]}; refused, choose infer.precision=fp32 or infer.engine=torch"
        )
    exact = max((r for c, r in rates.items() if c.precision == "fp32"), default=0.0)
    allowed = {
        c: r for c, r in rates.items() if c.precision == "fp32" or r >= WORTH_ROUNDING * exact
    }
    best = max(allowed, key=lambda c: allowed[c])
    if report is not None and trials.measured:
        others = ", ".join(f"{c} {r:.0f}" for c, r in rates.items() if c != best)
        plain = (best.engine, best.precision) == ("torch", "fp32")
        same = "" if plain else f"; {trials.parity(best).text()}"
        report(f"engine: {best}, {rates[best]:.0f} photographs a second here ({others}){same}")
    return best
