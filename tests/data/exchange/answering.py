"""Answers for tests, as an identifier would give them."""

from datetime import UTC, datetime

from flukeprint.data.exchange.answered import RowAnswer, RowAnswers

BY = "flukeprint 9.9, identifier abc"
MOMENT = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
NEW = RowAnswer("new", None, 0.6, ("a", "b"))
OUTSIDE = RowAnswer("outside", None, None, ("c",))


def known(name: str, probability: float | None = 0.75) -> RowAnswer:
    return RowAnswer("known", name, probability, ("z",))


def answers(of: dict[str, RowAnswer], failed: dict[str, str] | None = None) -> RowAnswers:
    return RowAnswers(of, failed or {}, BY, MOMENT)
