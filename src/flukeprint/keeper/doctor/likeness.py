"""How alike two groups of photographs are, beside how alike each is to other animals.

Two groups are compared by the cosine of their mean directions; by its lead over the ten nearest
other animals of both, as some groups are near to everybody (the correction for hubs of Conneau et
al., Word Translation Without Parallel Data, 2018); and by how few photographs their means rest on.
What these say is learnt from the catalogue: halves of one animal, and different animals.
"""

from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Floats, Ints, Values
from flukeprint.keeper.doctor.evidence import Evidence, learn
from flukeprint.keeper.doctor.material import CatalogueMaterial, Groups
from flukeprint.ranking.neighbours import blocks, cosines

NEAR = 10
DRAWS = 3  # times that an animal is halved
_ASIDE = 6  # animals at least that may have a double, when the model is first fitted
_FURTHER = 20  # further different animals, drawn for each half


@dataclass(frozen=True)
class Nearest:
    """For each of g groups the nearest animals but its own, nearest first.

    scores: (g, t) float64 cosines, t at most NEAR + 1.  places: (g, t) among the animals.
    """

    scores: Values
    places: Ints

    def level(self, group: Ints, but: Ints | None = None) -> Values:
        """Mean cosine (m,) of the groups `group` to their NEAR nearest animals.

        but: (m,) place of an animal that is left out of each; None leaves none out.
        """
        scores, places = self.scores[group], self.places[group]
        most = min(NEAR, max(1, scores.shape[1] - 1))
        if not scores.shape[1]:
            return np.zeros(len(group))
        kept = np.ones(scores.shape, bool) if but is None else places != but[:, None]
        kept &= np.cumsum(kept, axis=1) <= most
        return np.asarray(np.where(kept, scores, 0).sum(axis=1) / np.maximum(kept.sum(axis=1), 1))


def nearest(groups: Groups, animals: Groups) -> Nearest:
    """Find the nearest of `animals` for each group, in blocks."""
    most = min(NEAR + 1, len(animals))
    scores = np.zeros((len(groups), most))
    places = np.full((len(groups), most), -1, np.int64)
    for block in blocks(len(groups), len(animals)):
        all_scores = cosines(groups.means[block], animals.means).astype(np.float64)
        all_scores[groups.owners[block, None] == animals.owners] = -np.inf
        some = np.argpartition(-all_scores, most - 1, axis=1)[:, :most]
        order = np.lexsort((some, -np.take_along_axis(all_scores, some, axis=1)))
        first = np.take_along_axis(some, order, axis=1)
        scores[block], places[block] = np.take_along_axis(all_scores, first, axis=1), first
    there = np.isfinite(scores)
    wide = int(there.sum(axis=1).min()) if len(there) else 0  # all but the group's own
    return Nearest(scores[:, :wide], places[:, :wide])


def features(cosine: Values, levels: tuple[Values, Values], sizes: tuple[Ints, Ints]) -> Values:
    """Features (m, 3) of m pairs of groups."""
    lead = cosine - (levels[0] + levels[1]) / 2
    return np.stack([cosine, lead, 1 / sizes[0] + 1 / sizes[1]], axis=1)


def dots(first: Floats, second: Floats) -> Values:
    """Cosines (m,) of m pairs of unit vectors."""
    return np.asarray((first.astype(np.float64) * second).sum(axis=1))


def learn_likeness(
    material: CatalogueMaterial, expected: float, rng: np.random.Generator
) -> Evidence | None:
    """Learn what the likeness of two groups says on whether they show one animal.

    expected: share of animals that may be in the catalogue under two names.
    None where too few animals have two encounters in one view.
    """
    parts: list[Values] = []
    outcomes: list[bool] = []
    worth: list[float] = []
    for view in material.each_view():
        animals = material.animals(view)
        if len(animals) < 3:
            continue
        for _ in range(DRAWS):
            first, second = _halves(material, view, rng)
            if not len(first):
                continue
            nears = nearest(first, animals), nearest(second, animals)
            one, other, stand = _compared(first, second, rng)
            same = first.owners[one] == second.owners[other]
            but = _places(animals, second.owners[other]), _places(animals, first.owners[one])
            parts.append(
                features(
                    dots(first.means[one], second.means[other]),
                    (nears[0].level(one, but[0]), nears[1].level(other, but[1])),
                    (first.sizes[one], second.sizes[other]),
                )
            )
            outcomes += same.tolist()
            worth += (stand / DRAWS).tolist()
    if not parts:
        return None
    others = max(2, len(material.names) - 1)
    return learn(
        np.concatenate(parts), np.array(outcomes), np.array(worth), doubt_no=expected / others,
        aside_no=max(2 * expected, _ASIDE / len(material.names)) / others,
    )  # fmt: skip


def _places(animals: Groups, owners: Ints) -> Ints:
    return np.searchsorted(animals.owners, owners)


def _halves(
    material: CatalogueMaterial, view: int, rng: np.random.Generator
) -> tuple[Groups, Groups]:
    """Two groups of encounters, at random, of each animal that has several in a view.

    The second of an animal that has one only is all of it.
    """
    first: list[tuple[int, Ints]] = []
    second: list[tuple[int, Ints]] = []
    for (label, seen), rows in material.rows_of.items():
        if seen != view:
            continue
        parts = material.encounters(rows)
        if len(parts) < 2:
            second.append((label, rows))
            continue
        order = rng.permutation(len(parts)).tolist()
        cut = int(rng.integers(1, len(parts)))
        for side, places in ((first, order[:cut]), (second, order[cut:])):
            side.append((label, np.concatenate([parts[place] for place in places])))
    return material.groups(first), material.groups(second)


def _compared(first: Groups, second: Groups, rng: np.random.Generator) -> tuple[Ints, Ints, Values]:
    """Pairs to learn from: (m,) places in both, and how many pairs each stands for.

    Each of the first with its own second, the nearest NEAR of others, and some further, drawn.
    """
    near = nearest(first, second).places[:, :NEAR]
    own = np.searchsorted(second.owners, first.owners)
    one, other, stand = [np.arange(len(first))], [own], [np.ones(len(first))]
    for place in range(len(first)):
        further = np.setdiff1d(np.arange(len(second)), [*near[place].tolist(), int(own[place])])
        drawn = further
        if len(further) > _FURTHER:
            drawn = rng.choice(further, _FURTHER, replace=False)
        one.append(np.full(near.shape[1] + len(drawn), place))
        other += [near[place], drawn]
        stand += [
            np.ones(near.shape[1]), np.full(len(drawn), len(further) / max(1, len(drawn)))
        ]  # fmt: skip
    return np.concatenate(one), np.concatenate(other), np.concatenate(stand)
