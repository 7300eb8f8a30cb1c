"""The bodies of answers and requests about uploads and the queue."""

from typing import Annotated

from pydantic import Field, StringConstraints

from flukeprint.keeper.queue.kinds import ItemState, ItemVerdict
from flukeprint.serving.api.catalogue.bodies import EventBody
from flukeprint.serving.api.catalogue.changes import Name, Number, Request, Text, given
from flukeprint.serving.api.schemas import Body, Identification, told

MOST_DIGESTS = 1000
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class NewBatch(Request):
    """Photographs that are to be uploaded together."""

    title: Name = given("What people call it, such as the folder", "camera 4, May")
    pause: Annotated[float, Field(ge=0, le=86400)] = given(
        "Seconds, the longest between two photographs of an encounter", 60.0, default=60.0
    )
    keep_photos: bool = given(
        "Whether the files of those that are enrolled stay, to be seen at full size", True,
        default=True,
    )  # fmt: skip
    keep_dates: bool = given(
        "Whether the catalogue learns when they were taken, as their cameras wrote it", True,
        default=False,
    )  # fmt: skip
    place: Name | None = given("Where all were taken", "water hole", default=None)


class Digests(Request):
    """Photographs that somebody has, by the SHA-256 of their files."""

    digests: Annotated[list[Sha256], Field(max_length=MOST_DIGESTS)] = given(
        "64 digits 0-9 and a-f each", ["9f" * 32]
    )


class QueueDecision(Request):
    """What a person decides of a photograph."""

    decision: ItemVerdict = given(
        "A known animal, a new one, unsure, or nobody who could be told", "known"
    )
    animal: Number | None = given("Id of the known animal", 5, default=None)
    identity: Name | None = given(
        "Name of the known animal, as an answer tells it, instead of its id", "n_084", default=None
    )
    new_name: Name | None = given(
        "Of the new animal; null takes the next free name", "n_273", default=None
    )
    note: Text | None = given("For the history", "the torn ear", default=None)
    force: bool = given(
        "Take a near copy, and a name that is nearly that of another animal", False, default=False
    )


class BatchBody(Body):
    """A batch of uploaded photographs, and how far it is."""

    id: Annotated[str, told("In its address; share that to show the results", "c0ffee0123456789")]
    title: Annotated[str, told("What people call it", "camera 4, May")]
    author: Annotated[str, told("Who uploads it", "Ana")]
    created: Annotated[str, told("UTC", "2026-11-29T02:50:36Z")]
    pause: Annotated[
        float, told("Seconds, the longest between two photographs of an encounter", 60.0)
    ]
    keep_photos: Annotated[bool, told("Whether the files of those enrolled stay", True)]
    keep_dates: Annotated[bool, told("Whether the catalogue learns the cameras' dates", False)]
    place: Annotated[str | None, told("Where all were taken", "water hole")]
    total: Annotated[int, told("Photographs that have arrived", 100)]
    counts: Annotated[
        dict[ItemState, int],
        told(
            "How many have no answer yet, wait for a person, failed, or are decided",
            {"pending": 80, "waiting": 10, "failed": 0, "decided": 10},
        ),
    ]


class BatchList(Body):
    """The last batches."""

    batches: Annotated[list[BatchBody], told("The last one first", [])]


class QueueItem(Body):
    """An uploaded photograph."""

    id: Annotated[int, told("In the queue", 17)]
    batch: Annotated[str, told("Its batch", "c0ffee0123456789")]
    digest: Annotated[str, told("SHA-256 of its file", "9f" * 32)]
    name: Annotated[str, told("Of its file", "IMG_0123.jpg")]
    size: Annotated[int, told("Bytes", 2400000)]
    photo: Annotated[str, told("Address of the picture", "/v1/queue/17/photo")]
    taken: Annotated[str | None, told("Local time, as its camera wrote it", "2026-05-12T13:55:02")]
    encounter: Annotated[int | None, told("Number in its batch; equal for those taken together", 3)]
    state: Annotated[ItemState, told("pending: no answer yet; waiting: for a person", "waiting")]
    error: Annotated[str | None, told("Why it failed", None)]
    answer: Annotated[Identification | None, told("As of `/v1/identify`", None)]
    taken_by: Annotated[str | None, told("Who has it just now", "Bea")]
    taken_until: Annotated[str | None, told("UTC; then others get it", "2026-11-29T03:00:36Z")]
    decision: Annotated[ItemVerdict | None, told("What was decided", None)]
    identity: Annotated[str | None, told("Whom it shows, as was decided", None)]
    note: Annotated[str | None, told("Of who decided", None)]
    decided_by: Annotated[str | None, told("Who decided", None)]
    decided_at: Annotated[str | None, told("UTC", None)]
    event: Annotated[int | None, told("Number of the event that it became", None)]
    undo: Annotated[
        str | None,
        told("Address to POST to, to take the decision back", "/v1/events/9/undo"),
    ]


class BatchPage(Body):
    """A batch with some of its photographs."""

    batch: Annotated[
        BatchBody,
        told(
            "How far it is",
            {"id": "c0ffee0123456789", "title": "camera 4, May", "author": "Ana",
             "created": "2026-11-29T02:50:36Z", "pause": 60.0, "keep_photos": True,
             "keep_dates": False, "place": None, "total": 0, "counts": {}},
        ),
    ]  # fmt: skip
    items: Annotated[list[QueueItem], told("In the order in which they came", [])]
    next: Annotated[int | None, told("`after` of the next page; null where this is the last", 200)]


class Missing(Body):
    """Photographs that are still to be sent."""

    missing: Annotated[list[str], told("Digests, in the order asked for", ["9f" * 32])]


class NextItem(Body):
    """The next photograph for who asks, and for nobody else for ten minutes."""

    item: Annotated[QueueItem | None, told("null: none waits just now", None)]
    waiting: Annotated[
        int, told("How many are to be decided in all, those without an answer yet too", 90)
    ]
    unanswered: Annotated[
        int, told("How many of them are being compared; ask again where none waits", 80)
    ]


class DecidedItem(Body):
    """A photograph that was decided."""

    item: Annotated[
        QueueItem,
        told(
            "As it is now",
            {"id": 17, "batch": "c0ffee0123456789", "digest": "9f" * 32, "name": "IMG_0123.jpg",
             "size": 2400000, "photo": "/v1/queue/17/photo", "taken": None, "encounter": None,
             "state": "decided", "error": None, "answer": None, "taken_by": None,
             "taken_until": None, "decision": "known", "identity": "n_084", "note": None,
             "decided_by": "Bea", "decided_at": "2026-11-29T02:55:00Z", "event": 9,
             "undo": "/v1/events/9/undo"},
        ),
    ]  # fmt: skip
    event: Annotated[EventBody | None, told("What the catalogue notes of it; null: nothing", None)]
