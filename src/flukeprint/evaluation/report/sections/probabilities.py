"""Section: are the probabilities that go with answers right?"""

import numpy as np

from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Chart, Line, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.intervals import wilson


def probabilities(run: RunMaterial) -> Part | None:
    """The reliability diagram; None where probabilities could not be measured."""
    found = run.validation.reliability
    if found is None:
        return None
    predicted, observed, queries = (
        np.asarray(part, dtype=np.float64)
        for part in (found.predicted, found.observed, found.queries)
    )
    low, high = wilson(observed, queries)
    outside = int(((predicted < low) | (predicted > high)).sum())
    order = np.argsort(predicted, kind="stable")
    rows = tuple(
        (f"{predicted[i]:.3f}", f"{observed[i]:.3f} [{low[i]:.3f}, {high[i]:.3f}]",
         f"{int(queries[i]):,}")
        for i in order
    )  # fmt: skip
    lean = float(((predicted - observed) * queries).sum() / queries.sum())
    bias = f"{abs(lean):.3f} too {'high' if lean > 0 else 'low'}"
    lines = (
        "The first answer comes with a probability that it is right. Where these are honest, of "
        "all answers with 0.7 some 70 % are right: points lie on the diagonal. Below it the "
        "network is too sure, above it too modest.",
        f"The expected calibration error is {found.ece:.3f}: so far are probability and share "
        f"apart on average. Faultless probabilities would show {found.chance:.3f} on as many "
        f"queries by chance alone. On average they are {bias}. Of "
        f"{counted(len(predicted), 'point')}, the interval of {outside} leaves out the diagonal; "
        f"by chance some {0.05 * len(predicted):.1f} would.",
    )
    diagonal = np.array([0.0, 1.0])
    chart = Chart(
        "reliability", "Reliability diagram",
        f"{counted(int(queries.sum()), 'query', 'queries')} in groups of about equal number by "
        f"probability; whiskers are 95 % Wilson intervals. ECE {found.ece:.3f}.",
        (
            Line(
                "answers of about one probability", predicted, observed, low, high,
                style="markers",
                hover=tuple(
                    f"predicted {p:.2f}, right {o:.0%} of {counted(int(n), 'query', 'queries')}"
                    for p, o, n in zip(predicted, observed, queries, strict=True)
                ),
            ),
            Line("perfect calibration", diagonal, diagonal, style="dashed"),
        ),
        x="probability that the first answer is right", y="share that was right",
        x_limits=(-0.02, 1.02), y_limits=(-0.02, 1.02),
    )  # fmt: skip
    table = Table(
        "The points as numbers", ("mean probability", "share right [95 %]", "queries"), rows
    )
    return Part("probabilities", "Are the probabilities right?", lines, (chart, table))
