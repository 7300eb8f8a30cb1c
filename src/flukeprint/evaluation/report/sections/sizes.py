"""Section: how the score depends on the number of photographs that the gallery has of an animal."""

import numpy as np

from flukeprint.errors import counted
from flukeprint.evaluation.breakdown import fold_table
from flukeprint.evaluation.report.charts import Bars, Chart, Part
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import ends, from_zero, mean, share

SIZES = {"new": (0, 0), "1": (1, 1), "2": (2, 2), "3-4": (3, 4), "5-9": (5, 9), "10+": (10, None)}


def sizes(run: RunMaterial) -> Part | None:
    """MAP@5 and top-1 by identity size; None where all queries are of one size."""
    table = fold_table(run.validation.ranking, run.validation.report, run.catalog, run.split)
    photos = np.array(table.photos)
    masks = {
        name: (photos >= low) & (photos <= (np.inf if high is None else high))
        for name, (low, high) in SIZES.items()
    }
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    if len(masks) < 2:
        return None
    seed = run.config.split.seed
    map5 = [mean(table.ap[mask], seed=seed) for mask in masks.values()]
    top1 = [share(table.first_right[mask]) for mask in masks.values()]
    notes = tuple(counted(int(mask.sum()), "query", "queries") for mask in masks.values())
    (a, a_low, a_high), (b, b_low, b_high) = ends(map5), ends(top1)
    known = [name for name in masks if name != "new"]
    lines = ["An animal with more photographs in the gallery has more chances to be met in the "
             "same pose and light; one with a single photograph has one."]  # fmt: skip
    if len(known) > 1:
        first, last = known[0], known[-1]
        places = list(masks)
        lines.append(
            f"MAP@5 is {map5[places.index(first)].text()} with {first} and "
            f"{map5[places.index(last)].text()} with {last} photographs in the gallery."
        )
    chart = Chart(
        "sizes", "Score by photographs of the animal in the gallery",
        "Queries by the number of photographs that the gallery has of the right animal; new are "
        "animals that it lacks. Whiskers are 95 % intervals; few queries make them wide.",
        (
            Bars("MAP@5", tuple(masks), a, a_low, a_high, notes),
            Bars("first answer right", tuple(masks), b, b_low, b_high, notes),
        ),
        x="photographs of the right animal in the gallery", y="score", y_limits=from_zero(a_high, b_high),
    )  # fmt: skip
    return Part("sizes", "Does it need many photographs?", tuple(lines), (chart,))
