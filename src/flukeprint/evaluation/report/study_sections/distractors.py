"""The section on distractors: is the right animal still first in a gallery of a million?"""

import numpy as np

from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.report.charts import Chart, Layer, Line, Mark, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.studies.distractors import (
    DISTRACTORS,
    SIZES,
    DistractorCurve,
    identify_among,
)

MOST_DISTRACTORS, MOST_QUERIES = 100_000, 300  # a few seconds


def distractors_section(material: RunMaterial) -> Part | None:
    """Rank-1 and rank-5 against the number of drawn vectors in the gallery, of both kinds.

    None where no query is of an animal in the gallery.
    """
    fold = material.fold  # outside of what is caught below
    sizes = [size for size in SIZES if size <= MOST_DISTRACTORS]
    try:
        curves = [
            identify_among(fold, kind, sizes, most_queries=MOST_QUERIES) for kind in DISTRACTORS
        ]
    except FlukeprintError:
        return None
    return Part(
        "distractors", "Among distractors", _lines(curves), (_chart(curves), _table(curves))
    )


def _lines(curves: list[DistractorCurve]) -> tuple[str, ...]:
    hard = curves[-1]
    return (
        f"Unit vectors drawn at random join the {hard.real:,} photographs of the gallery, each as "
        "an animal of its own: uniform on the sphere, and with the gallery's own mean and "
        "covariance, which is much harder.",
        f"Rank-1 falls from {hard.rank1[0].mean:.1%} to {hard.rank1[-1].mean:.1%} among "
        f"{hard.sizes[-1]:,} drawn like the gallery, and to {curves[0].rank1[-1].mean:.1%} among "
        "as many on the sphere.",
        f"With {hard.real:,} drawn like the gallery in the place of all other real photographs, "
        f"rank-1 would be {hard.instead.mean:.1%}: where that is higher, real animals are harder "
        "than drawn ones, and the curve is too good.",
        f"Measured on {counted(hard.queries, 'query', 'queries')}; the command flukeprint "
        f"verification goes to {SIZES[-1]:,} drawn animals.",
    )


def _chart(curves: list[DistractorCurve]) -> Chart:
    layers: list[Layer] = []
    for curve in curves:
        x = np.array([size for size in curve.sizes if size], dtype=np.float64)
        first, five = curve.rank1[-len(x) :], curve.rank5[-len(x) :]
        ends = {
            end: np.array([getattr(rate, end) for rate in first]) for end in ("mean", "low", "high")
        }
        layers += [
            Line(
                f"rank-1, {curve.kind}", x, ends["mean"], ends["low"], ends["high"], "line+markers"
            ),
            Line(
                f"rank-5, {curve.kind}", x, np.array([rate.mean for rate in five]), style="dashed"
            ),
        ]
    return Chart(
        name="distractors",
        title="Identification against the number of drawn animals in the gallery",
        caption=(
            "; ".join(
                f"{curve.kind}: rank-1 {curve.rank1[0].text()} without, "
                f"{curve.rank1[-1].text()} among {curve.sizes[-1]:,}"
                for curve in curves
            )
            + ". Bands are 95 % intervals over individuals."
        ),
        layers=tuple(layers),
        x="drawn animals in the gallery",
        y="share of queries",
        marks=(Mark("y", curves[0].rank1[0].mean, "rank-1 without"),),
        y_limits=(0.0, 1.0),
        log_x=True,
    )


def _table(curves: list[DistractorCurve]) -> Table:
    header = ["drawn"]
    for curve in curves:
        header += [f"rank-1, {curve.kind}", f"rank-5, {curve.kind}"]
    rows = []
    for place, size in enumerate(curves[0].sizes):
        cells = [f"{size:,}"]
        for curve in curves:
            cells += [curve.rank1[place].text(), curve.rank5[place].text()]
        rows.append(tuple(cells))
    return Table("Rates among drawn animals", tuple(header), tuple(rows))
