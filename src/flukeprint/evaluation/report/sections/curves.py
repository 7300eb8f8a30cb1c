"""Section: how the training went, epoch by epoch, from its logs."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Chart, Line, Part
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import from_zero

LOSS, RATE, SCORE = "train/loss", "learning_rate", "val/map5"
Series = dict[int, float]  # epoch, counted from 1 -> value


def curves(run: RunMaterial) -> Part | None:
    """Losses by term, MAP@5 of validation and the learning rate; None without logs."""
    series = read_logs(sorted(run.folder.glob("log/csv-*/metrics.csv")))
    losses = {name: values for name, values in series.items() if name.startswith("train/")}
    blocks = []
    lines = []
    if LOSS in losses:
        blocks.append(_losses(losses))
        lines.append(
            "A loss that falls and flattens has learned what it can at this rate; one that still "
            "falls at the last epoch asks for more epochs. MAP@5 of validation that falls while "
            "the loss goes on falling is overfitting."
        )
    if series.get(SCORE):
        blocks.append(_score(series[SCORE]))
    if series.get(RATE):
        blocks.append(_rate(series[RATE]))
    return Part("curves", "How the training went", tuple(lines), tuple(blocks)) if blocks else None


def read_logs(files: Sequence[Path]) -> dict[str, Series]:
    """Read Lightning's CSV logs: of each column its value by epoch; a later file replaces values.

    A resumed training has several files.
    """
    series: dict[str, Series] = {}
    for file in files:
        with file.open(newline="") as lines:
            for line in csv.DictReader(lines):
                for name, cell in line.items():
                    if cell and line.get("epoch") and name not in ("epoch", "step"):
                        value = float(cell)
                        if math.isfinite(value):
                            series.setdefault(name, {})[int(line["epoch"]) + 1] = value
    return series


def _losses(losses: dict[str, Series]) -> Chart:
    total = losses[LOSS]
    terms = {
        name.removeprefix("train/"): values
        for name, values in losses.items()
        if name != LOSS and values != total
    }
    first, last = min(total), max(total)
    return Chart(
        "curves-loss", "Training loss by epoch",
        f"The mean loss of an epoch went from {total[first]:.3g} in epoch {first} to "
        f"{total[last]:.3g} in epoch {last}"
        + (f", the sum of {counted(len(terms), 'term')}." if terms else "."),
        (_line("loss", total), *(_line(name, values) for name, values in sorted(terms.items()))),
        x="epoch", y="mean loss of the epoch",
    )  # fmt: skip


def _score(score: Series) -> Chart:
    best = max(score, key=lambda epoch: (score[epoch], -epoch))
    last = max(score)
    return Chart(
        "curves-map5", "MAP@5 of validation by epoch",
        f"By cosine similarity alone, without the ranking rules: {score[last]:.3f} at epoch "
        f"{last}; the best was {score[best]:.3f} at epoch {best}.",
        (_line("MAP@5", score),), x="epoch", y="MAP@5", y_limits=from_zero(np.array([*score.values()])),
    )  # fmt: skip


def _rate(rate: Series) -> Chart:
    top = max(rate, key=lambda epoch: rate[epoch])
    return Chart(
        "curves-rate", "Learning rate by epoch",
        f"The backbone's mean learning rate of an epoch: {rate[top]:.3g} at its highest, in epoch "
        f"{top}, {rate[max(rate)]:.3g} in the last; other parts learn at a multiple of it.",
        (_line("learning rate", rate),), x="epoch", y="learning rate",
    )  # fmt: skip


def _line(name: str, series: Series) -> Line:
    epochs = sorted(series)
    x = np.array(epochs, dtype=np.float64)
    return Line(name, x, np.array([series[epoch] for epoch in epochs]), style="line+markers")
