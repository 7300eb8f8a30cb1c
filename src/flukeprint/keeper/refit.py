"""Fit an identifier's threshold and probabilities anew, from what its catalogue has become.

The photographs of each encounter are asked for while a tenth of the encounters, theirs among them,
is out of the gallery.  An animal that was seen in no other encounter is a new one then, so the
catalogue itself says how often animals are new.  Nothing is trained.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from flukeprint.data.embeddings import Ints, Values
from flukeprint.data.splits import halves
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.fitting import FEWEST_KNOWN, fit_calibration, fit_threshold
from flukeprint.evaluation.metrics import Interval, bootstrap_interval, per_query_ap
from flukeprint.evaluation.reliability import Reliability, measure_reliability
from flukeprint.evaluation.threshold_choice import FEWEST_NEW
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.kept_gallery import Fit
from flukeprint.keeper.keeper import Keeper
from flukeprint.output import Stage
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.pipeline import QueryRanker, RankingGallery
from flukeprint.ranking.ranking import Ranking, insert_new_individual, merge_rankings
from flukeprint.records.journal import Note, editing
from flukeprint.records.kinds import Event, PhotoRecord
from flukeprint.records.lookup import list_photographs
from flukeprint.records.schema import catalogue, fits, photographs

PARTS = 10  # of the encounters, each left out once
SEED = 0
FEWEST_KNOWN_OF_HALF = FEWEST_KNOWN // 2  # that each half needs to fit a threshold


@dataclass(frozen=True)
class FitFigures:
    """What a threshold and a calibration are worth, on queries that did not fit them.

    map5: with its 95 % interval.  false_new: share of known animals answered as new first;
    missed_new: share of new ones answered as known.  reliability: None without a calibration.
    """

    threshold: float | None
    map5: Interval
    false_new: float | None
    missed_new: float | None
    reliability: Reliability | None

    def text(self) -> str:
        """One line for people."""
        at = "never new" if self.threshold is None else f"threshold {self.threshold:.4f}"
        parts = [f"{at}: MAP@5 {self.map5.text()}"]
        if self.false_new is not None:
            parts.append(f"known answered new {self.false_new:.1%}")
        if self.missed_new is not None:
            parts.append(f"new missed {self.missed_new:.1%}")
        if self.reliability is not None:
            r = self.reliability
            parts.append(f"calibration error {r.ece:.3f} (faultless: {r.chance:.3f})")
        return ", ".join(parts)


@dataclass(frozen=True)
class Refitted:
    """A new fit, in use from now on, beside the one before it.

    queries, new_queries: photographs that were asked, and those of animals that were new then.
    gain: MAP@5 of the new fit over the old, paired by query.
    moves: whether there were enough photographs to fit the threshold, too.
    """

    event: Event
    queries: int
    new_queries: int
    old: FitFigures
    new: FitFigures
    gain: Interval
    moves: bool

    def text(self) -> str:
        """Lines for people."""
        gain = self.gain
        known = self.queries - self.new_queries
        kept = (
            f"the threshold is kept: to fit and to measure one takes {2 * FEWEST_KNOWN_OF_HALF} "
            f"photographs of known and {2 * FEWEST_NEW} of new animals, and there are {known} and "
            f"{self.new_queries}"
        )
        return "\n".join(
            [
                f"{counted(self.queries, 'photograph')} asked, {self.new_queries:,} of animals "
                "that were new without their encounter",
                f"before: {self.old.text()}",
                f"now:    {self.new.text()}",
                f"gain in MAP@5 {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]",
                *([] if self.moves or self.old.threshold is None else [kept]),
            ]
        )

    def row(self) -> dict[str, Any]:
        """The figures as data for JSON."""
        return {
            "queries": self.queries,
            "new_queries": self.new_queries,
            "threshold_before": self.old.threshold,
            "threshold": self.new.threshold,
            "map5_before": self.old.map5.mean,
            "map5": self.new.map5.mean,
            "gain_low": self.gain.low,
            "gain": self.gain.mean,
            "gain_high": self.gain.high,
        }


def refit(
    keeper: Keeper, note: Note, *, trained_too: bool = False, progress: bool = False
) -> Refitted:
    """Fit the threshold and the calibration on the catalogue, and use them from now on.

    The figures of the new fit are of queries that did not fit it: each half is measured with what
    the other half fits.  `undo` of the event goes back to the fit before.

    trained_too: ask photographs that the network was trained on, too, which it knows too well.

    Raises:
        FlukeprintError: too few photographs to fit anything.
    """
    known = keeper.identifier
    with keeper.database.reading() as connection:
        first = connection.scalar(sa.select(catalogue.c.first_photos)) or 0
        conditions: list[sa.ColumnElement[bool]] = [
            photographs.c.individual_id.is_not(None),
            photographs.c.decided_by == "person",
        ]
        if not trained_too:
            conditions.append(photographs.c.row >= first)
        photos = list_photographs(connection, *conditions)
    if len(photos) < FEWEST_KNOWN:
        came = "" if trained_too else " that came after the training (--trained-too: all)"
        raise FlukeprintError(
            f"{counted(len(photos), 'photograph')}{came} are too few to fit on; "
            f"{FEWEST_KNOWN} of known animals are needed"
        )
    ranking, answers, encounters = leave_encounters_out(known, photos, progress=progress)
    new = sum(answer is None for answer in answers)
    if len(answers) - new < FEWEST_KNOWN:
        raise FlukeprintError(
            f"only {len(answers) - new} of {counted(len(answers), 'photograph')} show an animal "
            f"that was seen in another encounter; {FEWEST_KNOWN} are needed"
        )
    side = halves(answers, encounters, SEED)
    both = [np.flatnonzero(side), np.flatnonzero(~side)]
    old = known.card.threshold
    moves = old is not None and all(_enough(answers, half) for half in both)
    fresh = _fitted(known, ranking, answers, np.arange(len(answers)), moves)
    turns = [
        (_fitted(known, ranking, answers, one, moves), other) for one, other in (both, both[::-1])
    ]
    in_use = Fit(threshold=old, calibration=known.card.calibration)
    before, before_ap = _measured(ranking, answers, [(in_use, np.arange(len(answers)))], old)
    now, now_ap = _measured(ranking, answers, turns, fresh.threshold)
    gain = bootstrap_interval(now_ap - before_ap, seed=SEED)
    with editing(keeper.database, "refit", note) as edit:
        number = edit.insert(fits, [{"content": fresh.model_dump_json()}])[0]
        edit.update(catalogue, [1], {"fit": number})
        event = edit.finish(
            f"threshold and probabilities fitted on {counted(len(answers), 'photograph')}"
        )
    assert event is not None
    return Refitted(event, len(answers), new, before, now, gain, moves)


def leave_encounters_out(
    known: Identifier, photos: Sequence[PhotoRecord], *, progress: bool = False
) -> tuple[Ranking, list[str | None], list[str]]:
    """Rank photographs of the gallery while their encounters are out of it.

    Returns:
        The ranking without a threshold; the right answers, None where the animal was not in the
        gallery then; and the name of each photograph's encounter.

    Raises:
        FlukeprintError: the keypoints of one are kept in no form in which they can be asked for.
    """
    assert known.kept is not None
    places = np.searchsorted(known.kept.rows, [photo.row for photo in photos])
    encounters = [
        f"photograph {photo.id}" if photo.encounter is None else f"encounter {photo.encounter}"
        for photo in photos
    ]
    parts = _parts_of(encounters, [photo.individual for photo in photos])
    ranked = []
    answers: list[str | None] = [None] * len(photos)
    with Stage("asking without their encounters" if progress else None, len(photos)) as stage:
        for part in np.unique(parts):
            asked = np.flatnonzero(parts == part)
            held = places[asked]
            rest = np.setdiff1d(np.arange(len(known.gallery)), held)
            if not len(rest):
                raise FlukeprintError("the catalogue has one encounter only; nothing can be fitted")
            ranked.append((asked, _ranked(known, rest, held)))
            there = {known.gallery.identities[row] for row in rest.tolist()}
            for place in asked.tolist():
                who = photos[place].individual
                answers[place] = who if who in there else None
            stage.update(len(asked))
    return merge_rankings(ranked), answers, encounters


def _parts_of(encounters: Sequence[str], individuals: Sequence[str | None]) -> Ints:
    """The part (n,) in which each photograph's encounter is left out.

    The encounters of one animal are in different parts, as far as there are enough: it would be
    taken for new if it was left out altogether.
    """
    who: dict[str, set[str | None]] = {}
    for name, individual in zip(encounters, individuals, strict=True):
        who.setdefault(name, set()).add(individual)
    names = sorted(who)
    seen: Counter[tuple[int, str | None]] = Counter()
    load = np.zeros(PARTS, dtype=np.int64)
    part_of = {}
    for place in np.random.default_rng(SEED).permutation(len(names)).tolist():
        name = names[place]
        together = [sum(seen[part, one] for one in who[name]) for part in range(PARTS)]
        part = min(range(PARTS), key=lambda part: (together[part], load[part], part))
        part_of[name] = part
        load[part] += 1
        seen.update((part, one) for one in who[name])
    return np.array([part_of[name] for name in encounters], dtype=np.int64)


def _ranked(known: Identifier, rest: Ints, held: Ints) -> Ranking:
    """Rank the photographs `held` against the gallery of `rest` alone."""
    keypoints = known.keypoints
    descriptors: DescriptorIndex | None = None
    asked: KeypointStore | None = None
    if isinstance(keypoints, DescriptorIndex):
        try:
            asked = keypoints.recent(held)
        except IndexError:
            raise FlukeprintError(
                "the keypoints of photographs that the identifier was trained with are kept in an "
                "index only, so they cannot be asked for; leave --trained-too out"
            ) from None
        descriptors, keypoints = keypoints.take(rest), None
    elif keypoints is not None:
        asked, keypoints = keypoints.take(held), keypoints.take(rest)
    gallery = RankingGallery(
        Features(known.gallery.take(rest), keypoints), known.card.method.rules, known.centers,
        descriptors=descriptors,
    )  # fmt: skip
    queries = Features(known.gallery.take(held), asked)
    return QueryRanker(gallery, queries).rank(known.card.method, top=5)


def _enough(answers: Sequence[str | None], rows: Ints) -> bool:
    """Whether a threshold can be fitted on some queries."""
    new = sum(answers[row] is None for row in rows.tolist())
    return new >= FEWEST_NEW and len(rows) - new >= FEWEST_KNOWN_OF_HALF


def _fitted(
    known: Identifier, ranking: Ranking, answers: Sequence[str | None], rows: Ints, moves: bool
) -> Fit:
    """Fit on some queries; moves: the threshold, too."""
    part, truth = ranking.take(rows), [answers[row] for row in rows.tolist()]
    return Fit(
        threshold=fit_threshold(part, truth) if moves else known.card.threshold,
        calibration=fit_calibration(part, truth) or known.card.calibration,
    )


def _measured(
    ranking: Ranking,
    answers: Sequence[str | None],
    turns: Sequence[tuple[Fit, Ints]],
    threshold: float | None,
) -> tuple[FitFigures, Values]:
    """The figures of fits, each on its queries; and the average precision of every query."""
    ap = np.zeros(len(answers))
    first_new = np.zeros(len(answers), dtype=bool)
    right = np.zeros(len(answers), dtype=bool)
    likely = np.full(len(answers), np.nan)
    for fit, rows in turns:
        part, truth = ranking.take(rows), [answers[row] for row in rows.tolist()]
        if fit.threshold is not None:
            part = insert_new_individual(part, fit.threshold)
        ap[rows] = per_query_ap(part.identities, truth)
        first_new[rows] = [names[0] is None for names in part.identities]
        right[rows] = [
            names[0] == answer for names, answer in zip(part.identities, truth, strict=True)
        ]
        if fit.calibration is not None:
            likely[rows] = fit.calibration.probabilities(part)
    is_new = np.array([answer is None for answer in answers])
    return (
        FitFigures(
            threshold,
            bootstrap_interval(ap, seed=SEED),
            float(first_new[~is_new].mean()) if not is_new.all() else None,
            float((~first_new[is_new]).mean()) if is_new.any() else None,
            None if np.isnan(likely).any() else measure_reliability(likely, right, seed=SEED),
        ),
        ap,
    )
