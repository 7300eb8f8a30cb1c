"""Examine the catalogue of an identifier: everything in it that a person should look at."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from flukeprint.data.names import spelling
from flukeprint.errors import counted
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.doctor.doublets import doublets
from flukeprint.keeper.doctor.findings import CatalogueFinding, CatalogueReport
from flukeprint.keeper.doctor.holding_out import rank_held_out
from flukeprint.keeper.doctor.likeness import learn_likeness
from flukeprint.keeper.doctor.material import CatalogueMaterial
from flukeprint.keeper.doctor.mixtures import mixtures
from flukeprint.keeper.doctor.options import DoctorOptions
from flukeprint.keeper.doctor.poor_views import poor_views, qualities
from flukeprint.keeper.doctor.sightings import after_death, two_places
from flukeprint.keeper.doctor.wrong_labels import wrong_labels
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.rules import FittedRules
from flukeprint.records.kinds import Encounter, Individual, PhotoRecord

_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def examine_catalogue(
    identifier: Identifier,
    *,
    individuals: Sequence[Individual] | None = None,
    encounters: Sequence[Encounter] | None = None,
    photographs: Sequence[PhotoRecord] | None = None,
    options: DoctorOptions | None = None,
    progress: bool = False,
) -> CatalogueReport:
    """Examine an identifier's catalogue.

    individuals, encounters, photographs: its records; None where there are none.
    progress: show a bar on a terminal.
    """
    options = options or DoctorOptions()
    gallery = identifier.gallery
    material = CatalogueMaterial.of(
        gallery, photographs, identifier.prepared.scorer.whitened(gallery.vectors)
    )
    findings, notes, doubted = _of_likeness(identifier, material, options, progress)
    names = {*material.names, *(one.name for one in individuals or ())}
    findings += alike_names(names)
    if encounters is None or photographs is None:
        notes.append("no dates and places are recorded: encounters and deaths were not examined")
    else:
        findings += two_places(
            encounters, photographs, options.animal_speed, options.observer_speed
        )
        findings += after_death(individuals or (), encounters, photographs)
    if not material.views:
        notes.append("no views are known: animals without a good one were not looked for")
    else:
        showcase = identifier.showcase
        kept = None if showcase is None else showcase.thumbnails
        quality = qualities(material.images, kept, photographs)
        if quality is None:
            notes.append("no thumbnails are kept: only views without any photograph are told")
        findings += poor_views(material, quality)
    return CatalogueReport(
        len(material), len(material.names), tuple(findings), tuple(notes), doubted
    )


def alike_names(names: Iterable[str]) -> list[CatalogueFinding]:
    """Different names that may be one animal's, spelt in several ways or with other zeros."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        groups[_ZEROS.sub("", spelling(name))].append(name)
    return [
        CatalogueFinding("name", tuple(group), "differ in case, accents, separators or zeros alone")
        for group in groups.values()
        if len(group) > 1
    ]


def _of_likeness(
    identifier: Identifier, material: CatalogueMaterial, options: DoctorOptions, progress: bool
) -> tuple[list[CatalogueFinding], list[str], int | None]:
    """What photographs say of each other; notes on what they do not; and labels doubted."""
    findings, notes = [], []
    expected, least = options.expected, options.least
    likeness = learn_likeness(material, expected, np.random.default_rng(options.seed))
    if likeness is None:
        notes.append(
            "too few animals have two encounters in a view: pairs that look like one were not "
            "looked for"
        )
    else:
        findings += doublets(material, likeness, expected, least)
    mixed = mixtures(material, expected, least, np.random.default_rng(options.seed))
    if mixed is None:
        notes.append(
            "too few animals have four photographs of a view: animals that look like two were not "
            "looked for"
        )
    pairs = {one.individuals for one in findings}
    findings += mixed or []
    method, features, note = _rules(identifier, options.keypoints)
    if note:
        notes.append(note)
    held_out = rank_held_out(features, material, method, identifier.centers, progress=progress)
    wrong = wrong_labels(material, held_out, expected, least, np.random.default_rng(options.seed))
    if wrong is None:
        notes.append(
            "too few photographs have another of their animal and view: no label is judged"
        )
        return findings, notes, None
    if unjudged := len(material) - wrong.judged:
        notes.append(
            f"{counted(unjudged, 'photograph has', 'photographs have')} no other encounter of the "
            "same animal and view, so the labels of these were not judged"
        )
    for finding, two in zip(wrong.findings, wrong.pairs, strict=True):
        # Between two names of one animal every photograph looks like the other's.
        first, second = sorted(two)
        if (material.names[first], material.names[second]) not in pairs:
            findings.append(finding)
    return findings, notes, wrong.doubted


def _rules(identifier: Identifier, keypoints: bool) -> tuple[FittedRules, Features, str | None]:
    """The rules to leave photographs out by, the gallery they need, and what they leave out."""
    method, store = identifier.card.method, identifier.keypoints
    if not method.rules.local.candidates:
        return method, Features(identifier.gallery), None
    if keypoints and isinstance(store, KeypointStore):
        return method, Features(identifier.gallery, store), None
    note = "keypoints were not matched where photographs were left out"
    note += (
        "; --keypoints does, slowly"
        if isinstance(store, KeypointStore)
        else ": their index keeps those of no single photograph"
    )
    local = method.rules.local.model_copy(update={"candidates": 0})
    rules = method.rules.model_copy(update={"local": local, "fuse": False})
    plain = method.model_copy(update={"rules": rules, "gain_scale": 0.0, "fusion": None})
    return plain, Features(identifier.gallery), note
