"""Runs the ordinary commands of the page on learning, and keeps the lines that it quotes.

`python -m benchmarks.learn.commands` trains the recipes of the siamese lab, and one of them with
the hardest and with semi-hard triplets; a few minutes.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from benchmarks.learn.output import keep_figures
from flukeprint.config.load import load_config
from flukeprint.data.embeddings import Embeddings
from flukeprint.evaluation.collapse import measure_spread
from flukeprint.identifier.runs import Run, find_run

KEPT = ("untrained network:", "trained network:")
TRIPLETS = (
    "python train.py --config siamese_digits.yaml name=NAME train.lr=0.003 train.warmup=0 "
    "sampler.name=pk sampler.batch_size=200 sampler.photos_per_identity=20 "
    "'losses=[{name: triplet, params: {mining: MINING, distance: squared}}]'"
)
COMMANDS = {
    "shapes": "python train.py --config shapes.yaml",
    "shapes_by_shape": "python train.py --config shapes_by_shape.yaml",
    "siamese_digits": "python train.py --config siamese_digits.yaml",
}
MINED = {
    "digits_hardest": TRIPLETS.replace("NAME", "digits_hardest").replace("MINING", "batch_hard"),
    "digits_semi_hard": TRIPLETS.replace("NAME", "digits_semi_hard").replace("MINING", "semi_hard"),
}


def quoted(command: str) -> list[str]:
    """Run a command as a reader types it, and keep the lines that the page quotes."""
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [line for line in done.stdout.splitlines() if line.startswith(KEPT)]


def run_of(name: str, command: str) -> Run:
    """The newest run of a command."""
    words = shlex.split(command)
    settings = [word for word in words[4:] if "=" in word]
    return find_run(load_config(words[3], settings), None)


def found(name: str, command: str) -> Mapping[str, object]:
    """What a command printed, and the spread of the embeddings of its run."""
    lines = quoted(command)
    run = run_of(name, command)
    spread = measure_spread(Embeddings.load(Path(run.path) / "embeddings.npz").vectors)
    scores = json.loads(run.validation.read_text(encoding="utf-8"))
    return {
        "command": command, "lines": lines, "effective_rank": spread.effective_rank,
        "mean_cosine": spread.mean_cosine, "dimensions": spread.dimensions,
        "top1": scores["scores"]["top1"] if "scores" in scores else None,
    }  # fmt: skip


def main() -> None:
    options("learn.commands", __doc__).parse_args()
    figures = {name: found(name, command) for name, command in (COMMANDS | MINED).items()}
    text = "\n".join(
        f"$ {COMMANDS[name]}\n" + "\n".join(figures[name]["lines"])  # type: ignore[call-overload]
        for name in COMMANDS
    )
    keep_figures("commands", figures | {"text": text})


if __name__ == "__main__":
    main()
