"""Asks an identifier about many photographs or boxes of them, some hundred at a time.

Threads decode the next chunk while the present one is embedded and ranked.  Each is answered as
`flukeprint identify` answers it alone.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from flukeprint.config.ranking import EngineName
from flukeprint.data.catalog import Box
from flukeprint.data.exchange.answered import RowAnswer
from flukeprint.data.exchange.observed import ObservedPhoto
from flukeprint.data.readers.boxes import upright_size
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import Prepared, decoded
from flukeprint.identifier.sources.journal import Results
from flukeprint.identifier.verdict import Verdict

CHUNK = 256  # rows that are in memory together; twice as many while the next ones are decoded
_OTHERS = 4
_MOST_THREADS = 16


def ask_chunks(
    known: Identifier, chunks: Sequence[tuple[int, Sequence[ObservedPhoto]]], engine: EngineName
) -> Iterator[tuple[int, Results]]:
    """Answer chunks of rows that have a file, in order: yields each one's number and answers.

    engine: that embeds, so that a run that goes on gives the same answers.
    """
    workers = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[tuple[int, Sequence[ObservedPhoto], list[Future[Prepared | str]]]] = deque()
    left = iter(chunks)
    assert known.prepared is not None  # made here, not by several threads at once
    with ThreadPoolExecutor(workers, thread_name_prefix="photographs") as pool:

        def begin() -> None:
            if (chunk := next(left, None)) is not None:
                tasks = [pool.submit(_prepared, known, one) for one in chunk[1]]
                waiting.append((*chunk, tasks))

        try:
            begin()
            while waiting:
                number, photos, tasks = waiting.popleft()
                found = [task.result() for task in tasks]
                begin()
                yield number, _answered(known, photos, found, engine, workers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _prepared(known: Identifier, photo: ObservedPhoto) -> Prepared | str:
    """The crop of a row, ready for the network; or why it cannot be used.

    A view of which the gallery's photographs are mirrored is mirrored as these are.
    """
    assert photo.path is not None
    try:
        box = None if photo.box is None else _in_pixels(photo)
        if photo.view is not None and photo.view in known.card.image.mirror_views:
            turned = decoded(photo.path, photo.image, box=box)[:, ::-1]
            return known.prepare(np.ascontiguousarray(turned), photo.image)
        return known.prepare(photo.path, photo.image, box)
    except FlukeprintError as error:
        return str(error)


def _in_pixels(photo: ObservedPhoto) -> Box | None:
    """The box in pixels; None where the photograph cannot be measured, and so not be decoded."""
    assert photo.path is not None
    assert photo.box is not None
    size = upright_size(photo.path)
    if size is None:
        return None
    x0, y0, x1, y1 = photo.box
    return x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]


def _answered(
    known: Identifier,
    photos: Sequence[ObservedPhoto],
    found: Sequence[Prepared | str],
    engine: EngineName,
    workers: int,
) -> Results:
    ready = [one for one in found if not isinstance(one, str)]
    features = None
    if ready:
        features = known.examine_prepared(ready, engine=engine, workers=workers)
    results: dict[str, RowAnswer | str] = {}
    place = 0
    for photo, one in zip(photos, found, strict=True):
        if isinstance(one, str) or features is None:
            results[photo.image] = str(one)
            continue
        verdict = known.judge_encounter(features.take([place]))
        results[photo.image] = answer_of(verdict, known.card.new_label)
        place += 1
    return results


def answer_of(verdict: Verdict, new_label: str) -> RowAnswer:
    """The answer that a verdict gives; what looks like something else has no probability."""
    names = [new_label if name is None else name for name in verdict.answers]
    first = 0 if verdict.kind == "outside" else 1  # whose first answer is only the nearest
    shares = verdict.probabilities
    return RowAnswer(
        verdict.kind,
        verdict.answers[0] if verdict.kind == "known" else None,
        None if shares is None or shares[0] is None else float(shares[0]),
        tuple(names[first : first + _OTHERS]),
    )
