"""The sections of a page that puts two runs side by side: A, and B, which may be better."""

from collections.abc import Mapping

import numpy as np

from flukeprint.data.embeddings import Values
from flukeprint.errors import counted
from flukeprint.evaluation.breakdown import QueryTable, by_size, fold_table
from flukeprint.evaluation.comparison import Comparison, Difference, paired_auroc
from flukeprint.evaluation.report.charts import (
    Bars,
    Block,
    Chart,
    Histogram,
    Line,
    Mark,
    Part,
    PhotoRow,
    PhotoRows,
    Shown,
    Table,
)
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.curves import LOSS, SCORE, read_logs
from flukeprint.evaluation.report.sections.measures import ends, from_zero, mean
from flukeprint.evaluation.report.sections.pairs import measure_overlap, query_pairs, shared_edges
from flukeprint.evaluation.report.sections.recognition import cmc_of
from flukeprint.evaluation.verification import Pairs
from flukeprint.pictures import shortened

SHOWN = 8  # queries of a kind that only one run answers rightly
NAME = 28  # most characters of a name

Two = tuple[RunMaterial, RunMaterial]


def predictions(run: RunMaterial) -> QueryTable:
    """The answers to the reporting queries of a run."""
    return fold_table(run.validation.ranking, run.validation.report, run.catalog, run.split)


def figures(two: Two, result: Comparison) -> Part:
    """The figures of both with the paired bootstrap interval of each difference."""
    tables = [predictions(run) for run in two]
    differences: dict[str, Difference] = {"MAP@5": result.map5, "top-1": result.top1}
    auroc = _auroc(tables[0], tables[1])
    if auroc is not None:
        differences["AUROC of new animals"] = auroc
    middle, low, high = ends([one.gain for one in differences.values()])
    reach = max(0.02, 1.1 * float(np.abs(np.concatenate([low, high])).max()))
    chart = Chart(
        name="differences",
        title="B less A",
        caption="Differences with their 95 % interval by a paired bootstrap over the "
        f"{counted(result.queries, 'query', 'queries')} that both answered; above 0 B is better. "
        "Where the whisker crosses 0, these queries cannot tell.",
        layers=(Bars("B - A", tuple(differences), middle, low, high),),
        y="difference",
        y_limits=(-reach, reach),
        marks=(Mark("y", 0.0, ""),),
    )
    table = Table(
        caption="The same figures in numbers; better: share of resamples in which B is better",
        header=("figure", "A", "B", "B - A [95 % interval]", "better"),
        rows=tuple(
            (name, f"{one.a:.3f}", f"{one.b:.3f}", _signed(one), f"{one.better:.1%}")
            for name, one in differences.items()
        ),
    )
    lines = [_verdict(name, one) for name, one in differences.items()]
    if (new := tables[0].is_new).any():
        said = " and ".join(
            f"{name} to {np.mean([found[0] is None for found in table.found]):.0%}"
            for name, table in zip("AB", tables, strict=True)
        )
        lines.append(
            f"{new.mean():.0%} of A's queries show an animal that the gallery lacks. New is the "
            f"first answer of {said} of the queries: one that nearly always says so is right "
            "about these and knows no animal."
        )
    if result.left_out:
        lines.append(
            f"{counted(result.left_out, 'query', 'queries')} that only one of them answered "
            "are left out."
        )
    return Part("figures", "Which is better?", tuple(lines), (chart, table))


def _signed(one: Difference) -> str:
    return f"{one.gain.mean:+.3f} [{one.gain.low:+.3f}, {one.gain.high:+.3f}]"


def _verdict(name: str, one: Difference) -> str:
    if one.gain.low > 0:
        return f"{name}: B is better, by {_signed(one)}."
    if one.gain.high < 0:
        return f"{name}: B is worse, by {_signed(one)}."
    return f"{name}: these queries cannot tell which is better, {_signed(one)}."


def _auroc(a: QueryTable, b: QueryTable) -> Difference | None:
    """The difference in telling new animals, on the queries that both answered."""
    place = {image: i for i, image in enumerate(b.images)}
    common = [(i, place[image]) for i, image in enumerate(a.images) if image in place]
    one, other = np.array(common, dtype=np.int64).reshape(-1, 2).T
    return paired_auroc(a.best_known[one], b.best_known[other], a.is_new[one])


def recognised(two: Two) -> Part:
    """CMC of both, and the score by the number of photographs in the gallery."""
    blocks: list[Block] = []
    curves = [cmc_of(run) if any(t is not None for t in run.truths) else None for run in two]
    lines = []
    for name, curve in zip("AB", curves, strict=True):
        if curve is not None:
            lines.append(_line(name, np.arange(1, len(curve) + 1, dtype=np.float64), curve))
    if lines:
        tops = " and ".join(f"{line.name} {line.y[0]:.1%}" for line in lines)
        blocks.append(
            Chart(
                name="both-cmc",
                title="CMC: the right animal among the first k",
                caption=f"By cosine similarity alone; the first answer is right for {tops} of the "
                "queries of known animals.",
                layers=tuple(lines),
                x="k, number of answers",
                y="share of queries",
                y_limits=from_zero(*[line.y for line in lines]),
            )
        )
    blocks.append(_by_size(two))
    return Part("recognition", "Is the right animal found?", (), tuple(blocks))


def _line(name: str, x: Values, y: Values) -> Line:
    return Line(name, x, y, style="line+markers")


def _by_size(two: Two) -> Chart:
    layers, highs, told = [], [], []
    for name, run in zip("AB", two, strict=True):
        table = predictions(run)
        photos = np.array(table.photos)
        groups = by_size(table)
        limits = {"0": (0, 0), "1": (1, 1), "2-3": (2, 3), "4-9": (4, 9), "10+": (10, np.inf)}
        scores = [
            mean(table.ap[(photos >= low) & (photos <= high)], seed=run.config.split.seed)
            for low, high in (limits[size] for size in groups)
        ]
        middle, low_ends, high_ends = ends(scores)
        labels = tuple("new" if size == "0" else size for size in groups)
        notes = tuple(counted(group.queries, "query", "queries") for group in groups.values())
        layers.append(Bars(name, labels, middle, low_ends, high_ends, notes))
        highs.append(high_ends)
        told.append(
            f"{name}: "
            + ", ".join(
                f"{label} {one.mean:.3f}" for label, one in zip(labels, scores, strict=True)
            )
        )
    return Chart(
        name="both-sizes",
        title="MAP@5 by photographs of the animal in the gallery",
        caption=f"{'; '.join(told)}. Whiskers are 95 % bootstrap intervals of each alone.",
        layers=tuple(layers),
        x="photographs of the right animal in the gallery",
        y="MAP@5",
        y_limits=from_zero(*highs),
    )


def similarities(two: Two) -> Part | None:
    """Same and different pairs of both as histograms; None where a run lacks one kind."""
    found = [query_pairs(run) for run in two]
    if any(not len(one.same) or not len(one.other) for one in found):
        return None
    every = Pairs(
        np.concatenate([one.same for one in found]), np.concatenate([one.other for one in found])
    )
    edges = shared_edges(every)
    charts, lines = [], []
    for name, one in zip("AB", found, strict=True):
        overlap = measure_overlap(one)
        charts.append(
            Chart(
                name=f"pairs-{name.lower()}",
                title=f"Similarity of pairs, {name}",
                caption=f"{len(one.same):,} pairs of one animal and {len(one.other):,} of "
                f"different animals; the overlap coefficient is {overlap.coefficient:.2f}.",
                layers=(
                    Histogram("same animal", edges, _shares(one.same, edges)),
                    Histogram("different animals", edges, _shares(one.other, edges)),
                ),
                x="cosine similarity",
                y="share of the pairs of its kind",
            )
        )
        lines.append(f"{name}: {overlap.text()}")
    lines.append(
        "Two networks use the cosine differently, so compare how far the two histograms of a "
        "chart overlap, not where they stand."
    )
    return Part("pairs", "Same and different pairs", tuple(lines), tuple(charts))


def _shares(scores: Values, edges: Values) -> Values:
    return np.asarray(np.histogram(scores, edges)[0] / len(scores), dtype=np.float64)


def trained(two: Two) -> Part | None:
    """Loss and MAP@5 by epoch of both, in one chart each; None without logs."""
    logs = [read_logs(sorted(run.folder.glob("log/csv-*/metrics.csv"))) for run in two]
    blocks = []
    for key, name, title, note in (
        (LOSS, "both-loss", "Training loss by epoch", "Two losses have two scales: only the loss "
         "of the same kind with the same parameters compares."),
        (SCORE, "both-map5", "MAP@5 of validation by epoch", "By cosine similarity alone."),
    ):  # fmt: skip
        layers = []
        for letter, series in zip("AB", logs, strict=True):
            if values := series.get(key):
                epochs = sorted(values)
                layers.append(
                    _line(
                        letter, np.array(epochs, dtype=np.float64),
                        np.array([values[epoch] for epoch in epochs]),
                    )
                )  # fmt: skip
        if layers:
            last = "; ".join(f"{one.name} ends with {one.y[-1]:.3g}" for one in layers)
            blocks.append(
                Chart(
                    name, title, f"{last}. {note}", tuple(layers), x="epoch",
                    y=title.removesuffix(" by epoch"),
                )
            )  # fmt: skip
    return Part("curves", "How the trainings went", (), tuple(blocks)) if blocks else None


def only_one_right(two: Two) -> Part:
    """Queries that A answers rightly and B wrongly, and the other way, with photographs."""
    tables = [predictions(run) for run in two]
    places = [{image: i for i, image in enumerate(table.images)} for table in tables]
    blocks, lines = [], []
    for right, wrong in ((0, 1), (1, 0)):
        names = "AB"[right], "AB"[wrong]
        found = [
            image
            for image in tables[right].images
            if image in places[wrong]
            and tables[right].first_right[places[right][image]]
            and not tables[wrong].first_right[places[wrong][image]]
        ]
        lines.append(
            f"{counted(len(found), 'query', 'queries')} that {names[0]} answers rightly and "
            f"{names[1]} does not."
        )
        if found:
            shown = found[:: max(1, len(found) // SHOWN)][:SHOWN]
            blocks.append(
                PhotoRows(
                    f"{names[0]} right, {names[1]} wrong",
                    f"Each query with the first answer of A and of B; {len(shown)} of "
                    f"{len(found):,} shown, evenly spread.",
                    tuple(_row(two, tables, places, image) for image in shown),
                )
            )
    return Part("answers", "What only one of them knows", tuple(lines), tuple(blocks))


def _row(two: Two, tables: list[QueryTable], places: list[dict[str, int]], image: str) -> PhotoRow:
    run = two[0]
    label = run.config.data.new_label
    truth = tables[0].truths[places[0][image]]
    right = truth or label
    row = run.catalog.images.index(image)
    shown = [
        Shown((shortened(image, NAME), f"is {shortened(right, NAME)}"),
              run.photographs.thumbnail(row), "query")
    ]  # fmt: skip
    for letter, material, table, place in zip("AB", two, tables, places, strict=True):
        at = place[image]
        answer = table.found[at][0]
        best = int(material.validation.ranking.rows[at, 0])
        photo = None if best < 0 else run.photographs.thumbnail(int(material.split.gallery[best]))
        shown.append(
            Shown(
                (
                    f"{letter}: {shortened(answer or label, NAME)}",
                    f"score {table.first_score[at]:.3f}",
                ),
                photo,
                "right" if answer == truth else "wrong",
            )
        )
    return PhotoRow(f"{shortened(image, 60)}, which is {shortened(right, 60)}", tuple(shown))


def settings(a: Mapping[str, object], b: Mapping[str, object]) -> Part:
    """What differs in two configurations, given as dotted key -> value."""
    keys = [
        key for key in dict.fromkeys((*a, *b)) if (key in a, a.get(key)) != (key in b, b.get(key))
    ]
    if not keys:
        return Part("settings", "What differs in the configuration", ("Nothing differs.",))
    table = Table(
        caption=f"{counted(len(keys), 'setting')} that differ; all others are equal",
        header=("setting", "A", "B"),
        rows=tuple((key, _value(a, key), _value(b, key)) for key in keys),
    )
    return Part("settings", "What differs in the configuration", (), (table,))


def _value(tree: Mapping[str, object], key: str) -> str:
    return shortened(str(tree[key]), 120) if key in tree else "not there"
