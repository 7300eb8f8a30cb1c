"""Drawn records of what a source tells, with accents, several boxes and missing dates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from flukeprint.data.exchange.observed import ObservedPhoto

TEXTS = st.one_of(
    st.sampled_from(
        ["Zoë", "Ægir 2", "NA", "nan", 'l\'été; "3"', "a\nb", "x\ry", " Ann ", "|", "Ж"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
MAYBE = st.none() | TEXTS
DATES = st.sampled_from(
    [None, None, "2024", "2024-05", "2024-05-03", "2024-05-03T14:02", "2024-02-29T23:59:58",
     "1999-12-31T00:00:00", "no date"]
)  # fmt: skip
OFFSETS = st.sampled_from([None, "+00:00", "+02:00", "-03:30", "+14:00"])


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float] | None:
    if draw(st.booleans()):
        return None
    shares = st.floats(0, 1, allow_subnormal=True)
    xs, ys = draw(st.tuples(shares, shares)), draw(st.tuples(shares, shares))
    box = min(xs), min(ys), max(xs), max(ys)
    return box if box[0] < box[2] and box[1] < box[3] else (0.1, 0.2, 0.30000000000000004, 0.9)


@st.composite
def sightings(draw: st.DrawFn) -> dict[str, Any]:
    """What one box of a photograph shows."""
    share = st.none() | st.floats(0, 1)
    return {
        "identity": draw(MAYBE),
        "box": draw(boxes()),
        "view": draw(MAYBE),
        "species": draw(MAYBE),
        "sex": draw(st.none() | st.sampled_from(["female", "male", "f"])),
        "life_stage": draw(st.none() | st.sampled_from(["adult", "juvenile", "calf"])),
        "notes": draw(MAYBE),
        "probability": draw(share),
        "confidence": draw(share),
        "by": draw(MAYBE),
        "machine": draw(st.booleans()),
    }


@st.composite
def pictures(draw: st.DrawFn) -> dict[str, Any]:
    """Where and when one photograph was taken."""
    north = draw(st.none() | st.floats(-90, 90))
    known = north is not None
    return {
        "date": draw(DATES),
        "offset": draw(OFFSETS),
        "latitude": north,
        "longitude": draw(st.floats(-180, 180)) if known else None,
        "uncertainty": draw(st.none() | st.floats(0, 2.1e7)) if known else None,
        "place": draw(MAYBE),
        "observer": draw(MAYBE),
        "occasion": draw(MAYBE),
        "encounter": draw(MAYBE),
        "deployment": draw(MAYBE),
    }


@st.composite
def photographs(draw: st.DrawFn, root: Path) -> tuple[ObservedPhoto, ...]:
    """Photographs below `root`, at web addresses, or without a file, each with some boxes."""
    names = st.one_of(
        st.sampled_from(["a.jpg", "été/ü.png", ".hidden/b.jpg", "~c.tif", "d..e.jpg", "NA", "x#2",
                         "x", "a%20b.JPG", "https://example.org/1/file", "f:g.jpg"]),
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"),
                min_size=1, max_size=6).filter(lambda name: name not in (".", "..")),
    )  # fmt: skip
    photos: list[ObservedPhoto] = []
    for name in draw(st.lists(names, unique=True, max_size=5)):
        where = draw(pictures())
        filed = "://" not in name and draw(st.booleans())
        for number, seen in enumerate(draw(st.lists(sightings(), min_size=1, max_size=3)), 1):
            image = name if number == 1 else f"{name}#{number}"
            if image not in {photo.image for photo in photos}:
                path = root / name if filed else None
                photos.append(ObservedPhoto(image, path, **where, **seen))
    return tuple(photos)


def by_image(photos: Sequence[ObservedPhoto]) -> dict[str, ObservedPhoto]:
    found = {photo.image: photo for photo in photos}
    assert len(found) == len(photos)
    return found
