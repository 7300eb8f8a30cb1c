"""Tables of wildlife-datasets: in, out and in again, and in the form that the package takes."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.data.exchange.forms import read_observed, write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.wildlife_frames import (
    read_wildlife_frame,
    recognises,
    to_wildlife,
    write_wildlife_frame,
)
from flukeprint.data.readers.wildlife import from_wildlife
from tests.data.exchange.drawn import by_image, pictures, sightings
from tests.refusals import refused


def filed(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100)).save(path)
    return path


def test_a_table_of_the_package_is_read(tmp_path: Path) -> None:
    filed(tmp_path / "p" / "a.jpg")
    (tmp_path / "frame.csv").write_text(
        "image_id,path,identity,species,date,orientation,bbox,latitude,longitude,segmentation\n"
        '1,p/a.jpg,n_1,Panthera leo,2024-05-03 14:02:00,left,"[np.float64(20.0), 10, 60, 45]",'
        "-27.5,32,[]\n"
        "2,p/a.jpg,unknown,,1705,,,,,\n"
        "3,../x.jpg,n_2,,none of it,,,95,3,\n"
    )
    assert recognises(tmp_path / "frame.csv")
    found = read_observed(tmp_path / "frame.csv")
    first, second, third = found.photos
    assert first.path == tmp_path / "p" / "a.jpg"
    assert first.box == (0.1, 0.1, 0.4, 0.55)
    assert (first.species, first.view, first.date) == (
        "Panthera leo",
        "left",
        "2024-05-03T14:02:00",
    )
    assert (first.latitude, first.longitude) == (-27.5, 32.0)
    assert (second.identity, second.box, second.date) == (None, None, "1705")
    assert (third.path, third.latitude) == (None, None)
    assert "not read: segmentation" in found.text()
    assert set(found.left_out) == {"photographs outside the folder", "dates that are none"}


def test_the_frame_is_what_the_package_takes(tmp_path: Path) -> None:
    """Its own checks: image_id, path, identity; boxes are lists in pixels; unknown is a name."""
    photos = (
        ObservedPhoto("a#1", filed(tmp_path / "x" / "a.jpg"), identity="n_1", view="left",
                      box=(0.1, 0.1, 0.4, 0.55), date="2024-05-03"),
        ObservedPhoto("a#2", tmp_path / "x" / "a.jpg", box=(0.5, 0.0, 1.0, 1.0)),
        ObservedPhoto("b", None, identity="n_2"),
    )  # fmt: skip
    frame = to_wildlife(Observed("any", "", photos), tmp_path)
    assert frame["image_id"].is_unique
    assert list(frame["path"]) == ["x/a.jpg", "x/a.jpg"]
    assert list(frame["identity"]) == ["n_1", "unknown"]
    assert list(frame["bbox"]) == [[20.0, 10.0, 60.0, 45.0], [100.0, 0.0, 100.0, 100.0]]
    assert list(frame["orientation"]) == ["left", None]
    catalog = from_wildlife(frame, tmp_path)
    assert catalog.boxes == ((20.0, 10.0, 80.0, 55.0), (100.0, 0.0, 200.0, 100.0))
    refused(lambda: to_wildlife(Observed("any", "", photos), tmp_path / "y"), "not below")
    nothing = Observed("any", "", photos[2:])
    refused(lambda: write_wildlife_frame(nothing, tmp_path / "n.csv"), "nothing was written")
    assert not (tmp_path / "n.csv").exists()


def test_it_is_read_with_pandas(tmp_path: Path) -> None:
    photos = tuple(
        ObservedPhoto(f"{i}", filed(tmp_path / "p" / f"{i}.jpg"), identity=f"00{i}")
        for i in range(3)
    )
    lines = write_observed(
        Observed("any", "", photos), tmp_path / "t" / "f.csv", "wildlife-datasets"
    )
    assert lines == (f"paths of photographs begin in {tmp_path / 'p'}",)
    frame = pd.read_csv(tmp_path / "t" / "f.csv", dtype=str)
    assert list(frame["identity"]) == ["000", "001", "002"]
    found = read_wildlife_frame(tmp_path / "t" / "f.csv", tmp_path / "p")
    assert found.photos == photos


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_in_and_out_and_in_again(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        root = Path(name)
        photos: list[ObservedPhoto] = []
        names = st.sampled_from(["a.jpg", "été/ü.png", "b/a.jpg", "d..e.jpg", "NA.jpg", "x#2.jpg"])
        for file in data.draw(st.lists(names, unique=True, min_size=1, max_size=4)):
            path, where = filed(root / file), data.draw(pictures())
            for number, seen in enumerate(data.draw(st.lists(sightings(), min_size=1, max_size=3))):
                photos.append(ObservedPhoto(f"{file}#{number}", path, **where, **seen))
        write_wildlife_frame(Observed("any", "", tuple(photos)), root / "frame.csv")
        back = by_image(read_wildlife_frame(root / "frame.csv").photos)
        assert set(back) == {photo.image for photo in photos}
        for photo in photos:
            assert back[photo.image] == replace(photo, path=back[photo.image].path)
            assert back[photo.image].path == photo.path
