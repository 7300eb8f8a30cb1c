"""Answers for tests, as an identifier would give them."""

from datetime import UTC, datetime

from flukeprint.data.exchange.answered import Answer, Answers

BY = "flukeprint 9.9, identifier abc"
MOMENT = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
NEW = Answer("new", None, 0.6, ("a", "b"))
OUTSIDE = Answer("outside", None, None, ("c",))


def known(name: str, probability: float | None = 0.75) -> Answer:
    return Answer("known", name, probability, ("z",))


def answers(of: dict[str, Answer], failed: dict[str, str] | None = None) -> Answers:
    return Answers(of, failed or {}, BY, MOMENT)
