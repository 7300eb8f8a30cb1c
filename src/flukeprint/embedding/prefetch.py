"""Photographs to the network without waiting: rows enter, their embeddings leave.

Two ways.  Where the network runs in lanes (`engines.Engine.lanes`), each core decodes some
photographs and has the network look at them, by itself, so that none waits for another.  Where
only one batch runs at a time, threads fill the next ones meanwhile.  Decoding, resizing and the
network all let go of the interpreter.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from flukeprint.data.embeddings import Floats
from flukeprint.embedding.engine import Forward, Photos

# Batches under way or ready beside the one that the network looks at.
AHEAD = 2

# Passes of the network in a lane: its layers' outputs stay in the core's own cache.
LANE_BATCH = 8
Fill = Callable[[int, Photos], None]  # writes what belongs to a row; called by several threads


def in_lanes(
    fill: Fill,
    rows: int,
    shape: tuple[int, ...],
    lanes: Sequence[Forward],
    *,
    size: int,
    workers: int,
) -> Iterator[tuple[range, Floats]]:
    """(rows, what a lane gave for their pictures), every row once, parts as they are done.

    Args:
        fill: as `batches` has it; `shape` is (pictures, 3, h, w), and a lane is given those of
            all rows of a part, one after the other.
        size: rows of a part.
        workers: threads, if more than lanes: while some wait for the disk, others fill lanes.

    Which rows make a part depends on nothing else.  What `fill` or a lane raises is raised here;
    then, or when the caller stops, threads finish the photograph that they are at and end.
    """
    starts = iter(range(0, rows, size))  # gives each number once, to any thread
    free: SimpleQueue[Forward] = SimpleQueue()
    for lane in lanes:
        free.put(lane)
    done: SimpleQueue[tuple[range, Floats] | BaseException] = SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        room = np.empty((min(size, rows), *shape), np.uint8)
        try:
            for start in starts:
                part = range(start, min(start + size, rows))
                for row in part:
                    if stopped.is_set():
                        return
                    fill(row, room[row - start])
                lane = free.get()
                try:
                    found = lane(room[: len(part)].reshape(-1, *shape[1:]))
                finally:
                    free.put(lane)
                done.put((part, found))
        except BaseException as error:
            done.put(error)

    parts = -(-rows // size)
    threads = [
        threading.Thread(target=work, name=f"photographs-{number}", daemon=True)
        for number in range(min(parts, max(workers, len(lanes))))
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in range(parts):
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stopped.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def batches(
    fill: Fill, rows: int, shape: tuple[int, ...], *, size: int, workers: int
) -> Iterator[tuple[range, Photos]]:
    """(rows, their photographs (len(rows), *shape)) for all rows, `size` at a time, in order.

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
