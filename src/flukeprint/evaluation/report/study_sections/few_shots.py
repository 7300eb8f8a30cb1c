"""The section on few shots: how many photographs of an animal are enough to know it?"""

import numpy as np

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.report.charts import Bars, Chart, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.studies.few_shot import CLASSIFIERS, FewShotStudy, few_shots

EPISODES = 500  # a few seconds


def few_shot_section(material: RunMaterial) -> Part | None:
    """Accuracy of 5- and 20-way, 1- and 5-shot episodes; None where no cell has enough animals."""
    fold = material.fold  # outside of what is caught below
    try:
        study = few_shots(fold, episodes=EPISODES)
    except FlukeprintError:
        return None
    lines = (
        "An episode draws a few animals, some photographs of each to know them by, and one more of "
        "each to identify.",
        *study.notes,
        # The page is of one run, and its grid cannot be changed there.
        *(
            f"No figures: {reason.removeprefix(f'{study.name}: ').partition('; ask for')[0]}."
            for reason in study.refused
        ),
    )
    return Part("few-shot", "Few shots", lines, (_chart(study), _table(study)))


def _chart(study: FewShotStudy) -> Chart:
    labels = tuple(f"{cell.ways}-way {cell.shots}-shot" for cell in study.cells)
    layers = []
    for name in CLASSIFIERS:
        rates = [cell.over_animals[name] for cell in study.cells]
        low, mean, high = (
            np.array([getattr(rate, end) for rate in rates]) for end in ("low", "mean", "high")
        )
        layers.append(Bars(name, labels, mean, low, high))
    guess = Bars("guessing", labels, np.array([1 / cell.ways for cell in study.cells]))
    parts = [
        f"{label}, {cell.source} animals: {cell.over_animals['prototype'].text()} by the prototype"
        for label, cell in zip(labels, study.cells, strict=True)
    ]
    return Chart(
        name="few-shot",
        title="Accuracy with a few photographs of each animal",
        caption=f"{'; '.join(parts)}. Intervals are 95 % over animals.",
        layers=(*layers, guess),
        y="accuracy",
        y_limits=(0.0, 1.0),
    )


def _table(study: FewShotStudy) -> Table:
    rows = [
        (
            f"{cell.ways}-way {cell.shots}-shot, {name}", cell.source, f"{cell.animals:,}",
            f"{cell.episodes:,}", cell.over_episodes[name].text(), cell.over_animals[name].text(),
            f"{1 / cell.ways:.3f}",
        )
        for cell in study.cells
        for name in cell.over_episodes
    ]  # fmt: skip
    return Table(
        "Accuracy with 95 % intervals",
        (
            "episodes of",
            "training",
            "animals",
            "episodes",
            "over episodes",
            "over animals",
            "chance",
        ),
        tuple(rows),
    )
