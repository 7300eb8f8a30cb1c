"""Runs the ordinary commands of the page on learning, and keeps the lines that it quotes.

`python -m benchmarks.learn.commands` trains the recipes of the siamese lab, and one of them with
the hardest and with semi-hard triplets; a few minutes.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT
from benchmarks.learn.output import keep_figures
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import unit_rows
from flukeprint.evaluation.collapse import measure_spread
from flukeprint.evaluation.studies.fold import Fold
from flukeprint.evaluation.studies.pair_accuracy import accuracy_of, labelled_pairs
from flukeprint.identifier.runs import find_run
from flukeprint.identifier.studies.run_fold import read_run_fold, untrained_fold

# The distance below which two are the same: half of the margin 1; and that of the cosine 0.5, half
# way between the 0 and the 1 that the shapes are trained to.
LIMITS = {"digits": 0.5, "shapes": 1.0}
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


def config_of(command: str) -> Config:
    """The configuration that a command names, with its settings."""
    words = shlex.split(command)
    return load_config(words[3], words[4:])


def judged(fold: Fold, limit: float) -> float:
    """Share of the pairs of held-out photographs that a distance rightly takes for the same or not.

    Same and different pairs weigh half each.
    """
    rows = fold.queries
    pairs = labelled_pairs(unit_rows(fold.vectors[rows]), [fold.identities[row] for row in rows])
    return accuracy_of(pairs, pairs.distances < limit, seed=0).accuracy.mean


def measured(name: str, command: str, lines: list[str]) -> Mapping[str, object]:
    """What a command printed, the spread of its newest run's embeddings, and pairs judged."""
    config = config_of(command)
    trained = read_run_fold(find_run(config, None, finished=True).path)
    spread = measure_spread(unit_rows(trained.vectors))
    limit = LIMITS["shapes" if name.startswith("shapes") else "digits"]
    return {
        "command": command, "lines": lines, "effective_rank": spread.effective_rank,
        "mean_cosine": spread.mean_cosine, "dimensions": spread.dimensions, "limit": limit,
        "pairs_right": {
            "untrained": judged(untrained_fold(config, split=True), limit),
            "trained": judged(trained, limit),
        },
    }  # fmt: skip


def main() -> None:
    options("learn.commands", __doc__).parse_args()
    figures = {
        name: measured(name, command, quoted(command))
        for name, command in (COMMANDS | MINED).items()
    }
    text = "\n".join(
        f"$ {COMMANDS[name]}\n" + "\n".join(figures[name]["lines"])  # type: ignore[call-overload]
        for name in COMMANDS
    )
    keep_figures("commands", figures | {"text": text})


if __name__ == "__main__":
    main()
