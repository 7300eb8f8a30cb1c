"""Archives for tests, and a check of archives by the rules of the text guide, not by our code."""

import csv
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

DWC, AC = "http://rs.tdwg.org/dwc/terms/", "http://rs.tdwg.org/ac/terms/"
DC, DCTERMS = "http://purl.org/dc/elements/1.1/", "http://purl.org/dc/terms/"
XMP = "http://ns.adobe.com/xap/1.0/"
SIMPLE = "http://rs.gbif.org/terms/1.0/Multimedia"
AUDIOVISUAL = AC + "Multimedia"

# Names of the standards' terms that a photograph can have, typed from their lists of terms
_OCCURRENCE_TERMS = (
    "occurrenceID", "basisOfRecord", "eventID", "parentEventID", "samplingProtocol", "eventDate",
    "locality", "decimalLatitude", "decimalLongitude", "geodeticDatum",
    "coordinateUncertaintyInMeters", "recordedBy", "organismID", "identificationRemarks", "sex",
    "lifeStage",
    "scientificName", "identifiedBy", "occurrenceRemarks", "dynamicProperties",
    "occurrenceStatus",
)  # fmt: skip
KNOWN_TERMS = {
    DWC + "Occurrence": {DWC + name for name in _OCCURRENCE_TERMS},
    AUDIOVISUAL: {
        DCTERMS + "identifier", DC + "type", DC + "format",
        *(AC + name for name in ("accessURI", "subjectOrientationLiteral", "isROIOf", "xFrac",
                                 "yFrac", "widthFrac", "heightFrac")),
    },
}  # fmt: skip
_CONTROLLED = {
    "basisOfRecord": {"HumanObservation", "MachineObservation"},
    "occurrenceStatus": {"present"},
    "geodeticDatum": {"", "WGS84"},
    "type": {"StillImage"},
}
_POSITIVE = ("coordinateUncertaintyInMeters", "widthFrac", "heightFrac")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?)?)?")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?")


def table(
    rows: Sequence[Mapping[str, str]], terms: Sequence[str], separator: str = ",", end: str = "\n"
) -> str:
    """Text of rows by terms, quoted where the separator or a quote asks for it."""
    lines = [terms, *([row.get(term, "") for term in terms] for row in rows)]

    def cell(text: str) -> str:
        asks = separator in text or '"' in text or "\n" in text
        return '"' + text.replace('"', '""') + '"' if asks else text

    return "".join(separator.join(map(cell, line)) + end for line in lines)


def element(
    kind: str,
    files: Sequence[str],
    terms: Sequence[str],
    *,
    core: bool = True,
    key: int | None = 0,
    layout: str = 'fieldsTerminatedBy="," fieldsEnclosedBy="&quot;" ignoreHeaderLines="1"',
    more: str = "",
) -> str:
    """A core or extension of meta.xml; its columns are the key and then the terms."""
    name, key_name = ("core", "id") if core else ("extension", "coreid")
    locations = "".join(f"<location>{file}</location>" for file in files)
    index = "" if key is None else f'<{key_name} index="{key}"/>'
    fields = "".join(
        f'<field index="{place}" term="{term}"/>' for place, term in enumerate(terms, 1)
    )
    inside = f"<files>{locations}</files>{index}{fields}{more}"
    return f'<{name} rowType="{kind}" {layout}>{inside}</{name}>'


def write_archive(
    folder: Path,
    occurrences: Sequence[Mapping[str, str]],
    media: Sequence[Mapping[str, str]] = (),
    *,
    media_kind: str = SIMPLE,
    core_more: str = "",
    core_kind: str = DWC + "Occurrence",
) -> Path:
    """An archive of rows by terms; `id` and `coreid` are keys without a term."""
    folder.mkdir(parents=True, exist_ok=True)
    core_terms = sorted({term for row in occurrences for term in row} - {"id"})
    media_terms = sorted({term for row in media for term in row} - {"coreid"})
    (folder / "core.csv").write_text(table(occurrences, ["id", *core_terms]), encoding="utf-8")
    parts = [element(core_kind, ["core.csv"], core_terms, more=core_more)]
    if media:
        (folder / "media.csv").write_text(table(media, ["coreid", *media_terms]), encoding="utf-8")
        parts.append(element(media_kind, ["media.csv"], media_terms, core=False))
    return write_meta(folder, *parts)


def write_meta(folder: Path, *parts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = f'<archive xmlns="http://rs.tdwg.org/dwc/text/">{"".join(parts)}</archive>'
    (folder / "meta.xml").write_text(text, encoding="utf-8")
    return folder


def zipped(folder: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, inside + file.relative_to(folder).as_posix())
    return target


def errors(folder: Path) -> list[str]:
    """What is wrong with an archive of an Occurrence core by the text guide and the terms."""
    space = "{http://rs.tdwg.org/dwc/text/}"
    root = ElementTree.parse(folder / "meta.xml").getroot()
    wrong: list[str] = []
    if root.tag != f"{space}archive":
        wrong.append(f"the root is {root.tag}")
    if not set(root.attrib) <= {"metadata"} or not (folder / root.attrib["metadata"]).is_file():
        wrong.append("the metadata are missing")
    kinds = [child.tag.removeprefix(space) for child in root]
    if kinds[:1] != ["core"] or any(kind != "extension" for kind in kinds[1:]):
        wrong.append(f"the elements are {kinds}")
    ids: set[str] = set()
    identifiers: set[str] = set()
    for child, kind in zip(root, kinds, strict=True):
        found = _table_errors(folder, child, space, "id" if kind == "core" else "coreid")
        wrong += found[0]
        keys, rows = found[1], found[2]
        if kind == "core":
            if len(set(keys)) != len(keys) or "" in keys:
                wrong.append("identifiers of the core are empty or not unique")
            ids = set(keys)
        else:
            wrong += [f"no core has {key}" for key in keys if key not in ids]
            identifiers |= {row.get("identifier", "") for row in rows}
            wrong += [
                f"{row['isROIOf']} is no medium"
                for row in rows
                if row["isROIOf"] and row["isROIOf"] not in identifiers
            ]
        for row in rows:
            wrong += _row_errors(row)
    return wrong


def _table_errors(
    folder: Path, child: ElementTree.Element, space: str, key_name: str
) -> tuple[list[str], list[str], list[dict[str, str]]]:
    wrong: list[str] = []
    names = [part.tag.removeprefix(space) for part in child]
    if names[:2] != ["files", key_name] or set(names[2:]) != {"field"}:
        return [f"a table's elements are {names}"], [], []
    kind = child.attrib["rowType"]
    layout = (
        child.attrib["encoding"], child.attrib["fieldsTerminatedBy"],
        child.attrib["linesTerminatedBy"], child.attrib["fieldsEnclosedBy"],
        child.attrib["ignoreHeaderLines"],
    )  # fmt: skip
    if layout != ("UTF-8", ",", r"\n", '"', "1"):
        wrong.append(f"the layout is {layout}")
    fields = child.findall(f"{space}field")
    terms = [field.attrib["term"] for field in fields]
    if len(set(terms)) != len(terms):
        wrong.append("a term is given twice")
    wrong += [f"{term} is no term of {kind}" for term in set(terms) - KNOWN_TERMS[kind]]
    columns = {
        int(field.attrib["index"]): field.attrib["term"].rpartition("/")[2]
        for field in fields
        if "index" in field.attrib
    }
    defaults = {
        field.attrib["term"].rpartition("/")[2]: field.attrib["default"]
        for field in fields
        if "default" in field.attrib
    }
    key = int(child.find(f"{space}{key_name}").attrib["index"])  # type: ignore[union-attr]
    (location,) = child.findall(f"{space}files/{space}location")
    text = (folder / str(location.text)).read_bytes().decode("utf-8")
    if "\r" in text or "\t" in text:
        wrong.append("a tab or a carriage return stands in a table")
    lines = list(csv.reader(text.splitlines(keepends=True), strict=True))
    if text.count("\n") != len(lines):
        wrong.append("a line break stands in a cell")
    width = len(set(columns) | {key})
    wrong += [f"a row has {len(line)} cells" for line in lines if len(line) != width]
    if sorted(set(columns) | {key}) != list(range(width)):
        wrong.append("columns are left out of meta.xml")
    lines = [line for line in lines[1:] if len(line) == width]
    rows = [{**{name: line[at] for at, name in columns.items()}, **defaults} for line in lines]
    return wrong, [line[key] for line in lines], rows


def _row_errors(row: Mapping[str, str]) -> list[str]:
    """What is wrong with the values of a row."""
    wrong = [
        f"{name} is {row[name]!r}"
        for name, words in _CONTROLLED.items()
        if name in row and row[name] not in words
    ]
    date = row.get("eventDate", "")
    if date and not _DATE.fullmatch(date):
        wrong.append(f"eventDate is {date!r}")
    elif len(date) >= 10:
        datetime.fromisoformat(date)
    limits = {
        "decimalLatitude": (-90, 90), "decimalLongitude": (-180, 180), "xFrac": (0, 1),
        "yFrac": (0, 1), "widthFrac": (0, 1), "heightFrac": (0, 1),
        "coordinateUncertaintyInMeters": (0, 2.1e7),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        text = row.get(name, "")
        if not text:
            continue
        if not _DECIMAL.fullmatch(text) or not low <= float(text) <= high:
            wrong.append(f"{name} is {text}")
        elif float(text) == 0 and name in _POSITIVE:
            wrong.append(f"{name} is 0")
    if bool(row.get("decimalLatitude")) != bool(row.get("decimalLongitude")):
        wrong.append("half a position")
    if row.get("isROIOf") and not all(
        row[name] for name in ("xFrac", "yFrac", "widthFrac", "heightFrac")
    ):
        wrong.append("a region without its box")
    return wrong
