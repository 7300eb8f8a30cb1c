"""Section: which two animals are taken for each other most."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints
from flukeprint.errors import counted
from flukeprint.evaluation.report.charts import Part, PhotoRow, PhotoRows, Shown, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.sections.measures import plain_ranking
from flukeprint.pictures import shortened

LISTED, PICTURED = 12, 6  # pairs of animals
MOST_PHOTOS = 200  # of an animal, of which its mean similarity is computed
NAME = 40


@dataclass(frozen=True)
class Confusion:
    """Two animals that are taken for each other.

    first, second: their names, the one whose queries were more often wrong first.
    one, other: queries of the first taken for the second, and the reverse.
    similarity: mean cosine of a photograph of one and a photograph of the other.
    within: mean cosine of two photographs of one of them; None where neither has two.
    query, answer: rows of the most alike pair of photographs that was confused.
    """

    first: str
    second: str
    one: int
    other: int
    similarity: float
    within: float | None
    query: int
    answer: int


def confusions(run: RunMaterial) -> Part | None:
    """The most confused pairs of identities; None where no first answer is wrong."""
    found = confused_pairs(run)
    if not found:
        return None
    several = sum(pair.one + pair.other > 1 for pair in found)
    wrong = sum(pair.one + pair.other for pair in found)
    lines = (
        f"Without the threshold {counted(wrong, 'query', 'queries')} of known animals got another "
        f"animal as the first answer, in {counted(len(found), 'pair')} of animals; "
        f"{several} of these pairs were confused more than once.",
        "Two animals that are confused again and again, and whose photographs are as alike as "
        "those of one animal, may be one animal under two names: look at them side by side.",
    )
    rows = tuple(
        (
            f"{shortened(pair.first, NAME)} and {shortened(pair.second, NAME)}",
            str(pair.one), str(pair.other), f"{pair.similarity:.3f}",
            "" if pair.within is None else f"{pair.within:.3f}",
        )
        for pair in found[:LISTED]
    )  # fmt: skip
    table = Table(
        f"The {counted(len(rows), 'pair')} confused most, then the most alike; similarities are "
        "mean cosines of their photographs in gallery and queries",
        ("animals", "first taken for second", "second for first", "similarity between them",
         "similarity within"), rows,
    )  # fmt: skip
    pictured = PhotoRows(
        "Side by side",
        "Of each pair the query and the photograph that it was taken for, the most alike ones.",
        tuple(_row(run, pair) for pair in found[:PICTURED]),
    )
    return Part("confusions", "Who is taken for whom", lines, (table, pictured))


def confused_pairs(run: RunMaterial) -> list[Confusion]:
    """Pairs of animals of wrong first answers, most frequent first, then the most alike."""
    ranking = plain_ranking(run)
    met: dict[tuple[str, str], list[tuple[float, int, int]]] = defaultdict(list)
    for query, (truth, names) in enumerate(zip(run.truths, ranking.identities, strict=True)):
        if truth is not None and names and names[0] is not None and names[0] != truth:
            row, answer = int(run.queries[query]), int(run.split.gallery[ranking.rows[query, 0]])
            cosine = float(run.embeddings.vectors[row] @ run.embeddings.vectors[answer])
            met[truth, names[0]].append((cosine, row, answer))
    photos = _photos(run)
    pairs = []
    for names in {min(pair, pair[::-1]) for pair in met}:
        first, second = names if len(met[names]) >= len(met[names[::-1]]) else names[::-1]
        cases = [*met[first, second], *met[second, first]]
        _, query, answer = max(cases, key=lambda case: (case[0], -case[1]))
        pairs.append(
            Confusion(
                first, second, len(met[first, second]), len(met[second, first]),
                _between(run, photos[first], photos[second]),
                _within(run, (photos[first], photos[second])), query, answer,
            )
        )  # fmt: skip
    return sorted(
        pairs, key=lambda pair: (-pair.one - pair.other, -pair.similarity, pair.first, pair.second)
    )


def _photos(run: RunMaterial) -> dict[str, Ints]:
    """Rows of the photographs of each animal in gallery and queries, at most 200 of each."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row in [*run.split.gallery.tolist(), *run.queries.tolist()]:
        name = run.catalog.identities[row]
        if name is not None:
            rows[name].append(row)
    return {name: np.array(found[:MOST_PHOTOS]) for name, found in rows.items()}


def _between(run: RunMaterial, one: Ints, other: Ints) -> float:
    means = [run.embeddings.vectors[rows].mean(axis=0, dtype=np.float64) for rows in (one, other)]
    return float(means[0] @ means[1])


def _within(run: RunMaterial, animals: tuple[Ints, ...]) -> float | None:
    """Mean cosine of all pairs of two photographs of one of the animals."""
    total, pairs = 0.0, 0
    for rows in animals:
        if len(rows) > 1:
            vectors = run.embeddings.vectors[rows].astype(np.float64)
            cosines = vectors @ vectors.T
            total += float(cosines.sum() - np.trace(cosines))
            pairs += len(rows) * (len(rows) - 1)
    return total / pairs if pairs else None


def _row(run: RunMaterial, pair: Confusion) -> PhotoRow:
    names = run.catalog.identities
    truth, taken = str(names[pair.query]), str(names[pair.answer])
    shown = (
        Shown(
            (shortened(run.catalog.images[pair.query], 28), f"is {shortened(truth, 28)}"),
            run.photographs.thumbnail(pair.query), "query",
        ),
        Shown(
            (shortened(run.catalog.images[pair.answer], 28), f"is {shortened(taken, 28)}"),
            run.photographs.thumbnail(pair.answer), "wrong",
        ),
    )  # fmt: skip
    title = f"{shortened(truth, NAME)} taken for {shortened(taken, NAME)}"
    return PhotoRow(title, shown)
