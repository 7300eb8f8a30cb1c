"""When and where a catalogue's animals were seen, and the prior that this gives."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flukeprint.errors import FlukeprintError
from flukeprint.ranking.encounters.priors import (
    FEWEST_ENCOUNTERS,
    EncounterPrior,
    PriorNumbers,
    Sighting,
    fit_prior,
)
from flukeprint.records.database import Database
from flukeprint.records.kinds import Moment, Position
from flukeprint.records.lookup import list_encounters, list_photographs
from flukeprint.records.pointer import has_catalogue
from flukeprint.records.schema import photographs


def read_sightings(database: Database) -> tuple[Sighting, ...]:
    """Each animal with each encounter in which it was photographed, once."""
    with database.reading() as connection:
        known = {one.id: one for one in list_encounters(connection)}
        photos = list_photographs(
            connection,
            photographs.c.individual_id.is_not(None),
            photographs.c.encounter_id.is_not(None),
        )
    pairs = dict.fromkeys((str(one.individual), one.encounter) for one in photos)
    return tuple(
        (name, known[number]) for name, number in pairs if number is not None and number in known
    )


def read_prior(database: Database) -> EncounterPrior:
    """The prior of a catalogue, fitted to its encounters.

    Raises:
        FlukeprintError: they do not show that time or place tells anything.
    """
    prior = fit_prior(read_sightings(database))
    if prior.numbers.weight == 0:
        raise FlukeprintError(
            "the catalogue's encounters do not show that time or place tells who an animal is "
            f"({prior.numbers.encounters} of animals with others, at least {FEWEST_ENCOUNTERS} are "
            "needed, and a gain beyond chance)"
        )
    return prior


def prior_weights(
    folder: Path, names: Sequence[str], moment: Moment | None, position: Position | None
) -> tuple[dict[str, float], PriorNumbers]:
    """The log weight of each animal at a time and place, and the numbers fitted for that.

    Raises:
        FlukeprintError: the identifier keeps no catalogue, or its encounters do not show that time
            or place tells anything.
    """
    if not has_catalogue(folder):
        raise FlukeprintError(
            f"{folder} keeps no catalogue, so nothing is known of when and where its animals were "
            "seen; leave --date and --at out"
        )
    try:
        prior = read_prior(Database.open(folder))
    except FlukeprintError as error:
        raise FlukeprintError(f"{error}; leave --date and --at out") from None
    return weights_of(prior, names, moment, position), prior.numbers


def weights_of(
    prior: EncounterPrior, names: Sequence[str], moment: Moment | None, position: Position | None
) -> dict[str, float]:
    """The log weight of each of these animals at a time and place."""
    weights = prior.log_weights(names, moment, position)
    assert np.isfinite(weights).all()
    return dict(zip(names, weights.tolist(), strict=True))


def prior_text(numbers: PriorNumbers) -> str:
    """What a prior is made of and what it is worth, in one line."""
    parts = []
    if numbers.near_floor < 1:
        parts.append(f"sightings within some {numbers.kilometres:g} km")
    if numbers.recent_floor < 1:
        parts.append(f"within some {numbers.years:g} years")
    return (
        f"prior: {' and '.join(parts)} count, with weight {numbers.weight:g}; of "
        f"{numbers.encounters} encounters, foretold from the others, it made the right animal "
        f"{np.exp(numbers.gain):.2f} times as likely"
    )
