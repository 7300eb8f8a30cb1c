"""Start-up time of commands, and of those of another checkout in turn with this one's.

    python -m benchmarks.speed.startup [--quick] [--source CHECKOUT]

Seconds from the start of the process to the end of `flukeprint --help`; to the first photographs
that `infer.py` counts as done; to the end of `flukeprint identify` for one photograph; and to the
first step of `train.py`.  The identifier is of EfficientNet-Lite0, trained for two steps on drawn
whales by the checkout itself; each has a cache folder of its own, and a first round, which is not
counted, fills it; later ones are killed once they have shown what is waited for.  With --source the
commands of that checkout take turns with this one's.
"""

import os
import pty
import re
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from benchmarks.harness.timing import save

CONFIG = """
extends: {root}/configs/demo.yaml
data: {{root: {folder}/whales, synthetic: {{identities: 60, test_photos: 600}}}}
train: {{epochs: 1, max_steps: 2, workers: 0, validate_every: 1}}
rank: {{local: {{candidates: 0}}}}
image: {{cache: {made}/cache}}
runs: {made}/runs
submissions: {made}/submissions
"""
# What a progress bar shows on a terminal once it has counted something.
COUNTED = re.compile(rb"photographs:[^\r\n]*?\s([1-9]\d*)/")
STEPPED = re.compile(rb"Epoch [^\r\n]*train/loss=")
Environment = dict[str, str]


def measure(quick: bool, source: Path | None) -> dict[str, Any]:
    """Seconds of each command: a row with the median and all rounds, and those of `source`."""
    rounds = 3 if quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkouts = {"now": ROOT} if source is None else {"now": ROOT, "before": source}
        waits: dict[tuple[str, str], Callable[[bool], float]] = {}
        for which, root in checkouts.items():
            made = folder / which
            made.mkdir()
            config = made / "startup.yaml"
            config.write_text(CONFIG.format(root=root.absolute(), folder=folder, made=made))
            environment = _environment(root, made)
            if which == "now":
                _run(environment, "-m", "flukeprint", "synthesize", "-c", str(config))
            _run(environment, str(root / "train.py"), "--config", str(config), "--no-untrained")
            identifier = next((made / "runs").glob("*/*/identifier"))
            photo = next((folder / "whales" / "test").glob("*.jpg"))
            again = made / "again.yaml"
            again.write_text(config.read_text().replace(f"{made}/runs", f"{made}/others"))
            waits |= {
                (what, which): wait
                for what, wait in _waits(root, environment, config, again, identifier, photo)
            }
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in waits}
        for turn in range(-1, rounds):
            for key, wait in waits.items():
                took = wait(turn < 0)
                if turn >= 0:
                    seconds[key].append(took)
                    print(f"  {', '.join(key)}: {took:.2f} s", flush=True)
    return {"rows": _rows(seconds)}


def _waits(
    root: Path, environment: Environment, config: Path, again: Path, identifier: Path, photo: Path
) -> list[tuple[str, Callable[[bool], float]]]:
    """What is measured of the commands of a checkout, each let go on to its end or not."""
    infer = (str(root / "infer.py"), "--config", str(config))
    train = (str(root / "train.py"), "--config", str(again), "--no-untrained")
    identify = ("-m", "flukeprint", "identify", str(identifier), str(photo))
    return [
        ("flukeprint --help", lambda _: _run(environment, "-m", "flukeprint", "--help")),
        ("infer.py, first photographs", lambda whole: _until(COUNTED, whole, environment, *infer)),
        ("flukeprint identify, one photograph", lambda _: _run(environment, *identify)),
        ("train.py, first step", lambda whole: _until(STEPPED, whole, environment, *train)),
    ]


def _rows(seconds: dict[tuple[str, str], list[float]]) -> list[dict[str, Any]]:
    rows = []
    for (what, which), took in seconds.items():
        if which == "now":
            row: dict[str, Any] = {"what": what, "median": statistics.median(took), "all": took}
            before = seconds.get((what, "before"))
            if before is not None:
                ratios = [one / other for one, other in zip(before, took, strict=True)]
                row |= {
                    "before": statistics.median(before),
                    "all_before": before,
                    "times_as_fast": statistics.median(ratios),
                }
            rows.append(row)
    return rows


def _environment(root: Path, folder: Path) -> Environment:
    """Of a checkout's commands; what they remember is kept in `folder`."""
    # Where Python may keep no bytecode, most of the start is compiling, which no user waits for.
    given = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {
        **given,
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(root.absolute() / "src"),
        "FLUKEPRINT_CACHE": str(folder / "remembered"),
    }


def _run(environment: Environment, *command: str) -> float:
    """Run a command, which must succeed; the seconds that it takes."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, check=False
    )
    took = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return took


def _until(shown: re.Pattern[bytes], whole: bool, environment: Environment, *command: str) -> float:
    """Seconds until a command has shown this on its terminal.

    whole: let it go on to its end, as the first run, which fills the cache folder; else kill it.
    """
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 100))  # on one without a size bars have no room
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command], stdout=end, stderr=end, stdin=subprocess.DEVNULL,
        env=environment,
    ) as process:  # fmt: skip
        os.close(end)
        seen, took = b"", 0.0
        try:
            while chunk := _read(terminal):
                seen += chunk
                if not took and shown.search(seen):
                    took = time.perf_counter() - begin
                    if not whole:
                        process.kill()
        finally:
            os.close(terminal)
    if not took or (whole and process.returncode):
        raise SystemExit(f"{' '.join(command)}: {seen.decode(errors='replace').strip()}")
    return took


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux tells that nobody writes there any more
        return b""


def main() -> None:
    """Measure and write the result file."""
    parser = options("speed.startup", __doc__, ["quick"])
    parser.add_argument("--source", type=Path, help="another checkout to take turns with")
    given = parser.parse_args()
    save("startup", measure(given.quick, given.source), given.quick)


if __name__ == "__main__":
    main()
