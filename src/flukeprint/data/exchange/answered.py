"""What an identifier says of the rows of a source, before it is written in the source's form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from flukeprint.data.exchange.observed import Observed, ObservedPhoto

MAKER = "flukeprint "  # begins the name of who answered


@dataclass(frozen=True)
class RowAnswer:
    """The answer to one row.

    verdict: whether it shows a known individual, a new one, or something else.
    identity: of a known individual.  probability: of the verdict; None where it was not measured.
    others: the next likeliest individuals.
    """

    verdict: Literal["known", "new", "outside"]
    identity: str | None
    probability: float | None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowAnswers:
    """Answers to rows of a source.

    of: by the names of rows, `ObservedPhoto.image`.  failed: name of a row -> why it has none.
    by: what answered, with its version.  moment: when.
    """

    of: Mapping[str, RowAnswer]
    failed: Mapping[str, str]
    by: str
    moment: datetime

    @property
    def stamp(self) -> str:
        """The moment as ISO 8601, UTC."""
        return self.moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def known(self) -> Iterator[str]:
        """Identities that are answered, each once, in the order of the answers."""
        found = (one.identity for one in self.of.values() if one.identity is not None)
        yield from dict.fromkeys(found)


def with_answers(observed: Observed, answers: RowAnswers) -> Observed:
    """The source's rows with the identities that were answered, as given by a machine."""
    return replace(observed, photos=tuple(_answered(one, answers) for one in observed.photos))


def _answered(photo: ObservedPhoto, answers: RowAnswers) -> ObservedPhoto:
    answer = answers.of.get(photo.image)
    if answer is None:
        return photo
    if answer.identity is None:  # a machine's older name no longer holds
        return replace(photo, identity=None, probability=None) if photo.machine else photo
    return replace(
        photo, identity=answer.identity, probability=answer.probability, by=answers.by,
        machine=True,
    )  # fmt: skip
