"""Photographs on their way to the network: each once, in its place, and no thread left behind."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.data.embeddings import Floats
from flukeprint.embedding.engine import Photos
from flukeprint.embedding.prefetch import batches, in_lanes

SHAPE = (2, 3, 4, 5)


def fill(row: int, room: Photos) -> None:
    room[0], room[1] = row % 256, (row * 7 + 1) % 256
    if row % 3 == 0:  # so that parts are not done in order
        time.sleep(0.0005)


def lane(photos: Photos) -> Floats:
    assert photos.shape[1:] == SHAPE[1:]
    return photos.reshape(len(photos), -1)[:, :1].astype(np.float32)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40), size=st.integers(1, 9), lanes=st.integers(1, 4),
    workers=st.integers(1, 6),
)  # fmt: skip
def test_lanes_see_every_row_once(rows: int, size: int, lanes: int, workers: int) -> None:
    found = np.full((rows, 2), -1.0)
    for part, vectors in in_lanes(fill, rows, SHAPE, [lane] * lanes, size=size, workers=workers):
        assert (found[part.start : part.stop] == -1).all()
        found[part.start : part.stop] = vectors.reshape(len(part), 2)
    want = [[row % 256, (row * 7 + 1) % 256] for row in range(rows)]
    np.testing.assert_array_equal(found, want)


def test_a_lane_serves_one_thread_at_a_time() -> None:
    def counted() -> tuple[list[int], object]:
        inside, most = [0], [0]

        def run(photos: Photos) -> Floats:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.001)
            inside[0] -= 1
            return lane(photos)

        return most, run

    lanes = [counted() for _ in range(2)]
    runs = [run for _, run in lanes]
    parts = list(in_lanes(fill, 60, SHAPE, runs, size=2, workers=6))  # type: ignore[arg-type]
    assert len(parts) == 30
    assert [most for most, _ in lanes] == [[1], [1]]


@pytest.mark.parametrize("where", ["fill", "lane"])
def test_what_goes_wrong_in_a_lane_is_raised_at_once(where: str) -> None:
    filled = []

    def failing_fill(row: int, room: Photos) -> None:
        filled.append(row)
        if where == "fill" and row == 5:
            raise ValueError("damaged")
        fill(row, room)

    def failing_lane(photos: Photos) -> Floats:
        if where == "lane" and photos[0, 0, 0, 0] == 4:
            raise ValueError("damaged")
        return lane(photos)

    with pytest.raises(ValueError, match="damaged"):
        list(in_lanes(failing_fill, 10_000, SHAPE, [failing_lane] * 2, size=2, workers=2))
    assert len(filled) < 1000


def test_who_stops_early_stops_the_lanes() -> None:
    filled = []

    def counting(row: int, room: Photos) -> None:
        filled.append(row)
        fill(row, room)

    parts = in_lanes(counting, 10_000, SHAPE, [lane] * 2, size=2, workers=3)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert len(filled) < 1000


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 30), size=st.integers(1, 9), workers=st.integers(0, 4))
def test_batches_come_in_order(rows: int, size: int, workers: int) -> None:
    seen: list[int] = []
    for part, photos in batches(fill, rows, SHAPE, size=size, workers=workers):
        assert photos.shape == (len(part), *SHAPE)
        assert len(part) == size or part.stop == rows
        seen += photos[:, 0, 0, 0, 0].tolist()
        np.testing.assert_array_equal(photos[:, 1, 2, 3, 4], [(r * 7 + 1) % 256 for r in part])
    assert seen == list(range(rows))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_goes_wrong_ahead_is_raised(workers: int) -> None:
    def failing(row: int, room: Photos) -> None:
        if row == 7:
            raise ValueError("damaged")
        fill(row, room)

    with pytest.raises(ValueError, match="damaged"):
        list(batches(failing, 1000, SHAPE, size=4, workers=workers))
