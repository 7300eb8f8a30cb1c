"""Section: are animals recognised across views, such as a left flank by a right one?"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Bars, Chart, Heatmap, Part
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import (
    AT_ONCE,
    Mask,
    difference,
    ends,
    from_zero,
    interval_percent,
    is_new,
    percent,
    share,
)
from flukeprint.intervals import wilson

MOST = 10  # views that are shown, the most frequent ones


@dataclass(frozen=True)
class ViewMatrix:
    """How often the nearest of the gallery's photographs of one view shows the right animal.

    views: names, most queries first.
    right, queries: (v, v) int64; of the queries in the row's view whose animal has photographs in
        the column's view, for how many the nearest photograph of that view is of their animal.
    same, cross: (n,) outcomes of the pairs of query and view where both views are one, or two.
    """

    views: tuple[str, ...]
    right: Ints
    queries: Ints
    same: Mask
    cross: Mask


def views(run: RunMaterial) -> Part | None:
    """The matrix of query view by gallery view; None where photographs have no two views."""
    matrix = view_matrix(run)
    if matrix is None:
        return None
    heatmap = _matrix(matrix)
    lines = [
        "Each query looks for its animal among the gallery's photographs of one view only: the "
        "diagonal is the same view, the rest is across views. Where an animal has no photograph of "
        "a view, the query does not count in that column. The similarity is the cosine.",
    ]
    blocks: list[Chart] = [heatmap]
    if len(matrix.same) and len(matrix.cross):
        gap = difference(matrix.same, matrix.cross, seed=run.config.split.seed)
        lines.append(
            f"In the same view the nearest photograph is of the right animal in "
            f"{interval_percent(share(matrix.same))} of {counted(len(matrix.same), 'case')}, "
            f"across views in {interval_percent(share(matrix.cross))} of "
            f"{counted(len(matrix.cross), 'case')}: {gap.mean:+.3f} [{gap.low:+.3f}, "
            f"{gap.high:+.3f}] for the same view."
        )
        blocks.append(_bars(matrix))
    return Part("views", "Same view and other views", tuple(lines), tuple(blocks))


def view_matrix(run: RunMaterial) -> ViewMatrix | None:
    """Measure it on the reporting queries of known animals; None without two views."""
    if run.catalog.views is None:
        return None
    queries = run.queries[~is_new(run.truths)]
    seen = Counter(view for row in queries if (view := run.catalog.views[row]) is not None)
    names = tuple(name for name, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0])))
    names = names[:MOST]
    if len(names) < 2:
        return None
    number = {name: place for place, name in enumerate(names)}
    rows = np.array([row for row in queries if run.catalog.views[row] in number], dtype=np.int64)
    gallery = run.split.gallery
    right, count = (np.zeros((len(names), len(names)), dtype=np.int64) for _ in range(2))
    outcomes: tuple[list[bool], list[bool]] = ([], [])
    labels = {name: place for place, name in enumerate(run.catalog.vocabulary())}
    label_of = np.array([labels.get(name or "", -1) for name in run.catalog.identities])
    for column, view in enumerate(names):
        there = gallery[[run.catalog.views[row] == view for row in gallery]]
        nearest = nearest_labels(run.embeddings.vectors, rows, there, label_of)
        has = np.isin(label_of[rows], label_of[there])
        for row, found, counts in zip(rows, nearest, has, strict=True):
            if counts:
                line = number[str(run.catalog.views[row])]
                hit = bool(found == label_of[row])
                right[line, column] += hit
                count[line, column] += 1
                outcomes[line != column].append(hit)
    return ViewMatrix(names, right, count, np.array(outcomes[0]), np.array(outcomes[1]))


def nearest_labels(vectors: np.ndarray, rows: Ints, among: Ints, label_of: Ints) -> Ints:
    """(r,) label of the photograph in `among` that is nearest to each of `rows`; -1 among none.

    Of equally near ones the first counts.
    """
    found = np.full(len(rows), -1, dtype=np.int64)
    for start in range(0, len(rows) if len(among) else 0, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found[part] = label_of[among[(vectors[rows[part]] @ vectors[among].T).argmax(axis=1)]]
    return found


def _matrix(matrix: ViewMatrix) -> Chart:
    some = matrix.queries > 0
    values: Values = np.full(matrix.queries.shape, np.nan)
    values[some] = matrix.right[some] / matrix.queries[some]
    low, high = wilson(np.nan_to_num(values), np.maximum(matrix.queries, 1))
    texts = tuple(
        tuple(
            f"{percent(values[y, x])} of {matrix.queries[y, x]:,}" if some[y, x] else ""
            for x in range(len(matrix.views))
        )
        for y in range(len(matrix.views))
    )
    worst = np.unravel_index(np.nanargmin(values), values.shape)
    query, gallery = matrix.views[worst[0]], matrix.views[worst[1]]
    return Chart(
        "views-matrix", "Right nearest photograph by view of the query and of the gallery",
        f"Share of queries whose nearest photograph of a view shows the right animal, and of how "
        f"many. The lowest is {query!r} by {gallery!r}: {percent(float(values[worst]))} "
        f"[{percent(float(low[worst]))}, {percent(float(high[worst]))}].",
        (Heatmap("share right", matrix.views, matrix.views, values, texts),),
        x="view of the gallery's photographs", y="view of the query",
    )  # fmt: skip


def _bars(matrix: ViewMatrix) -> Chart:
    cases = (matrix.same, matrix.cross)
    middle, low, high = ends([share(found) for found in cases])
    notes = tuple(counted(len(found), "case") for found in cases)
    return Chart(
        "views-same", "Same view against other views",
        "All cases of the matrix together: its diagonal, and the rest. Whiskers are 95 % Wilson "
        "intervals; one query may count in several columns.",
        (Bars("nearest is right", ("same view", "another view"), middle, low, high, notes),),
        y="share right", y_limits=from_zero(high),
    )  # fmt: skip
