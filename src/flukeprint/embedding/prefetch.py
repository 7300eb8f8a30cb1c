"""Load photographs in threads while the network runs, so that neither waits for the other.

There are two ways.  Where the engine has lanes (`Engine.lanes`), each core decodes some photographs
and embeds them by itself, so that no core waits for another.  Where only one batch runs at a time,
threads prepare the next ones meanwhile.  Decoding, resizing and the network all release the
interpreter lock.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from flukeprint.data.embeddings import Floats
from flukeprint.embedding.engine import Forward, Photos

# Batches in preparation or ready, besides the one in the network.
AHEAD = 2

# Photographs of a batch in a lane: the layers' outputs stay in the core's own cache.
LANE_BATCH = 8
Fill = Callable[[int, Photos], None]  # writes the pictures of a row; called by several threads


def in_lanes(
    fill: Fill,
    rows: int,
    shape: tuple[int, ...],
    lanes: Sequence[Forward],
    *,
    size: int,
    workers: int,
) -> Iterator[tuple[range, Floats]]:
    """Load and embed all rows with several lanes at once; parts come as they are finished.

    Args:
        fill: writes the pictures of a row into an array of `shape`, which is (pictures, 3, h, w);
            called by several threads.  A lane embeds those of all rows of a part together.
        size: rows of a part.
        workers: threads, if more than lanes: while some wait for the disk, others use the lanes.

    Yields:
        (rows, their embeddings), every row once.  The parts depend on `rows` and `size` only.

    An exception of `fill` or a lane is raised here; then, or when the caller stops, threads finish
    their present photograph and end.
    """
    starts = iter(range(0, rows, size))  # gives each number once, to any thread
    free: SimpleQueue[Forward] = SimpleQueue()
    for lane in lanes:
        free.put(lane)
    done: SimpleQueue[tuple[range, Floats] | BaseException] = SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        buffer = np.empty((min(size, rows), *shape), np.uint8)
        try:
            for start in starts:
                part = range(start, min(start + size, rows))
                for row in part:
                    if stopped.is_set():
                        return
                    fill(row, buffer[row - start])
                lane = free.get()
                try:
                    found = lane(buffer[: len(part)].reshape(-1, *shape[1:]))
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
    """Load all rows in batches of `size`, in order, ahead of the caller.

    Args:
        fill: writes the pictures of a row into an array of `shape`; called by several threads.
        workers: threads; 0: the caller's own, without prefetching.

    Yields:
        (rows, their pictures (len(rows), *shape)).  A batch is valid until the next one is
        requested: its memory is used again.

    An exception of `fill` is raised here, and the remaining rows are not loaded.
    """
    starts = range(0, rows, size)
    if workers == 0:
        buffer = np.empty((min(size, rows), *shape), np.uint8)
        for start in starts:
            part = range(start, min(start + size, rows))
            for row in part:
                fill(row, buffer[row - start])
            yield part, buffer[: len(part)]
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
            buffer, part = free.popleft(), range(start, min(start + size, rows))
            tasks = [pool.submit(fill, row, buffer[row - start]) for row in part]
            waiting.append((part, buffer, tasks))

    try:
        for _ in range(len(free) - 1):
            begin()
        while waiting:
            part, buffer, tasks = waiting.popleft()
            begin()
            for task in tasks:
                task.result()
            yield part, buffer[: len(part)]
            free.append(buffer)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
