"""Animals that are in a catalogue expected: pairs that look like one, and who says so."""

import numpy as np

from flukeprint.data.embeddings import Ints, Values
from flukeprint.keeper.doctor.evidence import Evidence, probability
from flukeprint.keeper.doctor.findings import CatalogueFinding
from flukeprint.keeper.doctor.likeness import dots, features, nearest
from flukeprint.keeper.doctor.material import CatalogueMaterial
from flukeprint.ranking.neighbours import cosines

WITNESSES = 3  # pairs of photographs that are named


def doublets(
    material: CatalogueMaterial, likeness: Evidence, expected: float, least: float
) -> list[CatalogueFinding]:
    """Pairs of animals that are one with a probability of at least `least`, likeliest first.

    likeness: of `learn_likeness`.  expected: share of animals that may be there under two names.
    What the views say is added up; a view of which one of the two has no photograph says nothing.
    """
    pairs, ratios = _judged(material, likeness)
    likely = probability(ratios, expected / max(2, len(material.names) - 1))
    found = []
    for place in np.argsort(-likely, kind="stable").tolist():
        if likely[place] < least:
            break
        first, second = sorted(pairs[place].tolist())
        seen, best = witnesses(material, first, second)
        found.append(
            CatalogueFinding(
                "doublet",
                (material.names[first], material.names[second]),
                " and ".join(" looks like ".join(pair) for pair in seen[:1])
                + f" (similarity {best:.2f})",
                seen,
                float(likely[place]),
            )
        )
    return found


def _judged(material: CatalogueMaterial, likeness: Evidence) -> tuple[Ints, Values]:
    """Pairs (m, 2) of animals that are near in some view, and what all views say of them."""
    views = {view: material.animals(view) for view in material.each_view()}
    nears = {view: nearest(animals, animals) for view, animals in views.items()}
    wanted = [np.empty((0, 2), np.int64)]
    for view, animals in views.items():
        places = nears[view].places
        one = np.repeat(animals.owners, places.shape[1])
        other = animals.owners[places.ravel()]
        wanted.append(np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1))
    pairs = np.unique(np.concatenate(wanted), axis=0)
    ratios = np.zeros(len(pairs))
    for view, animals in views.items():
        place_of = np.full(len(material.names), -1, np.int64)
        place_of[animals.owners] = np.arange(len(animals))
        both = np.flatnonzero((place_of[pairs] >= 0).all(axis=1))
        one, other = place_of[pairs[both]].T
        ratios[both] += likeness(
            features(
                dots(animals.means[one], animals.means[other]),
                (nears[view].level(one, other), nears[view].level(other, one)),
                (animals.sizes[one], animals.sizes[other]),
            )
        )
    return pairs, ratios


def witnesses(
    material: CatalogueMaterial, first: int, second: int
) -> tuple[tuple[tuple[str, str], ...], float]:
    """The most similar photographs of two animals, one of each, no photograph twice."""
    found: list[tuple[float, int, int]] = []
    for view in material.each_view():
        one, other = (material.rows_of.get((label, view)) for label in (first, second))
        if one is None or other is None:
            continue
        scores = cosines(material.vectors[one], material.vectors[other]).astype(np.float64)
        for _ in range(min(WITNESSES, len(one), len(other))):
            i, j = np.unravel_index(int(scores.argmax()), scores.shape)
            found.append((float(scores[i, j]), int(one[i]), int(other[j])))
            scores[i], scores[:, j] = -np.inf, -np.inf
    found.sort(key=lambda pair: (-pair[0], pair[1:]))
    seen = tuple((material.images[i], material.images[j]) for _, i, j in found[:WITNESSES])
    return seen, found[0][0]
