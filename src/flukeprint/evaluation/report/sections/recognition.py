"""Section: how often the right animal is found, by the number of answers that count."""

import numpy as np

from flukeprint.data.embeddings import Values
from flukeprint.errors import counted
from flukeprint.evaluation.breakdown import QueryTable, fold_table
from flukeprint.evaluation.metrics import cmc
from flukeprint.evaluation.report.charts import Bars, Chart, Line, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import ends, from_zero, is_new, mean, share
from flukeprint.evaluation.validation import commonest_baseline
from flukeprint.intervals import wilson
from flukeprint.search.gallery import Gallery

DEPTH = 20  # answers


def recognition(run: RunMaterial) -> Part:
    """CMC of known animals, and MAP@5 beside constant answers, with intervals."""
    known = ~is_new(run.truths)
    blocks: list[Chart | Table] = []
    lines: list[str] = []
    if known.any():
        blocks.append(_cmc(run))
        lines.append(
            "The CMC curve answers: if somebody looks through the first k proposed animals, how "
            "often is the right one among them? Only photographs of animals in the gallery count."
        )
    blocks += [_map5(run), _kinds(run)]
    lines.append(
        "MAP@5 gives a right first answer 1, a second 1/2, down to 1/5, and nothing beyond; new "
        "animals count, with new as their right answer. Intervals are for other photographs of the "
        "same kind: two recipes whose intervals overlap may still differ, which the command "
        "flukeprint compare tells by the same queries of both."
    )
    return Part("recognition", "Is the right animal found?", tuple(lines), tuple(blocks))


def cmc_of(run: RunMaterial, depth: int = DEPTH) -> Values:
    """CMC (k,) of the reporting queries of known animals, by cosine similarity alone.

    k: `depth`, or the number of animals in the gallery where those are fewer.
    """
    known = np.flatnonzero(~is_new(run.truths))
    gallery = Gallery(run.embeddings.take(run.split.gallery))
    queries = run.embeddings.take(run.queries[known])
    depth = min(depth, len(gallery.vocabulary))
    found = gallery.search_identities(queries, depth)
    names = [[found.vocabulary[label] for label in labels] for labels in found.labels.tolist()]
    return cmc(names, [run.truths[query] for query in known], depth)


def _cmc(run: RunMaterial) -> Chart:
    curve = cmc_of(run)
    queries = int((~is_new(run.truths)).sum())
    low, high = wilson(curve, np.full(len(curve), queries))
    ranks = np.arange(1, len(curve) + 1, dtype=np.float64)
    at = [rank for rank in (1, 5, 10, 20) if rank <= len(curve)]
    told = ", ".join(
        f"{curve[rank - 1]:.1%} " + ("at once" if rank == 1 else f"among the first {rank}")
        for rank in at
    )
    return Chart(
        "recognition-cmc", "CMC: the right animal among the first k",
        f"By cosine similarity of the embeddings, without ranking rules or threshold, of "
        f"{counted(queries, 'query', 'queries')}: {told}. The band is the 95 % Wilson interval.",
        (Line("top-k accuracy", ranks, curve, low, high, style="line+markers",
              hover=tuple(f"first {k}: {value:.1%}" for k, value in enumerate(curve, 1))),),
        x="k, number of answers", y="share of queries", y_limits=from_zero(high),
    )  # fmt: skip


def _map5(run: RunMaterial) -> Chart:
    scores = {"this network": run.validation.scores, **run.validation.constants}
    scores["five commonest labels"] = commonest_baseline(run.catalog, run.split, run.config)
    middle, low, high = ends([one.map5 for one in scores.values()])
    own = run.validation.scores.map5
    best = max(list(scores)[1:], key=lambda name: scores[name].map5.mean)
    rival = scores[best].map5.mean
    where = "above" if rival > own.high else "below" if rival < own.low else "within"
    return Chart(
        "recognition-map5", "MAP@5 beside answers that are always the same",
        f"MAP@5 is {own.text()}; the best of the constant answers is {best!r} with {rival:.3f}, "
        f"which is {where} the interval. Whiskers are 95 % bootstrap intervals over queries.",
        (Bars("MAP@5", tuple(scores), middle, low, high),), y="MAP@5", y_limits=from_zero(high),
    )  # fmt: skip


def _kinds(run: RunMaterial) -> Table:
    """The metrics of all queries, of known and of new animals, with intervals."""
    table = fold_table(run.validation.ranking, run.validation.report, run.catalog, run.split)
    new = table.is_new
    rows = [_row("all", table, np.ones(len(table), dtype=bool), run)]
    if new.any() and not new.all():
        rows.append(_row("of known animals", table, ~new, run))
        rows.append(_row("of new animals", table, new, run))
    return Table(
        "The ranked answers with the run's threshold; intervals are 95 %: bootstrap for MAP@5, "
        "Wilson for shares",
        ("queries", "number", "MAP@5", "first answer right", "right among five"), tuple(rows),
    )  # fmt: skip


def _row(name: str, table: QueryTable, mask: np.ndarray, run: RunMaterial) -> tuple[str, ...]:
    return (
        name, f"{int(mask.sum()):,}", mean(table.ap[mask], seed=run.config.split.seed).text(),
        share(table.first_right[mask]).text(), share(table.five_right[mask]).text(),
    )  # fmt: skip
