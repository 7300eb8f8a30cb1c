"""Section: do poor photographs fail? Sharpness, brightness, contrast and size of the queries."""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Bars, Chart, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import (
    Mask,
    difference,
    ends,
    first_right,
    from_zero,
    is_new,
    plain_ranking,
    share,
)

MOST = 400  # queries whose photographs are decoded for it
FEWEST = 20
QUARTERS = ("lowest quarter", "second", "third", "highest quarter")
MEASURES = {
    "sharpness": "variance of the Laplacian",
    "brightness": "mean grey value, 0 to 255",
    "contrast": "standard deviation of grey values",
    "megapixels": "size at full resolution",
}


@dataclass(frozen=True)
class Quarters:
    """Outcomes by quarter of one measure.

    values: (n,) the measure; quarter: (n,) 0 to 3; right: (n,) whether the first answer is right.
    """

    values: Values
    quarter: Ints
    right: Mask

    def of(self, quarter: int) -> Mask:
        """Outcomes of one quarter."""
        return self.right[self.quarter == quarter]


def quality(run: RunMaterial) -> Part | None:
    """Top-1 of known animals by quarters of photograph quality; None with under 20 of them."""
    known = np.flatnonzero(~is_new(run.truths))
    if len(known) < FEWEST:
        return None
    chosen = known
    if len(known) > MOST:
        rng = np.random.default_rng(run.config.split.seed)
        chosen = np.sort(rng.choice(known, MOST, replace=False))
    rows = run.queries[chosen]
    run.photographs.prepare(rows)
    found = [run.photographs.quality(row) for row in rows]
    readable = np.array([one is not None for one in found])
    right = first_right(plain_ranking(run), run.truths)[chosen][readable]
    if readable.sum() < FEWEST:
        return None
    parts = {
        name: quarters(np.array([getattr(one, name) for one in found if one is not None]), right)
        for name in MEASURES
    }
    parts = {name: part for name, part in parts.items() if len(np.unique(part.quarter)) > 1}
    if not parts:
        return None
    of_all = "all" if len(chosen) == len(known) else f"{len(chosen):,} drawn of the"
    lines = [
        f"Measured on {of_all} {counted(len(known), 'query', 'queries')} of known animals, each "
        "photograph shrunk or enlarged to a long side of 256 px; each measure is divided into "
        "quarters of about equally many photographs. The first answer counts, without the "
        "threshold.",
        *(_said(name, part, run.config.split.seed) for name, part in parts.items()),
    ]
    return Part("quality", "Do poor photographs fail?", tuple(lines),
                (_chart(parts), _table(parts)))  # fmt: skip


def quarters(values: Values, right: Mask) -> Quarters:
    """Divide measures (n,) at their quartiles; a value equal to a quartile is below it."""
    inner = np.quantile(values, [0.25, 0.5, 0.75])
    return Quarters(values, np.searchsorted(inner, values, side="left").astype(np.int64), right)


def _said(name: str, part: Quarters, seed: int) -> str:
    low, high = int(part.quarter.min()), int(part.quarter.max())
    gap = difference(part.of(high), part.of(low), seed=seed)
    if gap.low > 0:
        verdict = "higher is better, beyond chance"
    elif gap.high < 0:
        verdict = "higher is worse, beyond chance"
    else:
        verdict = "no difference that these queries could tell from chance"
    return (
        f"{name.capitalize()} ({MEASURES[name]}): {part.of(high).mean():.1%} right in the highest "
        f"quarter, {part.of(low).mean():.1%} in the lowest, {gap.mean:+.3f} [{gap.low:+.3f}, "
        f"{gap.high:+.3f}]: {verdict}."
    )


def _chart(parts: dict[str, Quarters]) -> Chart:
    layers, highs = [], []
    for name, part in parts.items():
        there = [quarter for quarter in range(4) if len(part.of(quarter))]
        middle, low, high = ends([share(part.of(quarter)) for quarter in there])
        layers.append(Bars(name, tuple(QUARTERS[q] for q in there), middle, low, high))
        highs.append(high)
    return Chart(
        "quality", "First answer right by quality of the photograph",
        "Share of right first answers in each quarter of each measure, with 95 % Wilson "
        "intervals. Four measures are looked at, so one difference in twenty would pass for one "
        "by chance.",
        tuple(layers), x="quarter of the photographs by the measure", y="first answer right",
        y_limits=from_zero(*highs),
    )  # fmt: skip


def _table(parts: dict[str, Quarters]) -> Table:
    rows = []
    for name, part in parts.items():
        for quarter in range(4):
            here = part.quarter == quarter
            if here.any():
                values = part.values[here]
                rows.append((
                    f"{name}, {QUARTERS[quarter]}", f"{values.min():.4g} to {values.max():.4g}",
                    f"{int(here.sum()):,}", share(part.right[here]).text(),
                ))  # fmt: skip
    return Table(
        "The quarters as numbers", ("measure", "range", "queries", "first answer right [95 %]"),
        tuple(rows),
    )  # fmt: skip
