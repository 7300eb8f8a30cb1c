"""Section: queries with their five answers: the surest right and wrong, and both errors of new."""

from collections.abc import Callable

import numpy as np

from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Part, PhotoRow, PhotoRows, Shown
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.pictures import shortened

EACH = 4  # queries of a kind
NAME = 28  # most characters of a name

Kind = Callable[[str | None, str | None], bool]  # truth, first answer

KINDS: dict[str, tuple[Kind, bool, str]] = {
    # title -> which queries, whether the highest score comes first, what it shows
    "Surest right answers": (
        lambda truth, first: truth is not None and first == truth, True,
        "known animals whose first answer is right, those of the highest score",
    ),
    "Surest wrong answers": (
        lambda truth, first: truth is not None and first is not None and first != truth, True,
        "known animals that are taken for another one, those of the highest score; look whether "
        "the label may be wrong, or the photographs show two animals",
    ),
    "Missed new animals": (
        lambda truth, first: truth is None and first is not None, True,
        "new animals that are taken for a known one, those of the highest score",
    ),
    "False new animals": (
        lambda truth, first: truth is not None and first is None, False,
        "known animals that are answered as new, those of the lowest score of any known animal",
    ),
}  # fmt: skip


def answers(run: RunMaterial) -> Part:
    """Four kinds of queries with their five answers, scores and the right answer."""
    ranking, truths = run.validation.ranking, run.truths
    blocks, lines = [], []
    for title, (wanted, highest, meaning) in KINDS.items():
        chosen = pick(run, wanted, highest)
        number = sum(
            wanted(truth, names[0]) for truth, names in zip(truths, ranking.identities, strict=True)
        )
        if number:
            shown = "all shown" if number == len(chosen) else f"{len(chosen)} of {number:,} shown"
            caption = f"{meaning[0].upper()}{meaning[1:]}; {shown}."
            rows = tuple(_row(run, query) for query in chosen)
            blocks.append(PhotoRows(title, caption, rows))
        lines.append(f"{title}: {counted(number, 'query', 'queries')} of {len(truths):,}.")
    label = run.config.data.new_label
    lines.insert(
        0,
        "Each row is a query with its answers, best first, each with the photograph of the gallery "
        f"that is most alike; \u2713 marks the right answer. A question mark stands for {label}, "
        "an animal that is not in the gallery.",
    )
    return Part("answers", "Queries with their answers", tuple(lines), tuple(blocks))


def pick(run: RunMaterial, wanted: Kind, highest: bool, most: int = EACH) -> list[int]:
    """Places of the queries of a kind, by the score of their nearest known animal."""
    ranking = run.validation.ranking
    places = [
        place
        for place, (truth, names) in enumerate(zip(run.truths, ranking.identities, strict=True))
        if wanted(truth, names[0])
    ]
    sign = -1.0 if highest else 1.0
    return sorted(places, key=lambda place: sign * float(ranking.best_known[place]))[:most]


def _row(run: RunMaterial, query: int) -> PhotoRow:
    ranking, truth = run.validation.ranking, run.truths[query]
    label = run.config.data.new_label
    image = shortened(ranking.images[query], 60)
    right = label if truth is None else truth
    shown = [
        Shown(
            (shortened(ranking.images[query], NAME), f"is {shortened(right, NAME)}"),
            run.photographs.thumbnail(run.queries[query]), "query",
        )
    ]  # fmt: skip
    for place, name in enumerate(ranking.identities[query]):
        row = int(ranking.rows[query, place])
        shown.append(
            Shown(
                (shortened(name or label, NAME), f"score {ranking.scores[query, place]:.3f}"),
                None if row < 0 else run.photographs.thumbnail(run.split.gallery[row]),
                "right" if name == truth else "wrong",
            )
        )
    if truth is not None and truth not in ranking.identities[query]:
        row = nearest_of(run, query, truth)
        cosine = float(run.embeddings.vectors[run.queries[query]] @ run.embeddings.vectors[row])
        shown.append(
            Shown(
                (f"right: {shortened(truth, NAME)}", f"not among the five, cosine {cosine:.3f}"),
                run.photographs.thumbnail(row),
            )
        )
    return PhotoRow(f"{image}, which is {shortened(right, 60)}", tuple(shown))


def nearest_of(run: RunMaterial, query: int, identity: str) -> int:
    """Row of the gallery's photograph of an animal that is nearest to a query by cosine."""
    rows = np.array([row for row in run.split.gallery if run.catalog.identities[row] == identity])
    cosines = run.embeddings.vectors[rows] @ run.embeddings.vectors[run.queries[query]]
    return int(rows[cosines.argmax()])
