"""Peak memory of a training with `nyala.yaml`, workers included, by this or another checkout.

    python -m benchmarks.speed.training_memory --photos NYALA [--source CHECKOUT] [--note NAME]
        [KEY=VALUE ...]

NYALA is a folder laid out as `data.root` of nyala.yaml.  The checkout trains one epoch of ten steps
at full size with a validation, measures the fold with its keypoints, and trains as many steps on
all photographs, as the whole recipe does, with the settings that are named.  The result file keeps
a row for each NAME.  What it knows of the machine's engines is measured anew.

Twice a second the memory of the process and of all its children is read from /proc: `resident`
counts a page as often as processes have it, as `ps` and `top` do, and `proportional` (Pss) counts
it once, which is what the machine must have.
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

from benchmarks.harness.arguments import add_checkout, options
from benchmarks.harness.places import RESULTS
from benchmarks.harness.processes import family, use_checkout
from benchmarks.harness.timing import save

STEPS = 10  # of each training
EVERY = 0.5  # seconds between two readings
# What the training says when a part of it ends, and the part that begins then.
SAID = (
    ("epoch 1 of 1", "measuring the fold"),
    ("training on all", "training on all photographs"),
    ("all photographs: epoch 1", "the identifier"),
)
FIRST = "training of the fold"


def measure(photos: Path, source: Path, note: str, settings: list[str]) -> dict[str, Any]:
    """The rows of the result file, that of `note` anew: peaks in MB, of the whole and its parts."""
    kept = RESULTS / "training_memory.json"
    rows = json.loads(kept.read_text())["rows"] if kept.is_file() else []
    with tempfile.TemporaryDirectory() as name:
        row = {"what": note, **_trained(source, photos, Path(name), settings)}
    print(f"  {json.dumps(row)}", flush=True)
    return {
        "rows": [*(one for one in rows if one["what"] != note), {**row, "all": [row["median"]]}]
    }


def _trained(root: Path, photos: Path, folder: Path, settings: list[str]) -> dict[str, Any]:
    changes = (
        f"data.root={photos.absolute()}", "train.sizes=[1]", "train.epochs=1",
        "train.all_epochs=1", f"train.max_steps={STEPS}", "train.report=false",
        "train.validate_every=1",
        f"runs={folder}/runs", f"image.cache={folder}/cache", *settings,
    )  # fmt: skip
    command = [sys.executable, str(root / "train.py"), "--config", "nyala.yaml", "--no-untrained"]
    use_checkout(root)
    environment = {
        **os.environ, "PYTHONWARNINGS": "ignore", "FLUKEPRINT_CACHE": f"{folder}/remembered",
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
    for one in family(process):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        for line in lines:
            name, _, rest = line.partition(":")
            if name in names:
                sizes[names[name]] += int(rest.split()[0]) / 1024
    return sizes


def main() -> None:
    """Measure and write the result file."""
    parser = options("speed.training_memory", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of the nyala")
    add_checkout(parser)
    parser.add_argument("settings", nargs="*", help="such as train.recompute=true")
    given = parser.parse_args()
    found = measure(given.photos, given.source, given.note, given.settings)
    save("training_memory", found, quick=False)


if __name__ == "__main__":
    main()
