"""Finds classes by any of their names, whatever the case and the accents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flukeprint.data.names import spelling
from flukeprint.serving.api.schemas import ClassCard, ClassInfo


def names_of(info: ClassInfo) -> list[str]:
    """All names of a class: identity, scientific and common names, and those of its ranks."""
    names = [info.identity]
    card = info.card
    if card is not None:
        names += [card.name, *card.lineage.values()]
        if card.common_name is not None:
            names += [card.common_name.en, card.common_name.es]
    return names


def name_of(info: ClassInfo) -> str:
    """How a class is called: by its scientific name where it has a card."""
    return info.identity if info.card is None else info.card.name


@dataclass(frozen=True)
class NameIndex:
    """The classes in the order of their names, each with all its names in one spelling."""

    classes: tuple[ClassInfo, ...]
    spellings: tuple[str, ...]

    @classmethod
    def of(cls, classes: Mapping[str, ClassInfo]) -> "NameIndex":
        """The index of some classes."""
        ordered = sorted(classes.values(), key=lambda info: spelling(name_of(info)))
        return cls(
            tuple(ordered),
            tuple("\n".join(spelling(name) for name in names_of(info)) for info in ordered),
        )

    def find(self, text: str) -> Sequence[ClassInfo]:
        """The classes one of whose names holds `text`; all for an empty text."""
        wanted = spelling(text)
        return [
            info
            for info, known in zip(self.classes, self.spellings, strict=True)
            if wanted in known
        ]


def species_among(cards: Sequence[ClassCard | None]) -> int:
    """How many of some cards are of species or subspecies."""
    return sum(card is not None and card.rank in ("species", "subspecies") for card in cards)
