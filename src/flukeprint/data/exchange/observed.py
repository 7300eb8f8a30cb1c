"""What a source of the field tells of photographs: whom they show, when, where, in which box."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flukeprint.data.catalog import Box
from flukeprint.errors import counted


@dataclass(frozen=True)
class ObservedPhoto:
    """A photograph, or a box of one, with all that a source tells of it; None where it is silent.

    image: its name, unique in the source; boxes of one photograph have the same `path`.
    path: its file; None where the source names none that can be read, such as private media.
    box: x0, y0, x1, y1 as shares 0 to 1 of the upright photograph, inside it; None for all of it.
    date: ISO 8601 as far as it is known, local time; offset: of it from UTC, such as +02:00.
    latitude, longitude: degrees, WGS 84; uncertainty: metres.
    encounter: key of what was seen together.  deployment: key of a camera at its place.
    probability: of the identity; confidence: that there is an animal in the box at all.
    by: who or what named it; machine: whether that was a model.
    """

    image: str
    path: Path | None
    identity: str | None = None
    box: Box | None = None
    view: str | None = None
    date: str | None = None
    offset: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    uncertainty: float | None = None
    place: str | None = None
    observer: str | None = None
    occasion: str | None = None
    encounter: str | None = None
    deployment: str | None = None
    species: str | None = None
    sex: str | None = None
    life_stage: str | None = None
    notes: str | None = None
    probability: float | None = None
    confidence: float | None = None
    by: str | None = None
    machine: bool = False

    def __post_init__(self) -> None:
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                raise ValueError(f"{self.image}: a box of shares {self.box}")


@dataclass(frozen=True)
class Observed:
    """All that a source tells.

    form: name of its format; version: of that, as the source says.
    photos: in the source's order.
    left_out: why something was left out -> how often; examples: why -> the first few of them.
    notes: what else a person should know, a line each.
    """

    form: str
    version: str
    photos: tuple[ObservedPhoto, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Lines for people: what was seen, and what was left out and why."""
        animals = len({one.identity for one in self.photos if one.identity is not None})
        files = len({one.path for one in self.photos if one.path is not None})
        parts = [
            counted(files, "photograph"),
            counted(sum(one.box is not None for one in self.photos), "box", "boxes"),
            counted(animals, "animal"),
            f"{sum(one.date is not None for one in self.photos):,} with a date",
            f"{sum(one.latitude is not None for one in self.photos):,} with a position",
        ]
        lines = [f"{self.form} {self.version}".rstrip() + f": {', '.join(parts)}"]
        for why, number in sorted(self.left_out.items()):
            some = ", ".join(self.examples.get(why, ()))
            lines.append(f"left out: {number:,}, {why}" + (f": {some}" if some else ""))
        return "\n".join([*lines, *self.notes])


class LeftOut:
    """Counts what a reader leaves out, and keeps the first few names of each reason."""

    MOST = 3

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, tuple[str, ...]] = {}

    def note(self, why: str, what: str) -> None:
        """Count one; what: its name for people."""
        self._counts[why] += 1
        known = self._examples.setdefault(why, ())
        if len(known) < self.MOST:
            self._examples[why] = (*known, what)

    @property
    def counts(self) -> Mapping[str, int]:
        """Why -> how often."""
        return dict(self._counts)

    @property
    def examples(self) -> Mapping[str, tuple[str, ...]]:
        """Why -> the first few."""
        return dict(self._examples)


def clipped_shares(x: float, y: float, width: float, height: float) -> Box | None:
    """A box of shares given by its corner and size, cut to the photograph; None if nothing is left.

    Detectors round, so boxes may leave the picture a little.
    """
    x0, y0 = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
    x1, y1 = min(max(x + width, 0.0), 1.0), min(max(y + height, 0.0), 1.0)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
