"""Camtrap DP is read as its tables say, and damaged packages are refused in one line."""

import gzip
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from flukeprint.data.exchange.camtrap.reading import read_camtrap_dp, recognises
from flukeprint.data.exchange.observed import Observed
from flukeprint.errors import FlukeprintError
from tests.data.exchange.camtrap.packages import deployment, medium, observation, write_package


def read(
    tmp_path: Path,
    media: Sequence[Mapping[str, str]],
    observations: Sequence[Mapping[str, str]],
    **more: object,
) -> Observed:
    tables = {"deployments": [deployment()], "media": media, "observations": observations}
    return read_camtrap_dp(write_package(tmp_path / "package", tables, **more))  # type: ignore[arg-type]


def zipped(folder: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, inside + file.relative_to(folder).as_posix())
    return target


def test_a_photograph_has_what_the_three_tables_tell(tmp_path: Path) -> None:
    seen = observation(
        "o1", "m1", individualID="Zoë", sex="female", lifeStage="adult", eventID="e1",
        bboxX="0.1", bboxY="0.2", bboxWidth="0.3", bboxHeight="0.4",
        classificationMethod="machine", classifiedBy="a model", classificationProbability="0.75",
        observationTags="wet | view:left", observationComments="limps",
    )  # fmt: skip
    observed = read(tmp_path, [medium("m1")], [seen])
    (photo,) = observed.photos
    assert (observed.form, observed.version) == ("Camtrap DP", "1.0.1")
    assert photo.path == tmp_path / "package" / "media" / "m1.jpg"
    assert photo.image == "media/m1.jpg"
    assert photo.box == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert (photo.date, photo.offset) == ("2023-04-02T10:00:00", "+02:00")
    assert (photo.latitude, photo.longitude, photo.uncertainty) == (50.5, 4.25, 187)
    assert (photo.place, photo.deployment, photo.encounter) == ("Bach", "d1", "e1")
    assert (photo.identity, photo.species, photo.sex) == ("Zoë", "Lynx lynx", "female")
    assert (photo.life_stage, photo.view, photo.notes) == ("adult", "left", "limps")
    assert (photo.probability, photo.confidence) == (0.75, None)
    assert (photo.by, photo.machine) == ("a model", True)


def test_a_probability_without_a_name_is_that_of_an_animal(tmp_path: Path) -> None:
    (photo,) = read(
        tmp_path, [medium("m1")], [observation("o1", "m1", classificationProbability="0.5")]
    ).photos
    assert (photo.identity, photo.probability, photo.confidence) == (None, None, 0.5)


def test_several_observations_are_rows_of_one_file_in_the_order_of_media(tmp_path: Path) -> None:
    boxes = {"bboxX": "0", "bboxY": "0", "bboxHeight": "1"}
    observed = read(
        tmp_path,
        [medium("m1"), medium("m2")],
        [
            observation("o3", "m2"),
            observation("o1", "m1", individualID="A", bboxWidth="0.5", **boxes),
            observation("o2", "m1", individualID="B", bboxWidth="0.25", **boxes),
        ],
    )
    images = [photo.image for photo in observed.photos]
    assert images == ["media/m1.jpg", "media/m1.jpg#2", "media/m2.jpg"]
    assert [photo.identity for photo in observed.photos] == ["A", "B", None]
    assert observed.photos[0].path == observed.photos[1].path


@pytest.mark.parametrize(
    ("cells", "box"),
    [
        (("0.9", "0.5", "0.2", "0.25"), (0.9, 0.5, 1, 0.75)),
        (("-0.1", "0", "0.5", "1.01"), (0, 0, 0.4, 1)),
        (("0.5", "0.5", "1e-15", "0.5"), None),
        (("1", "0.5", "0.5", "0.5"), None),
        (("0.5", "0.5", "", "0.5"), None),
        (("0.5", "0.5", "nan", "0.5"), None),
    ],
)
def test_boxes_are_clipped_and_left_out_without_an_area(
    tmp_path: Path, cells: Sequence[str], box: tuple[float, ...] | None
) -> None:
    names = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
    seen = observation("o1", "m1", **dict(zip(names, cells, strict=True)))
    observed = read(tmp_path, [medium("m1")], [seen, observation("o2", "m1")])
    assert observed.photos[-1].box is None  # the other observation stays
    if box is None:
        assert [photo.box for photo in observed.photos] == [None]
        assert sum(observed.left_out.values()) == 1
        assert observed.examples == dict.fromkeys(observed.left_out, ("o1",))
    else:
        assert observed.photos[0].box == pytest.approx(box)
        assert not observed.left_out


def test_what_shows_no_animal_is_left_out_and_counted(tmp_path: Path) -> None:
    media = [medium(f"m{i}") for i in range(5)] + [
        medium("m5", fileMediatype="video/mp4"),
        medium("m4"),
    ]
    observed = read(
        tmp_path,
        media,
        [
            observation("o0", "m0", observationType="blank"),
            observation("o1", "m1", observationType="human"),
            observation("o2", "m1"),
            observation("o3", "m2", observationType="unclassified"),
            observation("o4", "nowhere"),
        ],
    )
    assert [photo.image[6:8] for photo in observed.photos] == ["m1", "m2", "m3", "m4"]
    assert observed.left_out == {
        "photographs without an animal": 1,
        "a video": 1,
        "media whose mediaID another has": 1,
        "observations of no photograph here": 1,
    }


def test_files_elsewhere_are_kept_without_a_path_and_told(tmp_path: Path) -> None:
    (tmp_path / "package" / "media").mkdir(parents=True)
    (tmp_path / "package" / "media" / "m3.jpg").touch()
    observed = read(
        tmp_path,
        [
            medium("m1", filePath="https://example.org/m1/file"),
            medium("m2", filePublic="false"),
            medium("m3", filePublic="false"),
            medium("m4", filePath="../../secret.jpg"),
            medium("m5", filePath="/etc/passwd"),
            medium("m6", filePath="C:\\m6.jpg"),
            medium("m7", filePath="a\\m7.jpg"),
            medium("m8", filePath=""),
        ],
        [],
    )
    folder = tmp_path / "package"
    assert [photo.path for photo in observed.photos] == [
        None, None, folder / "media" / "m3.jpg", None, None, None, folder / "a" / "m7.jpg", None,
    ]  # fmt: skip
    assert observed.photos[0].image == "https://example.org/m1/file"
    assert observed.photos[7].image == "m8"
    text = observed.text()
    assert "1 photograph at a web address" in text
    assert "3 photographs whose path leads out" in text
    assert "1 photograph private" in text
    assert "1 photograph without a file" in text


def test_photographs_may_lie_in_another_folder(tmp_path: Path) -> None:
    tables = {"deployments": [deployment()], "media": [medium("m1")], "observations": []}
    folder = write_package(tmp_path / "package", tables)
    (photo,) = read_camtrap_dp(folder, tmp_path / "photos").photos
    assert photo.path == tmp_path / "photos" / "media" / "m1.jpg"


def test_files_of_one_name_are_told_apart_by_their_id(tmp_path: Path) -> None:
    observed = read(tmp_path, [medium("m1", filePath="x.jpg"), medium("m2", filePath="x.jpg")], [])
    assert [photo.image for photo in observed.photos] == ["m1", "m2"]


@pytest.mark.parametrize(
    ("stamp", "date", "offset"),
    [
        ("2023-04-02T10:00:05Z", "2023-04-02T10:00:05", "+00:00"),
        ("2023-04-02T10:00:05-0330", "2023-04-02T10:00:05", "-03:30"),
        ("2023-04-02 10:00:05.25", "2023-04-02T10:00:05", None),
        ("2023-04-02", "2023-04-02", None),
        ("02/04/2023", None, None),
        ("2023-02-30T10:00:00Z", None, None),
        ("", None, None),
    ],
)
def test_times_are_local_with_their_offset(
    tmp_path: Path, stamp: str, date: str | None, offset: str | None
) -> None:
    observed = read(tmp_path, [medium("m1", timestamp=stamp)], [])
    (photo,) = observed.photos
    assert (photo.date, photo.offset) == (date, offset)
    wrong = stamp != "" and date is None
    assert ("1 photograph whose time cannot be read" in observed.notes) is wrong


def moment(second: int) -> str:
    return f"2023-04-02T10:00:{second:02}+02:00"


def test_an_event_joins_the_photographs_of_its_time_without_boxes(tmp_path: Path) -> None:
    media = [medium(f"m{i}", timestamp=moment(10 * i)) for i in range(6)]
    media.append(medium("m6", timestamp=moment(10), deploymentID="d2"))
    times = {"eventStart": "2023-04-02T08:00:10Z", "eventEnd": "2023-04-02T08:00:20Z"}
    late = {"eventStart": "2023-04-02T08:00:30Z", "eventEnd": "2023-04-02T08:00:30Z"}
    blank = {"eventStart": "2023-04-02T08:00:40Z", "eventEnd": "2023-04-02T08:00:40Z"}
    observed = read(
        tmp_path,
        media,
        [
            observation("v1", eventID="e1", individualID="A", classifiedBy="Ann", **times),
            observation("v2", individualID="B", **late),
            observation("v3", individualID="C", **late),
            observation("v4", observationType="blank", **blank),
        ],
    )
    found = {photo.image[6:8]: (photo.identity, photo.encounter) for photo in observed.photos}
    assert found == {
        "m0": (None, None), "m1": ("A", "e1"), "m2": ("A", "e1"), "m3": (None, "v2"),
        "m5": (None, None), "m6": (None, None),
    }  # fmt: skip
    assert {photo.box for photo in observed.photos} == {None}
    assert observed.photos[1].by == "Ann"
    assert observed.photos[3].species == "Lynx lynx"
    assert observed.left_out == {"photographs without an animal": 1}
    assert any("several animals" in note for note in observed.notes)


def test_the_one_animal_of_an_event_names_the_one_box_of_its_photographs(tmp_path: Path) -> None:
    box = {"bboxX": "0", "bboxY": "0", "bboxWidth": "0.5", "bboxHeight": "0.5"}
    observed = read(
        tmp_path,
        [medium(f"m{i}") for i in range(4)],
        [
            observation("v1", eventID="e1", individualID="A", sex="male"),
            observation("o0", "m0", eventID="e1", **box),
            observation("o1", "m1", eventID="e1", individualID="B"),
            observation("o2", "m2", eventID="e1", scientificName="Meles meles"),
            observation("o3", "m3", eventID="e1", **box),
            observation("o4", "m3", eventID="e1", **box),
        ],
    )
    assert [photo.identity for photo in observed.photos] == ["A", "B", None, None, None]
    assert (observed.photos[0].sex, observed.photos[0].box) == ("male", (0, 0, 0.5, 0.5))


def test_missing_cells_are_as_the_version_says(tmp_path: Path) -> None:
    named = [observation("o1", "m1", individualID="NA")]
    (old,) = read(tmp_path, [medium("m1")], named, version="1.0").photos
    assert old.identity == "NA"
    (new,) = read(tmp_path / "new", [medium("m1")], named, version="1.0.2").photos
    assert new.identity is None


def test_a_position_of_half_the_earth_is_none(tmp_path: Path) -> None:
    places = [
        deployment("d1", latitude="0", longitude="0", coordinateUncertainty="20037508"),
        deployment("d2", latitude="91"),
        deployment("d3", locationName="", locationID="L3", coordinateUncertainty=""),
    ]
    tables = {
        "deployments": places,
        "media": [medium(f"m{i}", deploymentID=f"d{i}") for i in range(1, 5)],
        "observations": [],
    }
    photos = read_camtrap_dp(write_package(tmp_path, tables)).photos
    found = [(one.latitude, one.longitude, one.uncertainty, one.place) for one in photos]
    assert found == [
        (None, None, None, "Bach"),
        (None, None, None, "Bach"),
        (50.5, 4.25, None, "L3"),
        (None, None, None, None),
    ]


@pytest.mark.parametrize("kind", ["plain", "semicolons", "latin", "marked", "gzip", "nested"])
def test_tables_are_read_as_their_resource_says(tmp_path: Path, kind: str) -> None:
    more: dict[str, object] = {
        "semicolons": {"dialect": {"delimiter": ";"}},
        "latin": {"encoding": "iso-8859-1"},
        "nested": {"dialect": {"csv": {"delimiter": ","}}},
    }.get(kind, {})
    tables = {
        "deployments": [deployment()],
        "media": [medium("m1")],
        "observations": [observation("o1", "m1", individualID="Jürgen; the old,\none")],
    }
    folder = write_package(tmp_path / "p", tables, **more)
    table = folder / "observations.csv"
    if kind == "marked":
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    if kind == "gzip":
        (folder / "observations.csv.gz").write_bytes(gzip.compress(table.read_bytes()))
        table.unlink()
        text = (folder / "datapackage.json").read_text()
        (folder / "datapackage.json").write_text(
            text.replace("observations.csv", table.name + ".gz")
        )
    want = read_camtrap_dp(folder).photos
    assert want[0].identity == "Jürgen; the old,\none"
    assert read_camtrap_dp(folder / "datapackage.json").photos == want
    for inside in ("", "some/folder/"):
        archive = zipped(folder, tmp_path / "p.zip", inside)
        assert recognises(archive)
        (photo,) = read_camtrap_dp(archive, folder).photos
        assert photo == want[0]


def test_photographs_in_a_zip_file_have_no_path(tmp_path: Path) -> None:
    tables = {
        "deployments": [deployment()],
        "media": [medium("m1"), medium("m2")],
        "observations": [],
    }
    folder = write_package(tmp_path / "p", tables)
    (folder / "media").mkdir()
    (folder / "media" / "m1.jpg").touch()
    observed = read_camtrap_dp(zipped(folder, tmp_path / "p.zip"))
    beside = tmp_path / "media" / "m2.jpg"
    assert [photo.path for photo in observed.photos] == [None, beside]
    assert "1 photograph in the ZIP file: unpack it to read them" in observed.notes


def test_recognises_packages_only(tmp_path: Path) -> None:
    tables = {"deployments": [deployment()], "media": [medium("m1")], "observations": []}
    folder = write_package(tmp_path / "p", tables)
    assert recognises(folder)
    assert recognises(folder / "datapackage.json")
    assert not recognises(folder / "media.csv")
    assert not recognises(tmp_path)
    assert not recognises(tmp_path / "nowhere")
    write_package(tmp_path / "q", {"media": [medium("m1")]})
    assert not recognises(tmp_path / "q")
    (tmp_path / "datapackage.json").write_text("[")
    assert not recognises(tmp_path)


def describe(folder: Path, **changes: object) -> None:
    """Change the description of the table of observations."""
    file = folder / "datapackage.json"
    description = json.loads(file.read_text())
    description["resources"][2].update(changes)
    file.write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "../observations.csv"}, "leads out of the package"),
        ({"path": "/etc/passwd"}, "leads out of the package"),
        ({"path": "a\\..\\..\\b.csv"}, "leads out of the package"),
        ({"path": "https://example.org/o.csv"}, "download it"),
        ({"path": ["a.csv", "b.csv"]}, "not one file"),
        ({"path": "gone.csv"}, "gone.csv is missing"),
        ({"path": "o.parquet"}, "no CSV table"),
        ({"dialect": "d.json"}, "in another file"),
        ({"dialect": {"header": False}}, "no line of column names"),
        ({"dialect": {"quoteChar": "abc"}}, "cannot be read as a CSV table"),
        ({"encoding": "klingon"}, "unknown encoding"),
        ({"encoding": "ascii"}, "cannot be read as a CSV table"),
        ({"compression": "zip"}, "unpack it"),
        ({"compression": "gz"}, "cannot be read as a CSV table"),
        ({"name": "sightings"}, "names no table `observations`"),
    ],
)
def test_damaged_packages_are_refused_in_one_line(
    tmp_path: Path, changes: Mapping[str, object], message: str
) -> None:
    tables = {
        "deployments": [deployment()],
        "media": [medium("m1")],
        "observations": [observation("o1", "m1", individualID="é")],
    }
    folder = write_package(tmp_path / "p", tables)
    describe(folder, **changes)
    for path in (folder, zipped(folder, tmp_path / "p.zip")):
        with pytest.raises(FlukeprintError, match=message) as caught:
            read_camtrap_dp(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)


@pytest.mark.parametrize("version", ["0.6", "1.0-rc.1", "2.0"])
def test_versions(tmp_path: Path, version: str) -> None:
    if version == "1.0-rc.1":
        assert read(tmp_path, [medium("m1")], [], version=version).version == version
        return
    with pytest.raises(FlukeprintError, match=f"is Camtrap DP {version}"):
        read(tmp_path, [medium("m1")], [], version=version)


def test_archives_that_lead_out_or_are_huge_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"deployments": [deployment()], "media": [medium("m1")], "observations": []}
    folder = write_package(tmp_path / "p", tables)
    archive = zipped(folder, tmp_path / "p.zip")
    monkeypatch.setattr("flukeprint.data.exchange.camtrap.data_package.LARGEST_ZIPPED", 50)
    with pytest.raises(FlukeprintError, match="very large table"):
        read_camtrap_dp(archive)
    bomb = gzip.compress(b"x" * 1000)
    (folder / "deployments.csv.gz").write_bytes(bomb)
    file = folder / "datapackage.json"
    file.write_text(file.read_text().replace("deployments.csv", "deployments.csv.gz"))
    with pytest.raises(FlukeprintError, match="very large table"):
        read_camtrap_dp(folder)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("../evil.csv", "")
    with pytest.raises(FlukeprintError, match=r"evil\.csv would lead out"):
        read_camtrap_dp(archive)
    assert not recognises(archive)


def test_details_cannot_lead_out_or_break_photographs(tmp_path: Path) -> None:
    tables = {
        "deployments": [deployment()],
        "media": [medium("m1")],
        "observations": [observation("o1", "m1")],
        "flukeprint": [
            {"observationID": "o1", "field": "view", "value": '"left"'},
            {"observationID": "o1", "field": "path", "value": '"../secret.jpg"'},
            {"observationID": "o1", "field": "latitude", "value": "NaN"},
            {"observationID": "o1", "field": "image", "value": "null"},
            {"observationID": "o1", "field": "sex", "value": "[" * 100_000},
            {"observationID": "o1", "field": "__class__", "value": '"x"'},
        ],
    }
    observed = read_camtrap_dp(write_package(tmp_path / "p", tables))
    (photo,) = observed.photos
    assert (photo.view, photo.latitude, photo.image) == ("left", 50.5, "media/m1.jpg")
    assert photo.path == tmp_path / "p" / "media" / "m1.jpg"
    assert observed.left_out == {"details that cannot be read": 4}
