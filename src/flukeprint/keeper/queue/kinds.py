"""What the queue holds: batches of uploaded photographs, and what was decided of each."""

from dataclasses import dataclass
from typing import Literal, get_args

from flukeprint.errors import FlukeprintError

ItemState = Literal["pending", "waiting", "failed", "decided"]
ItemVerdict = Literal["known", "new", "unsure", "nobody"]
ITEM_STATES: tuple[ItemState, ...] = get_args(ItemState)
VERDICTS: tuple[ItemVerdict, ...] = get_args(ItemVerdict)


class NotYoursError(FlukeprintError):
    """A photograph that another person has taken, or that is decided already."""


class NotThereError(FlukeprintError):
    """No such batch or photograph."""


@dataclass(frozen=True)
class UploadBatch:
    """Photographs that somebody uploaded together.

    pause: seconds, the longest between two photographs of an encounter.
    keep_photos: whether the files stay when they are decided, as the catalogue's.
    keep_dates: whether the catalogue learns when the cameras say they were taken.
    place: name of the place where all were taken.
    counts: how many photographs are in each state.
    """

    id: str
    title: str
    author: str
    created: str
    pause: float
    keep_photos: bool
    keep_dates: bool
    place: str | None
    counts: dict[ItemState, int]


@dataclass(frozen=True)
class UploadItem:
    """One uploaded photograph.

    digest: SHA-256 of its file.  encounter: number of its encounter in the batch; None: unknown.
    taken: local time, as its camera wrote it.
    answer: JSON of the identification; answer_event: the catalogue's last event when it was made.
    taken_by: who decides it just now; taken_until: until when, UTC seconds since 1970.
    decision: what was decided, by `decided_by`; identity: whom it shows; event: what it became.
    """

    id: int
    batch: str
    digest: str
    name: str
    size: int
    taken: str | None
    encounter: int | None
    state: ItemState
    error: str | None = None
    answer: str | None = None
    answer_event: int | None = None
    taken_by: str | None = None
    taken_until: float | None = None
    decision: ItemVerdict | None = None
    note: str | None = None
    decided_by: str | None = None
    decided_at: float | None = None
    identity: str | None = None
    event: int | None = None


@dataclass(frozen=True)
class ItemDecision:
    """What a person decides of a photograph.

    verdict: a `known` animal, a `new` one, `unsure`, or `nobody` who could be told.
    identity: the animal of `known`; the name of `new`, None for the next free one.
    force: take a near copy, and a name that is nearly that of another animal.
    """

    verdict: ItemVerdict
    identity: str | None = None
    note: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.verdict == "known" and not self.identity:
            raise FlukeprintError("a known animal must be named")
        if self.verdict in ("unsure", "nobody") and self.identity:
            raise FlukeprintError(f"{self.verdict} names no animal; leave it out")
