"""How sure an answer of the queue is."""

from flukeprint.serving.api.catalogue.answering import sureness
from flukeprint.serving.api.schemas import Answer, Identification


def answer(
    scores: list[float], probability: float | None, closeness: float = 0.5
) -> Identification:
    answers = [
        Answer(identity=f"w_{n}", label=f"w_{n}", score=score, photos=[],
               probability=probability if n == 0 else None)
        for n, score in enumerate(scores)
    ]  # fmt: skip
    return Identification(
        photos=1, unknown=False, verdict="known", answers=answers, probability_unknown=None,
        closeness=closeness, placement=None,
    )  # fmt: skip


def test_the_least_sure_come_first() -> None:
    by_hand = [
        answer([0.9, 0.1], 0.1), answer([0.5, 0.49], 0.2), answer([0.5, 0.4], 0.2),
        answer([9.0, -5.0], 0.2), answer([0.5, 0.5], 0.2001),
    ]  # fmt: skip
    sure = [sureness(one) for one in by_hand]
    assert sure == sorted(sure)
    assert len(set(sure)) == len(sure)


def test_without_probabilities_it_is_the_nearest_photograph() -> None:
    assert sureness(answer([0.9, 0.1], None, 0.3)) < sureness(answer([0.2, 0.1], None, 0.4))
    sureness(answer([0.9], None))
