"""Measure speed and parity of inference engines, and remember both in a file of the user.

A speed is remembered for the machine, the network's layers and the size of photographs, a parity
for the network's weights.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flukeprint.data.embeddings import Floats, Precision
from flukeprint.embedding.engine import Engine, Photos, embed_in_parts
from flukeprint.embedding.engine_table import build_engine
from flukeprint.embedding.openvino_engine import OpenVinoEngine
from flukeprint.embedding.parity import Parity, measure_parity
from flukeprint.embedding.prefetch import LANE_BATCH
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.output import say

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

FEWEST_REMEMBERED = 32  # parity on fewer photographs is measured again next time
_REMEMBERED = 200  # entries of each kind in the file
_SECONDS = 0.6  # of each measurement
DrawPhotos = Callable[[], Photos]


@dataclass(frozen=True)
class EngineOption:
    """An engine that may be chosen, at a precision; exact_layers as in `OpenVinoEngine`."""

    engine: str
    precision: Precision
    exact_layers: int = 0

    def __str__(self) -> str:
        partly = f", first {self.exact_layers} layers fp32" if self.exact_layers else ""
        return f"{self.engine} {self.precision}{partly}"


def cache_folder() -> Path:
    """The folder for remembered measurements: FLUKEPRINT_CACHE, or the user's cache folder."""
    named = os.environ.get("FLUKEPRINT_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "flukeprint"


@dataclass
class EngineTimings:
    """Remembered measurements: photographs a second, and parity, by what they depend on."""

    rates: dict[str, float]
    parity: dict[str, Parity]

    @staticmethod
    def path() -> Path:
        """The file in `cache_folder`."""
        return cache_folder() / "engines.json"

    @classmethod
    def read(cls) -> "EngineTimings":
        """Read the file; empty where it is absent or damaged, for it can be made again."""
        try:
            tree = json.loads(cls.path().read_text())
            rates = {str(key): float(rate) for key, rate in tree["rates"].items()}
            measured = {field.name for field in fields(Parity)}
            parity = {
                str(key): Parity(**facts)
                for key, facts in tree["parity"].items()
                if set(facts) == measured  # else of a version that measured something else
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls({}, {})
        return cls(rates, parity)

    def write(self) -> None:
        """Write the newest entries; if that fails, engines are measured again next time."""
        tree = {
            "rates": dict(list(self.rates.items())[-_REMEMBERED:]),
            "parity": {
                key: asdict(found) for key, found in list(self.parity.items())[-_REMEMBERED:]
            },
        }
        try:
            with written_whole(self.path()) as partial:
                partial.write_text(json.dumps(tree, indent=1) + "\n")
        except FlukeprintError as error:
            say(f"engine speeds are not remembered: {error}")


class EngineTrials:
    """Builds engines of one network and measures them, each no more than once."""

    def __init__(
        self, net: "FlukeNet", size: tuple[int, int], stamp: str, sample: DrawPhotos
    ) -> None:
        """The arguments of `engine_choice.pick_engine`."""
        self._net, self._size, self._stamp, self._sample = net, size, stamp, sample
        self.timings = EngineTimings.read()
        self.measured = False  # whether a speed was measured rather than remembered
        self.doubted = False  # whether one must be measured again before a choice is kept
        self._photos: Photos | None = None
        self._reference: Floats | None = None
        self._engines: dict[EngineOption, Engine] = {}

    def engine(self, option: EngineOption) -> Engine:
        """The engine, ready to run."""
        if option not in self._engines:
            if option.exact_layers:
                built: Engine = OpenVinoEngine(
                    self._net, self._size, option.precision, option.exact_layers
                )
            else:
                built = build_engine(option.engine, option.precision, self._net, self._size)
            self._engines[option] = built
        return self._engines[option]

    def _drawn(self) -> Photos:
        if self._photos is None:
            self._photos = self._sample()
        return self._photos

    def parity(self, option: EngineOption) -> Parity:
        """How the engine's embeddings compare with those of torch in float32."""
        if (option.engine, option.precision) == ("torch", "fp32"):
            return Parity(0, 1.0, 1.0, 1.0, 1.0, 0.0)
        key = f"{self._stamp} {self._size} {option} {_versions(option.engine)}"
        known = self.timings.parity.get(key)
        if known is not None:
            return known
        photos = self._drawn()
        if self._reference is None:
            plain = build_engine("torch", "fp32", self._net, self._size)
            self._reference = embed_in_parts(plain, photos)
        found = measure_parity(self._reference, embed_in_parts(self.engine(option), photos))
        if found.photos >= FEWEST_REMEMBERED:
            self.timings.parity[key] = found
        return found

    def _key(self, option: EngineOption) -> str:
        place = f"{_machine(self._net)} {_layers(self._net)} {self._size} {option} "
        return place + _versions(option.engine)

    def doubt(self, option: EngineOption) -> None:
        """Remember no speed of an engine."""
        self.timings.rates.pop(self._key(option), None)
        self.doubted = True

    def rate(self, option: EngineOption) -> float:
        """Throughput of the engine in photographs a second."""
        key = self._key(option)
        known = self.timings.rates.get(key)
        if known is not None:
            return known
        engine, photo = self.engine(option), self._drawn()[:1]
        lanes = len(engine.lanes())
        engine.embed_many([photo] * lanes)
        start = time.perf_counter()
        engine.embed_many([photo] * lanes)
        once = time.perf_counter() - start
        # Batches as `embed` makes them, unless that takes long.
        most = LANE_BATCH if lanes > 1 else 4 * LANE_BATCH
        batch = np.repeat(photo, int(min(most, max(1, _SECONDS / once / 2))), axis=0)
        rounds = [batch] * lanes
        engine.embed_many(rounds)
        took: list[float] = []
        while sum(took) < _SECONDS or len(took) < 2:
            start = time.perf_counter()
            engine.embed_many(rounds)
            took.append(time.perf_counter() - start)
        rate = len(batch) * lanes / min(took)  # other load only slows it down
        self.timings.rates[key] = rate
        self.measured = True
        return rate


def _machine(net: "FlukeNet") -> str:
    import torch

    device = next(net.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    known = torch.cpu.get_capabilities()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name} x{cores} {torch.get_num_threads()} threads"


def _layers(net: "FlukeNet") -> str:
    """What speed depends on: the layers, not their weights."""
    shapes = repr([(name, tuple(t.shape)) for name, t in net.state_dict().items()])
    return f"{net.config.backbone} {hashlib.sha256(shapes.encode()).hexdigest()[:8]}"


def _versions(engine: str) -> str:
    package = "torch" if engine.startswith("torch") else engine
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # built from source
        return package
