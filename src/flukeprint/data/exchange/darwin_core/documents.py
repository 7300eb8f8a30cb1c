"""The XML files of an archive that is written: meta.xml, and eml.xml with its title and contact."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

from flukeprint.data.exchange.camtrap.rows import plain
from flukeprint.data.exchange.darwin_core import terms
from flukeprint.data.exchange.darwin_core.archive import DESCRIPTION

METADATA = "eml.xml"
OCCURRENCES, MEDIA = "occurrence.csv", "multimedia.csv"

OCCURRENCE_TERMS = (
    terms.OCCURRENCE_ID, terms.BASIS, terms.EVENT_ID, terms.PARENT_EVENT_ID,
    terms.SAMPLING_PROTOCOL, terms.EVENT_DATE, terms.PLACE[0], terms.LATITUDE, terms.LONGITUDE,
    terms.DATUM, terms.UNCERTAINTY, terms.OBSERVER, terms.IDENTITY[0], terms.SEX,
    terms.LIFE_STAGE, terms.SPECIES, terms.IDENTIFIED_BY, terms.IDENTIFIED_HOW,
    terms.REMARKS, terms.DYNAMIC,
)  # fmt: skip
MEDIA_TERMS = (
    terms.IDENTIFIER, terms.TYPE, terms.FORMAT, terms.ACCESS, terms.VIEW, terms.REGION_OF,
    *terms.REGION,
)  # fmt: skip
_DEFAULTS = {terms.STATUS: "present"}  # of terms that have no column
_LAYOUT = (
    'encoding="UTF-8" fieldsTerminatedBy="," linesTerminatedBy="\\n" fieldsEnclosedBy="&quot;" '
    'ignoreHeaderLines="1"'
)


def meta_text() -> str:
    """The whole meta.xml: every cell's term, the first cell being the occurrence's identifier."""
    core = _fields(OCCURRENCE_TERMS, 0, _DEFAULTS)
    media = _fields(MEDIA_TERMS, 1, {})
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="{METADATA}">
  <core {_LAYOUT} rowType="{terms.OCCURRENCE}">
    <files><location>{OCCURRENCES}</location></files>
    <id index="0"/>
{core}
  </core>
  <extension {_LAYOUT} rowType="{terms.AUDIOVISUAL_MEDIA}">
    <files><location>{MEDIA}</location></files>
    <coreid index="0"/>
{media}
  </extension>
</archive>
"""


def eml_text(title: str, contact: str) -> str:
    """A description of the data in the Ecological Metadata Language: only what it demands."""
    who = f"<organizationName>{escape(plain(contact))}</organizationName>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<eml:eml xmlns:eml="https://eml.ecoinformatics.org/eml-2.2.0" packageId="{uuid4()}"
  system={quoteattr("flukeprint")} xml:lang="en">
  <dataset>
    <title>{escape(plain(title))}</title>
    <creator>{who}</creator>
    <pubDate>{date.today().isoformat()}</pubDate>
    <abstract><para>Photographs of animals and the individuals that they show; see
    {DESCRIPTION} for the tables.</para></abstract>
    <contact>{who}</contact>
  </dataset>
</eml:eml>
"""


def header(names: Sequence[str]) -> list[str]:
    """The names of columns for people; programs go by meta.xml."""
    return [terms.short(name) for name in names]


def _fields(names: Sequence[str], start: int, defaults: Mapping[str, str]) -> str:
    lines = [
        f'    <field index="{index}" term="{name}"/>' for index, name in enumerate(names, start)
    ]
    lines += [f'    <field default="{value}" term="{name}"/>' for name, value in defaults.items()]
    return "\n".join(lines)
