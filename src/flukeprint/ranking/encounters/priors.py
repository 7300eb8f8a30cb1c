"""How likely each animal is at a time and place, before anybody looks at the photograph.

An animal that was seen near there before is likelier, and so is one that was seen shortly before or
after; none is ever impossible.  With d_j the distances (km) of its earlier sightings and g the
least gap (years) to one of them, the weight of an animal is

    (f + (1 - f) mean_j exp(-d_j^2 / 2 s^2)) * (h + (1 - h) exp(-g / t))

raised to a power w, and divided by its mean over the animals, so that a new individual and an
animal of which no sighting tells enough have weight 1.  `fit_prior` fits s, f, t, h and w on the
catalogue's own encounters, each foretold from all others.  How often an animal was seen does not
count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pydantic import Field

from flukeprint.config.base import Section
from flukeprint.data.embeddings import Ints, Values
from flukeprint.records.distances import great_circle
from flukeprint.records.kinds import Encounter, Moment, Position

Sighting = tuple[str, Encounter]  # an animal and when and where it was seen

# Tried by `fit_prior`.  A floor of 1 leaves place or time out.
KILOMETRES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
YEARS = (0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FLOORS = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_ENCOUNTERS = 400  # drawn ones that are foretold
FEWEST_ENCOUNTERS = 20  # of animals that have others; with fewer the weight is 0
_NUMBERS = 5  # that are fitted; each must earn its keep (Akaike 1974)

_DAYS = 365.2425  # of a year


class PriorNumbers(Section):
    """The fitted numbers of a prior by time and place, as an identifier keeps them in JSON.

    weight: power of the whole; 0: the prior says nothing.
    encounters: how many were foretold to fit it.  gain: by how much the mean log-likelihood of the
    animal that was seen rose over that of all animals being alike.
    """

    kilometres: float = Field(1.0, gt=0, allow_inf_nan=False)
    near_floor: float = Field(1.0, gt=0, le=1)
    years: float = Field(1.0, gt=0, allow_inf_nan=False)
    recent_floor: float = Field(1.0, gt=0, le=1)
    weight: float = Field(0.0, ge=0, le=1)
    encounters: int = Field(0, ge=0)
    gain: float = Field(0.0, allow_inf_nan=False)


@dataclass(frozen=True)
class EncounterPrior:
    """The prior of a catalogue: its animals' sightings, and the fitted numbers.

    names: of the animals, sorted.  owners: (s,) whose each sighting is, ascending.
    places: (s, 3) latitude and longitude in radians, uncertainty in km; NaN where unknown.
    times: (s, 2) first and last moment that a sighting can mean, in years; NaN where unknown.
    """

    numbers: PriorNumbers
    names: tuple[str, ...]
    owners: Ints
    places: Values
    times: Values

    @classmethod
    def of(
        cls, sightings: Sequence[Sighting], numbers: PriorNumbers | None = None
    ) -> "EncounterPrior":
        """Gather the sightings; without numbers the prior says nothing."""
        names = tuple(sorted({name for name, _ in sightings}))
        number = {name: place for place, name in enumerate(names)}
        ordered = sorted(sightings, key=lambda each: number[each[0]])
        return cls(
            numbers=numbers or PriorNumbers(),
            names=names,
            owners=np.array([number[name] for name, _ in ordered], np.int64),
            places=np.array([_place(seen.position) for _, seen in ordered]).reshape(-1, 3),
            times=np.array([_time(seen.moment) for _, seen in ordered]).reshape(-1, 2),
        )

    def parts(self, moment: Moment | None, position: Position | None) -> tuple[Values, Values]:
        """Log of the factors of place and of time (n,) of the animals `names`, before the power.

        NaN where nothing is known.
        """
        distances = _distances(self.places, np.array(_place(position)))
        gaps = _gaps(self.times, np.array(_time(moment)))
        near = _mean_of(np.exp(-((distances / self.numbers.kilometres) ** 2) / 2), self)
        recent = np.exp(-_least_of(gaps, self) / self.numbers.years)
        return _floored(near, self.numbers.near_floor), _floored(recent, self.numbers.recent_floor)

    def log_weights(
        self, names: Sequence[str], moment: Moment | None, position: Position | None
    ) -> Values:
        """Log of the weight (n,) of each of these animals at a time and place, either unknown.

        0 for an animal without sightings, as for a new individual.
        """
        own = dict(
            zip(self.names, _joined(*self.parts(moment, position), self.numbers), strict=True)
        )
        return np.array([own.get(name, 0.0) for name in names], dtype=np.float64)


def fit_prior(sightings: Sequence[Sighting], *, seed: int = 0) -> EncounterPrior:
    """Fit the prior of a catalogue on its own encounters.

    Each of at most MOST_ENCOUNTERS encounters is left out, whoever was seen there, and the animals
    of it that have others are foretold from these.  The numbers are those by which they are
    likeliest; the weight is 0 where that is no likelier than all animals being alike, for what five
    fitted numbers gain by chance, or where too few encounters are there.
    """
    prior = EncounterPrior.of(sightings)
    left_out = _LeftOut.of(sightings, seed)
    if len(left_out.truth) < FEWEST_ENCOUNTERS:
        return prior
    best = left_out.best(prior)
    alike = float(left_out.likelihoods(PriorNumbers()).sum())
    gain = float(left_out.likelihoods(best).sum()) - alike
    count = len(left_out.truth)
    if gain <= _NUMBERS:
        return replace(prior, numbers=PriorNumbers(encounters=count))
    told = best.model_copy(update={"encounters": count, "gain": gain / count})
    return replace(prior, numbers=told)


@dataclass(frozen=True)
class _LeftOut:
    """Encounters that are foretold from the others: e of them, each with one animal seen there.

    prior: of all sightings.  distances, gaps: (e, s) to every sighting, NaN where one is unknown or
    is of the encounter itself.  truth: (e,) place of the animal among the names.  there: (e, n)
    whether an animal has a sighting in another encounter.
    """

    prior: EncounterPrior
    distances: Values
    gaps: Values
    truth: Ints
    there: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, sightings: Sequence[Sighting], seed: int) -> "_LeftOut":
        ordered = sorted(sightings, key=lambda each: each[0])
        prior = EncounterPrior.of(ordered)
        encounter = np.array([seen.id for _, seen in ordered], np.int64)
        n = len(prior.names)
        rng = np.random.default_rng(seed)
        drawn: list[int] = []
        for row in rng.permutation(len(ordered)).tolist():
            others = (prior.owners == prior.owners[row]) & (encounter != encounter[row])
            known = not np.isnan([*prior.places[row], *prior.times[row]]).all()
            if others.any() and known:
                drawn.append(row)
            if len(drawn) == MOST_ENCOUNTERS:
                break
        distances = np.empty((len(drawn), len(ordered)))
        gaps, there = np.empty_like(distances), np.zeros((len(drawn), n), dtype=bool)
        for number, row in enumerate(drawn):
            same = encounter == encounter[row]
            distances[number] = _distances(prior.places, prior.places[row])
            gaps[number] = _gaps(prior.times, prior.times[row])
            distances[number, same] = gaps[number, same] = np.nan
            there[number, prior.owners[~same]] = True
        return cls(prior, distances, gaps, prior.owners[drawn], there)

    def best(self, prior: EncounterPrior) -> PriorNumbers:
        """The likeliest of the numbers that are tried; of equal ones the first."""
        gap = np.stack([_least_of(row, self.prior) for row in self.gaps])
        found, best = PriorNumbers(), -math.inf
        times = [(years, floor) for years in YEARS for floor in FLOORS[:-1]] + [(1.0, 1.0)]
        recents = [_floored(np.exp(-gap / years), floor) for years, floor in times]
        for kilometres in KILOMETRES:
            kernel = np.exp(-((self.distances / kilometres) ** 2) / 2)
            near = np.stack([_mean_of(row, self.prior) for row in kernel])
            for near_floor in FLOORS:
                if near_floor == 1 and kilometres != KILOMETRES[0]:
                    continue  # place is left out, whatever the scale
                place = _floored(near, near_floor)
                for (years, recent_floor), recent in zip(times, recents, strict=True):
                    for weight in WEIGHTS[1:]:
                        total = float(self._of(place, recent, weight).sum())
                        if total > best + 1e-9:
                            best = total
                            found = PriorNumbers(
                                kilometres=kilometres, near_floor=near_floor, years=years,
                                recent_floor=recent_floor, weight=weight,
                            )  # fmt: skip
        return found

    def likelihoods(self, numbers: PriorNumbers) -> Values:
        """Log-likelihood (e,) of the animals that were seen."""
        kernel = np.exp(-((self.distances / numbers.kilometres) ** 2) / 2)
        near = np.stack([_mean_of(row, self.prior) for row in kernel])
        gap = np.stack([_least_of(row, self.prior) for row in self.gaps])
        recent = np.exp(-gap / numbers.years)
        return self._of(
            _floored(near, numbers.near_floor), _floored(recent, numbers.recent_floor),
            numbers.weight,
        )  # fmt: skip

    def _of(self, place: Values, recent: Values, weight: float) -> Values:
        logs = weight * (_unknown_as_mean(place) + _unknown_as_mean(recent))
        logs = np.where(self.there, logs, -np.inf)
        own = logs[np.arange(len(logs)), self.truth]
        top = logs.max(axis=1)
        return np.asarray(own - top - np.log(np.exp(logs - top[:, None]).sum(axis=1)))


def _joined(place: Values, recent: Values, numbers: PriorNumbers) -> Values:
    """Log weights (n,), whose weights have mean 1."""
    if not len(place):
        return place
    logs = numbers.weight * (_unknown_as_mean(place) + _unknown_as_mean(recent))
    return np.asarray(logs - np.log(np.exp(logs - logs.max()).mean()) - logs.max())


def _unknown_as_mean(logs: Values) -> Values:
    """Log factors (..., n) with the log of their mean where they are unknown; 0 where all are."""
    known = ~np.isnan(logs)
    count = known.sum(axis=-1, keepdims=True)
    total = np.where(known, np.exp(np.where(known, logs, 0.0)), 0.0).sum(axis=-1, keepdims=True)
    mean = np.log(np.where(count > 0, total, 1.0) / np.maximum(count, 1))
    return np.where(known, logs, mean)


def _floored(shares: Values, floor: float) -> Values:
    return np.asarray(np.log(floor + (1 - floor) * shares))


def _mean_of(values: Values, prior: EncounterPrior) -> Values:
    """Mean (n,) over each animal's known sightings; NaN where it has none."""
    known = ~np.isnan(values)
    n = len(prior.names)
    count = np.bincount(prior.owners[known], minlength=n)
    total = np.bincount(prior.owners[known], weights=values[known], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _least_of(values: Values, prior: EncounterPrior) -> Values:
    """Least (n,) over each animal's known sightings; NaN where it has none."""
    least = np.full(len(prior.names), np.inf)
    known = ~np.isnan(values)
    np.minimum.at(least, prior.owners[known], values[known])
    return np.where(np.isinf(least), np.nan, least)


def _distances(places: Values, one: Values) -> Values:
    """Great-circle distances (s,) in km, less what both are uncertain by."""
    far = great_circle(places[:, 0], places[:, 1], one[0], one[1])
    return np.asarray(np.maximum(far - places[:, 2] - one[2], 0.0))


def _gaps(times: Values, one: Values) -> Values:
    """Gaps (s,) in years between what two moments can mean; 0 where these overlap."""
    return np.asarray(np.maximum(np.maximum(times[:, 0] - one[1], one[0] - times[:, 1]), 0.0))


def _place(position: Position | None) -> tuple[float, float, float]:
    if position is None:
        return (math.nan, math.nan, math.nan)
    return (
        math.radians(position.latitude),
        math.radians(position.longitude),
        (position.uncertainty or 0.0) / 1000,
    )


def _time(moment: Moment | None) -> tuple[float, float]:
    if moment is None:
        return (math.nan, math.nan)
    return (_years(moment.earliest), _years(moment.latest))


def _years(moment: datetime) -> float:
    seconds = (moment.hour * 60 + moment.minute) * 60 + moment.second
    return (moment.toordinal() + seconds / 86400) / _DAYS
