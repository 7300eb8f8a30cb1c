"""Make the photographs of a page fit into what room it has: smaller ones, then fewer."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from flukeprint.data.thumbnails import thumbnail

STEPS = ((160, 80), (128, 75), (112, 68), (96, 60), (72, 50), (48, 40))  # px, quality of JPEG


def fitting(photos: Sequence[bytes], room: int, *, around: int = 0) -> dict[bytes, bytes]:
    """What to embed for each photograph so that all take at most `room` bytes of base64.

    The first of STEPS at which all fit is taken.  Where none is small enough, photographs are left
    out, evenly spread; those have no key in the result.

    around: further bytes for each.
    """
    kept = list(dict.fromkeys(photos))
    times = {photo: photos.count(photo) for photo in kept} if len(kept) < len(photos) else {}

    def size(made: dict[bytes, bytes]) -> int:
        return sum(
            times.get(photo, 1) * (embedded(small) + around) for photo, small in made.items()
        )

    made = {photo: photo for photo in kept}
    for side, quality in STEPS:
        if size(made) <= room:
            return made
        made = {photo: smaller(photo, side, quality) for photo in kept}
    most = len(kept)
    while most and size(made) > room:
        most = min(most - 1, int(most * room / size(made)))
        places = np.linspace(0, len(kept) - 1, most).round().astype(int) if most else []
        made = {kept[place]: smaller(kept[place], *STEPS[-1]) for place in places}
    return made


def embedded(photo: bytes) -> int:
    """Bytes of a photograph in base64."""
    return 4 * ((len(photo) + 2) // 3)


def smaller(photo: bytes, side: int, quality: int) -> bytes:
    """A JPEG with a long side of at most `side` px; the same where that has no fewer bytes."""
    with Image.open(BytesIO(photo)) as image:
        image.draft("RGB", (side, side))
        made = thumbnail(np.asarray(image.convert("RGB")), side, quality)
    return made if len(made) < len(photo) else photo
