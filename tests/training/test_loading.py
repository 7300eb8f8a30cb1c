"""Workers that stay from epoch to epoch, and batches that are the sampler's of the moment."""

import multiprocessing
import os
import time
from typing import Any

import pytest
from torch.utils.data import Dataset

from flukeprint.training.datamodule import Loader


class Places(Dataset[Any]):
    """Each row with the process that gave it."""

    def __getitem__(self, row: int) -> tuple[int, int]:
        return row, os.getpid()


class Shifting:
    """Rows of three batches, from 10 * epoch on."""

    epoch = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:
        start = 10 * self.epoch
        return iter([[start, start + 1], [start + 2, start + 3], [start + 4]])


def loader(workers: int) -> Loader:
    return Loader(Places(), Shifting(), workers=workers, pinned=False)  # type: ignore[arg-type]


def read(batches: Any) -> tuple[list[list[int]], set[int]]:
    seen = [(rows.tolist(), set(places.tolist())) for rows, places in batches]
    return [rows for rows, _ in seen], set().union(*(places for _, places in seen))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_epoch_is_the_samplers_of_that_moment(workers: int) -> None:
    batches = loader(workers)
    assert len(batches) == 3
    for epoch in (0, 1, 4):
        batches.order.epoch = epoch  # type: ignore[union-attr]
        start = 10 * epoch
        rows, _ = read(batches)
        assert rows == [[start, start + 1], [start + 2, start + 3], [start + 4]]
    batches.close()


def test_workers_stay_until_they_are_closed() -> None:
    batches = loader(2)
    first, second = read(batches)[1], read(batches)[1]
    assert first == second
    assert len(first) == 2
    assert os.getpid() not in first
    batches.close()
    deadline = time.monotonic() + 20
    while first & {child.pid for child in multiprocessing.active_children()}:
        assert time.monotonic() < deadline, "they outlive close"
        time.sleep(0.05)
    again = read(batches)[1]
    assert not again & first
    batches.close()


def test_an_iterator_that_is_not_read_starts_nothing() -> None:
    before = {child.pid for child in multiprocessing.active_children()}
    batches = loader(2)
    iterator = iter(batches)
    assert {child.pid for child in multiprocessing.active_children()} <= before
    assert read(iterator)[0][0] == [0, 1]
    batches.close()


def test_an_epoch_given_up_leaves_nothing_for_the_next() -> None:
    batches = loader(2)
    iterator = iter(batches)
    next(iterator)
    batches.order.epoch = 1  # type: ignore[union-attr]
    assert read(batches)[0] == [[10, 11], [12, 13], [14]]
    batches.close()
