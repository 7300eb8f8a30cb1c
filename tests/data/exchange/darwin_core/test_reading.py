"""Darwin Core Archives are read as meta.xml says, and damaged ones are refused in one line."""

import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from flukeprint.data.exchange.darwin_core.reading import read_darwin_core, recognises
from flukeprint.data.exchange.forms import FORMS, form_of
from flukeprint.data.exchange.observed import Observed
from flukeprint.errors import FlukeprintError
from tests.data.exchange.darwin_core.archives import (
    AC,
    AUDIOVISUAL,
    DC,
    DCTERMS,
    DWC,
    SIMPLE,
    XMP,
    element,
    table,
    write_archive,
    write_meta,
    zipped,
)

OCCURRENCE = DWC + "Occurrence"
IDENTIFIER, TYPE, FORMAT = DCTERMS + "identifier", DCTERMS + "type", DCTERMS + "format"
ADDRESS = "https://static.example.org/photos/1/original.jpg"


def seen(key: str, **cells: str) -> dict[str, str]:
    return {"id": key} | {DWC + name: value for name, value in cells.items()}


def medium(key: str, name: str, **more: str) -> dict[str, str]:
    return {"coreid": key, IDENTIFIER: name} | {DCTERMS + term: one for term, one in more.items()}


def audiovisual(key: str, identifier: str, access: str = "", **more: str) -> dict[str, str]:
    cells = {"coreid": key, IDENTIFIER: identifier, AC + "accessURI": access}
    return cells | {AC + name: value for name, value in more.items()}


def read(
    tmp_path: Path,
    occurrences: Sequence[Mapping[str, str]],
    media: Sequence[Mapping[str, str]],
    **more: str,
) -> Observed:
    return read_darwin_core(write_archive(tmp_path / "archive", occurrences, media, **more))


def test_a_photograph_has_what_occurrence_and_medium_tell(tmp_path: Path) -> None:
    occurrence = seen(
        "17", organismID="Zoë", eventDate="2024-05-03T14:02:31+02:00", decimalLatitude="50.5",
        decimalLongitude="4.25", coordinateUncertaintyInMeters="187", locality="Bach",
        recordedBy="Ann", sex="Female", lifeStage="ADULT", scientificName="Lynx lynx (L., 1758)",
        occurrenceRemarks="limps, a bit", eventID="e1", identifiedBy="Ben",
        geodeticDatum="EPSG:4326", dynamicProperties='{"organismID": "Max"}',
    )  # fmt: skip
    observed = read(tmp_path, [occurrence], [medium("17", "p/a.jpg", type="StillImage")])
    (photo,) = observed.photos
    assert (photo.image, photo.path) == ("p/a.jpg", tmp_path / "archive" / "p" / "a.jpg")
    assert (photo.identity, photo.species, photo.by) == ("Zoë", "Lynx lynx (L., 1758)", "Ben")
    assert (photo.date, photo.offset) == ("2024-05-03T14:02:31", "+02:00")
    assert (photo.latitude, photo.longitude, photo.uncertainty) == (50.5, 4.25, 187)
    assert (photo.place, photo.observer, photo.encounter) == ("Bach", "Ann", "e1")
    assert (photo.sex, photo.life_stage, photo.notes) == ("female", "adult", "limps, a bit")
    assert (photo.deployment, photo.box, photo.machine) == (None, None, False)
    assert (observed.form, observed.left_out, observed.notes) == ("Darwin Core", {}, ())


@pytest.mark.parametrize(
    ("cells", "identity"),
    [
        ({"organismID": "A", "individualID": "B", "organismName": "C"}, "A"),
        ({"organismID": "", "individualID": "B", "organismName": "C"}, "B"),
        ({"organismName": "C"}, "C"),
        ({"dynamicProperties": '{"individual": "D"}', "catalogNumber": "E"}, None),
    ],
)
def test_an_identity_has_a_term(
    tmp_path: Path, cells: dict[str, str], identity: str | None
) -> None:
    (photo,) = read(tmp_path, [seen("1", **cells)], [medium("1", "a.jpg")]).photos
    assert photo.identity == identity


def test_terms_decide_not_names_of_columns(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "o.txt").write_text("organismID\tsex\tid\nfemale\tZoë\t1\n", encoding="utf-8")
    (folder / "m.txt").write_text("1\ta.jpg\n")
    fields = "".join(
        f'<field index="{index}" term="{DWC}{name}"/>'
        for index, name in enumerate(("sex", "organismID"))
    )
    tabs = r'fieldsTerminatedBy="\t" linesTerminatedBy="\n" fieldsEnclosedBy="" '
    core = element(
        OCCURRENCE, ["o.txt"], [], key=2, layout=tabs + 'ignoreHeaderLines="1"', more=fields
    )
    media = element(SIMPLE, ["m.txt"], [IDENTIFIER], core=False, layout=tabs)
    (photo,) = read_darwin_core(write_meta(folder, core, media)).photos
    assert (photo.identity, photo.sex) == ("Zoë", "female")


def test_defaults_fill_empty_cells_and_stand_for_columns_that_are_not_there(
    tmp_path: Path,
) -> None:
    defaults = (
        f'<field term="{DWC}scientificName" default="Lynx lynx"/>'
        f'<field term="{DWC}recordedBy" default="Ann"/>'
    )
    folder = write_archive(
        tmp_path,
        [seen("1", recordedBy="Ben"), seen("2", recordedBy="")],
        [medium("1", "a.jpg"), medium("2", "b.jpg")],
        core_more=defaults,
    )
    photos = read_darwin_core(folder).photos
    assert [photo.observer for photo in photos] == ["Ben", "Ann"]
    assert {photo.species for photo in photos} == {"Lynx lynx"}


def test_a_default_may_stand_beside_an_index(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("1,\n2,male\n")
    (tmp_path / "m.csv").write_text("1,a.jpg\n2,b.jpg\n")
    plain = 'fieldsTerminatedBy=","'
    both = f'<field index="1" term="{DWC}sex" default="female"/>'
    core = element(OCCURRENCE, ["o.csv"], [], layout=plain, more=both)
    media = element(SIMPLE, ["m.csv"], [IDENTIFIER], core=False, layout=plain)
    photos = read_darwin_core(write_meta(tmp_path, core, media)).photos
    assert [photo.sex for photo in photos] == ["female", "male"]


@pytest.mark.parametrize(
    ("layout", "content"),
    [
        ('fieldsTerminatedBy="\\t" fieldsEnclosedBy=""', '1\t"Zoë", the 2nd\n'),
        ('fieldsTerminatedBy="\t" fieldsEnclosedBy=""', '1\t"Zoë", the 2nd\n'),
        ('fieldsTerminatedBy="&#9;" fieldsEnclosedBy=""', '1\t"Zoë", the 2nd\r\n'),
        ('fieldsTerminatedBy=";" ignoreHeaderLines="2"', 'x\ny\n1;"""Zoë"", the 2nd"\n'),
        ("", '1,"""Zoë"", the 2nd"\n'),
        ('fieldsEnclosedBy=""', '1\t"Zoë" the 2nd\n'),
        ('fieldsTerminatedBy="|" fieldsEnclosedBy="\'"', "1|'\"Zoë\", the 2nd'|beyond\n"),
        ('linesTerminatedBy="\\r\\n"', '1,"""Zoë"", the 2nd"\r\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["UTF-8", "utf-8-sig", "ISO-8859-1", "UTF-16"])
def test_tables_are_written_as_meta_xml_says(
    tmp_path: Path, layout: str, content: str, encoding: str
) -> None:
    (tmp_path / "o.csv").write_bytes(content.encode(encoding))
    (tmp_path / "m.csv").write_text("1,a.jpg\n")
    told = encoding.replace("-sig", "")
    core = element(
        OCCURRENCE, ["o.csv"], [DWC + "organismID"], layout=f'{layout} encoding="{told}"'
    )
    media = element(SIMPLE, ["m.csv"], [IDENTIFIER], core=False, layout="")
    (photo,) = read_darwin_core(write_meta(tmp_path, core, media)).photos
    assert (photo.identity or "").replace(",", "") == '"Zoë" the 2nd'


def test_a_core_in_several_files_is_one(tmp_path: Path) -> None:
    for number in (1, 2):
        rows = [seen(str(number), organismID=f"A{number}")]
        (tmp_path / f"o{number}.csv").write_text(table(rows, ["id", DWC + "organismID"]))
    (tmp_path / "m.csv").write_text("coreid,x\n2,b.jpg\n1,a.jpg\n")
    core = element(OCCURRENCE, ["o1.csv", "o2.csv"], [DWC + "organismID"])
    media = element(SIMPLE, ["m.csv"], [IDENTIFIER], core=False)
    photos = read_darwin_core(write_meta(tmp_path, core, media)).photos
    assert [(one.image, one.identity) for one in photos] == [("a.jpg", "A1"), ("b.jpg", "A2")]


def test_rows_that_lack_cells_are_empty_there(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("1,Ann,A\n2,Ben\n3\n")
    (tmp_path / "m.csv").write_text("1,a.jpg\n2,b.jpg\n3,c.jpg\n")
    core = element(OCCURRENCE, ["o.csv"], [DWC + "recordedBy", DWC + "organismID"], layout="")
    media = element(SIMPLE, ["m.csv"], [IDENTIFIER], core=False, layout="")
    photos = read_darwin_core(write_meta(tmp_path, core, media)).photos
    assert [(one.observer, one.identity) for one in photos] == [
        ("Ann", "A"), ("Ben", None), (None, None),
    ]  # fmt: skip


def test_columns_that_no_row_has_are_empty(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("1,Ann\n2,Ben\n")
    (tmp_path / "m.csv").write_text("1,a.jpg\n2,b.jpg\n")
    core = element(OCCURRENCE, ["o.csv"], [DWC + "recordedBy", DWC + "organismID"], layout="")
    media = element(SIMPLE, ["m.csv"], [IDENTIFIER], core=False, layout="")
    photos = read_darwin_core(write_meta(tmp_path, core, media)).photos
    assert [(one.observer, one.identity) for one in photos] == [("Ann", None), ("Ben", None)]


def test_a_core_without_an_identifier_has_its_term_or_its_rows(tmp_path: Path) -> None:
    terms = [DWC + "occurrenceID", DWC + "associatedMedia"]
    (tmp_path / "o.csv").write_text("x,o1,a.jpg|b.jpg\nx,,c.jpg|d.jpg\n")
    for key in ("", "<id/>"):
        core = element(OCCURRENCE, ["o.csv"], terms, key=None, layout="", more=key)
        photos = read_darwin_core(write_meta(tmp_path, core)).photos
        assert [one.encounter for one in photos] == ["o1", "o1", "row 2", "row 2"]


def test_several_photographs_of_an_occurrence_are_of_one_encounter(tmp_path: Path) -> None:
    observed = read(
        tmp_path,
        [seen("1"), seen("2", eventID="e"), seen("3")],
        [medium("2", "c.jpg"), medium("1", "a.jpg"), medium("1", "b.jpg"), medium("2", "d.jpg"),
         medium("3", "e.jpg")],
    )  # fmt: skip
    assert [(one.image, one.encounter) for one in observed.photos] == [
        ("a.jpg", "1"), ("b.jpg", "1"), ("c.jpg", "e"), ("d.jpg", "e"), ("e.jpg", None),
    ]  # fmt: skip


def test_one_photograph_of_several_occurrences_is_several_records(tmp_path: Path) -> None:
    media = [medium("1", "a.jpg"), medium("2", "a.jpg"), medium("1", ADDRESS), medium("2", ADDRESS)]
    observed = read(tmp_path, [seen("1", organismID="A"), seen("2", organismID="B")], media)
    assert [(one.image, one.identity) for one in observed.photos] == [
        ("a.jpg", "A"), (ADDRESS, "A"), ("a.jpg#2", "B"), (f"{ADDRESS}#2", "B"),
    ]  # fmt: skip
    path = tmp_path / "archive" / "a.jpg"
    assert [one.path for one in observed.photos] == [path, None, path, None]
    assert observed.notes == ("2 photographs at a web address: download them to read them",)


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("a.bin", {"type": "Sound"}, "a sound"),
        ("a.jpg", {"type": "http://purl.org/dc/dcmitype/MovingImage"}, "a video"),
        ("a", {"format": "video/mp4"}, "a video"),
        ("https://example.org/a.mp3?x=1", {}, "a sound"),
        (ADDRESS, {"format": "text/html"}, "a web page"),
        ("", {"type": "StillImage"}, "media without a file or an address"),
    ],
)
def test_other_media_are_left_out(
    tmp_path: Path, name: str, cells: dict[str, str], why: str
) -> None:
    media = [medium("1", name, **cells), medium("1", "b.jpg"), medium("9", "c.jpg")]
    observed = read(tmp_path, [seen("1"), seen("2")], media)
    assert [one.image for one in observed.photos] == ["b.jpg"]
    assert observed.left_out == {
        why: 1, "occurrences without a photograph": 1, "photographs of no occurrence here": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "cells", [{"type": "StillImage"}, {"type": "Image"}, {"format": "image/png"}, {}]
)
def test_photographs_have_a_type_a_format_or_neither(tmp_path: Path, cells: dict[str, str]) -> None:
    observed = read(tmp_path, [seen("1")], [medium("1", "https://example.org/file/7", **cells)])
    assert len(observed.photos) == 1


def test_audiovisual_core_has_its_own_terms(tmp_path: Path) -> None:
    media = [
        audiovisual("1", "m1", ADDRESS, subjectOrientationLiteral="left"),
        audiovisual("1", "m1", "https://example.org/small.jpg", variantLiteral="Thumbnail"),
        audiovisual("2", "m2", "p/b.jpg") | {XMP + "CreateDate": "2024-05-03T10:00:05Z"},
        audiovisual("2", "m3") | {DC + "type": "Sound"},
        audiovisual("2", "hidden/c.jpg"),
    ]
    occurrences = [seen("1"), seen("2", eventDate="2024-05-03T10:00:00Z/2024-05-03T10:05:00Z")]
    observed = read(tmp_path, occurrences, media, media_kind=AUDIOVISUAL)
    one, two, three = observed.photos
    assert (one.image, one.path, one.view) == (ADDRESS, None, "left")
    assert (two.image, two.path) == ("p/b.jpg", tmp_path / "archive" / "p" / "b.jpg")
    assert (two.date, two.offset) == ("2024-05-03T10:00:05", "+00:00")
    assert (three.image, three.path, three.date) == ("hidden/c.jpg", None, "2024-05-03")
    assert observed.left_out == {"a thumbnail": 1, "a sound": 1}


def test_of_several_sizes_the_best_counts(tmp_path: Path) -> None:
    media = [
        audiovisual("1", "m1", f"https://example.org/{number}.jpg", variantLiteral=variant)
        for number, variant in enumerate(["Medium Quality", "Best Quality", "Lower Quality", "odd"])
    ]
    media += [audiovisual("1", "m2", f"https://example.org/{number}.jpg") for number in (5, 6)]
    observed = read(tmp_path, [seen("1")], media, media_kind=AUDIOVISUAL)
    names = [one.image.removeprefix("https://example.org/") for one in observed.photos]
    assert names == ["1.jpg", "5.jpg", "6.jpg"]


def test_regions_of_interest_are_boxes(tmp_path: Path) -> None:
    def corners(*sides: str) -> dict[str, str]:
        names = ("xFrac", "yFrac", "widthFrac", "heightFrac")
        return dict(zip(names, sides, strict=True))

    media = [
        audiovisual("1", "m1", "a.jpg"),
        audiovisual("1", "m1#1", isROIOf="m1", **corners("0.5", "0.25", "0.5", "0.5")),
        audiovisual("1", "m1#2", isROIOf="a.jpg", **corners("0", "0", "0.25", "0.25")),
        audiovisual("2", "m1#3", isROIOf="m1", **corners("0", "0", "1", "0.125")),
        audiovisual("2", "m9#1", isROIOf="m9", **corners("0", "0", "1", "1")),
        audiovisual("3", "m3", "c.jpg", **corners("0.25", "0.25", "0.25", "0.25")),
        audiovisual("3", "m4", "d.jpg"),
        audiovisual("3", "m4#1", isROIOf="m4", xFrac="0.5", yFrac="0.5", radius="0.1"),
    ]
    observed = read(tmp_path, [seen(key) for key in "123"], media, media_kind=AUDIOVISUAL)
    assert [(one.image, one.box) for one in observed.photos] == [
        ("a.jpg", (0.5, 0.25, 1.0, 0.75)), ("a.jpg#2", (0.0, 0.0, 0.25, 0.25)),
        ("a.jpg#3", (0.0, 0.0, 1.0, 0.125)), ("c.jpg", (0.25, 0.25, 0.5, 0.5)),
    ]  # fmt: skip
    assert observed.left_out == {
        "regions of no photograph here": 1, "boxes that are not four numbers": 1,
    }  # fmt: skip
    assert [one.encounter for one in observed.photos] == [None, None, None, "3"]


def test_two_extensions_of_one_photograph_are_one(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("1,A\n")
    (tmp_path / "simple.csv").write_text(f"1,{ADDRESS}\n1,b.jpg\n")
    (tmp_path / "ac.csv").write_text(f"1,m1,{ADDRESS},left\n")
    terms = [IDENTIFIER, AC + "accessURI", AC + "subjectOrientation"]
    folder = write_meta(
        tmp_path,
        element(OCCURRENCE, ["o.csv"], [DWC + "organismID"], layout=""),
        element(SIMPLE, ["simple.csv"], [IDENTIFIER], core=False, layout=""),
        element(AUDIOVISUAL, ["ac.csv"], terms, core=False, layout=""),
    )
    photos = read_darwin_core(folder).photos
    assert [(one.image, one.view, one.path) for one in photos] == [
        (ADDRESS, "left", None), ("b.jpg", None, tmp_path / "b.jpg"),
    ]  # fmt: skip


def test_associated_media_count_where_there_is_no_extension(tmp_path: Path) -> None:
    listed = f"{ADDRESS} | p/b.jpg|https://example.org/page | a.mp3"
    folder = write_archive(tmp_path, [seen("1", associatedMedia=listed, organismID="A")])
    observed = read_darwin_core(folder)
    assert [one.image for one in observed.photos] == [ADDRESS, "p/b.jpg"]
    assert {one.encounter for one in observed.photos} == {"1"}
    assert sum(observed.left_out.values()) == 2


def test_a_download_of_gbif_has_its_verbatim_rows_left_alone(tmp_path: Path) -> None:
    tabs = (
        r'encoding="UTF-8" fieldsTerminatedBy="\t" linesTerminatedBy="\n" fieldsEnclosedBy="" '
        'ignoreHeaderLines="1"'
    )
    gbif = "http://rs.gbif.org/terms/1.0/gbifID"
    own = f'<field index="0" term="{gbif}"/>'
    dates = [DWC + "organismID", DWC + "eventDate", DWC + "eventTime"]
    lines = {
        "occurrence.txt": "gbifID\torganismID\teventDate\teventTime\n"
        "1453\tZoë \"Z\"\t2016-12-10T08:28:05\t08:28:05-06:00\n",
        "verbatim.txt": "gbifID\torganismID\n1453\tother\n",
        "multimedia.txt": "gbifID\ttype\tformat\tidentifier\n"
        f"1453\tStillImage\timage/jpeg\t{ADDRESS}\n",
    }  # fmt: skip
    for name, text in lines.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder = write_meta(
        tmp_path,
        element(OCCURRENCE, ["occurrence.txt"], dates, layout=tabs, more=own),
        element(
            OCCURRENCE, ["verbatim.txt"], [DWC + "organismID"], core=False, layout=tabs, more=own
        ),
        element(
            SIMPLE, ["multimedia.txt"], [TYPE, FORMAT, IDENTIFIER], core=False, layout=tabs,
            more=own,
        ),
    )  # fmt: skip
    for path in (folder, folder / "meta.xml", zipped(folder, tmp_path / "0001.zip", "0001/")):
        (photo,) = read_darwin_core(path).photos
        assert (photo.image, photo.identity) == (ADDRESS, 'Zoë "Z"')
        assert (photo.date, photo.offset) == ("2016-12-10T08:28:05", "-06:00")


def test_events_have_occurrences(tmp_path: Path) -> None:
    occurs = [DWC + name for name in ("occurrenceID", "organismID", "scientificName")]
    media_terms = [IDENTIFIER, DWC + "occurrenceID"]
    (tmp_path / "e.csv").write_text("e1,2024-05-03,Bach\ne2,2024-05-04,Wald\ne3,,\n")
    (tmp_path / "o.csv").write_text("e1,o1,A,Lynx lynx\ne2,o2,B,Lynx lynx\ne2,o3,C,Lynx lynx\n")
    (tmp_path / "m.csv").write_text("e1,a.jpg,\ne2,b.jpg,o3\ne2,c.jpg,\ne3,d.jpg,\n")
    folder = write_meta(
        tmp_path,
        element(DWC + "Event", ["e.csv"], [DWC + "eventDate", DWC + "locality"], layout=""),
        element(OCCURRENCE, ["o.csv"], occurs, core=False, layout=""),
        element(SIMPLE, ["m.csv"], media_terms, core=False, layout=""),
    )
    observed = read_darwin_core(folder)
    told = [
        (one.image, one.identity, one.encounter, one.date, one.place) for one in observed.photos
    ]
    assert told == [
        ("a.jpg", "A", "e1", "2024-05-03", "Bach"),
        ("b.jpg", "C", "e2", "2024-05-04", "Wald"),
        ("c.jpg", None, "e2", "2024-05-04", "Wald"),
    ]
    assert {one.species for one in observed.photos} == {"Lynx lynx"}
    assert observed.notes == (
        "1 photograph of an event with several animals: whom each shows is not said",
    )
    assert observed.left_out == {"photographs of an event without an animal": 1}
    (tmp_path / "m.csv").write_text("o3,a.jpg,\n")  # a real one has it so
    (photo,) = read_darwin_core(folder).photos
    assert (photo.identity, photo.encounter) == ("C", "e2")


def test_a_camera_trap_is_a_deployment_and_a_machine_that_observes_names_nobody(
    tmp_path: Path,
) -> None:
    cells = {"parentEventID": "d1", "basisOfRecord": "MachineObservation", "identifiedBy": "Ann"}
    model = {"identificationRemarks": "classified by a machine with 89% certainty"}
    observed = read(
        tmp_path,
        [
            seen("1", samplingProtocol="camera trap", **cells),
            seen("2", **cells),
            seen("3", **cells, **model),
            seen("4", organismID="A", **model),
        ],
        [medium(str(key), f"{key}.jpg") for key in range(1, 5)],
    )
    assert [one.deployment for one in observed.photos] == ["d1", None, None, None]
    assert [(one.machine, one.probability, one.confidence) for one in observed.photos] == [
        (False, None, None), (False, None, None), (True, None, 0.89), (True, 0.89, None),
    ]  # fmt: skip


def test_occurrences_that_say_too_little_or_the_contrary_are_left_out(tmp_path: Path) -> None:
    occurrences = [
        seen("1", occurrenceStatus="absent"), seen("2", occurrenceStatus="PRESENT"), seen("2"),
    ]  # fmt: skip
    observed = read(tmp_path, occurrences, [medium("1", "a.jpg"), medium("2", "b.jpg")])
    assert [one.image for one in observed.photos] == ["b.jpg"]
    assert observed.left_out == {
        "occurrences of an animal that was absent": 1,
        "occurrences whose identifier another has": 1,
    }


@pytest.mark.parametrize(
    ("cells", "position", "note"),
    [
        (("50.5", "4.25", "0", "WGS84"), (50.5, 4.25, None), ""),
        (("50.5", "", "5", ""), (None, None, None), ""),
        (("50,5", "4,25", "", ""), (None, None, None), ""),
        (("95", "4", "5", ""), (None, None, None), "not on Earth"),
        (("50", "4", "5", "NAD27"), (50, 4, 5), "datum nad27"),
        (("0", "0", "20037508", ""), (None, None, None), ""),
    ],
)
def test_positions(
    tmp_path: Path,
    cells: tuple[str, ...],
    position: tuple[float | None, ...],
    note: str,
) -> None:
    names = (
        "decimalLatitude",
        "decimalLongitude",
        "coordinateUncertaintyInMeters",
        "geodeticDatum",
    )
    occurrence = seen("1", **dict(zip(names, cells, strict=True)))
    observed = read(tmp_path, [occurrence], [medium("1", "a.jpg")])
    (photo,) = observed.photos
    assert (photo.latitude, photo.longitude, photo.uncertainty) == position
    assert any(note in line for line in observed.notes) if note else not observed.notes


def test_a_folder_of_names_can_be_given(tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "archive", [seen("1")], [medium("1", "a%20b.jpg")])
    (tmp_path / "photos").mkdir()
    (photo,) = read_darwin_core(folder, tmp_path / "photos").photos
    assert photo.path == tmp_path / "photos" / "a%20b.jpg"
    (tmp_path / "photos" / "a b.jpg").touch()
    (photo,) = read_darwin_core(folder, tmp_path / "photos").photos
    assert (photo.image, photo.path) == ("a%20b.jpg", tmp_path / "photos" / "a b.jpg")


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "p/..\\..\\a.jpg"])
def test_no_photograph_leads_out(tmp_path: Path, name: str) -> None:
    observed = read(tmp_path, [seen("1")], [medium("1", name)])
    assert observed.photos[0].path is None
    assert observed.notes == ("1 photograph whose path leads out of the archive",)


def test_photographs_in_a_zip_file_are_to_be_unpacked(tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "archive", [seen("1")], [medium("1", "a.jpg")])
    (folder / "a.jpg").touch()
    observed = read_darwin_core(zipped(folder, tmp_path / "a.zip"))
    assert observed.photos[0].path is None
    assert observed.notes == ("1 photograph in the ZIP file: unpack it to read them",)
    (tmp_path / "a.jpg").touch()
    assert read_darwin_core(tmp_path / "a.zip").photos[0].path == tmp_path / "a.jpg"


def test_a_simple_download_of_gbif_has_no_photographs(tmp_path: Path) -> None:
    path = tmp_path / "0001.csv"
    path.write_text("gbifID\tdatasetKey\toccurrenceID\tmediaType\n1\tx\to1\tStillImage\n")
    for each in (path, zipped(tmp_path, tmp_path / "0001.zip")):
        assert form_of(each) is FORMS["darwin-core"]
        with pytest.raises(FlukeprintError, match="as a Darwin Core Archive"):
            read_darwin_core(each)


def test_dynamic_properties_are_heeded_below_our_key_only(tmp_path: Path) -> None:
    details = [
        '{"flukeprint": {"view": "left", "probability": 0.5, "machine": true, "sex": "f"}}',
        '{"view": "left", "individual": "A", "note": "flukeprint"}',
        "flukeprint: view=left",
        '["flukeprint"]',
        '{"flukeprint": "left"}',
        '{"flukeprint": {"unknown": 1}}',
    ]
    folder = write_archive(
        tmp_path,
        [seen(str(row), dynamicProperties=text) for row, text in enumerate(details)],
        [medium(str(row), f"{row}.jpg") for row in range(len(details))],
    )
    observed = read_darwin_core(folder)
    one, *others = observed.photos
    assert (one.view, one.probability, one.machine, one.sex) == ("left", 0.5, True, "f")
    assert {(other.view, other.probability, other.machine) for other in others} == {
        (None, None, False)
    }
    assert not observed.left_out


@pytest.mark.parametrize(
    "detail",
    [
        '"view": 1', '"path": "../../etc/passwd"', '"probability": NaN', '"probability": true',
        f'"latitude": {10**400}', '"box": [0, 0, 1]', '"box": [0.5, 0, 0.25, 1]', '"image": null',
        '"box": "abcd"',
    ],
)  # fmt: skip
def test_details_that_may_not_stand_there_are_left_out(tmp_path: Path, detail: str) -> None:
    occurrence = seen("1", organismID="A", dynamicProperties=f'{{"flukeprint": {{{detail}}}}}')
    observed = read(tmp_path, [occurrence], [medium("1", "a.jpg")])
    (photo,) = observed.photos
    assert (photo.image, photo.identity, photo.box) == ("a.jpg", "A", None)
    assert photo.path == tmp_path / "archive" / "a.jpg"
    assert observed.left_out == {"details that cannot be read": 1}


def test_two_photographs_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [seen(key, dynamicProperties='{"flukeprint": {"image": "x"}}') for key in "12"]
    with pytest.raises(FlukeprintError, match="a name to two photographs"):
        read(tmp_path, twice, [medium("1", "a.jpg"), medium("2", "b.jpg")])


def test_archives_are_recognised(tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "archive", [seen("1")], [medium("1", "a.jpg")])
    for path in (folder, folder / "meta.xml", zipped(folder, tmp_path / "a.zip", "inside/")):
        assert form_of(path) is FORMS["darwin-core"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "meta.xml").write_text("<metadata/>")
    for path in (tmp_path / "other", tmp_path, tmp_path / "missing", folder / "core.csv"):
        assert not recognises(path)


ENTITY = '<!DOCTYPE a [<!ENTITY x "y">]><archive xmlns="http://rs.tdwg.org/dwc/text/">&x;</archive>'
CORE = ["core.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTITY, "defines entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><archive/>', "document type"),
        ("<archive", "is no XML"),
        ("<archive/>", "names no core table"),
        ("<other/>", "names no core table"),
        (element(OCCURRENCE, [], []), "names no file"),
        (element(OCCURRENCE, ["../o.csv"], []), "not in the archive"),
        (element(OCCURRENCE, ["/o.csv"], []), "not in the archive"),
        (element(OCCURRENCE, ["http://x.org/o"], []), "on the web"),
        (element(OCCURRENCE, ["o.csv"], []), "o.csv is missing"),
        (element(DWC + "Taxon", CORE, []), "occurrences or events"),
        (element(DWC + "Event", CORE, []), "table of occurrences"),
        (element(OCCURRENCE, CORE, [], more='<field index="x" term="t"/>'), "not a number"),
        (element(OCCURRENCE, CORE, [], layout='encoding="none"'), "unknown encoding"),
        (element(OCCURRENCE, CORE, [], layout='fieldsTerminatedBy="::"'), "one character each"),
        (element(OCCURRENCE, CORE, [], layout='encoding="ascii"'), "not ASCII text"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    whole = f"<archive>{text}</archive>" if text.startswith("<core") else text
    (tmp_path / "meta.xml").write_text(whole)
    (tmp_path / "core.csv").write_text("1,Zoë\n", encoding="utf-8")
    with pytest.raises(FlukeprintError, match=message) as caught:
        read_darwin_core(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_other_files_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK no")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("core.csv", "1")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("../meta.xml", "<archive/>")
    (tmp_path / "empty").mkdir()
    for name, message in {
        "a.zip": "neither a folder", "b.zip": "has no meta.xml", "c.zip": "lead out",
        "none": "is missing", "empty": "has no meta.xml",
    }.items():  # fmt: skip
        with pytest.raises(FlukeprintError, match=message):
            read_darwin_core(tmp_path / name)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flukeprint.data.exchange.darwin_core.archive.LARGEST_ZIPPED", 10_000)
    folder = write_archive(tmp_path / "archive", [seen("1", locality="x" * 20_000)])
    with pytest.raises(FlukeprintError, match="very large table"):
        read_darwin_core(zipped(folder, tmp_path / "a.zip"))
    monkeypatch.setattr("flukeprint.data.exchange.darwin_core.archive.LARGEST_DESCRIPTION", 10)
    with pytest.raises(FlukeprintError, match=r"meta.xml is very large"):
        read_darwin_core(tmp_path / "a.zip")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_archive(tmp_path, [seen("1")])
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    assert recognises(folder)
    with pytest.raises(FlukeprintError, match=r"flukeprint\[xml\]"):
        read_darwin_core(folder)
