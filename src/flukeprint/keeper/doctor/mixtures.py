"""Names under which two animals are kept: their photographs fall into two groups, view by view.

Every animal's photographs can be parted in two.  How far apart the groups of two animals lie is
learnt from pairs of the catalogue's own animals that are thrown together, and compared with how far
apart those of one lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.keeper.doctor.evidence import learn, prevalence, probability
from flukeprint.keeper.doctor.findings import CatalogueFinding, named
from flukeprint.keeper.doctor.likeness import dots, features, nearest
from flukeprint.keeper.doctor.material import CatalogueMaterial, Groups

LEAST = 2  # photographs of a group; a single odd one is a wrong label rather than an animal
MIXED = 3  # animals that each is thrown together with
_MOST = 400  # photographs of an animal's view that are parted; of more, evenly spread ones


def mixtures(
    material: CatalogueMaterial,
    expected: float,
    least: float,
    rng: np.random.Generator,
) -> list[CatalogueFinding] | None:
    """Animals that are two with a probability of at least `least`, likeliest first.

    expected: share of animals of which that may be so.  None where too few animals have photographs
    enough to learn from.
    """
    looked = {view: _Parted.of(material, view, rng) for view in material.each_view()}
    looked = {view: parted for view, parted in looked.items() if len(parted.own)}
    if not looked:
        return None
    x = np.concatenate([np.concatenate([p.own_x, p.mixed_x]) for p in looked.values()])
    outcome = np.concatenate(
        [np.repeat([False, True], [len(p.own_x), len(p.mixed_x)]) for p in looked.values()]
    )
    worth = np.concatenate(
        [np.repeat([1.0, 1 / MIXED], [len(p.own_x), len(p.mixed_x)]) for p in looked.values()]
    )
    evidence = learn(x, outcome, worth, doubt_yes=0.0, doubt_no=expected, aside_no=2 * expected)
    if evidence is None:
        return None
    ratios = np.zeros(len(material.names))
    groups: dict[int, list[tuple[float, Ints, Ints]]] = {}
    for parted in looked.values():
        found = evidence(parted.own_x)
        for label, (one, other), ratio in zip(parted.labels, parted.own, found, strict=True):
            ratios[label] += ratio
            groups.setdefault(label, []).append((float(ratio), one, other))
    seen = sorted(groups)
    likely = probability(ratios, prevalence(ratios[seen], expected))
    return [
        _finding(material, label, groups[label], float(likely[label]))
        for label in np.argsort(-likely, kind="stable").tolist()
        if label in groups and likely[label] >= least
    ]


def _finding(
    material: CatalogueMaterial,
    label: int,
    groups: Sequence[tuple[float, Ints, Ints]],
    likely: float,
) -> CatalogueFinding:
    parts = sorted(groups, key=lambda part: -part[0])
    shown = tuple(
        tuple(material.images[row] for row in rows) for _, *sides in parts for rows in sides
    )
    told = []
    for (_, one, other), first, second in zip(parts, shown[::2], shown[1::2], strict=True):
        view = int(material.view_of[one[0]])
        where = f"{material.views[view]}: " if view >= 0 else ""
        told.append(f"{where}{len(one)} ({named(first)}) and {len(other)} ({named(second)})")
    return CatalogueFinding(
        "mixture", (material.names[label],), "two groups, " + "; ".join(told), shown, likely
    )


@dataclass(frozen=True)
class _Parted:
    """The animals of a view parted in two, and pairs of them thrown together and parted.

    labels, own: animals and their two groups of rows.  own_x, mixed_x: features of the groups.
    """

    labels: list[int]
    own: list[tuple[Ints, Ints]]
    own_x: Values
    mixed_x: Values

    @classmethod
    def of(cls, material: CatalogueMaterial, view: int, rng: np.random.Generator) -> "_Parted":
        members = {label: rows for (label, seen), rows in material.rows_of.items() if seen == view}
        animals = material.animals(view)
        labels, own = [], []
        for label, rows in members.items():
            if (two := part(material, rows)) is not None:
                labels.append(label)
                own.append(two)
        whole = [label for label, rows in members.items() if len(rows) >= LEAST]
        mixed, mixed_labels = [], []
        for label in whole:
            for other in rng.choice(whole, min(MIXED, len(whole)), replace=False).tolist():
                rows = np.concatenate([members[label], members[other]])
                if other != label and (two := part(material, rows)) is not None:
                    mixed.append(two)
                    mixed_labels.append((label, other))
        return cls(
            labels, own,
            _features(material, animals, own, [(label, label) for label in labels]),
            _features(material, animals, mixed, mixed_labels),
        )  # fmt: skip


def _features(
    material: CatalogueMaterial,
    animals: Groups,
    parted: Sequence[tuple[Ints, Ints]],
    labels: Sequence[tuple[int, int]],
) -> Values:
    """Features (m, 4) of pairs of groups; `labels`: the animals that they are of."""
    if not parted:
        return np.empty((0, 4))
    first, second = (
        material.groups([(pair[side], two[side]) for two, pair in zip(parted, labels, strict=True)])
        for side in (0, 1)
    )
    near_first, near_second = nearest(first, animals), nearest(second, animals)
    every = np.arange(len(parted))
    # The animal that it was thrown together with is none of the others.
    place_of = np.full(len(material.names), -1, np.int64)
    place_of[animals.owners] = np.arange(len(animals))
    other = place_of[second.owners], place_of[first.owners]
    levels = near_first.level(every, other[0]), near_second.level(every, other[1])
    x = features(dots(first.means, second.means), levels, (first.sizes, second.sizes))
    tight = np.array([_inside(material, one) + _inside(material, two) for one, two in parted]) / 2
    return np.column_stack([x, tight])


def _inside(material: CatalogueMaterial, rows: Ints) -> float:
    """Mean cosine between the photographs of a group."""
    total = material.vectors[rows].astype(np.float64).sum(axis=0)
    n = len(rows)
    return float((total @ total - n) / (n * (n - 1)))


def part(material: CatalogueMaterial, rows: Ints) -> tuple[Ints, Ints] | None:
    """Part photographs in two groups by average linkage; None where they are too few.

    Groups of fewer than LEAST are odd ones: they are set aside, and join the nearer group at the
    end.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(rows) < 2 * LEAST:
        return None
    if len(rows) > _MOST:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST).astype(np.int64)]
    vectors = material.vectors[rows].astype(np.float64)
    apart = np.maximum(1 - vectors @ vectors.T, 0)
    tree = linkage(apart[np.triu_indices(len(rows), 1)], "average")
    for clusters in range(2, len(rows)):
        which = fcluster(tree, clusters, "maxclust")
        sizes = np.bincount(which)
        if (sizes >= LEAST).sum() >= 2:
            first, second = np.argsort(-sizes, kind="stable")[:2].tolist()
            sides = [vectors[which == number].sum(axis=0) for number in (first, second)]
            nearer = vectors @ (sides[1] / np.linalg.norm(sides[1])) > vectors @ (
                sides[0] / np.linalg.norm(sides[0])
            )
            in_second = np.where(which == first, False, np.where(which == second, True, nearer))
            return rows[~in_second], rows[in_second]
        if (sizes >= LEAST).sum() == 0:
            return None
    return None
