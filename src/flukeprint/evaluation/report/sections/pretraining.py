"""Section: how the training without labels went, before the one with them."""

import numpy as np

from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Chart, Line, Part
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.curves import Series, read_logs

LOSS = "pretrain/loss"
PARTS = (("projections", "projections, which the loss sees"), ("features", "features, which stay"))


def pretraining(run: RunMaterial) -> Part | None:
    """Loss and spread by epoch; None for a run without a pretraining."""
    series = read_logs(sorted(run.folder.glob("pretrain/log/csv-*/metrics.csv")))
    if run.config.pretrain is None or LOSS not in series:
        return None
    settings, loss = run.config.pretrain, series[LOSS]
    chance = float(np.log(2 * settings.batch_size - 1 + settings.queue))
    first, last = min(loss), max(loss)
    photos = "all photographs, those to identify and the fold's queries among them, but no label"
    if settings.photos == "train":
        photos = "the photographs that the fold trains on, without their labels"
    lines = [
        f"Before the labels, the backbone learned by SimCLR on {photos}: two views of one "
        f"photograph attract each other, views of others repel. {counted(last, 'epoch')}."
    ]
    blocks = [
        Chart(
            "pretraining-loss",
            "Loss of the pretraining by epoch",
            f"The mean loss of an epoch went from {loss[first]:.3g} to {loss[last]:.3g}; where all "
            f"photographs look alike it is about {chance:.2f}."
            + (" It rises as the queue comes into use." if settings.queue else ""),
            (_line("loss", loss),),
            x="epoch", y="mean loss of the epoch",
        )
    ]  # fmt: skip
    for key, title, unit in (
        ("cosine", "Mean cosine of different photographs", "mean cosine"),
        ("rank", "Effective rank of the embeddings", "effective rank"),
    ):
        found = {name: series.get(f"pretrain/{name}_{key}", {}) for name, _ in PARTS}
        if not all(found.values()):
            continue
        ends = " and ".join(
            f"{found[name][max(found[name])]:.2f} for the {text}" for name, text in PARTS
        )
        blocks.append(
            Chart(
                f"pretraining-{key}", f"{title} by epoch",
                f"After the last epoch it is {ends}. All photographs alike would give 1.",
                tuple(_line(name, values) for name, values in found.items()),
                x="epoch", y=unit,
            )
        )  # fmt: skip
    return Part("pretraining", "How the pretraining went", tuple(lines), tuple(blocks))


def _line(name: str, series: Series) -> Line:
    epochs = sorted(series)
    x = np.array(epochs, dtype=np.float64)
    return Line(name, x, np.array([series[epoch] for epoch in epochs]), style="line+markers")
