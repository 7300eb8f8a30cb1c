"""What every page needs to render: facts of the identifier, its classes and a language.

Also helpers for attributes of elements that are not valid names in Python.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from htpy import Node

from flukeprint.serving.api.schemas import About, ClassCard, ClassInfo
from flukeprint.serving.page.i18n import Language, megabytes, number, translate
from flukeprint.serving.page.map_points import MapPoints
from flukeprint.serving.page.names import NameIndex

Content = list[Node]
CatalogueKind = Literal["species", "individual"]
SPECIES_RANKS = frozenset({"species", "subspecies"})
COUNTED = ("species", "genus", "family")  # ranks that have a plural among the texts
RANKS = ("subspecies", *COUNTED, "order", "class")
ITALIC_RANKS = frozenset({*SPECIES_RANKS, "genus", "subgenus"})  # names that are set in italics


@dataclass(frozen=True)
class PageContext:
    """The facts, classes and map of an identifier, and the language of the visitor.

    classes: by identity.
    kind: what a class is, see `kind_of`.  names: finds them.
    """

    info: About
    classes: Mapping[str, ClassInfo]
    map_: MapPoints | None
    kind: CatalogueKind
    language: Language
    names: NameIndex

    def text(self, key: str, **values: str) -> str:
        """The text `key` with its placeholders filled; raises KeyError for an unknown key."""
        return translate(self.language, key, **values)

    def kind_text(self, key: str, **values: str) -> str:
        """The text `key` in its wording for species, or for individuals."""
        return translate(self.language, f"{key}_{self.kind}", **values)

    def number(self, value: float, digits: int = 0) -> str:
        """A number as the language writes it."""
        return number(self.language, value, digits)

    def limits(self) -> dict[str, str]:
        """Values of the placeholders for the limits of an upload."""
        return {
            "megabytes": megabytes(self.language, self.info.max_bytes),
            "together": megabytes(self.language, self.info.max_request_bytes),
            "megapixels": self.number(self.info.max_pixels // 1_000_000),
            "most": self.number(self.info.max_photos),
            "formats": ", ".join(self.info.formats),
        }

    def counted_classes(self) -> str:
        """How many classes there are, of each rank that they have: `12 species, 3 genera`."""
        if self.kind == "individual":
            return self.text("count_individual", count=self.number(self.info.classes))
        ranks = Counter(
            "class" if known.card is None else known.card.rank for known in self.classes.values()
        )
        parts = []
        for rank in sorted(ranks, key=lambda rank: (_place(rank), rank)):
            key = f"count_{rank}" if rank in COUNTED else "count_class"
            parts.append(self.text(key, count=self.number(ranks[rank])))
        return ", ".join(parts)

    def card_of(self, identity: str | None) -> ClassCard | None:
        """The card of a class, None without one."""
        known = None if identity is None else self.classes.get(identity)
        return None if known is None else known.card

    def name_of(self, identity: str) -> str:
        """The display name of a class: the scientific name of its card, or else its identity."""
        card = self.card_of(identity)
        return identity if card is None else card.name

    def called(self, identity: str) -> str:
        """What a class is called: its scientific name, and its common one where it has one."""
        card = self.card_of(identity)
        name = self.name_of(identity)
        if card is None or card.common_name is None:
            return name
        return f"{name}, {getattr(card.common_name, self.language)}"

    def in_language(self, language: Language) -> "PageContext":
        """The same facts for a visitor who reads another language."""
        return replace(self, language=language)

    def italic(self, identity: str | None) -> bool:
        """Whether the name of a class is set in italics, as genera and species are."""
        card = self.card_of(identity)
        return card is not None and card.rank in ITALIC_RANKS


def _place(rank: str) -> int:
    return RANKS.index(rank) if rank in RANKS else len(RANKS)


def kind_of(classes: Mapping[str, ClassInfo]) -> CatalogueKind:
    """Whether classes are species or individuals, by their cards; without cards individuals."""
    ranks = (known.card.rank for known in classes.values() if known.card is not None)
    return "species" if any(rank in ITALIC_RANKS for rank in ranks) else "individual"


def aria(**values: str) -> dict[str, Any]:
    """Attributes `aria-*` of an element."""
    return {f"aria-{name}": value for name, value in values.items()}


def data(**values: str) -> dict[str, Any]:
    """Attributes `data-*` of an element; the page's scripts read them."""
    return {f"data-{name}": value for name, value in values.items()}


def photo_url(photo: int) -> str:
    """The address of the thumbnail of a photo of the gallery."""
    return f"/v1/photos/{int(photo)}"


def shown(date: str) -> str:
    """A date as people write it: with a blank before the time."""
    return date.replace("T", " ")
