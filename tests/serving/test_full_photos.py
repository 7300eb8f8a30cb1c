"""Photographs at full size: the recorded file alone, unchanged, without what cameras write."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.schema import ServeConfig
from flukeprint.data.decoding import decode_bytes
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.journal import Note
from flukeprint.serving import full_photos
from flukeprint.serving.full_photos import (
    SIDE,
    FullPhotos,
    GalleryPictures,
    RecordedFile,
    file_below,
    recorded_file,
)
from flukeprint.serving.service import Service
from tests.keeper.kept import frame, identifier


def written(path: Path, width: int, height: int) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    file = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8)).save(file, "JPEG", exif=exif, quality=95)
    path.write_bytes(file.getvalue())
    return file.getvalue()


def opened(picture: bytes | None) -> Image.Image:
    assert picture is not None
    assert b"SECRET" not in picture
    return Image.open(io.BytesIO(picture))


def test_a_picture_is_large_and_tells_nothing(tmp_path: Path) -> None:
    data = written(tmp_path / "a.jpg", 5000, 1000)
    photos = FullPhotos()
    picture = opened(photos.picture(RecordedFile(tmp_path / "a.jpg", bytes_digest(data), None)))
    assert picture.size == (SIDE, SIDE // 5)
    assert not picture.getexif()
    boxed = opened(photos.picture(RecordedFile(tmp_path / "a.jpg", None, (100, 0, 500, 300))))
    assert boxed.size == (400, 300)
    assert np.asarray(boxed)[:, -1].mean() == pytest.approx(255 * 500 / 5000, abs=3)


def test_another_file_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    digest = bytes_digest(written(path, 300, 200))
    file = RecordedFile(path, digest, None)
    photos = FullPhotos()
    assert photos.picture(file) is not None
    written(path, 200, 300)
    assert photos.picture(file) is None  # although it was shown before
    path.write_bytes(b"no photograph")
    assert photos.picture(RecordedFile(path, None, None)) is None
    path.unlink()
    assert photos.picture(file) is None
    assert photos.picture(RecordedFile(tmp_path, None, None)) is None


def test_the_last_pictures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    plain = full_photos.thumbnail

    def counted(*given: object) -> bytes:
        made.append(1)
        return plain(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(full_photos, "thumbnail", counted)
    files = []
    for number in range(3):
        written(tmp_path / f"{number}.jpg", 300, 200)
        files.append(RecordedFile(tmp_path / f"{number}.jpg", None, None))
    size = len(FullPhotos().picture(files[0]) or b"")
    made.clear()
    photos = FullPhotos(most=2 * size + 10)
    for number in (0, 1, 0, 2, 0, 1):  # 2 takes the place of 1
        assert photos.picture(files[number])
    assert len(made) == 4


def test_a_file_is_known_by_its_row_while_it_is_there(tmp_path: Path) -> None:
    keeper = Keeper.open(identifier(tmp_path))
    file = tmp_path / "new.png"
    Image.fromarray(frame(9, 0)).save(file)
    done = keeper.enroll([NewPhotograph.of_file(file, "n_9")], Note("ana"), force=True)
    row = len(keeper.identifier.gallery) - 1
    assert recorded_file(keeper.database, 0) is None  # of the training: none is recorded
    found = recorded_file(keeper.database, row)
    assert found == RecordedFile(file, bytes_digest(file.read_bytes()), None)
    assert opened(FullPhotos().picture(found)).size == (240, 180)
    os.utime(file)
    assert done.images == ("new.png",)
    assert recorded_file(keeper.database, row + 1) is None


def test_only_a_file_inside_of_the_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    (folder / "n_1").mkdir(parents=True)
    for path in (tmp_path / "outside.jpg", folder / "n_1" / "a.jpg"):
        path.write_bytes(b"x")
    (folder / "linked.jpg").symlink_to(tmp_path / "outside.jpg")  # whoever keeps it wants that
    assert file_below(folder, "n_1/a.jpg") == folder / "n_1" / "a.jpg"
    assert file_below(folder, "linked.jpg") is not None
    for name in ("../outside.jpg", str(tmp_path / "outside.jpg"), "n_1", "b.jpg", "a\0.jpg", ""):
        assert file_below(folder, name) is None


def test_photographs_of_the_training_are_large_where_their_folder_is_known(
    known: Identifier, tmp_path: Path
) -> None:
    """The file must show what the thumbnail shows."""
    assert known.showcase is not None
    names = known.gallery.images
    small = [decode_bytes(known.showcase.thumbnails[row] or b"", "it") for row in (0, 1)]
    large = np.repeat(np.repeat(small[0], 10, axis=0), 10, axis=1)
    for name in names[:2]:  # the second one is another photograph of the same name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(large).save(tmp_path / name, "PNG")
    pictures = GalleryPictures(Service(known, ServeConfig(photos_folder=tmp_path)))
    found = {row: pictures.picture(row) for row in (0, 1, 2)}
    assert [one and one[1] for one in found.values()] == ["full", "thumbnail", "thumbnail"]
    assert found[0] is not None
    assert opened(found[0][0]).size == (10 * small[0].shape[1], 10 * small[0].shape[0])
    assert pictures.picture(0, "thumbnail") == (known.showcase.thumbnails[0], "thumbnail")
    assert pictures.picture(len(names)) is None
    bare = GalleryPictures(Service(known, ServeConfig()))
    assert bare.picture(0) == (known.showcase.thumbnails[0], "thumbnail")
