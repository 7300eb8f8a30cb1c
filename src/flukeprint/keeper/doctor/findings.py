"""What the doctor of a catalogue found: one shape for all kinds, with what a person needs to judge.

A finding is a question to a person, never a fault that is mended by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from flukeprint.errors import counted, listed

Kind = Literal["doublet", "mixture", "label", "name", "place", "death", "view"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HEADINGS: dict[Kind, tuple[str, str]] = {
    "doublet": ("pair of animals that looks like one", "pairs of animals that look like one"),
    "mixture": ("animal that looks like two", "animals that look like two"),
    "label": (
        "photograph that looks like another animal",
        "photographs that look like another animal",
    ),
    "name": ("name in several spellings (one animal?)", "names in several spellings (one animal?)"),
    "place": ("pair of encounters too far apart", "pairs of encounters too far apart"),
    "death": ("sighting after a recorded death", "sightings after a recorded death"),
    "view": ("view without a good photograph", "views without a good photograph"),
}
MOST_NAMED = 10


@dataclass(frozen=True)
class CatalogueFinding:
    """One thing in a catalogue that a person should look at.

    individuals: whom it is about.  words: what was found, without the names of `individuals`.
    photographs: names of those that say so, in groups that belong side by side.
    probability: that it is so; None where nothing is estimated.
    encounters: numbers of those that it is about.
    """

    kind: Kind
    individuals: tuple[str, ...]
    words: str
    photographs: tuple[tuple[str, ...], ...] = ()
    probability: float | None = None
    encounters: tuple[int, ...] = ()

    @property
    def sure(self) -> str:
        """The probability as it is printed: "93%", or "" where there is none."""
        if self.probability is None:
            return ""
        # A model that was fitted on one catalogue is never certain.
        return f"{min(99, int(100 * self.probability))}%"

    def line(self) -> str:
        """The finding in one line."""
        sure = f" {self.sure}" if self.sure else ""
        return f"{' = '.join(self.individuals)}{sure}: {self.words}"


@dataclass(frozen=True)
class CatalogueReport:
    """All that was found in a catalogue.

    photographs, individuals: how many were examined.
    findings: of every kind, the likeliest first.
    notes: what could not be judged, and why, a line each.
    doubted: how many labels confident learning doubts by itself, whatever their probability; None
        where labels could not be judged.
    """

    photographs: int
    individuals: int
    findings: tuple[CatalogueFinding, ...] = ()
    notes: tuple[str, ...] = ()
    doubted: int | None = None

    def of(self, kind: Kind) -> tuple[CatalogueFinding, ...]:
        """The findings of one kind, in their order."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def found(self) -> Iterator[tuple[Kind, str, tuple[CatalogueFinding, ...]]]:
        """Every kind of which something was found, with its heading and its findings."""
        for kind in KINDS:
            if here := self.of(kind):
                yield kind, counted(len(here), *HEADINGS[kind]), here

    def text(self) -> str:
        """Format a table: every kind counted, the first ten findings of each named."""
        lines = [
            f"{counted(self.photographs, 'photograph')} of "
            f"{counted(self.individuals, 'individual')} examined"
        ]
        width = max(len(several) for _, several in HEADINGS.values())
        lines += [f"  {HEADINGS[kind][1]:<{width}}  {len(self.of(kind)):>5,}" for kind in KINDS]
        for _, heading, here in self.found():
            lines.append(f"{heading}:")
            lines += [f"  {finding.line()}" for finding in here[:MOST_NAMED]]
            if len(here) > MOST_NAMED:
                lines.append(f"  and {len(here) - MOST_NAMED:,} more (--csv, --html or --json)")
        if self.doubted:
            lines.append(
                f"confident learning by itself doubts {counted(self.doubted, 'label')}; named are "
                "those that are probably wrong"
            )
        lines += [f"note: {note}" for note in self.notes]
        if not self.findings:
            lines.append("nothing found")
        return "\n".join(lines)

    def summary(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {
            "photographs": self.photographs,
            "individuals": self.individuals,
            "counts": {kind: len(self.of(kind)) for kind in KINDS},
            "doubted": self.doubted,
            "findings": [
                {
                    "kind": finding.kind,
                    "individuals": list(finding.individuals),
                    "probability": finding.probability,
                    "words": finding.words,
                    "photographs": [list(group) for group in finding.photographs],
                    "encounters": list(finding.encounters),
                }
                for finding in self.findings
            ],
            "notes": list(self.notes),
        }


def named(images: tuple[str, ...]) -> str:
    """Photographs' names as they stand in a finding's words."""
    return listed(images, most=3)
