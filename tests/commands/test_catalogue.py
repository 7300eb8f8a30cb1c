"""The commands of a catalogue, as a user types them."""

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flukeprint.data.embeddings import Embeddings
from flukeprint.identifier.identifier import Identifier
from tests.processes import call
from tests.says import Says
from tests.serving.served import make_identifier, photo


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_identifier(tmp_path_factory.mktemp("catalogue"))


@pytest.fixture
def identifier(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "identifier"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photographs of six animals, two of each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for animal in range(6):
        for number in range(2):
            name = f"{animal}_{number}.jpg"
            (folder / name).write_bytes(photo(60 + animal, 30 + number))
    return folder


def table(folder: Path, *rows: str, header: str = "image,identity,date,latitude,longitude") -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def read(says: Says, *command: object) -> Any:
    out, error = says(*command, "--json")
    assert error is None, error
    return json.loads(out)


def of(identifier: Path, name: str) -> set[str]:
    known = Identifier.load(identifier).gallery
    pairs = zip(known.images, known.identities, strict=True)
    return {image for image, who in pairs if who == name}


Refuses = Callable[..., str]


@pytest.fixture
def refuses(says: Says, identifier: Path) -> Refuses:
    """The error of a command, which must change nothing."""

    def refused(*command: object) -> str:
        before = read(says, "history", identifier)
        _, error = says(*command)
        assert error is not None
        assert read(says, "history", identifier) == before
        return str(error)

    return refused


# ---------------------------------------------------------------- what comes in


def test_a_table_brings_animals_dates_and_places(
    identifier: Path, photos: Path, says: Says
) -> None:
    path = table(
        photos,
        "0_0.jpg,Ada,2026-05-03 07:10,-27.05,32.41,Ana,female",
        "0_1.jpg,Ada,2026-05-03 07:10,-27.05,32.41,Ana,",
        "1_0.jpg,Bo,2025,,,,male",
        header="Image,ID,Date,lat,LON,observer,Sex",
    )
    done = read(says, "enroll", identifier, path, "--new", "--author", "ana", "--reason", "survey")
    assert done["identities"] == ["Ada", "Ada", "Bo"]
    assert (done["event"]["author"], done["event"]["reason"]) == ("ana", "survey")
    ada = read(says, "individuals", identifier, "ada")
    assert (ada["name"], ada["sex"], ada["first_seen"]) == ("Ada", "female", "2026-05-03 07:10")
    (encounter,) = ada["encounters"]
    assert encounter["position"] == {"latitude": -27.05, "longitude": 32.41, "uncertainty": None}
    assert encounter["observer"] == "Ana"
    assert [one["file"] for one in ada["photographs"]] == [
        str(photos / "0_0.jpg"), str(photos / "0_1.jpg"),
    ]  # fmt: skip
    assert read(says, "individuals", identifier, "Bo")["last_seen"] == "2025"
    assert of(identifier, "Ada") == {"0_0.jpg", "0_1.jpg"}
    text, _ = says("individuals", identifier, "ADA")
    assert "2026-05-03 07:10, -27.05000,32.41000, by Ana" in text


def test_all_that_is_wrong_with_a_table_is_told_at_once(
    identifier: Path, photos: Path, refuses: Refuses
) -> None:
    path = table(
        photos,
        "0_0.jpg,Ada,2999-05-03,,",
        "0_1.jpg,ADA,2026-02-30,91,3",
        "1_0.jpg,Bo,3/4/2026,,",
        "none.jpg,Bo,,,",
        "2_0.jpg,Cy,,x,3",
        "2_0.jpg,Cy,,,",
        "3_0.jpg,Di,,5,",
    )
    done = call("flukeprint", "enroll", identifier, path, "--new")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[-1] == f"error: {path}: 9 problems; nothing was changed"
    for number, words in (
        (2, "future"), (3, "calendar"), (3, "latitude 91"), (4, "no form"), (5, "none.jpg"),
        (6, "'x' is no number"), (7, "line 6"), (8, "latitude and longitude"),
    ):  # fmt: skip
        assert any(f"line {number}: " in line and words in line for line in lines), (number, words)
    assert any("Ada and ADA are one name" in line for line in lines)
    assert "9 problems" in refuses("enroll", identifier, path, "--new")


def test_unknown_animals_are_refused_before_anything_is_read(
    identifier: Path, photos: Path, refuses: Refuses
) -> None:
    (photos / "0_0.jpg").write_bytes(b"no photograph")
    path = table(photos, "0_0.jpg,Ada", header="image,identity")
    assert "no animal is called Ada" in refuses("enroll", identifier, path)


def test_folders_of_animals_come_in_together_or_not_at_all(
    identifier: Path, photos: Path, says: Says, refuses: Refuses
) -> None:
    for animal, name in ((0, "Ada"), (1, "Bo")):
        (photos / name).mkdir()
        for number in range(2):
            (photos / f"{animal}_{number}.jpg").rename(photos / name / f"{number}.jpg")
    assert "outside the folders" in refuses("enroll", identifier, photos, "--new")
    for left in photos.glob("*.jpg"):
        left.unlink()
    (photos / "Bo" / "broken.jpg").write_bytes(photo(1, 1)[:99])
    assert "broken.jpg" in refuses("enroll", identifier, photos, "--new")
    (photos / "Bo" / "broken.jpg").unlink()
    done = read(says, "enroll", identifier, photos, "--new")
    assert done["identities"] == ["Ada", "Ada", "Bo", "Bo"]
    assert len(set(done["images"])) == 4  # two files are called 0.jpg
    assert len(of(identifier, "Bo")) == 2


def test_names_are_suggested_by_the_pattern_of_the_catalogue(
    identifier: Path, photos: Path, says: Says
) -> None:
    known = {one["name"] for one in read(says, "individuals", identifier)}
    assert not any(name.startswith("animal") for name in known)  # their names are no numbers
    assert says("individuals", identifier, "--suggest")[0] == "animal_1\n"
    assert read(says, "individuals", identifier, "--suggest") == "animal_1"
    for number in (1, 2):
        done = read(says, "enroll", identifier, photos / f"{number}_0.jpg", "--suggest")
        assert done["identities"] == [f"animal_{number}"]


def test_a_photograph_without_a_name_is_asked_for_one(
    identifier: Path, photos: Path, refuses: Refuses
) -> None:
    assert "whom do these show" in refuses("enroll", identifier, photos / "0_0.jpg")


def test_a_path_without_anything_is_told(identifier: Path, photos: Path, refuses: Refuses) -> None:
    for more in ((), ("--identity", "Ada")):
        told = refuses("enroll", identifier, photos / "gone.jpg", *more)
        assert told == f"{photos / 'gone.jpg'} is missing; check the path"


def test_a_table_of_another_country_has_decimal_commas(
    identifier: Path, photos: Path, says: Says
) -> None:
    path = table(
        photos,
        "0_0.jpg;Ada;-27,05;32,41;1,5;0;32,5;40",
        header="image;identity;lat;lon;x0;y0;x1;y1",
    )
    read(says, "enroll", identifier, path, "--new")
    page = read(says, "individuals", identifier, "Ada")
    position = page["encounters"][0]["position"]
    assert (position["latitude"], position["longitude"]) == (-27.05, 32.41)
    assert page["photographs"][0]["box"] == [1.5, 0, 32.5, 40]


def test_encounters_of_a_table_stay_apart_although_nothing_else_tells_them_apart(
    identifier: Path, photos: Path, says: Says
) -> None:
    path = table(
        photos, "0_0.jpg,Ada,E1,", "0_1.jpg,Ada,E2,", "1_0.jpg,Bo,E2,",
        "2_0.jpg,Cy,E3,2026-05-03", "2_1.jpg,Cy,E4,2026-05-03", "3_0.jpg,Di,,2026-05-03",
        header="image,identity,encounter,date",
    )  # fmt: skip
    read(says, "enroll", identifier, path, "--new")
    seen = {}
    for name in ("Ada", "Bo", "Cy", "Di"):
        page = read(says, "individuals", identifier, name)
        seen[name] = [one["encounter"] for one in page["photographs"]]
    assert seen["Ada"][1] == seen["Bo"][0]
    assert len({*seen["Ada"], *seen["Cy"], *seen["Di"]}) == 5


def test_what_holds_for_all_photographs_fills_the_gaps_of_a_table(
    identifier: Path, photos: Path, says: Says
) -> None:
    path = table(
        photos, "0_0.jpg,Ada,,river", "1_0.jpg,Bo,2025,", header="image,identity,date,place"
    )
    read(
        says, "enroll", identifier, path, "--new", "--date", "2026-05-03", "--place", "hide",
        "--observer", "Ana",
    )  # fmt: skip
    for name, when, place in (("Ada", "2026-05-03", "river"), ("Bo", "2025", "hide")):
        (encounter,) = read(says, "individuals", identifier, name)["encounters"]
        told = encounter["moment"], encounter["place"], encounter["observer"]
        assert told == (when, place, "Ana")


def test_rows_that_name_nobody_are_different_new_animals(
    identifier: Path, photos: Path, says: Says, refuses: Refuses
) -> None:
    path = table(photos, "0_0.jpg,?", "1_0.jpg,", header="image,identity")
    done = call("flukeprint", "enroll", identifier, path)
    assert done.returncode == 2
    assert all(f"line {line}: " in done.stderr for line in (2, 3))
    assert "2 problems" in refuses("enroll", identifier, path)
    done = read(says, "enroll", identifier, path, "--new")
    assert done["identities"] == ["animal_1", "animal_2"]


def test_a_box_without_an_end_is_refused(identifier: Path, photos: Path, refuses: Refuses) -> None:
    path = table(photos, "0_0.jpg,Ada,0,0,inf,40", header="image,identity,x0,y0,x1,y1")
    assert "line 2: the box 0, 0, inf, 40 has no area" in refuses(
        "enroll", identifier, path, "--new"
    )


def test_a_dry_run_changes_nothing(identifier: Path, photos: Path, says: Says) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in identifier.rglob("*") if path.is_file()}

    enroll = "enroll", identifier, photos / "0_0.jpg", "--identity", "Ada", "--dry-run"
    known = Identifier.load(identifier).identities[0]
    rename = "rename", identifier, known, "Bo", "--dry-run"
    fresh = files()
    for _ in range(2):  # without a catalogue, and with one
        before = files()
        out, _ = says(*enroll)
        assert out.startswith("would be done: 1 photograph of Ada enrolled")
        assert read(says, *enroll)["images"] == ["0_0.jpg"]
        assert says(*rename)[0].startswith(f"would be done: {known} is now called Bo")
        assert files() == before
        assert len(read(says, "history", identifier)) == 1
    assert files().keys() > fresh.keys()
    assert not of(identifier, "Ada")


# ---------------------------------------------------------------- what is changed


@pytest.fixture
def grown(identifier: Path, photos: Path, says: Says) -> Path:
    path = table(
        photos,
        *(f"{animal}_{number}.jpg,a_{animal},2026-0{animal + 1}-1{number}"
          for animal in range(6) for number in range(2)),
        header="image,identity,date",
    )  # fmt: skip
    read(says, "enroll", identifier, path, "--new")
    return identifier


def test_every_change_is_in_the_answers_at_once_and_can_be_taken_back(
    grown: Path, photos: Path, says: Says
) -> None:
    first = Identifier.load(grown).gallery.identities

    def answer() -> str | None:
        return Identifier.load(grown).judge([photos / "0_0.jpg"])[0].answers[0]

    def answers() -> set[str | None]:
        return set(Identifier.load(grown).judge([photos / "0_0.jpg"])[0].answers)

    if answer() is None:
        pytest.skip("the tiny network takes it for a new animal")
    assert answer() == "a_0"
    read(says, "rename", grown, "A 0", "Ada")
    assert answer() == "Ada"
    read(says, "merge", grown, "a_1", "a_0")
    assert answer() == "a_1"
    assert read(says, "individuals", grown, "Ada")["aliases"] == ["Ada", "a_0"]
    read(says, "split", grown, "a_1", "-p", "0_0.jpg", "-p", "0_1.jpg", "--to", "Eva")
    assert answer() == "Eva"
    read(says, "move", grown, "0_0.jpg", "--to", "a_2")
    assert answer() == "a_2"
    read(says, "remove", grown, "a_2")
    assert "a_2" not in answers()
    for _ in range(5):
        read(says, "undo", grown)
    assert Identifier.load(grown).gallery.identities == first
    assert answer() == "a_0"
    error = says("undo", grown, 3)[1]
    assert "taken back already" in str(error)


def test_a_description_is_kept_and_checked(grown: Path, says: Says) -> None:
    read(says, "describe", grown, "a_3", "--sex", "female", "--died", "2026-07-01")
    page = read(says, "individuals", grown, "a_3")
    assert (page["sex"], page["died"], page["notes"]) == ("female", "2026-07-01", None)
    read(says, "describe", grown, "a_3", "--died", "")
    assert read(says, "individuals", grown, "a_3")["died"] is None
    assert "hermaphrodite" in str(says("describe", grown, "a_3", "--sex", "hermaphrodite")[1])
    assert "known of a_3 already" in str(says("describe", grown, "a_3", "--sex", "female")[1])


def test_dates_can_be_given_later(grown: Path, photos: Path, says: Says) -> None:
    known = read(says, "individuals", grown, "--search", "w_")[0]["name"]
    image = read(says, "individuals", grown, known)["photographs"][0]["image"]
    path = table(
        photos, f"{image},2024-03-02 10:00,hide,left", "0_0.jpg,2024-03-02 10:00,hide,",
        header="image,date,place,view",
    )  # fmt: skip
    read(says, "annotate", grown, path)
    page = read(says, "individuals", grown, known)
    assert [(one["moment"], one["place"]) for one in page["encounters"]] == [
        ("2024-03-02 10:00", "hide")
    ]
    assert read(says, "individuals", grown, "a_0")["first_seen"] == "2024-03-02 10:00"
    path.write_text("image,date\nnone.jpg,2024-03-02\n")
    assert "none.jpg" in str(says("annotate", grown, path)[1])


def test_history_tells_who_and_why(grown: Path, says: Says) -> None:
    read(says, "rename", grown, "a_0", "Ada", "--author", "ana", "--reason", "her name")
    text, _ = says("history", grown, "--most", "1")
    assert "ana: rename: a_0 is now called Ada (her name)" in text
    assert text.count("\n") == 1


def test_texts_of_several_lines_are_shown_on_one(grown: Path, says: Says) -> None:
    read(says, "describe", grown, "a_0", "--notes", "shy\nold", "--reason", "seen\nagain")
    read(says, "describe", grown, "a_0", "--notes", "")
    text, _ = says("history", grown, "--most", "2")
    assert [line.partition("describe: ")[2] for line in text.splitlines()] == [
        "a_0: notes shy old (seen again)", "a_0: notes forgotten",
    ]  # fmt: skip


# ---------------------------------------------------------------- what goes out


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx"])
def test_an_export_holds_all_of_it(grown: Path, tmp_path: Path, says: Says, form: str) -> None:
    read(says, "rename", grown, "a_0", "=SUM(A1)")
    read(says, "remove", grown, "a_5")
    out = tmp_path / "out"
    assert says("export-catalogue", grown, "-o", out, "--format", form)[1] is None
    if form == "xlsx":
        book = pd.read_excel(out / "catalogue.xlsx", sheet_name=None)
        from openpyxl import load_workbook

        kinds = {cell.data_type for cell in load_workbook(out / "catalogue.xlsx")["individuals"][2]}
        assert "f" not in kinds
    else:
        reader = pd.read_csv if form == "csv" else pd.read_parquet
        book = {
            name: reader(out / f"{name}.{form}")
            for name in ("individuals", "encounters", "photographs", "history")
        }
    known = Identifier.load(grown).gallery
    photographs = book["photographs"]
    assert photographs["image"].tolist() == list(known.images)
    assert photographs["individual"].tolist() == list(known.identities)
    assert "=SUM(A1)" in book["individuals"]["individual"].tolist()
    assert "a_5" not in book["individuals"]["individual"].tolist()
    assert book["history"]["event"].tolist() == [1, 2, 3, 4]
    joined = photographs.merge(book["encounters"], on="encounter")
    dated = joined[joined["image"] == "3_1.jpg"]
    assert dated["date"].astype(str).str[:10].tolist() == ["2026-04-11"]
    if form == "parquet":
        vectors = np.stack(pd.read_parquet(out / "embeddings.parquet")["embedding"].tolist())
    else:
        vectors = Embeddings.load(out / "embeddings.npz").vectors
    assert np.array_equal(vectors, known.vectors)
    error = says("export-catalogue", grown, "-o", out, "--format", form)[1]
    assert "is there already" in str(error)


def test_a_table_without_rows_is_exported_with_its_columns(
    identifier: Path, tmp_path: Path, says: Says
) -> None:
    assert says("export-catalogue", identifier, "-o", tmp_path / "out")[1] is None
    table = pd.read_csv(tmp_path / "out" / "encounters.csv")
    assert len(table) == 0
    assert {"encounter", "date", "latitude"} <= set(table.columns)


def test_too_few_photographs_are_not_fitted_on(grown: Path, says: Says) -> None:
    assert "too few" in str(says("refit", grown)[1])


def test_a_fit_on_the_catalogue_is_used_at_once_and_can_be_taken_back(
    identifier: Path, tmp_path: Path, says: Says
) -> None:
    rows, head = [], "image,identity,date"
    for animal in range(16):
        for number in range(2):
            name = f"{animal}_{number}.jpg"
            (tmp_path / name).write_bytes(photo(80 + animal, 30 + number))
            rows.append(f"{name},b_{animal},2026-01-{animal + 1:02d} 0{number}:00")
    read(says, "enroll", identifier, table(tmp_path, *rows, header=head), "--new")
    text, _ = says("refit", identifier, "--dry-run")
    assert "the threshold is kept" in text
    assert "and there are 32 and 0" in text
    rows = []
    for animal in range(12):  # seen once: new without this encounter
        (tmp_path / f"once_{animal}.jpg").write_bytes(photo(120 + animal, 30))
        rows.append(f"once_{animal}.jpg,c_{animal},2026-02-{animal + 1:02d}")
    read(says, "enroll", identifier, table(tmp_path, *rows, header=head), "--new")
    before = Identifier.load(identifier).card
    tried = read(says, "refit", identifier, "--dry-run")
    assert Identifier.load(identifier).card == before
    done = read(says, "refit", identifier)
    assert {**done, "event": None, "dry_run": True} == tried
    after = Identifier.load(identifier).card
    assert (done["queries"], done["new_queries"]) == (44, 12)
    assert done["threshold_before"] == before.threshold == 0.99
    assert after.threshold == done["threshold"] != 0.99
    assert after.calibration != before.calibration
    assert after.calibration is not None
    assert after.calibration.queries == 44
    assert done["gain_low"] <= done["gain"] <= done["gain_high"]
    text, _ = says("history", identifier, "--most", "1")
    assert "threshold and probabilities fitted on 44 photographs" in text
    again, _ = says("refit", identifier, "--dry-run")  # fits the same threshold
    assert "44 photographs asked" in again
    assert "the threshold is kept" not in again
    read(says, "undo", identifier)
    assert Identifier.load(identifier).card == before


def test_photographs_of_one_moment_join_the_encounter_that_is_there(
    grown: Path, photos: Path, says: Says
) -> None:
    (photos / "more.jpg").write_bytes(photo(60, 33))
    read(
        says, "enroll", grown, photos / "more.jpg", "--identity", "a_0", "--date", "2026-01-10",
    )  # fmt: skip
    page = read(says, "individuals", grown, "a_0")
    assert (page["photographs"][2]["encounter"], len(page["encounters"])) == (
        page["photographs"][0]["encounter"], 2,
    )  # fmt: skip


def test_time_and_place_count_where_the_catalogue_shows_that_they_do(
    identifier: Path, tmp_path: Path, says: Says
) -> None:
    query = tmp_path / "query.jpg"
    query.write_bytes(photo(81, 50))
    assert "keeps no catalogue" in str(says("identify", identifier, query, "--at", "1,2")[1])
    rows = []
    for animal in range(16):  # each stays where it is, far from the others
        for number in range(2):
            name = f"{animal}_{number}.jpg"
            (tmp_path / name).write_bytes(photo(80 + animal, 30 + number))
            rows.append(f"{name},b_{animal:02d},2026-0{number + 1}-03,{animal * 3},{animal * 2}")
    first = table(tmp_path, *rows[:6])
    read(says, "enroll", identifier, first, "--new")
    assert "do not show" in str(says("identify", identifier, query, "--at", "1,2")[1])
    read(says, "enroll", identifier, table(tmp_path, *rows[6:]), "--new")
    (plain,) = read(says, "identify", identifier, query)
    assert all("prior" not in answer for answer in plain["answers"])
    out, error = says("identify", identifier, query, "--at", "3,2", "--json")
    assert error is None
    (there,) = json.loads(out)
    factors = {answer["identity"]: answer["prior"] for answer in there["answers"]}
    near = {name: factor for name, factor in factors.items() if name.startswith("b_")}
    assert near["b_01"] == max(factors.values())
    assert near["b_01"] > 2
    assert all(factor < 1 for name, factor in near.items() if name != "b_01")
    assert all(factors[name] == 1 for name in factors.keys() - near.keys())
    assert there != plain
    text, _ = says("identify", identifier, query, "--at", "3,2", "--date", "2026-02")
    assert "prior" in text.splitlines()[1]
    assert "no latitude" in str(says("identify", identifier, query, "--at", "27")[1])


def dated(path: Path, seed: int, taken: str | None) -> Path:
    """A photograph with a time in EXIF."""
    image = Image.open(BytesIO(photo(seed, 44)))
    exif = Image.Exif()
    exif[0x0110] = "Camera"
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken
    image.save(path, exif=exif, quality=95)
    return path


def test_dates_come_from_cameras_whose_clocks_are_right(
    identifier: Path, tmp_path: Path, says: Says
) -> None:
    folder = tmp_path / "camera" / "Ada"
    folder.mkdir(parents=True)
    for number, taken in enumerate(
        ("2025:05:03 07:10:00", "2025:05:03 07:10:40", "2025:05:03 09:00:00",
         "2000:01:01 00:00:09", None), 1,
    ):  # fmt: skip
        dated(folder / f"IMG_{number:04d}.jpg", 60 + number, taken)
    read(says, "enroll", identifier, tmp_path / "camera", "--new", "--exif")
    page = read(says, "individuals", identifier, "Ada")
    assert [one["moment"] for one in page["encounters"]] == [
        "2025-05-03 07:10:00", "2025-05-03 09:00:00",
    ]  # fmt: skip
    encounters = [one["encounter"] for one in page["photographs"]]
    assert encounters[0] == encounters[1] != encounters[2]
    assert encounters[3:] == [None, None]
