"""Reads meta.xml, which says what the columns of a Darwin Core Archive's tables are.

https://dwc.tdwg.org/text.  Columns are told by their place and the URI of their term, never by the
names in a header.  Elements are told by their names without namespace, for some archives have none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flukeprint.data.exchange.darwin_core.archive import DESCRIPTION, Archive
from flukeprint.errors import FlukeprintError, needs

MOST_COLUMNS = 10_000


@dataclass(frozen=True)
class TableMeta:
    """What meta.xml says of the core or an extension.

    kind: URI of what a row is.  files: their checked names.
    key: column of the core's identifier, in the core and in extensions; None without one.
    columns: URI of a term -> its column.  defaults: URI of a term -> value of its empty cells.
    separator: None where it is not said.  quote: "" for none.  skip: lines of the header.
    """

    kind: str
    files: tuple[str, ...]
    key: int | None
    columns: dict[str, int] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    separator: str | None = None
    quote: str = '"'
    line_end: str = "\n"
    encoding: str = "utf-8"
    skip: int = 0


def read_meta(archive: Archive) -> tuple[TableMeta, tuple[TableMeta, ...]]:
    """What meta.xml says of the core, and of the extensions.

    Raises:
        FlukeprintError: it is missing, damaged or of something else, or a package is missing.
    """
    with needs("xml"):
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    content = archive.description()
    place = archive.place
    try:
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException:
        raise FlukeprintError(
            f"{place}: {DESCRIPTION} defines entities or a document type, which are not read: "
            "take them out"
        ) from None
    except (ParseError, LookupError, ValueError, RecursionError) as error:
        raise FlukeprintError(f"{place}: {DESCRIPTION} is no XML ({error})") from None
    cores = _named(root, "core")
    if _name(root) != "archive" or len(cores) != 1:
        raise FlukeprintError(
            f"{place}: {DESCRIPTION} names no core table, so it is no Darwin Core Archive"
        )
    extensions = tuple(_table(archive, one, "coreid") for one in _named(root, "extension"))
    return _table(archive, cores[0], "id"), extensions


def plain_uri(text: str | None) -> str:
    """The URI of a term or row, in the one spelling that is compared."""
    uri = (text or "").strip()
    return "http://" + uri[len("https://") :] if uri.startswith("https://") else uri


def _table(archive: Archive, element: Any, key_name: str) -> TableMeta:
    files = tuple(
        archive.checked((location.text or "").strip())
        for each in _named(element, "files")
        for location in _named(each, "location")
    )
    if not files:
        raise FlukeprintError(f"{archive.place}: {DESCRIPTION} names no file of a table")
    keys = [
        _place(archive, each.get("index"))
        for each in _named(element, key_name)
        if each.get("index")  # real ones have it empty where there is no identifier
    ]
    columns: dict[str, int] = {}
    defaults: dict[str, str] = {}
    for each in _named(element, "field"):
        term = plain_uri(each.get("term"))
        index = each.get("index")
        if index is not None and term not in columns:
            columns[term] = _place(archive, index)
        if each.get("default"):
            defaults.setdefault(term, each.get("default"))
    separator = _unescaped(element.get("fieldsTerminatedBy")) or None
    if separator == " ":  # XML makes a space of a tab in an attribute
        separator = "\t"
    quote = _unescaped(element.get("fieldsEnclosedBy", '"'))
    line_end = _unescaped(element.get("linesTerminatedBy")) or "\n"
    if len(separator or ",") != 1 or len(quote) > 1 or separator == quote:
        raise FlukeprintError(
            f"{archive.place}: {DESCRIPTION} separates cells of {files[0]} by {separator!r} and "
            f"encloses them by {quote!r}, of which one character each is read"
        )
    skip = _number(archive, element.get("ignoreHeaderLines") or "0", "ignoreHeaderLines")
    return TableMeta(
        plain_uri(element.get("rowType")),
        tuple(dict.fromkeys(files)),
        keys[0] if keys else None,
        columns,
        defaults,
        separator,
        quote,
        line_end,
        element.get("encoding") or "utf-8",
        skip,
    )


def _place(archive: Archive, text: str | None) -> int:
    index = _number(archive, text or "", "index")
    if index >= MOST_COLUMNS:
        raise FlukeprintError(f"{archive.place}: {DESCRIPTION} names a column {index}")
    return index


def _number(archive: Archive, text: str, name: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise FlukeprintError(
            f"{archive.place}: {DESCRIPTION} gives {name} the value {text!r}, not a number"
        )
    return int(text)


def _unescaped(text: str | None) -> str:
    """The characters that an attribute means, for a tab is mostly written as a backslash and t."""
    text = text or ""
    for written, meant in ((r"\t", "\t"), (r"\n", "\n"), (r"\r", "\r"), (r"\\", "\\")):
        text = text.replace(written, meant)
    return text


def _named(element: Iterable[Any], name: str) -> list[Any]:
    return [one for one in element if _name(one) == name]


def _name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
