"""The columns of Wildbook's spreadsheets that this project reads or writes.

Names, limits and what may stand in each: Wildbook's guide to its bulk import, of 2024.
"""

import re

INDIVIDUAL = ("MarkedIndividual.individualID", "Encounter.individualID", "Name0.value")
OCCURRENCE = ("Encounter.occurrenceID", "Occurrence.occurrenceID", "Sighting.sightingID")
PLACE = ("Encounter.locationID", "Encounter.verbatimLocality")
OBSERVER = ("Encounter.photographer0.fullName", "Encounter.photographer0.emailAddress",
            "Encounter.submitterID")  # fmt: skip
NOTES = ("Encounter.occurrenceRemarks", "Encounter.researcherComments")
DATE = ("Encounter.year", "Encounter.month", "Encounter.day", "Encounter.hour", "Encounter.minutes")
MILLISECONDS = "Encounter.dateInMilliseconds"
LATITUDE = ("Encounter.decimalLatitude", "Encounter.latitude")
LONGITUDE = ("Encounter.decimalLongitude", "Encounter.longitude")
SPECIES = ("Encounter.genus", "Encounter.specificEpithet")
SEX, LIFE_STAGE = "Encounter.sex", "Encounter.lifeStage"
MEDIA = re.compile(r"Encounter\.mediaAsset(\d*)", re.IGNORECASE)
KEYWORDS = "Encounter.mediaAsset0.keywords"
STATE = "Encounter.state"
# What is written, in this order; a column that is empty in all rows is left out.
WRITTEN = (
    "Encounter.mediaAsset0", "MarkedIndividual.individualID", *SPECIES, *DATE,
    LATITUDE[0], LONGITUDE[0], PLACE[1], SEX, LIFE_STAGE, OCCURRENCE[0], OBSERVER[0], KEYWORDS,
    NOTES[0], STATE,
)  # fmt: skip
MOST = 200  # encounters of a file
PHOTOGRAPHS = "photographs"  # the folder with the files, beside the spreadsheets
DETAILS = "flukeprint.csv"
DETAIL_COLUMNS = ("file", "line", "cells", "details")
_BEGINNINGS = ("encounter.", "occurrence.", "markedindividual.", "sighting.")


def is_wildbook(headers: tuple[str, ...]) -> bool:
    """Whether the headers of a table are of Wildbook."""
    media = any(MEDIA.fullmatch(header.strip()) for header in headers)
    own = sum(header.strip().casefold().startswith(_BEGINNINGS) for header in headers)
    return own >= 2 and (media or own * 2 >= len(headers))
