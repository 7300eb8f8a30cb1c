"""Section: what the nearest photograph answers for each class, where there are few classes."""

import numpy as np

from flukeprint.evaluation.report.charts import Chart, Heatmap, Part
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import (
    first_right,
    interval_percent,
    plain_ranking,
    share,
)
from flukeprint.pictures import shortened

MOST_CLASSES = 30
NAME = 24


def class_matrix(run: RunMaterial) -> Part | None:
    """The confusion matrix of first answers; None for an open set or more than 30 classes."""
    if not run.config.data.closed_set or not len(run.queries):
        return None
    ranking, truths = plain_ranking(run), run.truths
    classes = run.embeddings.take(run.split.gallery).identities
    names = sorted({name for name in (*classes, *truths) if name is not None})
    if len(names) > MOST_CLASSES:
        return None
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for truth, answers in zip(truths, ranking.identities, strict=True):
        if truth is not None and answers and answers[0] is not None:
            counts[place[truth], place[answers[0]]] += 1
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)
    right = share(first_right(ranking, truths))
    off = counts - np.diag(np.diag(counts))
    lines = [
        f"The first answer is right for {interval_percent(right)} of the {len(truths):,} queries; "
        "guessing among as many classes would be right for "
        f"{interval_percent(share(np.arange(len(names)) == 0)).split(' [')[0]}.",
    ]
    if off.any():
        worst = np.unravel_index(int(off.argmax()), off.shape)
        lines.append(
            f"Most often {names[worst[0]]} is taken for {names[worst[1]]}: "
            f"{off[worst]} of {int(totals[worst[0], 0])} queries."
        )
    else:
        lines.append("No query is taken for another class.")
    labels = tuple(shortened(name, NAME) for name in names)
    chart = Chart(
        "class-matrix", "Right class against first answer",
        f"Rows are the right classes, columns the first answers; {int(np.trace(counts))} of "
        f"{len(truths):,} queries lie on the diagonal. The colour is the share of a row.",
        (
            Heatmap(
                "share of the class", labels, labels, shares,
                tuple(tuple(str(count) if count else "" for count in row) for row in counts),
            ),
        ),
        x="first answer", y="right class",
    )  # fmt: skip
    return Part("class-matrix", "Confusion matrix", tuple(lines), (chart,))
