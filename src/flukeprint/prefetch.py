"""Photographs ahead of the network: rows enter, batches uint8 leave, in order.

Threads fill the next batches while the network is at work on this one: decoding and resizing let
go of the interpreter.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

Photos = npt.NDArray[np.uint8]

# Batches under way or ready beside the one that the network looks at.
AHEAD = 2


def batches(
    fill: Callable[[int, Photos], None],
    rows: int,
    shape: tuple[int, ...],
    *,
    size: int,
    workers: int,
) -> Iterator[tuple[range, Photos]]:
    """(rows, their photographs (len(rows), *shape)) for all rows, `size` at a time.

    Args:
        fill: writes what belongs to a row into an array of `shape`; called by several threads.
        workers: threads; 0: the caller's own, without looking ahead.

    A batch is valid until the next one is asked for: its memory is used again.  What `fill` raises
    is raised here, and the rest is given up.
    """
    starts = range(0, rows, size)
    if workers == 0:
        room = np.empty((min(size, rows), *shape), np.uint8)
        for start in starts:
            part = range(start, min(start + size, rows))
            for row in part:
                fill(row, room[row - start])
            yield part, room[: len(part)]
        return
    free = deque(
        np.empty((min(size, rows), *shape), np.uint8) for _ in range(min(AHEAD, len(starts)) + 1)
    )
    waiting: deque[tuple[range, Photos, list[Future[None]]]] = deque()
    left = iter(starts)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photographs")

    def begin() -> None:
        start = next(left, None)
        if start is not None:
            room, part = free.popleft(), range(start, min(start + size, rows))
            tasks = [pool.submit(fill, row, room[row - start]) for row in part]
            waiting.append((part, room, tasks))

    try:
        for _ in range(len(free) - 1):
            begin()
        while waiting:
            part, room, tasks = waiting.popleft()
            begin()
            for task in tasks:
                task.result()
            yield part, room[: len(part)]
            free.append(room)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
