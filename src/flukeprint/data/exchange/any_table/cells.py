"""The value that a cell of any table has as a field of a photograph."""

import math
from datetime import date, datetime, time
from decimal import Decimal

from flukeprint.data.exchange.any_table.columns import NOBODY, NUMBERS
from flukeprint.data.exchange.any_table.dates import read_date, read_offset
from flukeprint.errors import FlukeprintError

# What a spreadsheet writes where a formula failed.
ERRORS = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!")
_EMPTY_NUMBERS = ("", "na", "n/a", "nan", "none", "null", "-")
_LIMITS = {
    "latitude": (-90.0, 90.0), "longitude": (-180.0, 180.0), "uncertainty": (0.0, math.inf),
    "confidence": (0.0, 1.0), "probability": (0.0, 1.0),
}  # fmt: skip
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


def text_of(cell: object) -> str | None:
    """A cell as text without blanks at its ends; whole numbers without decimals; None for nothing.

    Raises:
        FlukeprintError: the error of a formula, or bytes or lists.
    """
    match cell:
        case None:
            return None
        case str():
            text = cell.strip()
            if text in ERRORS:
                raise FlukeprintError(f"{text} is the error of a formula; write the value")
            return text or None
        case bool():
            return "true" if cell else "false"
        case float():
            if math.isnan(cell):
                return None
            return str(int(cell)) if cell.is_integer() else repr(cell)
        case int():
            return str(cell)
        case Decimal():
            return str(int(cell)) if cell == cell.to_integral_value() else str(cell)
        case datetime() | date() | time():
            return cell.isoformat()
    raise FlukeprintError(f"{type(cell).__name__} is no text")


def number_of(cell: object, field: str, *, comma: bool = False) -> float | None:
    """A cell as a number; None for nothing.

    comma: whether it stands before the decimals.

    Raises:
        FlukeprintError: no number, or beyond what the field can be.
    """
    text = text_of(cell)
    if text is None or text.casefold() in _EMPTY_NUMBERS:
        return None
    plain = text.replace("\N{MINUS SIGN}", "-")
    if comma and isinstance(cell, str):
        plain = plain.replace(",", ".")
    try:
        number = float(plain)
    except ValueError:
        hint = "; if a comma stands before its decimals, say so" if "," in plain else ""
        raise FlukeprintError(f"{field} {text!r} is no number{hint}") from None
    least, most = _LIMITS.get(field, (-math.inf, math.inf))
    if not (math.isfinite(number) and least <= number <= most) or "_" in plain:
        raise FlukeprintError(f"{field} {text} is not between {least:g} and {most:g}")
    return number


def field_of(field: str, cell: object, *, order: str | None = None, comma: bool = False) -> object:
    """The value of a field but for its date, time and box."""
    if field in NUMBERS:
        return number_of(cell, field, comma=comma)
    text = text_of(cell)
    if field == "machine":
        word = (text or "").casefold()
        if word not in (*_TRUE, *_FALSE):
            raise FlukeprintError(f"machine {text!r} is neither true nor false")
        return word in _TRUE
    if text is None:
        return None
    if field == "identity" and text.casefold() in NOBODY:
        return None
    if field == "offset":
        return read_offset(text)
    if field == "date":
        return read_date(text, order)[0]
    return text
