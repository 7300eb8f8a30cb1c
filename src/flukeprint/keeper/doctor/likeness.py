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
        first = np.argsort(-all_scores, axis=1, kind="stable")[:, :most]
        scores[block], places[block] = np.take_along_axis(all_scores, first, axis=1), first
    there = np.isfinite(scores)
    wide = int(there.sum(axis=1).min()) if len(there) else 0  # all but the group's own
    return Nearest(scores[:, :wide], places[:, :wide])


def features(cosine: Values, levels: tuple[Values, Values], sizes: tuple[Ints, Ints]) -> Values:
    """Features (m, 4) of m pairs of groups."""
    lead = cosine - (levels[0] + levels[1]) / 2
    few = 1 / sizes[0] + 1 / sizes[1]
    return np.stack([cosine, lead, few, cosine * few], axis=1)


def dots(first: Floats, second: Floats) -> Values:
    """Cosines (m,) of m pairs of unit vectors."""
    return np.asarray((first.astype(np.float64) * second).sum(axis=1))


def learn_likeness(
    material: CatalogueMaterial, twice: float, rng: np.random.Generator
) -> Evidence | None:
    """Learn what the likeness of two groups says on whether they show one animal.

    twice: share of animals that may be in the catalogue under two names.
    None where too few animals have two encounters in one view.
    """
    parts: list[Values] = []
    outcomes: list[bool] = []
    worth: list[float] = []
    for view in material.each_view():
        animals = material.animals(view)
        halves = material.groups(_halves(material, view, rng))
        if not len(halves) or len(animals) < 3:
            continue
        near, of_animals = nearest(halves, animals), nearest(animals, animals)
        one = np.arange(0, len(halves), 2)
        parts.append(
            features(
                dots(halves.means[one], halves.means[one + 1]),
                (near.level(one), near.level(one + 1)),
                (halves.sizes[one], halves.sizes[one + 1]),
            )
        )
        outcomes += [True] * len(one)
        # Each pair of halves stands for one draw of its animal.
        worth += [1 / DRAWS] * len(one)
        group, place, stand = _different(halves, animals, near, rng)
        own = np.searchsorted(animals.owners, halves.owners[group])
        parts.append(
            features(
                dots(halves.means[group], animals.means[place]),
                (near.level(group, place), of_animals.level(place, own)),
                (halves.sizes[group], animals.sizes[place]),
            )
        )
        outcomes += [False] * len(group)
        worth += (stand / (2 * DRAWS)).tolist()
    if not parts:
        return None
    return learn(
        np.concatenate(parts), np.array(outcomes), np.array(worth),
        doubt_no=twice / max(2, len(material.names) - 1),
    )  # fmt: skip


def _halves(
    material: CatalogueMaterial, view: int, rng: np.random.Generator
) -> list[tuple[int, Ints]]:
    """Two groups after each other of each animal with several encounters in a view, at random."""
    found: list[tuple[int, Ints]] = []
    for (label, seen), rows in sorted(material.rows_of.items()):
        parts = material.encounters(rows) if seen == view else []
        if len(parts) < 2:
            continue
        for _ in range(DRAWS):
            order = rng.permutation(len(parts)).tolist()
            cut = int(rng.integers(1, len(parts)))
            found += [
                (label, np.concatenate([parts[place] for place in side]))
                for side in (order[:cut], order[cut:])
            ]
    return found


def _different(
    halves: Groups, animals: Groups, near: Nearest, rng: np.random.Generator
) -> tuple[Ints, Ints, Values]:
    """Pairs of a half and another animal: (m,) halves, animals, and how many each stands for.

    The nearest NEAR, and some of the others, drawn.
    """
    groups, places, stand = [], [], []
    for half in range(len(halves)):
        first = near.places[half, :NEAR]
        others = np.setdiff1d(
            np.flatnonzero(animals.owners != halves.owners[half]), first, assume_unique=True
        )
        drawn = others
        if len(others) > _FURTHER:
            drawn = rng.choice(others, _FURTHER, replace=False)
        groups.append(np.full(len(first) + len(drawn), half))
        places += [first, drawn]
        stand += [np.ones(len(first)), np.full(len(drawn), len(others) / max(1, len(drawn)))]
    return np.concatenate(groups), np.concatenate(places), np.concatenate(stand)
