"""Cards with a description of each class, in English and Spanish, for the web page."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from flukeprint.data.names import identity_name
from flukeprint.data.tables import check_filled, check_once, lines, read_table
from flukeprint.errors import FlukeprintError, listed, nearest
from flukeprint.files import written_whole

Medical = Literal["yes", "no", "unknown"]
MEDICAL: tuple[Medical, ...] = get_args(Medical)
FIELDS = {  # column of the table -> field of a card, in the order in which they are written
    "name": "name",
    "rank": "rank",
    "common_en": "common_en",
    "common_es": "common_es",
    "where_en": "where_en",
    "where_es": "where_es",
    "medical": "medically_important",
    "note_en": "note_en",
    "note_es": "note_es",
    "advice_en": "advice_en",
    "advice_es": "advice_es",
    "call": "call",
    "source": "source",
    "credit": "credit",
}
CARD_COLUMNS = ("class", *FIELDS)


@dataclass(frozen=True)
class ClassDescription:
    """The description of one class; None where the table has nothing.

    name: scientific name; rank: species, genus, family ..., or `class` where the table has none.
    common: vernacular names.  where: habitat.
    medically_important: whether a bite needs medical care.  _en, _es: English and Spanish.
    advice: what to do after a bite.  call: whom to call.  source: who says so; advice needs one.
    """

    name: str
    rank: str = "class"
    common_en: str | None = None
    common_es: str | None = None
    where_en: str | None = None
    where_es: str | None = None
    medically_important: Medical | None = None
    note_en: str | None = None
    note_es: str | None = None
    advice_en: str | None = None
    advice_es: str | None = None
    call: str | None = None
    source: str | None = None
    credit: str | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.rank:
            raise ValueError("a card needs a name and a rank")
        if self.medically_important not in (None, *MEDICAL):
            raise ValueError(f"medically_important is {self.medically_important!r}")


def read_cards(path: Path) -> Mapping[str, ClassDescription]:
    """Read the CSV `path`: class -> card, in its order.

    Columns: class and name, which are required; rank, common_en, common_es, where_en, where_es,
    medical, note_en, note_es, advice_en, advice_es, call, source and credit, which may be missing
    or blank.
    Raises FlukeprintError for other columns, for a class twice, for a row without class or name,
    for a medical that is not yes, no, unknown or blank, and for advice of which nobody says whose
    it is.
    """
    table = read_table(path, ("class", "name"))
    for column in table.columns:
        if column not in CARD_COLUMNS:
            raise FlukeprintError(
                f"{path} has an unknown column {column or '(without a name)'}: "
                f"{nearest(column, CARD_COLUMNS)}"
            )
    check_filled(table, ("class", "name"), path)
    table["class"] = table["class"].map(identity_name)
    check_once(table, "class", None, path)
    cards: dict[str, ClassDescription] = {}
    for row, cells in zip(table.index, table.to_dict("records"), strict=True):
        medical = cells.get("medical", "")
        if medical not in ("", *MEDICAL):
            raise FlukeprintError(
                f"{path}, {lines([row])}: medical is yes, no, unknown or blank, found {medical}"
            )
        told = any(cells.get(column) for column in ("advice_en", "advice_es", "call"))
        if told and not cells.get("source"):
            raise FlukeprintError(
                f"{path}, {lines([row])}: advice on a bite needs its source; name who gives it"
            )
        fields = {
            FIELDS[column]: cell for column, cell in cells.items() if cell and column in FIELDS
        }
        cards[cells["class"]] = ClassDescription(**fields)
    return cards


def check_cards(cards: Mapping[str, ClassDescription], identities: Iterable[str]) -> None:
    """Refuse cards of classes that are not among `identities`; a class may lack a card."""
    known = set(identities)
    stray = [identity for identity in cards if identity not in known]
    if stray:
        raise FlukeprintError(
            f"cards describe classes that the collection lacks: {listed(stray)}; correct or "
            f"remove them; for {stray[0]}: {nearest(stray[0], known)}"
        )


def save_cards(cards: Mapping[str, ClassDescription], path: Path) -> None:
    """Write the table that `read_cards` reads, with all columns, atomically."""
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CARD_COLUMNS)
        for identity, card in cards.items():
            writer.writerow((identity, *(getattr(card, name) or "" for name in FIELDS.values())))
