"""Views without a good photograph: by sharpness of thumbnails, or by recorded quality."""

import cv2
import numpy as np

from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.keeper.doctor.material import CatalogueMaterial
from flukeprint.keeper.doctor.poor_views import poor_views, qualities, sharpness
from flukeprint.records.kinds import PhotoRecord
from tests.keeper.doctor.drawn import gallery, rows_of

RNG = np.random.default_rng(0)


def picture(blur: float = 0.0, scale: int = 1, light: float = 1.0) -> bytes:
    pixels = RNG.integers(0, 256, (120, 160, 3)).astype(np.float64)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 1.5 + blur)
    pixels = np.clip(pixels[::scale, ::scale] * light, 0, 255)
    return thumbnail(pixels.astype(np.uint8), quality=95)


def test_blur_lowers_sharpness_and_light_does_not():
    assert sharpness(picture(blur=3)) < 0.5 * sharpness(picture())
    dark, light = sharpness(picture(light=0.5)), sharpness(picture())
    assert 0.7 < dark / light < 1.4
    assert sharpness(picture(scale=2)) == 0.0  # 80 px
    assert sharpness(thumbnail(np.full((120, 160, 3), 9, np.uint8))) == 0.0


def test_a_blurred_view_and_a_missing_one_are_found():
    known = gallery(30, 2)
    blurred = rows_of(known, "a_004", "left")
    half = rows_of(known, "a_006", "left")[:1]  # the other one is good
    lost = rows_of(known, "a_009", "right")
    files = [picture(3 if row in blurred + half else 0) for row in range(len(known))]
    left = [row for row in range(len(known)) if row not in lost]
    known = known.take(left)
    material = CatalogueMaterial.of(known)
    quality = qualities(known.images, Thumbnails.packed([files[row] for row in left]))
    found = poor_views(material, quality)
    assert [one.individuals for one in found] == [("a_004",), ("a_009",)]
    assert found[0].photographs == (tuple(f"p{row:04}.jpg" for row in blurred),)
    assert found[1].words == "no photograph of the view right"


def test_recorded_quality_goes_before_thumbnails():
    known = gallery(10, 1)
    photos = [
        PhotoRecord(row + 1, image, row, "a", quality=0.0 if row == 3 else 0.5 + row / 100)
        for row, image in enumerate(known.images)
    ]
    quality = qualities(known.images, None, photos)
    assert quality is not None
    assert quality[4] == 0.54
    found = poor_views(CatalogueMaterial.of(known), quality)
    assert [one.individuals for one in found] == [("a_001",)]


def test_without_pictures_only_missing_views_are_told():
    known = gallery(10, 1)
    assert qualities(known.images, None) is None
    assert qualities(known.images, Thumbnails.none(len(known))) is None
    assert poor_views(CatalogueMaterial.of(known), None) == []
    assert poor_views(CatalogueMaterial.of(gallery(10, 1, views=(None,))), None) == []


def test_a_rare_view_is_not_asked_for():
    known = gallery(30, 1)
    views = list(known.views or ())
    views[0] = "tail"
    records = [
        PhotoRecord(row + 1, image, row, "a", view=views[row])
        for row, image in enumerate(known.images)
    ]
    found = poor_views(CatalogueMaterial.of(known, records), None)
    assert [(one.individuals, one.words) for one in found] == [
        (("a_000",), "no photograph of the view left")
    ]
