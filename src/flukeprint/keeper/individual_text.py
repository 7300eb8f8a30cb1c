"""A catalogue's animals and events as text for people and as data for JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flukeprint.errors import counted
from flukeprint.records.kinds import Encounter, Event, Individual, PhotoRecord
from flukeprint.records.lookup import IndividualPage


def individual_row(one: Individual) -> dict[str, Any]:
    """An animal as data for JSON; dates as text."""
    row = asdict(one)
    for name in ("died", "first_seen", "last_seen"):
        moment = getattr(one, name)
        row[name] = None if moment is None else str(moment)
    return row


def page_row(page: IndividualPage) -> dict[str, Any]:
    """All that is known of an animal as data for JSON."""
    encounters = []
    for one in page.encounters:
        row = asdict(one)
        row["moment"] = None if one.moment is None else str(one.moment)
        encounters.append(row)
    return {
        **individual_row(page.individual),
        "photographs": [asdict(photo) for photo in page.photographs],
        "encounters": encounters,
        "history": [asdict(event) for event in page.history],
    }


def list_text(found: Sequence[Individual]) -> str:
    """A table of animals, with a line that counts them."""
    lines = [f"{'animal':20}{'photos':>7}{'encounters':>12}  {'last seen':18}also known as"]
    for one in found:
        seen = "" if one.last_seen is None else str(one.last_seen)
        lines.append(
            f"{one.name:20}{one.photographs:7,}{one.encounters:12,}  {seen:18}"
            f"{', '.join(one.aliases)}".rstrip()
        )
    return "\n".join([*lines, counted(len(found), "animal")])


def page_text(page: IndividualPage) -> str:
    """All that is known of an animal, in lines."""
    one = page.individual
    lines = [one.name]
    told = [
        ("also known as", ", ".join(one.aliases)),
        ("sex", one.sex),
        ("life stage", one.life_stage),
        ("died", one.died),
        ("first seen", one.first_seen),
        ("last seen", one.last_seen),
        ("notes", one.notes),
    ]
    lines += [f"  {what:14}{_on_one_line(value)}" for what, value in told if value]
    lines.append(
        f"  {counted(len(page.photographs), 'photograph')}, "
        f"{counted(len(page.encounters), 'encounter')}"
    )
    for encounter in page.encounters:
        photos = [photo for photo in page.photographs if photo.encounter == encounter.id]
        lines += [f"  {_encounter_text(encounter)}", *map(_photo_text, photos)]
    rest = [photo for photo in page.photographs if photo.encounter is None]
    if rest:
        lines += ["  without a date", *map(_photo_text, rest)]
    if page.history:
        lines += ["  history", *(f"    {event_line(event)}" for event in reversed(page.history))]
    return "\n".join(lines)


def event_line(event: Event) -> str:
    """One event in a line."""
    why = f" ({event.reason})" if event.reason else ""
    gone = f" [taken back by event {event.undone_by}]" if event.undone_by is not None else ""
    when = event.time.replace("T", " ").removesuffix("Z")
    return _on_one_line(
        f"{event.id:>4}  {when}  {event.author}: {event.kind}: {event.summary}{why}{gone}"
    )


def _on_one_line(text: object) -> str:
    return " ".join(str(text).splitlines())


def _encounter_text(one: Encounter) -> str:
    parts = [
        "without a date" if one.moment is None else str(one.moment),
        one.place or "",
        "" if one.position is None else str(one.position),
        "" if one.observer is None else f"by {one.observer}",
        one.occasion or "",
    ]
    return _on_one_line(", ".join(part for part in parts if part))


def _photo_text(photo: PhotoRecord) -> str:
    sure = "" if photo.probability is None else f", probability {photo.probability:.0%}"
    who = "" if photo.decider is None else f", named by {photo.decider}"
    view = "" if photo.view is None else f", {photo.view}"
    return f"    {photo.image}{view}{who}{sure}"
