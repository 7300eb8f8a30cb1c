"""Keep a network as OpenVINO reads it, so that the next process embeds without importing torch.

In the user's cache folder, for each network, size of photographs, machine and version of the
packages there is a folder:

    engine.json                which engine was chosen for what, and the digests of the others
    network.xml, network.bin   the network in float32, where OpenVINO was chosen for something

What is damaged, or of something else, is made again.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flukeprint import __version__
from flukeprint.config.ranking import EngineName, PrecisionName
from flukeprint.cpu import processor
from flukeprint.data.embeddings import Precision
from flukeprint.embedding.engine_timings import EngineOption, cache_folder
from flukeprint.embedding.openvino_engine import OpenVinoEngine
from flukeprint.errors import FlukeprintError
from flukeprint.files import folder_written_whole, written_whole
from flukeprint.output import say
from flukeprint.storage import digest

if TYPE_CHECKING:
    from flukeprint.models.network import FlukeNet

FACTS, NETWORK, WEIGHTS = "engine.json", "network.xml", "network.bin"
_FORMAT = 1
_MOST_KEPT = 12  # networks; those that were used last
# What torch takes its number of threads from, besides the cores.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
Asked = tuple[EngineName, PrecisionName]  # infer.engine and infer.precision
SINGLE: Asked = ("auto", "fp32")  # for single photographs


@dataclass(frozen=True)
class KeptEngine:
    """The engines that were chosen for a network.

    belongs: what they are of: network, size of photographs, machine and versions.
    threads: of torch, when they were chosen.
    parameters: of the network.
    chosen: by infer.engine and infer.precision, joined by a blank.
    digests: of the files beside `engine.json`; none where there are none.
    """

    belongs: str
    threads: int
    parameters: int
    chosen: Mapping[str, EngineOption]
    digests: Mapping[str, str]
    format: int = _FORMAT

    def option(self, asked: Asked) -> EngineOption | None:
        """What was chosen for this; None where nothing was."""
        return self.chosen.get(" ".join(asked))

    def text(self) -> str:
        """`engine.json`, with a digest of itself."""
        tree = asdict(self)
        return json.dumps({**tree, "digest": _digest(_line(tree).encode())}, indent=1) + "\n"


class KeptEngines:
    """What is kept for one network and photographs of one size, on this machine."""

    def __init__(self, stamp: str, size: tuple[int, int]) -> None:
        """`stamp`: digest of the network's weights.  `size`: (height, width)."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        told = [f"{name}={os.environ.get(name, '')}" for name in _THREADS]
        self._belongs = " ".join(
            (stamp, str(size), processor(), f"x{cores}", *told, _version("openvino"), __version__)
        )
        place = hashlib.sha256(self._belongs.encode()).hexdigest()[:16]
        self.folder = cache_folder() / "engines" / f"{stamp}-{place}"

    def read(self) -> KeptEngine | None:
        """The facts; None where there are none, or where they are damaged, which is said."""
        try:
            tree = json.loads((self.folder / FACTS).read_text())
            found = _parsed(tree)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._refuse()
            return None
        if found.belongs != self._belongs:
            self._refuse()
            return None
        return found

    def engine(self, asked: Asked) -> OpenVinoEngine | None:
        """The engine that was chosen for this, if it is of OpenVINO and its files are whole."""
        if find_spec("openvino") is None:
            return None
        facts = self.read()
        option = None if facts is None else facts.option(asked)
        if facts is None or option is None or option.engine != OpenVinoEngine.name:
            return None
        try:
            for name in (NETWORK, WEIGHTS):
                if digest(self.folder / name) != facts.digests[name]:
                    self._refuse()
                    return None
            engine = OpenVinoEngine.read(
                self.folder / NETWORK, option.precision, option.exact_layers, facts.threads
            )
        except (OSError, ValueError, KeyError, RuntimeError, FlukeprintError):
            self._refuse()
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder)  # used last
        return engine

    def keep(
        self, net: "FlukeNet", asked: Asked, option: EngineOption, engine: object, threads: int
    ) -> None:
        """Keep a choice, and the network if it is of OpenVINO; where that fails, say so."""
        facts = self.read()
        if facts is None or facts.threads != threads or not self._whole(facts):
            parameters = sum(weights.numel() for weights in net.parameters())
            facts = KeptEngine(self._belongs, threads, parameters, {}, {})
        facts = replace(facts, chosen={**facts.chosen, " ".join(asked): option})
        try:
            if isinstance(engine, OpenVinoEngine) and not facts.digests:
                with folder_written_whole(self.folder) as draft:
                    engine.save(draft / NETWORK)
                    digests = {name: digest(draft / name) for name in (NETWORK, WEIGHTS)}
                    (draft / FACTS).write_text(replace(facts, digests=digests).text())
                self._remove_oldest()
            else:
                with written_whole(self.folder / FACTS) as partial:
                    partial.write_text(facts.text())
        except (FlukeprintError, OSError, RuntimeError) as error:
            say(f"the engine is not kept for the next start: {error}")

    def _whole(self, facts: KeptEngine) -> bool:
        return all(
            (self.folder / name).is_file() and digest(self.folder / name) == expected
            for name, expected in facts.digests.items()
        )

    def _refuse(self) -> None:
        say(f"{self.folder} was changed or damaged; what it kept is made again")
        with contextlib.suppress(OSError):
            (self.folder / FACTS).unlink()

    def _remove_oldest(self) -> None:
        with contextlib.suppress(OSError):
            folders = [path for path in self.folder.parent.iterdir() if (path / FACTS).is_file()]
            folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            for path in folders[_MOST_KEPT:]:
                shutil.rmtree(path, ignore_errors=True)


def can_keep() -> bool:
    """Whether OpenVINO is installed and the cache folder can be written."""
    folder = cache_folder()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return find_spec("openvino") is not None and os.access(folder, os.W_OK | os.X_OK)
    return False


def _parsed(tree: dict[str, Any]) -> KeptEngine:
    """Raises one of the errors of a damaged file."""
    expected = tree.pop("digest")
    if expected != _digest(_line(tree).encode()) or tree["format"] != _FORMAT:
        raise ValueError("another file than was written")
    if set(tree) != {field.name for field in fields(KeptEngine)}:
        raise ValueError("other facts")
    chosen = {asked: _option(**facts) for asked, facts in tree["chosen"].items()}
    return KeptEngine(**{**tree, "chosen": chosen})


def _option(engine: str, precision: Precision, exact_layers: int) -> EngineOption:
    return EngineOption(engine, precision, exact_layers)


def _line(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package
