"""What an XMP packet says: keywords, dates, places, named regions (ISO 16684-1; MWG 2.0).

Programs write a property as an attribute or an element, and its values as text or as a list.
Packets are parsed without entities, definitions of types and the network.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from flukeprint.data.catalog import Box
from flukeprint.data.exchange.json_files import local_date
from flukeprint.data.exchange.xmp.patterns import Keyword
from flukeprint.errors import needs

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
DIGIKAM = "http://www.digikam.org/ns/1.0/"
MICROSOFT = "http://ns.microsoft.com/photo/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
XAP = "http://ns.adobe.com/xap/1.0/"
REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
SIZE = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
OWN = "urn:flukeprint:xmp:1"
PREFIXES = {
    "rdf": RDF, "dc": DC, "lr": LIGHTROOM, "digiKam": DIGIKAM, "MicrosoftPhoto": MICROSOFT,
    "exif": EXIF, "photoshop": PHOTOSHOP, "xmp": XAP, "mwg-rs": REGIONS, "stArea": AREA,
    "stDim": SIZE, "flukeprint": OWN, "x": "adobe:ns:meta/",
}  # fmt: skip
# Property -> what separates the levels of its keywords; None: there are none.
_KEYWORDS = (
    (f"{{{LIGHTROOM}}}hierarchicalSubject", "|"),
    (f"{{{DIGIKAM}}}TagsList", "/"),
    (f"{{{MICROSOFT}}}LastKeywordXMP", "/"),
    (f"{{{DC}}}subject", None),
)
_DATES = (
    f"{{{EXIF}}}DateTimeOriginal", f"{{{PHOTOSHOP}}}DateCreated", f"{{{XAP}}}CreateDate",
)  # fmt: skip
_DEGREES = re.compile(r"(\d+),(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?([NSEW])")
_WRAPPER = re.compile(r"<\?xpacket\b.*?\?>", re.DOTALL)
_DECLARATION = re.compile(r"\A<\?xml\b.*?\?>", re.DOTALL)
_LISTS = tuple(f"{{{RDF}}}{kind}" for kind in ("Bag", "Seq", "Alt"))
LI, DESCRIPTION = f"{{{RDF}}}li", f"{{{RDF}}}Description"


@dataclass(frozen=True)
class Region:
    """A named rectangle: shares of the photograph as `size` (width, height) has it."""

    name: str
    kind: str
    box: Box
    size: tuple[float, float] | None


@dataclass(frozen=True)
class Said:
    """What a packet says.

    keywords: each once, in their order.  flat: those without levels, which repeat others' leaves.
    records: of `writing`, as JSON.
    """

    keywords: tuple[Keyword, ...]
    flat: tuple[Keyword, ...]
    regions: tuple[Region, ...]
    date: str | None
    offset: str | None
    position: tuple[float, float] | None
    records: str | None


def parse(packet: bytes) -> Element:
    """The tree of a packet.

    Raises:
        FlukeprintError: defusedxml is not installed.
        ValueError: it is no XML, or has entities.
    """
    with needs("xml"):
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    try:
        tree: Element = fromstring(_text_of(packet), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ValueError(f"its XMP cannot be read: {type(error).__name__}") from None
    return tree


def _text_of(packet: bytes) -> str:
    """A packet's text without its wrapper, whose first byte tells the encoding (XMP 1, 7.3)."""
    encoding = "utf-8-sig"
    for begin, name in (
        (b"\0\0\0<", "utf-32-be"), (b"<\0\0\0", "utf-32-le"), (b"\0<", "utf-16-be"),
        (b"<\0", "utf-16-le"), (b"\xfe\xff", "utf-16"), (b"\xff\xfe", "utf-16"),
    ):  # fmt: skip
        if packet.startswith(begin):
            encoding = name
            break
    text = _WRAPPER.sub("", packet.decode(encoding)).strip("\0\ufeff \t\r\n")
    return _DECLARATION.sub("", text)  # of an encoding that it no longer has


def said_in(tree: Element) -> Said:
    """Everything that this project reads of a packet."""
    hierarchical: dict[Keyword, None] = {}
    flat: dict[Keyword, None] = {}
    for name, separator in _KEYWORDS:
        for text in values_of(tree, name):
            levels = [text] if separator is None else text.split(separator)
            keyword = tuple(level.strip() for level in levels if level.strip())
            if keyword:
                (flat if separator is None else hierarchical)[keyword] = None
    date = next(
        (found for name in _DATES for text in values_of(tree, name) if (found := local_date(text))),
        (None, None),
    )
    records = values_of(tree, f"{{{OWN}}}records")
    return Said(
        tuple(hierarchical), tuple(flat), tuple(_regions(tree)), *date, _position(tree),
        records[0] if records else None,
    )  # fmt: skip


def descriptions(tree: Element) -> Iterator[Element]:
    """The descriptions that hold a packet's own properties, not those nested in others."""
    for root in (tree, *tree.iter()):
        if root.tag == f"{{{RDF}}}RDF":
            yield from (one for one in root if one.tag == DESCRIPTION)
            return


def values_of(tree: Element, name: str) -> list[str]:
    """All texts of a property, however it is written."""
    found: list[str] = []
    for one in descriptions(tree):
        if name in one.attrib:
            found.append(one.attrib[name])
        for child in one:
            if child.tag == name:
                lists = [inner for inner in child if inner.tag in _LISTS]
                if lists:
                    found += ["".join(item.itertext()) for each in lists for item in each]
                else:
                    found.append(child.text or "")
    return [text.strip() for text in found if text.strip()]


def _position(tree: Element) -> tuple[float, float] | None:
    north, east = (
        _degrees(values_of(tree, f"{{{EXIF}}}GPS{axis}")) for axis in ("Latitude", "Longitude")
    )
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        return None
    return north, east


def _degrees(texts: list[str]) -> float | None:
    """`27,3.5S` or `27,3,30S` as degrees."""
    found = _DEGREES.fullmatch(texts[0].replace(" ", "")) if texts else None
    if found is None:
        return None
    degrees = int(found[1]) + float(found[2]) / 60 + float(found[3] or 0) / 3600
    return -degrees if found[4] in "SW" else degrees


def _regions(tree: Element) -> Iterator[Region]:
    for whole in tree.iter(f"{{{REGIONS}}}Regions"):
        size = _pair(_field(whole, REGIONS, "AppliedToDimensions"), SIZE, "w", "h")
        for item in whole.iter(LI):
            area = _field(item, REGIONS, "Area")
            name, kind = _text(item, REGIONS, "Name"), _text(item, REGIONS, "Type")
            middle, wide = _pair(area, AREA, "x", "y"), _pair(area, AREA, "w", "h")
            if not name or middle is None or wide is None:
                continue
            unit = _text(area, AREA, "unit") if area is not None else ""
            if unit not in ("", "normalized"):
                continue
            x, y, width, height = *middle, *wide
            x0, y0 = max(0.0, x - width / 2), max(0.0, y - height / 2)
            x1, y1 = min(1.0, x + width / 2), min(1.0, y + height / 2)
            if x0 < x1 and y0 < y1:
                yield Region(name, kind, (x0, y0, x1, y1), size)


def _inside(item: Element) -> Iterator[Element]:
    """The element, and a description that it wraps."""
    yield item
    yield from (child for child in item if child.tag == DESCRIPTION)


def _field(item: Element, space: str, name: str) -> Element | None:
    for one in _inside(item):
        for child in one:
            if child.tag == f"{{{space}}}{name}":
                return child
    return None


def _text(item: Element, space: str, name: str) -> str:
    for one in _inside(item):
        if (text := one.get(f"{{{space}}}{name}")) is not None:
            return text.strip()
    found = _field(item, space, name)
    return "" if found is None else "".join(found.itertext()).strip()


def _pair(item: Element | None, space: str, *names: str) -> tuple[float, float] | None:
    if item is None:
        return None
    try:
        first, second = (float(_text(item, space, name)) for name in names)
    except ValueError:
        return None
    return (first, second) if math.isfinite(first) and math.isfinite(second) else None


def bag(name: str, texts: Any) -> Element:
    """A property with a list of texts."""
    made, inner = Element(name), Element(_LISTS[0])
    for text in texts:
        item = Element(LI)
        item.text = text
        inner.append(item)
    made.append(inner)
    return made
