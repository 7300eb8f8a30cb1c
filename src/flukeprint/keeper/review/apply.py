"""Turn the decisions of a review into an event of the catalogue, all of them or none.

What was decided before somebody changed that animal is shown and left alone: the person who decided
saw another catalogue.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flukeprint.errors import FlukeprintError, ProblemsError, counted
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.keeper.review.table import ReviewDecision
from flukeprint.records.journal import Note
from flukeprint.records.kinds import Event
from flukeprint.records.lookup import events_about, last_event
from flukeprint.records.names import find_individual, ids_of_names
from flukeprint.records.schema import changes, events, individuals, photographs

# Events after which a decision for an animal still means what it meant.
_HARMLESS = ("enroll", "review", "annotate", "describe", "refit", "begin")


@dataclass(frozen=True)
class ReviewOutcome:
    """What became of a review's decisions.

    event: None where nothing was left to do.  applied: the decisions that it holds.
    left: decision and the reason why it was left alone, such as a later change of that animal.
    others: how many were unsure, of a wrong view, undecided or unreadable.
    """

    event: Event | None
    applied: tuple[ReviewDecision, ...]
    left: tuple[tuple[ReviewDecision, str], ...]
    others: Mapping[str, int]

    def text(self) -> str:
        """Lines for people: what was left alone and why, then each decision."""
        lines = [f"left alone: {one.photo}: {why}" for one, why in self.left]
        lines += [
            f"{one.photo}: {one.identity or 'a new animal'}, decided by {one.reviewer or 'nobody'}"
            for one in self.applied
        ]
        lines += [f"{what.replace('_', ' ')}: {number}" for what, number in self.others.items()]
        return "\n".join(lines)

    def row(self) -> dict[str, Any]:
        """The outcome as data for JSON, without its event."""
        return {
            "applied": [
                {"photo": one.photo, "identity": one.identity, "reviewer": one.reviewer}
                for one in self.applied
            ],
            "left": [{"photo": one.photo, "why": why} for one, why in self.left],
            "others": dict(self.others),
        }


def apply_review(
    keeper: Keeper,
    decisions: Sequence[ReviewDecision],
    note: Note,
    *,
    stale: bool = False,
    force: bool = False,
    progress: bool = False,
) -> ReviewOutcome:
    """Enroll the photographs of a review under the names that a person decided for.

    A photograph that is in the catalogue already is left as it is.

    stale: apply decisions, too, after which the animal was changed, or new ones came.
    force: take near copies, and names that are nearly those of other animals.

    Raises:
        ProblemsError: photographs that are missing or were changed since; nothing is done then.
    """
    wanted = [one for one in decisions if one.decision in ("known", "new")]
    others: Counter[str] = Counter(
        one.decision for one in decisions if one.decision not in ("known", "new")
    )
    problems, left, fresh = [], [], []
    with keeper.database.reading() as connection:
        now = last_event(connection)
        for one in wanted:
            problem = _file_problem(one)
            if problem is not None:
                problems.append(problem)
                continue
            why = (
                _in_catalogue(connection, one)
                or _not_known(connection, one)
                or (None if stale else _stale(connection, one, now))
            )
            if why is None:
                fresh.append(one)
            else:
                left.append((one, why))
    if problems:
        raise ProblemsError(problems, "the review")
    if not fresh:
        return ReviewOutcome(None, (), tuple(left), others)
    done = keeper.enroll(
        [
            NewPhotograph(
                Path(one.path), one.path, Path(one.path).name, one.identity,
                decided_by="person", decider=one.reviewer or note.author,
            )
            for one in fresh
        ],
        note, force=force, each_new=True, kind="review", progress=progress,
    )  # fmt: skip
    return ReviewOutcome(done.event, tuple(fresh), tuple(left), others)


def _file_problem(one: ReviewDecision) -> str | None:
    try:
        data = Path(one.path).read_bytes()
    except OSError as error:
        return f"line {one.line}: {one.path}: {error.strerror or error}"
    if one.digest is not None and bytes_digest(data) != one.digest:
        return f"line {one.line}: {one.path} is another file than the one that was looked at"
    return None


def _in_catalogue(connection: sa.Connection, one: ReviewDecision) -> str | None:
    """Why a photograph that is in the catalogue already is left alone; None for one that is not."""
    held = connection.execute(
        sa.select(photographs.c.image, individuals.c.name)
        .outerjoin(individuals, individuals.c.id == photographs.c.individual_id)
        .where(photographs.c.digest == one.digest, ~photographs.c.removed)
    ).first()
    if held is None:
        return None
    return f"it is in the catalogue already, as {held.image} of {held.name}"


def _not_known(connection: sa.Connection, one: ReviewDecision) -> str | None:
    """Why a decision for an animal that is not there is left alone: it would make a new one."""
    if one.decision != "known":
        return None
    assert one.identity is not None
    try:
        find_individual(connection, one.identity)
    except FlukeprintError as error:
        return str(error)
    return None


def _stale(connection: sa.Connection, one: ReviewDecision, now: int) -> str | None:
    """What has changed since, so that the decision may mean something else; None for nothing."""
    named = [] if one.identity is None or one.decision != "new" else [one.identity]
    if ids_of_names(connection, named, exactly=True):
        return f"an animal is called {one.identity} already; was it meant as known?"
    if one.catalogue_event >= now:
        return None
    if one.decision == "new":
        came = connection.execute(
            sa.select(sa.func.count())
            .select_from(changes.join(events, events.c.id == changes.c.event_id))
            .where(
                changes.c.of_table == "individuals", changes.c.before.is_(None),
                events.c.id > one.catalogue_event, events.c.undone_by.is_(None),
            )
        ).scalar_one()  # fmt: skip
        if not came:
            return None
        return f"{counted(came, 'animal')} came since, and it may be one of them"
    assert one.identity is not None
    who = find_individual(connection, one.identity)
    later = [
        event
        for event in events_about(connection, who)
        if event.id > one.catalogue_event
        and event.undone_by is None
        and event.undoes is None
        and event.kind not in _HARMLESS
    ]
    if not later:
        return None
    return f"since then event {later[-1].id} changed {one.identity}: {later[-1].summary}"
