"""The animals that one animal of a catalogue could be the same as, by how alike they look.

Animals are compared as `keeper/doctor` compares them: in each view of which both have photographs,
by the cosine of their mean directions and its lead over their neighbours.  Where the catalogue has
enough animals with several encounters to learn from, that gives a probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flukeprint.data.embeddings import Embeddings
from flukeprint.keeper.doctor.doublets import witnesses
from flukeprint.keeper.doctor.evidence import Evidence, probability
from flukeprint.keeper.doctor.likeness import Nearest, dots, features, learn_likeness, nearest
from flukeprint.keeper.doctor.material import CatalogueMaterial, Groups
from flukeprint.keeper.doctor.options import DoctorOptions
from flukeprint.records.kinds import PhotoRecord


@dataclass(frozen=True)
class AlikeAnimal:
    """Another animal that one could be the same as.

    similarity: cosine of the mean directions of both, the largest of all views that both have.
    probability: that they are one animal; None where too little is known to say.
    pair: the two most similar photographs, the one's first.
    """

    name: str
    similarity: float
    probability: float | None
    pair: tuple[str, str]


class AlikeAnimals:
    """Answers for each animal of a gallery which others are nearest to it."""

    def __init__(
        self,
        gallery: Embeddings,
        photographs: Sequence[PhotoRecord] | None = None,
        likeness: Evidence | None = None,
    ) -> None:
        """Gather what is compared.

        likeness: of `learned`, of this catalogue or of an earlier state of it; None: there are no
            probabilities.
        """
        self._material = CatalogueMaterial.of(gallery, photographs)
        self._place = {name: place for place, name in enumerate(self._material.names)}
        self.likeness = likeness

    def learned(self) -> Evidence | None:
        """What likeness says in this catalogue; None where it has too few animals to tell.

        It takes some 20 s for 5,000 animals, and holds for long.
        """
        options = DoctorOptions()
        rng = np.random.default_rng(options.seed)
        return learn_likeness(self._material, options.expected, rng)

    def of(self, name: str, most: int = 5) -> tuple[AlikeAnimal, ...]:
        """The `most` animals that `name` is likest to be, likeliest first; none for nobody."""
        if name not in self._place:
            return ()
        own = self._place[name]
        ratios: dict[int, float] = {}
        similar: dict[int, float] = {}
        for animals, near in self._views:
            at = np.flatnonzero(animals.owners == own)
            if not len(at) or not near.places.shape[1]:
                continue
            for other in near.places[at[0]].tolist():
                similar.setdefault(int(animals.owners[other]), -1.0)
        for animals, near in self._views:
            at = np.flatnonzero(animals.owners == own)
            if not len(at):
                continue
            others = np.flatnonzero(np.isin(animals.owners, list(similar)))
            one = np.repeat(at, len(others))
            cosine = dots(animals.means[one], animals.means[others])
            said = np.zeros(len(others))
            if self.likeness is not None and len(others):
                levels = near.level(one, others), near.level(others, one)
                said = self.likeness(
                    features(cosine, levels, (animals.sizes[one], animals.sizes[others]))
                )
            labels = animals.owners[others].tolist()
            for label, value, ratio in zip(labels, cosine.tolist(), said.tolist(), strict=True):
                similar[label] = max(similar[label], value)
                ratios[label] = ratios.get(label, 0.0) + ratio
        prior = DoctorOptions().expected / max(2, len(self._place) - 1)
        found = []
        for label, value in similar.items():
            seen, _ = witnesses(self._material, own, label)
            likely = None
            if self.likeness is not None:
                likely = float(probability(ratios[label], prior))
            found.append(AlikeAnimal(self._material.names[label], value, likely, seen[0]))
        found.sort(key=lambda one: (-(one.probability or 0), -one.similarity, one.name))
        return tuple(found[:most])

    @cached_property
    def _views(self) -> tuple[tuple[Groups, Nearest], ...]:
        views = [self._material.animals(view) for view in self._material.each_view()]
        return tuple((animals, nearest(animals, animals)) for animals in views)
