"""The section on verification: do two photographs show one animal, and how often is that wrong?"""

import numpy as np

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.report.charts import Block, Chart, Heatmap, Line, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.studies.decision import Decided
from flukeprint.evaluation.studies.error_rates import ErrorRates
from flukeprint.evaluation.studies.verification_study import (
    EVERYBODY,
    VerificationStudy,
    verify_folds,
)

MOST_PAIRS, SAMPLES = 30_000, 500  # a few seconds


def verification_section(material: RunMaterial) -> Part | None:
    """ROC curve, equal error rate and true accepts with intervals; a threshold fitted elsewhere.

    None where the fold has too few pairs.
    """
    fold = material.fold  # outside of what is caught below
    try:
        study = verify_folds([fold], most=MOST_PAIRS, samples=SAMPLES)
    except FlukeprintError:
        return None
    blocks: list[Block] = [_curve(study), _rates(study)]
    if study.decided is not None:
        blocks.append(_confusion(study.decided))
    return Part("verification", "Verification: one animal or two?", _lines(study), tuple(blocks))


def _lines(study: VerificationStudy) -> tuple[str, ...]:
    found = study.rates[EVERYBODY]
    lines = [
        f"Two photographs are taken for one animal if their cosine similarity reaches a threshold. "
        f"Where both errors are equal, {found.eer.mean:.1%} of the pairs are judged wrongly "
        f"[{found.eer.low:.1%}, {found.eer.high:.1%}]."
    ]
    told = [point for point in found.true_accepts if point.share is not None]
    if told and (share := told[-1].share) is not None:
        lines.append(
            f"If at most {told[-1].rate:.1%} of the pairs of two animals may be accepted, "
            f"{share.mean:.1%} of the pairs of one animal are [{share.low:.1%}, {share.high:.1%}]."
        )
    return (*lines, *study.notes)


def _curve(study: VerificationStudy) -> Chart:
    layers = [
        Line(
            f"pairs {kind}",
            found.curve.false_accept, found.curve.true_accept, found.curve.low, found.curve.high,
        )
        for kind, found in study.rates.items()
    ]  # fmt: skip
    return Chart(
        name="verification-roc",
        title="True accepts at a rate of false accepts",
        caption=_curve_caption(study.rates),
        layers=tuple(layers),
        x="pairs of two animals accepted",
        y="pairs of one animal accepted",
        y_limits=(0.0, 1.0),
        log_x=True,
    )


def _curve_caption(rates: dict[str, ErrorRates]) -> str:
    parts = [
        f"pairs {kind}: {found.same:,} of one animal, {found.other:,} of two, equal error rate "
        f"{found.eer.text()}"
        for kind, found in rates.items()
    ]
    return (
        f"{'; '.join(parts)}. Bands are 95 % intervals over individuals. A curve begins at the "
        "smallest rate that its pairs can tell: three false accepts."
    )


def _rates(study: VerificationStudy) -> Table:
    first = next(iter(study.rates.values()))
    header = (
        "pairs", "of one animal", "of two", "equal error rate",
        *(f"accepted at {point.rate:g}" for point in first.true_accepts),
    )  # fmt: skip
    rows = [
        (
            kind, f"{found.same:,}", f"{found.other:,}", found.eer.text(),
            *(point.text() for point in found.true_accepts),
        )
        for kind, found in study.rates.items()
    ]  # fmt: skip
    return Table(
        "True accept rates where at most 0.1, 0.01 and 0.001 of the pairs of two animals are "
        "accepted",
        header, tuple(rows),
    )  # fmt: skip


def _confusion(decided: Decided) -> Chart:
    counts = (
        (decided.accepted_same, decided.rejected_same),
        (decided.accepted_other, decided.rejected_other),
    )
    shares = np.array([[part / max(1, sum(row)) for part in row] for row in counts])
    texts = tuple(
        tuple(f"{part:,} ({part / max(1, sum(row)):.1%})" for part in row) for row in counts
    )
    thresholds = ", ".join(f"{threshold:.3f}" for threshold in decided.thresholds)
    return Chart(
        name="verification-confusion",
        title="Decisions at a threshold fitted elsewhere",
        caption=(
            f"Threshold {thresholds}, fitted on {decided.fitted_on}. Both kinds of pairs counted "
            f"alike, {decided.balanced.text()} are decided rightly; of all pairs "
            f"{decided.accuracy:.3f}, where always answering two animals reaches "
            f"{decided.accuracy_of_never:.3f}."
        ),
        layers=(
            Heatmap(
                "share of the pairs", ("of one animal", "of two animals"),
                ("accepted", "rejected"), shares, texts,
            ),
        ),
        x="decision", y="pair",
    )  # fmt: skip
