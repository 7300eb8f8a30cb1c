"""What a training costs: Lightning's hooks enter, `minutes.json` in the run's folder leaves.

The state is kept in every checkpoint: a resumed training goes on counting from there, and an
epoch that was cut off and is begun again counts once.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from flukeprint.files import written_whole


def peak_memory() -> float:
    """MB that this process and its largest ended child together held at most, so far.

    Windows does not tell: 0.
    """
    if sys.platform == "win32":
        return 0.0
    import resource

    kilo = 1024 if sys.platform == "darwin" else 1  # Linux counts in KB, macOS in bytes
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(one).ru_maxrss for one in who) / kilo / 1024


class Stopwatch(Callback):
    """Counts the minutes of training, validations among them, and notes the peak of memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = 0.0  # minutes until the checkpoint that was resumed
        self.peak = 0.0  # MB
        self.start: float | None = None

    @property
    def minutes(self) -> float:
        """So far, over all sessions."""
        now = 0.0 if self.start is None else (time.monotonic() - self.start) / 60
        return self.before + now

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.start = time.monotonic()

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            with written_whole(self.path) as partial:
                partial.write_text(json.dumps(self.state_dict()) + "\n")

    def state_dict(self) -> dict[str, Any]:
        self.peak = max(self.peak, peak_memory())
        return {"minutes": round(self.minutes, 4), "peak_mb": round(self.peak, 1)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before, self.peak = float(state_dict["minutes"]), float(state_dict["peak_mb"])
