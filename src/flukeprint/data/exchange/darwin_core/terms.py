"""The URIs of Darwin Core's and Audiovisual Core's terms that are read or written."""

_DWC = "http://rs.tdwg.org/dwc/terms/"
_AC = "http://rs.tdwg.org/ac/terms/"
_DC = "http://purl.org/dc/elements/1.1/"
_DCTERMS = "http://purl.org/dc/terms/"

OCCURRENCE = _DWC + "Occurrence"
EVENT = _DWC + "Event"
# What the text guide takes a row for where none is named, and older names
RECORDS = (
    "",
    "http://rs.tdwg.org/dwc/xsd/simpledarwincore/SimpleDarwinRecord",
    _DWC + "DarwinCore",
)
SIMPLE_MEDIA = ("http://rs.gbif.org/terms/1.0/Multimedia", "http://rs.gbif.org/terms/1.0/Image")
AUDIOVISUAL_MEDIA = _AC + "Multimedia"

# What a row of an occurrence or event tells; the first term that has a value counts
OCCURRENCE_ID = _DWC + "occurrenceID"
EVENT_ID = _DWC + "eventID"
PARENT_EVENT_ID = _DWC + "parentEventID"
SAMPLING_PROTOCOL = _DWC + "samplingProtocol"
IDENTITY = (_DWC + "organismID", _DWC + "individualID", _DWC + "organismName")
EVENT_DATE = _DWC + "eventDate"
EVENT_TIME = _DWC + "eventTime"
YEAR, MONTH, DAY = _DWC + "year", _DWC + "month", _DWC + "day"
LATITUDE, LONGITUDE = _DWC + "decimalLatitude", _DWC + "decimalLongitude"
UNCERTAINTY = _DWC + "coordinateUncertaintyInMeters"
DATUM = _DWC + "geodeticDatum"
PLACE = (_DWC + "locality", _DWC + "verbatimLocality", _DWC + "locationID")
OBSERVER = _DWC + "recordedBy"
SEX = _DWC + "sex"
LIFE_STAGE = _DWC + "lifeStage"
SPECIES = _DWC + "scientificName"
REMARKS = _DWC + "occurrenceRemarks"
IDENTIFIED_BY = _DWC + "identifiedBy"
IDENTIFIED_HOW = _DWC + "identificationRemarks"
STATUS = _DWC + "occurrenceStatus"
BASIS = _DWC + "basisOfRecord"
ASSOCIATED_MEDIA = _DWC + "associatedMedia"
DYNAMIC = _DWC + "dynamicProperties"

OF_EVENT = (
    EVENT_ID, PARENT_EVENT_ID, SAMPLING_PROTOCOL, EVENT_DATE, EVENT_TIME, YEAR, MONTH, DAY,
    LATITUDE, LONGITUDE, UNCERTAINTY, DATUM, *PLACE, OBSERVER,
)  # fmt: skip
OF_OCCURRENCE = (
    *OF_EVENT, OCCURRENCE_ID, *IDENTITY, SEX, LIFE_STAGE, SPECIES, REMARKS, IDENTIFIED_BY,
    IDENTIFIED_HOW, STATUS, ASSOCIATED_MEDIA, DYNAMIC,
)  # fmt: skip

# What a row of media tells
IDENTIFIER = _DCTERMS + "identifier"
IDENTIFIERS = (IDENTIFIER, _DC + "identifier")
ACCESS = _AC + "accessURI"
TYPE = _DC + "type"
TYPES = (TYPE, _DCTERMS + "type")
FORMAT = _DC + "format"
FORMATS = (FORMAT, _DCTERMS + "format")
VARIANT = _AC + "variantLiteral"
TAKEN = "http://ns.adobe.com/xap/1.0/CreateDate"
VIEW = _AC + "subjectOrientationLiteral"
VIEWS = (VIEW, _AC + "subjectOrientation")
REGION_OF = _AC + "isROIOf"
REGION = (_AC + "xFrac", _AC + "yFrac", _AC + "widthFrac", _AC + "heightFrac")

OF_MEDIA = (
    OCCURRENCE_ID, *IDENTIFIERS, ACCESS, *TYPES, *FORMATS, VARIANT, TAKEN, *VIEWS, REGION_OF,
    *REGION,
)  # fmt: skip


def short(term: str) -> str:
    """A term's name without its vocabulary, as headers of tables have it."""
    return term.rpartition("/")[2]
