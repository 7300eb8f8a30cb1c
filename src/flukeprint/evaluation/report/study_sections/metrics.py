"""The section on metrics: would another distance than cosine find more animals?"""

import numpy as np

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.report.charts import Bars, Chart, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.studies.metric_study import (
    BASELINE,
    FIGURES,
    MetricStudy,
    compare_metrics,
    gain_text,
)

MOST_PAIRS, SAMPLES, MOST_DIFFERENCES = 10_000, 500, 400_000_000  # a few seconds


def metrics_section(material: RunMaterial) -> Part | None:
    """Compare cosine, Euclidean, Minkowski and Mahalanobis; None without queries of known animals.

    Identification and verification are on the same photographs for all of them.
    """
    fold = material.fold  # outside of what is caught below
    try:
        study = compare_metrics(
            fold, most_pairs=MOST_PAIRS, most_differences=MOST_DIFFERENCES, samples=SAMPLES
        )
    except FlukeprintError:
        return None
    lines = (*_verdict(study), *study.notes)
    return Part(
        "metrics", "Metrics compared", lines, (_chart(study), _values(study), _gains(study))
    )


def _shown(study: MetricStudy) -> list[str]:
    return [figure for figure in FIGURES if figure in study.metrics[BASELINE].values]


def _verdict(study: MetricStudy) -> tuple[str, ...]:
    """Which metrics differ from cosine in MAP@5 beyond noise."""
    other, alike = [], []
    for name, found in study.metrics.items():
        if name == BASELINE:
            continue
        gain = found.over_cosine["MAP@5"].gain
        if gain.low > 0 or gain.high < 0:
            other.append(f"{name} {gain_text(found.over_cosine['MAP@5'])}")
        else:
            alike.append(name)
    lines = [f"{name}: left out; {why}." for name, why in study.left_out.items()]
    if other:
        lines.insert(0, f"MAP@5 differs from that of cosine beyond noise: {'; '.join(other)}.")
    if alike:
        lines.insert(0, f"No difference of MAP@5 to cosine can be told: {', '.join(alike)}.")
    return tuple(lines)


def _chart(study: MetricStudy) -> Chart:
    names = tuple(study.metrics)
    shown = _shown(study)
    layers = []
    for figure in shown:
        rates = [study.metrics[name].values[figure] for name in names]
        low, mean, high = (
            np.array([getattr(rate, end) for rate in rates]) for end in ("low", "mean", "high")
        )
        layers.append(Bars(figure, names, mean, low, high))
    best = max(names, key=lambda name: study.metrics[name].values["MAP@5"].mean)
    of_cosine, of_best = (study.metrics[name].values["MAP@5"].text() for name in (BASELINE, best))
    return Chart(
        name="metrics",
        title="The same embeddings by several metrics",
        caption=(
            f"{study.queries:,} queries of known animals, {study.same:,} pairs of one animal and "
            f"{study.other:,} of two. MAP@5 is {of_cosine} by {BASELINE} and highest by {best}, "
            f"{of_best}. Of the equal error rate (EER) less is better. Intervals are 95 % over "
            "individuals."
        ),
        layers=tuple(layers),
        y="value",
        y_limits=(0.0, 1.0),
    )


def _values(study: MetricStudy) -> Table:
    shown = _shown(study)
    rows = [
        (name, *(found.values[figure].text() for figure in shown))
        for name, found in study.metrics.items()
    ]
    return Table("Each metric with its 95 % intervals", ("metric", *shown), tuple(rows))


def _gains(study: MetricStudy) -> Table:
    shown = _shown(study)
    rows = [
        (name, *(gain_text(found.over_cosine[figure]) for figure in shown))
        for name, found in study.metrics.items()
        if found.over_cosine
    ]
    return Table(
        "Differences to cosine on the same queries and pairs, with their 95 % intervals",
        ("metric", *shown), tuple(rows),
    )  # fmt: skip
