"""A review of drawn photographs and names that are hard to write, made without a network."""

from flukeprint.keeper.review.queue import (
    CandidatePhoto,
    MatchedPoints,
    ReviewCandidate,
    ReviewEntry,
    ReviewQueue,
)
from tests.serving.served import photo

HOSTILE = (
    "</script><script>document.title='taken'</script>",
    'a "quoted", name; with\ttab',
    "=SUM(A1)",
    "'=1",
    "-7",
    "\u00c5se {{queue}} \u2028 \U0001f40b & <b>",
)
STAMP = "0123456789abcdef"


def digest(number: int) -> str:
    """A digest of a file that is not there."""
    return f"{number:032x}"


def candidate(name: str | None, chance: float | None, pictures: range) -> ReviewCandidate:
    """An animal with these photographs; two keypoints of the first agree."""
    photos = tuple(CandidatePhoto(f"{name} {one}.jpg", 0.5, one) for one in pictures)
    matched = MatchedPoints(2, ((0, 0, 1000, 1000), (500, 250, 250, 500))) if photos else None
    return ReviewCandidate(name, chance, photos, matched)


def drawn_queue(*, event: int = 0, suggested: str = "") -> ReviewQueue:
    """Six photographs, the last unreadable: of each of the others five candidates, one of them new.

    Photographs and animals bear the names of HOSTILE.
    """
    pictures = tuple(photo(number, 1, 96) for number in range(12))
    animals = [
        candidate(name, 0.5 / (2 + at), range(at, at + 3)) for at, name in enumerate(HOSTILE)
    ]
    entries = [
        ReviewEntry(
            f" {HOSTILE[at]}.jpg", f"/photos/{HOSTILE[at]}.jpg", digest(at), 8, None, at == 4,
            (*animals[at : at + 2], candidate(None, 0.05, range(0)), *animals[:at][:2])[:5],
        )
        for at in range(5)
    ]  # fmt: skip
    broken = ReviewEntry(
        "broken.jpg",
        "/photos/broken.jpg",
        "",
        None,
        "photograph broken.jpg: is <b>empty",
        False,
        (),
    )
    return ReviewQueue(
        HOSTILE[0], STAMP, "new_whale", HOSTILE, event, suggested, (*entries, broken), pictures
    )
