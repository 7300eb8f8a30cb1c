"""Section: are new animals told from known ones?"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Values
from flukeprint.errors import counted
from flukeprint.evaluation.metrics import auroc_interval
from flukeprint.evaluation.report.charts import Chart, Histogram, Line, Mark, Part, Points, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import (
    Mask,
    first_right,
    interval_percent,
    is_new,
    percent,
    plain_ranking,
    share,
)

RATES = (0.01, 0.05, 0.1, 0.2)  # false alarms at which detection and identification is told
BINS = 30


@dataclass(frozen=True)
class OpenSetCurve:
    """What is accepted at every threshold that makes a difference, strictest first.

    thresholds: (k,) descending; the first is infinite, and accepts nothing.
    false_alarm: (k,) share of new animals' queries whose best score reaches it: the false positive
        identification rate, FPIR.
    accepted: (k,) share of known animals' queries whose best score reaches it.
    identified: (k,) share of known animals' queries that reach it with the right first answer: the
        detection and identification rate, DIR (Phillips, Grother and Micheals, Evaluation Methods
        in Face Recognition, Handbook of Face Recognition, 2011).
    """

    thresholds: Values
    false_alarm: Values
    accepted: Values
    identified: Values

    def at_most(self, false_alarm: float) -> int:
        """Place of the loosest threshold with at most this share of false alarms."""
        return int(np.searchsorted(self.false_alarm, false_alarm + 1e-12, side="right")) - 1


def open_set_curve(best_known: Values, new: Mask, right: Mask) -> OpenSetCurve:
    """Compute the curve of q queries.

    best_known: (q,) score of the nearest known animal; new: (q,) whether the animal is not in the
    gallery; right: (q,) whether the nearest known animal is the right one.
    """
    levels = np.unique(best_known)[::-1]
    known = np.sort(best_known[~new])
    hits, strangers = np.sort(best_known[~new & right]), np.sort(best_known[new])

    def reached(scores: Values, of: int) -> Values:
        counts = len(scores) - np.searchsorted(scores, levels, side="left")
        return np.concatenate([[0.0], counts / of])

    return OpenSetCurve(
        thresholds=np.concatenate([[np.inf], levels]),
        false_alarm=reached(strangers, len(strangers)),
        accepted=reached(known, len(known)),
        identified=reached(hits, len(known)),
    )


def open_set(run: RunMaterial) -> Part | None:
    """ROC of known against new animals, and DIR at FPIR; None where queries are of one kind."""
    new = is_new(run.truths)
    if new.all() or not new.any():
        return None
    plain = plain_ranking(run)
    best = plain.best_known.astype(np.float64)
    curve = open_set_curve(best, new, first_right(plain, run.truths))
    auroc = auroc_interval(best, new, seed=run.config.split.seed)
    lines = [
        f"A photograph's score is that of its nearest known animal. In {percent(auroc.mean)} of "
        "all pairs of a known and a new animal's photograph the known one scores higher: AUROC "
        f"{auroc.text()}; 0.5 is chance, 1 is without error. Measured on "
        f"{counted(int((~new).sum()), 'query', 'queries')} of known and "
        f"{counted(int(new.sum()), 'query', 'queries')} of new animals.",
    ]
    threshold = run.validation.threshold
    if threshold is not None:
        missed, false_new = best[new] >= threshold, best[~new] < threshold
        lines.append(
            f"At the run's threshold, {threshold:.3f}, {interval_percent(share(missed))} of the "
            "new animals are taken for a known one, and "
            f"{interval_percent(share(false_new))} of the known ones for new."
        )
    blocks: list[Chart | Table] = [
        _scores(best, new, threshold),
        _roc(curve, best, new, threshold, auroc.mean),
        _identified(curve),
    ]
    rates = _rates(curve, best, new, first_right(plain, run.truths))
    if rates.rows:
        blocks.append(rates)
    return Part("open-set", "Known or new?", tuple(lines), tuple(blocks))


def _scores(best: Values, new: Mask, threshold: float | None) -> Chart:
    low, high = float(best.min()), float(best.max())
    edges = np.linspace(low, high if high > low else low + 0.01, BINS + 1)
    known_median, new_median = (float(np.median(best[mask])) for mask in (~new, new))

    def shares(mask: Mask) -> Values:
        return np.asarray(np.histogram(best[mask], edges)[0] / mask.sum(), dtype=np.float64)

    marks = () if threshold is None else (Mark("x", threshold, f"threshold {threshold:.3f}"),)
    return Chart(
        "open-set-scores", "Score of the nearest known animal",
        f"The median score of a known animal's photograph is {known_median:.3f}, that of a new "
        f"one's {new_median:.3f}. Left of the threshold the first answer is new.",
        (
            Histogram("known animals", edges, shares(~new)),
            Histogram("new animals", edges, shares(new)),
        ),
        x="score of the nearest known animal", y="share of the queries of its kind", marks=marks,
    )  # fmt: skip


def _roc(
    curve: OpenSetCurve, best: Values, new: Mask, threshold: float | None, auroc: float
) -> Chart:
    layers: list[Line | Points] = [
        Line("this network", curve.false_alarm, curve.accepted, hover=_told(curve)),
        Line("chance", np.array([0.0, 1.0]), np.array([0.0, 1.0]), style="dashed"),
    ]
    caption = f"The area below the curve is the AUROC, {auroc:.3f}."
    if threshold is not None:
        at = np.array([[(best[new] >= threshold).mean(), (best[~new] >= threshold).mean()]])
        layers.append(Points("threshold of the run", at, (f"threshold {threshold:.3f}",)))
        caption += (
            f" At the run's threshold {percent(at[0, 1])} of the known animals are accepted with "
            f"{percent(at[0, 0])} of the new ones."
        )
    return Chart(
        "open-set-roc", "ROC: known animals accepted against new ones accepted", caption,
        tuple(layers), x="new animals taken for known (false alarms)",
        y="known animals taken for known", x_limits=(-0.01, 1.01), y_limits=(-0.01, 1.01),
    )  # fmt: skip


def _identified(curve: OpenSetCurve) -> Chart:
    return Chart(
        "open-set-dir", "Detection and identification rate",
        f"Share of known animals that are both taken for known and named rightly. Accepting "
        f"everybody names {percent(float(curve.identified[-1]))} of them rightly; fewer false "
        "alarms cost some of these.",
        (
            Line("accepted and named rightly", curve.false_alarm, curve.identified,
                 hover=_told(curve)),
            Line("accepted", curve.false_alarm, curve.accepted, style="dashed"),
        ),
        x="new animals taken for known (false alarms)", y="share of known animals",
        x_limits=(-0.01, 1.01), y_limits=(-0.01, 1.01),
    )  # fmt: skip


def _told(curve: OpenSetCurve) -> tuple[str, ...]:
    rows = zip(curve.thresholds, curve.false_alarm, curve.accepted, curve.identified, strict=True)
    return tuple(
        f"threshold {threshold:.3f}: {alarm:.1%} false alarms, {accepted:.1%} accepted, "
        f"{named:.1%} accepted and named rightly"
        for threshold, alarm, accepted, named in rows
    )


def _rates(curve: OpenSetCurve, best: Values, new: Mask, right: Mask) -> Table:
    """The detection and identification rate at a few shares of false alarms."""
    rows = []
    for rate in RATES:
        if rate * new.sum() < 1:  # fewer than one false alarm cannot be told from none
            continue
        place = curve.at_most(rate)
        threshold = curve.thresholds[place]
        accepted = best[~new] >= threshold
        rows.append((
            percent(rate), percent(float(curve.false_alarm[place])),
            "none" if np.isinf(threshold) else f"{threshold:.3f}",
            interval_percent(share(accepted)), interval_percent(share(accepted & right[~new])),
        ))  # fmt: skip
    return Table(
        "Known animals accepted, and accepted and named rightly, at the loosest threshold with at "
        "most so many false alarms; thresholds are chosen on these same queries, so the rates are "
        "a little kind",
        ("false alarms at most", "measured", "threshold", "accepted [95 %]", "DIR [95 %]"),
        tuple(rows),
    )
