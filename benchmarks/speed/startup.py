"""Start-up time of commands.

    python -m benchmarks.speed.startup [--quick]

Seconds from the start of the process to the end of `flukeprint --help`; to the first photographs
that `infer.py` counts as done; and to the answer of `flukeprint identify` for one photograph.  The
identifier is of EfficientNet-Lite0, trained for two steps on drawn whales.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from benchmarks.harness.timing import save

CONFIG = """
extends: {root}/configs/demo.yaml
data: {{root: {folder}/whales, synthetic: {{identities: 60, test_photos: 80}}}}
train: {{epochs: 1, max_steps: 2, workers: 0, validate_every: 1}}
rank: {{local: {{candidates: 0}}}}
image: {{cache: {folder}/cache}}
runs: {folder}/runs
submissions: {folder}/submissions
"""
COUNTED = re.compile(rb"photographs:[^\r\n]*?\s([1-9]\d*)/")


def measure(quick: bool) -> dict[str, Any]:
    """Seconds of each command: a row with the median and all rounds."""
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "startup.yaml"
        config.write_text(CONFIG.format(root=ROOT, folder=folder))
        _run("-m", "flukeprint", "synthesize", "-c", str(config))
        _run(str(ROOT / "train.py"), "--config", str(config), "--no-untrained")
        identifier = next((folder / "runs").glob("*/*/identifier"))
        photo = next((folder / "whales" / "test").glob("*.jpg"))
        waits = {
            "flukeprint --help": lambda: _run("-m", "flukeprint", "--help"),
            "infer.py, first photographs": lambda: _until_counted(
                str(ROOT / "infer.py"), "--config", str(config)
            ),
            "flukeprint identify, one photograph": lambda: _run(
                "-m", "flukeprint", "identify", str(identifier), str(photo)
            ),
        }
        seconds: dict[str, list[float]] = {what: [] for what in waits}
        for turn in range(-1, rounds):
            for what, wait in waits.items():
                took = wait()
                if turn >= 0:
                    seconds[what].append(took)
                    print(f"  {what}: {took:.2f} s", flush=True)
    rows = [
        {"what": what, "median": statistics.median(took), "all": took}
        for what, took in seconds.items()
    ]
    return {"rows": rows}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "ignore"}


def _run(*command: str) -> float:
    """Run a command, which must succeed; the seconds that it takes."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=_environment(), check=False
    )
    took = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return took


def _until_counted(*command: str) -> float:
    """Seconds until the progress bar counts its first photographs; then the process is killed."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=_environment(), bufsize=0,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        seen = b""
        try:
            while chunk := process.stderr.read(4096):
                seen += chunk
                if COUNTED.search(seen):
                    return time.perf_counter() - begin
        finally:
            process.kill()
    raise SystemExit(f"{' '.join(command)}: {seen.decode(errors='replace').strip()}")


def main() -> None:
    """Measure and write the result file."""
    quick = options("speed.startup", __doc__, ["quick"]).parse_args().quick
    save("startup", measure(quick), quick)


if __name__ == "__main__":
    main()
