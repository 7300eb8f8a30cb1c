"""Rank every photograph of a catalogue against the others, by an identifier's own rules.

The encounters of each animal are dealt to folds in turn, so that with no more encounters than folds
a photograph is compared with all others of its animal, and with none of its own encounter.
"""

import numpy as np

from flukeprint.data.embeddings import Embeddings, Ints
from flukeprint.keeper.doctor.confident import HeldOut
from flukeprint.keeper.doctor.material import CatalogueMaterial
from flukeprint.output import Stage
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.rules import FittedRules

FOLDS = 10
TOP = 50  # individuals that are kept of each ranking
_ANOTHER_VIEW = 4.0  # more than any two cosines differ, so that another view comes last


def dealt(material: CatalogueMaterial, folds: int = FOLDS) -> Ints:
    """The fold (n,) of each photograph; those of one encounter of an animal are in one."""
    fold = np.zeros(len(material), np.int64)
    order = np.argsort(material.labels, kind="stable")
    cuts = np.flatnonzero(np.diff(material.labels[order])) + 1
    for number, rows in enumerate(np.split(order, cuts)):
        for place, part in enumerate(material.encounters(rows)):
            fold[part] = (number + place) % folds
    return fold


def rank_held_out(
    gallery: Features,
    material: CatalogueMaterial,
    method: FittedRules,
    centers: Embeddings | None = None,
    *,
    progress: bool = False,
) -> HeldOut:
    """Rank each fold's photographs against a gallery of the others.

    gallery: of the same photographs, with their keypoints where the rules match them.
    """
    n, top = len(material), min(TOP, len(material.names))
    number = {name: place for place, name in enumerate(material.names)}
    views = tuple(None if view < 0 else material.views[view] for view in material.view_of.tolist())
    gallery = Features(_seen(gallery.embeddings, views), gallery.keypoints)
    if material.views:
        method = method.model_copy(update={"other_view": max(method.other_view, _ANOTHER_VIEW)})
    labels, rows = np.full((n, top), -1, np.int64), np.full((n, top), -1, np.int64)
    scores = np.full((n, top), -np.inf)
    judged = np.zeros(n, bool)
    fold = dealt(material)
    pair = material.labels * (len(material.views) + 1) + material.view_of + 1
    with Stage("leaving photographs out" if progress else None, n) as stage:
        for number_of_fold in range(FOLDS):
            out = np.flatnonzero(fold == number_of_fold)
            rest = np.flatnonzero(fold != number_of_fold)
            if not len(out) or not len(rest):
                continue
            ranker = QueryRanker(
                gallery.take(rest), gallery.take(out), method.rules, centers=centers
            )
            ranking = ranker.rank(method, top=top)
            for place, names in enumerate(ranking.identities):
                labels[out[place], : len(names)] = [number[str(name)] for name in names]
            there = ranking.rows >= 0
            rows[out] = np.where(there, rest[ranking.rows], -1)
            scores[out] = np.where(there, ranking.scores, -np.inf)
            judged[out] = np.isin(pair[out], pair[rest])
            stage.update(len(out))
    return HeldOut(material.labels, labels, scores, rows, judged, len(material.names))


def _seen(embeddings: Embeddings, views: tuple[str | None, ...]) -> Embeddings:
    return Embeddings(
        embeddings.vectors, embeddings.images, embeddings.identities,
        views if any(view is not None for view in views) else None,
        embeddings.stamp, embeddings.precision,
    )  # fmt: skip
