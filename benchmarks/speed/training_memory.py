"""Peak memory of a training with `nyala.yaml`, workers included, beside another checkout's.

    python -m benchmarks.speed.training_memory --photos NYALA [--source CHECKOUT] [--steps N]

NYALA is a folder laid out as `data.root` of nyala.yaml.  Each checkout trains one epoch of N steps
at full size, measures the fold with its keypoints, and trains as many steps on all photographs, as
the whole recipe does.  Twice a second the memory of the process and of all its children is read
from /proc: `resident` counts a page as often as processes have it, as `ps` and `top` do, and
`proportional` (Pss) counts it once, which is what the machine must have.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from benchmarks.harness.timing import save

EVERY = 0.5  # seconds between two readings
# What the training says when a part of it ends, and the part that begins then.
SAID = (
    ("epoch 1 of 1", "measuring the fold"),
    ("training on all", "training on all photographs"),
    ("all photographs: epoch 1", "the identifier"),
)
FIRST = "training of the fold"


def measure(photos: Path, source: Path | None, steps: int) -> dict[str, Any]:
    """A row for each checkout: peaks in MB, of the whole and of each part, and seconds a step."""
    checkouts = {"now": ROOT} if source is None else {"before": source, "now": ROOT}
    rows = []
    for which, root in checkouts.items():
        with tempfile.TemporaryDirectory() as name:
            row = {"what": f"nyala.yaml, {which}", **_trained(root, photos, Path(name), steps)}
        rows.append({**row, "all": [row["median"]]})
        print(f"  {json.dumps(row)}", flush=True)
    return {"steps": steps, "rows": rows}


def _trained(root: Path, photos: Path, folder: Path, steps: int) -> dict[str, Any]:
    changes = (
        f"data.root={photos.absolute()}", "train.sizes=[1]", "train.epochs=1",
        "train.all_epochs=1", f"train.max_steps={steps}", "train.report=false",
        f"runs={folder}/runs", f"image.cache={folder}/cache",
    )  # fmt: skip
    command = [sys.executable, str(root / "train.py"), "--config", "nyala.yaml", "--no-untrained"]
    environment = {
        **os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(root.absolute() / "src"),
    }  # fmt: skip
    said = folder / "said"
    peaks: dict[str, dict[str, float]] = defaultdict(lambda: {"resident": 0, "proportional": 0})
    with said.open("w") as output, subprocess.Popen(
        [*command, *changes], cwd=root, env=environment, stdout=output, stderr=output
    ) as process:  # fmt: skip
        while process.poll() is None:
            part, text = FIRST, said.read_text()
            for words, next_part in SAID:
                part = next_part if words in text else part
            for kind, size in _memory(process.pid).items():
                peaks[part][kind] = max(peaks[part][kind], size)
            time.sleep(EVERY)
    if process.returncode:
        raise SystemExit(f"{root}: {said.read_text().strip()[-2000:]}")
    (log,) = (folder / "runs").glob("*/*/minutes.json")
    whole = {kind: max(peak[kind] for peak in peaks.values()) for kind in peaks[FIRST]}
    return {
        "median": whole["proportional"],
        **whole,
        "parts": dict(peaks),
        "minutes": json.loads(log.read_text()),
    }


def _memory(process: int) -> dict[str, float]:
    """MB of a process and of its descendants."""
    names = {"Rss": "resident", "Pss": "proportional"}
    sizes = dict.fromkeys(names.values(), 0.0)
    for one in _family(process):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        for line in lines:
            name, _, rest = line.partition(":")
            if name in names:
                sizes[names[name]] += int(rest.split()[0]) / 1024
    return sizes


def _family(process: int) -> list[int]:
    found = [process]
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = file.read_text().split()
        except OSError:
            continue
        for child in children:
            found += _family(int(child))
    return found


def main() -> None:
    """Measure and write the result file."""
    parser = options("speed.training_memory", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of the nyala")
    parser.add_argument("--source", type=Path, help="another checkout to measure first")
    parser.add_argument("--steps", type=int, default=10, help="of each training (default 10)")
    given = parser.parse_args()
    save("training_memory", measure(given.photos, given.source, given.steps))


if __name__ == "__main__":
    main()
