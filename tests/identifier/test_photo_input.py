"""What is asked about: every form of a photograph is prepared as a catalogue's photo is."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.data import ImageConfig
from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.embedding.photos import PhotoCache
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.photo_input import decoded, names_of, prepare
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.sift import sift_backend

LOCAL = LocalConfig(candidates=3, side=128)


def photograph(path: Path) -> bytes:
    """A large JPEG, which is decoded at a fraction of its size."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(small).resize((1440, 960), Image.Resampling.BICUBIC).save(path, quality=95)
    return path.read_bytes()


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_files_and_bytes_are_prepared_as_a_catalogues_photos(tmp_path: Path, resize: str):
    path = tmp_path / "a.jpg"
    data = photograph(path)
    image = ImageConfig(height=64, width=80, resize=resize, reserve=1.5, cache=None)
    backend = sift_backend(LOCAL)
    catalog = Catalog(images=("a.jpg",), paths=(path,))
    expected = PhotoCache(catalog, image)[0]
    keypoints = KeypointStore.of(catalog, LOCAL, cache=None)[0]
    assert len(keypoints) > 10
    for photo in (path, str(path), data):
        ready = prepare(photo, "a.jpg", image, LOCAL, backend)
        np.testing.assert_array_equal(ready.pixels, expected)
        assert ready.keypoints is not None
        np.testing.assert_array_equal(ready.keypoints.points, keypoints.points)
        np.testing.assert_array_equal(ready.keypoints.descriptors, keypoints.descriptors)
        # Of the size that is kept already: a catalogue of such pixels changes nothing more.
        again = PhotoCache(Catalog(images=("a",), pixels=ready.pixels[None]), image)[0]
        np.testing.assert_array_equal(again, expected)


def test_arrays_are_taken_as_they_are_and_grey_becomes_rgb():
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert decoded(grey, "grey").shape == (6, 8, 3)
    assert prepare(grey, "grey", ImageConfig(height=16, width=16), LOCAL, None).keypoints is None


def test_every_photograph_has_a_name_of_its_own():
    buffer = BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    array = np.zeros((4, 4, 3), np.uint8)
    photos = [Path("x/a.jpg"), "y/a.jpg", buffer.getvalue(), array, array]
    assert names_of(photos) == ["a.jpg", "a~2.jpg", "photograph_2", "array_3", "array_4"]


@pytest.mark.parametrize(
    ("photo", "said"), [(b"no photograph", "mine: not a photograph"), (b"", "mine: is empty")]
)
def test_what_cannot_be_read_is_called_by_its_name(photo: bytes, said: str):
    with pytest.raises(FlukeprintError, match=said):
        prepare(photo, "mine", ImageConfig(), LOCAL, None)
