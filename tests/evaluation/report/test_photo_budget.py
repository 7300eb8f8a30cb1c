"""Photographs that fit into the room they have."""

from io import BytesIO

import pytest
from PIL import Image

from flukeprint.evaluation.report.photo_budget import embedded, fitting, smaller
from tests.evaluation.report.every_kind import jpeg

PHOTOS = [jpeg(seed) for seed in range(12)]
WHOLE = sum(embedded(photo) for photo in PHOTOS)


def size(made, around=0):
    return sum(embedded(photo) + around for photo in made.values())


def test_what_fits_stays_as_it_is():
    assert fitting(PHOTOS, WHOLE) == {photo: photo for photo in PHOTOS}


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.1])
def test_less_room_makes_all_of_them_smaller(share):
    made = fitting(PHOTOS, int(share * WHOLE), around=4)
    assert list(made) == PHOTOS
    assert size(made, 4) <= share * WHOLE
    for photo in made.values():
        with Image.open(BytesIO(photo)) as picture:
            picture.load()


def test_no_room_leaves_some_out_evenly():
    least = [smaller(photo, 48, 40) for photo in PHOTOS]
    room = sum(map(embedded, least)) // 2
    made = fitting(PHOTOS, room)
    assert 4 <= len(made) <= 6
    assert size(made) <= room
    assert PHOTOS[0] in made
    assert PHOTOS[-1] in made
    assert fitting(PHOTOS, 0) == {}


def test_a_photograph_that_is_shown_twice_counts_twice():
    room = sum(map(embedded, PHOTOS))
    assert fitting([*PHOTOS, *PHOTOS], room) != {photo: photo for photo in PHOTOS}


@pytest.mark.parametrize("data", [4, 5, 6])
def test_size_in_base64(data):
    import base64

    assert embedded(b"x" * data) == len(base64.b64encode(b"x" * data))
