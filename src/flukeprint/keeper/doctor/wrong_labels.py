"""Photographs that look like another animal than the one whose name they bear.

A photograph is named where two things agree: confident learning on rankings in which it was left
out, and the probability that its label is wrong, learnt from the catalogue's labels and from the
same photographs under drawn ones.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.keeper.doctor.confident import HeldOut, confident_errors
from flukeprint.keeper.doctor.evidence import learn, prevalence, probability
from flukeprint.keeper.doctor.findings import CatalogueFinding
from flukeprint.keeper.doctor.material import CatalogueMaterial, Groups, direction
from flukeprint.ranking.neighbours import blocks, cosines


@dataclass(frozen=True)
class WrongLabels:
    """What was found among the labels.

    findings: the likeliest first.  pairs: (label given, label suggested) of each.
    doubted: number of labels that confident learning by itself takes for others.
    judged: number of photographs that could be judged.
    """

    findings: list[CatalogueFinding]
    pairs: list[tuple[int, int]]
    doubted: int
    judged: int


def wrong_labels(
    material: CatalogueMaterial,
    held_out: HeldOut,
    expected: float,
    least: float,
    rng: np.random.Generator,
) -> WrongLabels | None:
    """Find labels that are wrong with a probability of at least `least`.

    expected: share of the labels that may be wrong.  None where too few photographs can be judged.
    """
    means = _Means.of(material, rng)
    rows = np.flatnonzero(held_out.judged & means.there)
    own, best = held_out.own()
    drawn = held_out.score_of(means.drawn)
    first = held_out.scores[:, 0]  # where the label is a drawn one, its true animal is a rival
    size = np.log(np.maximum(means.own_size, 1))
    x = np.concatenate(
        [
            np.stack([own - best, means.own - means.best, size], axis=1)[rows],
            np.stack(
                [drawn - first, means.drawn_score - means.first, np.log(means.drawn_size)], axis=1
            )[rows],
        ]
    )
    outcome = np.repeat([False, True], len(rows))
    evidence = learn(x, outcome, doubt_yes=0.0, doubt_no=expected, aside_no=2 * expected)
    if evidence is None:
        return None
    likely = np.zeros(len(material))
    ratios = evidence(x[: len(rows)])
    likely[rows] = probability(ratios, prevalence(ratios, expected))
    errors = confident_errors(held_out)
    rival, witness = held_out.rivals()
    named = np.flatnonzero(errors.wrong & (likely >= least))
    found, pairs = [], []
    for row in named[np.argsort(-likely[named], kind="stable")].tolist():
        given, other = int(held_out.given[row]), int(rival[row])
        group = (material.images[row], material.images[int(witness[row])])
        mine = _most_similar(material, row)
        found.append(
            CatalogueFinding(
                "label",
                (material.names[given],),
                f"{material.images[row]} looks like {material.names[other]}, such as {group[1]}",
                (group, (material.images[mine],)),
                float(likely[row]),
            )
        )
        pairs.append((given, other))
    return WrongLabels(found, pairs, errors.doubted, len(rows))


def _most_similar(material: CatalogueMaterial, row: int) -> int:
    """The photograph of the same animal, view and another encounter that is most similar."""
    rows = material.rows_of[int(material.labels[row]), int(material.view_of[row])]
    rows = rows[material.encounter_of[rows] != material.encounter_of[row]]
    return int(rows[int((material.vectors[rows] @ material.vectors[row]).argmax())])


@dataclass(frozen=True)
class _Means:
    """Cosines of n photographs to the mean directions of animals in their view.

    own: to the animal of its label, without its encounter; own_size: photographs of that mean.
    best: to the nearest other animal.  first: to the nearest of all, its own among them.
    drawn, drawn_score, drawn_size: another animal that is drawn, its cosine, and its photographs.
    first leaves the drawn animal out.  there: whether its own animal has another encounter.
    """

    own: Values
    own_size: Ints
    best: Values
    first: Values
    drawn: Ints
    drawn_score: Values
    drawn_size: Ints
    there: np.ndarray

    @classmethod
    def of(cls, material: CatalogueMaterial, rng: np.random.Generator) -> "_Means":
        n = len(material)
        own, best, first, drawn_score = (np.full(n, -1.0) for _ in range(4))
        own_size, drawn_size = np.zeros(n, np.int64), np.ones(n, np.int64)
        drawn = np.full(n, -1, np.int64)
        there = np.zeros(n, bool)
        for view in material.each_view():
            animals = material.animals(view)
            if len(animals) < 3:
                continue
            rows = np.flatnonzero(material.view_of == view)
            left, size = _own_means(material, animals, rows)
            own[rows] = (left.astype(np.float64) * material.vectors[rows]).sum(axis=1)
            own_size[rows], there[rows] = size, size > 0
            place = np.searchsorted(animals.owners, material.labels[rows])
            for block in blocks(len(rows), len(animals)):
                here, mine = rows[block], place[block]
                each = np.arange(len(here))
                scores = cosines(material.vectors[here], animals.means).astype(np.float64)
                scores[each, mine] = -np.inf
                best[here] = scores.max(axis=1)
                other = rng.integers(0, len(animals) - 1, len(here))
                other += other >= mine
                drawn[here], drawn_size[here] = animals.owners[other], animals.sizes[other]
                drawn_score[here] = scores[each, other]
                scores[each, other] = -np.inf
                first[here] = np.maximum(
                    scores.max(axis=1), np.where(there[here], own[here], -np.inf)
                )
        return cls(own, own_size, best, first, drawn, drawn_score, drawn_size, there)


def _own_means(material: CatalogueMaterial, animals: Groups, rows: Ints) -> tuple[np.ndarray, Ints]:
    """Mean directions of the animals of `rows` in their view without the row's encounter."""
    means = np.zeros((len(rows), material.vectors.shape[1]), np.float32)
    sizes = np.zeros(len(rows), np.int64)
    place = {row: number for number, row in enumerate(rows.tolist())}
    view = int(material.view_of[rows[0]])
    for label in animals.owners.tolist():
        mine = material.rows_of[label, view]
        total = material.vectors[mine].astype(np.float64).sum(axis=0)
        for part in material.encounters(mine):
            rest = total - material.vectors[part].astype(np.float64).sum(axis=0)
            for row in part.tolist():
                sizes[place[row]] = len(mine) - len(part)
                if len(mine) > len(part):
                    means[place[row]] = direction(rest)
    return means, sizes
