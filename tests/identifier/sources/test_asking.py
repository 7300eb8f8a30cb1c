"""Rows are answered chunk by chunk, each as its photograph alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flukeprint.data.exchange.answered import RowAnswer
from flukeprint.data.exchange.observed import ObservedPhoto
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.sources.asking import answer_of, ask_chunks
from tests.identifier.sources.test_answer_source import BOXES, cut, draw
from tests.serving.served import make_identifier


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Identifier:
    return Identifier.load(make_identifier(tmp_path_factory.mktemp("asking")))


def alone(known: Identifier, picture: Any) -> RowAnswer:
    (verdict,) = known.judge([picture])
    return answer_of(verdict, known.card.new_label)


def same(one: RowAnswer | str, other: RowAnswer) -> bool:
    assert isinstance(one, RowAnswer)
    return one == replace(other, probability=pytest.approx(other.probability, abs=1e-5))


def test_chunks_come_in_order_and_each_row_is_answered_alone(
    known: Identifier, tmp_path: Path
) -> None:
    names = [f"{n}.png" for n in range(7)]
    draw(tmp_path, names)
    x, y, width, height = BOXES[0]
    box = (x, y, x + width, y + height)
    rows = [ObservedPhoto(name, tmp_path / name, box=box) for name in names]
    rows[4] = ObservedPhoto("gone", tmp_path / "gone.png", box=box)
    chunks = [(3, rows[:3]), (1, rows[3:5]), (9, rows[5:])]
    found = dict(ask_chunks(known, chunks, "torch"))
    assert list(found) == [3, 1, 9]
    assert [list(found[n]) for n, _ in chunks] == [[one.image for one in c] for _, c in chunks]
    every = {name: one for results in found.values() for name, one in results.items()}
    assert "no such file" in str(every.pop("gone"))
    for name, one in every.items():
        assert same(one, alone(known, cut(int(name[0]), BOXES[0])))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_views_are_mirrored_as_those_of_the_gallery(
    known: Identifier, tmp_path: Path, number: int
) -> None:
    draw(tmp_path, [f"{n}.png" for n in range(number + 1)])
    image = known.card.image.model_copy(update={"mirror_views": ("left",)})
    card = known.card.model_copy(update={"image": image, "threshold": None, "outside": None})
    seen = replace(known, card=card)
    x, y, width, height = BOXES[0]
    rows = [
        ObservedPhoto(
            str(view), tmp_path / f"{number}.png", box=(x, y, x + width, y + height), view=view
        )
        for view in ("left", "right", None)
    ]
    ((_, found),) = ask_chunks(seen, [(0, rows)], "torch")
    plain = cut(number, BOXES[0])
    mirrored = np.ascontiguousarray(plain[:, ::-1])
    assert same(found["left"], alone(seen, mirrored))
    assert same(found["right"], alone(seen, plain))
    assert same(found["None"], alone(seen, plain))
    assert not same(found["left"], alone(seen, plain))
