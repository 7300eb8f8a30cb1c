"""iNaturalist's CSV export is recognised by its header, and its times become local ones."""

from pathlib import Path

import pytest

from flukeprint.data.exchange.darwin_core.inaturalist import is_export, local_time
from flukeprint.data.exchange.forms import FORMS, form_of, read_observed
from tests.data.exchange.darwin_core.archives import table, zipped

URL = "https://example.org/photos/{}/medium.jpg"
COLUMNS = (
    "id", "observed_on_string", "observed_on", "time_observed_at", "time_zone", "user_login",
    "user_name", "image_url", "sound_url", "tag_list", "description", "place_guess", "latitude",
    "longitude", "positional_accuracy", "private_place_guess", "private_latitude",
    "private_longitude", "public_positional_accuracy", "coordinates_obscured", "scientific_name",
    "field:Individual ID", "field:count",
)  # fmt: skip


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text(table(rows, COLUMNS), encoding="utf-8")
    return path


def test_a_row_is_a_photograph_at_an_address(tmp_path: Path) -> None:
    row = {
        "id": "7", "observed_on_string": "2018/05/06 7:19 PM PDT", "observed_on": "2018-05-06",
        "time_observed_at": "2018-05-07 02:19:00 UTC", "user_login": "ann", "user_name": "Ann",
        "image_url": URL.format(1), "description": 'limps, "a bit"', "place_guess": "Bach",
        "latitude": "34.5", "longitude": "-118.25", "positional_accuracy": "5",
        "public_positional_accuracy": "29039", "scientific_name": "Lynx rufus",
        "field:Individual ID": "Zoë", "field:count": "1",
    }  # fmt: skip
    sound = {"id": "8", "sound_url": "https://example.org/a.mp3"}
    path = write(tmp_path / "observations-1.csv", row, sound)
    assert form_of(path) is FORMS["darwin-core"]
    observed = read_observed(path)
    (photo,) = observed.photos
    assert (photo.image, photo.path, photo.identity) == (URL.format(1), None, "Zoë")
    assert (photo.date, photo.offset) == ("2018-05-06T19:19:00", "-07:00")
    assert (photo.latitude, photo.longitude, photo.uncertainty) == (34.5, -118.25, 29039)
    assert (photo.place, photo.observer, photo.species) == ("Bach", "Ann", "Lynx rufus")
    assert photo.notes == 'limps, "a bit"'
    assert observed.left_out == {"observations without a photograph": 1}
    assert observed.notes == (
        "1 photograph at a web address, the first of an observation",
        "identities of the column field:Individual ID",
    )
    assert read_observed(zipped(tmp_path, tmp_path / "export.zip")).photos == observed.photos


def test_an_own_observation_has_its_true_position(tmp_path: Path) -> None:
    row = {
        "id": "7", "image_url": URL.format(1), "latitude": "34", "longitude": "-118",
        "positional_accuracy": "5", "public_positional_accuracy": "29039",
        "private_latitude": "34.125", "private_longitude": "-118.5", "place_guess": "CA",
        "private_place_guess": "Bach",
    }  # fmt: skip
    (photo,) = read_observed(write(tmp_path / "a.csv", row)).photos
    assert (photo.latitude, photo.longitude, photo.uncertainty) == (34.125, -118.5, 5)
    assert photo.place == "Bach"


def test_other_tables_are_none(tmp_path: Path) -> None:
    for number, text in enumerate(["id,identity\n1,A\n", "id,observed_on,image_url\n", "", "\0"]):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        assert not is_export(path)


@pytest.mark.parametrize(
    ("day", "typed", "moment", "found"),
    [
        ("2019-02-08", "Fri Feb 08 2019 12:02:44 GMT-0800 (PST)", "2019-02-08 20:02:44 UTC",
         ("2019-02-08T12:02:44", "-08:00")),
        ("2016-04-26", "2016-04-26 18:28:01", "2016-04-26 22:28:01 UTC",
         ("2016-04-26T18:28:01", "-04:00")),
        ("2024-05-03", "2024-05-03T10:22:31+05:45", "2024-05-03 04:37:31 UTC",
         ("2024-05-03T10:22:31", "+05:45")),
        ("2024-05-03", "2024/05/03 12:05 AM CEST", "2024-05-02 22:05:00 UTC",
         ("2024-05-03T00:05:00", "+02:00")),
        ("2024-05-03", "2024-05-03 10:22:31", "", ("2024-05-03T10:22:31", None)),
        ("2024-05-03", "2024-05-03 10:22:31", "2024-05-03 10:01:00 UTC",
         ("2024-05-03T10:22:31", None)),  # no time zone is 21 minutes away
        ("2015-04-21", "2015-04-21", "", ("2015-04-21", None)),
        ("2015-04-21", "yesterday noon", "2015-04-21 12:00:00 UTC", ("2015-04-21", None)),
        ("2015-04-21", "2015-04-22 10:00", "2015-04-22 12:00:00 UTC", ("2015-04-21", None)),
        ("2024-05-03", "2024/05/03 13:05 PM", "", ("2024-05-03", None)),
        ("", "2024-05-03 10:22:31", "2024-05-03 08:22:31 UTC", (None, None)),
    ],
)  # fmt: skip
def test_local_times(
    day: str, typed: str, moment: str, found: tuple[str | None, str | None]
) -> None:
    assert local_time(day or None, typed or None, moment or None) == found
