"""What was measured of engines before, in a file of this machine's user."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from flukeprint.embedding.parity import Parity
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole

_REMEMBERED = 200  # entries of each kind in the file


def cache_folder() -> Path:
    """Where measurements are remembered: FLUKEPRINT_CACHE, or the user's folder for caches."""
    named = os.environ.get("FLUKEPRINT_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "flukeprint"


@dataclass
class EngineTimings:
    """What was measured before."""

    rates: dict[str, float]
    parity: dict[str, Parity]

    @staticmethod
    def path() -> Path:
        """The file, in `cache_folder`."""
        return cache_folder() / "engines.json"

    @classmethod
    def read(cls) -> "EngineTimings":
        """The file's notes; none where it is absent or not ours, for it can be made again."""
        try:
            tree = json.loads(cls.path().read_text())
            rates = {str(key): float(rate) for key, rate in tree["rates"].items()}
            parity = {str(key): Parity(**facts) for key, facts in tree["parity"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls({}, {})
        return cls(rates, parity)

    def write(self) -> None:
        """Keep the newest; a folder that cannot be written costs only the next measurement."""
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
            tqdm.write(f"engine speeds are not remembered: {error}", file=sys.stderr)
