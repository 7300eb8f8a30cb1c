"""Rows of resumable benchmarks: a CSV of a dataclass, and the answers to queries as digits."""

import csv
import gc
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from flukeprint.config.data import SyntheticConfig
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.files import written_whole

R = TypeVar("R")


def read_rows(file: Path, kind: type[R]) -> list[R]:
    """All rows of a file, each a `kind`, whose fields are text and numbers; none without a file."""
    if not file.is_file():
        return []
    kinds: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
    with file.open(newline="") as found:
        return [
            kind(**{name: kinds[name](value) for name, value in row.items()})
            for row in csv.DictReader(found)
        ]


def save_rows(file: Path, kind: type[R], rows: Sequence[R]) -> None:
    """Write all rows, each a `kind`, with four digits after the point."""
    with written_whole(file) as partial, partial.open("w", newline="") as out:
        writer = csv.DictWriter(out, [field.name for field in fields(kind)])  # type: ignore[arg-type]
        writer.writeheader()
        for row in rows:
            told = asdict(row)  # type: ignore[call-overload]
            writer.writerow(
                {
                    name: f"{value:.4f}" if isinstance(value, float) else value
                    for name, value in told.items()
                }
            )


def keep_finished(
    pool: Executor, asked: Iterable[Future[R]], keep: Callable[[R], None], title: str | None = None
) -> None:
    """Pass results on as they end; after an error or an interruption nothing further is begun.

    keep: takes the result of one of `asked`, such as a row to be saved.  title: of the bar.
    """
    waiting = list(asked)
    try:
        for done in tqdm(as_completed(waiting), total=len(waiting), desc=title, mininterval=5):
            keep(done.result())
            gc.collect()
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise


def draw_once(synthetic: SyntheticConfig, root: Path) -> Path:
    """The folder of a synthetic data set, drawn where it is missing."""
    if not root.is_dir():
        write_synthetic(synthetic, root, progress=True)
    return root


def ranks_of(table: QueryTable) -> str:
    """A digit a query: the place of the right animal among its five answers, 0 for none."""
    ranks = np.where(table.ap > 0, np.rint(1 / np.maximum(table.ap, 0.1)), 0).astype(int)
    return "".join(map(str, ranks.tolist()))


def queries_digest(table: QueryTable) -> str:
    """Digest of the queries and their right answers, by which rows compare or do not."""
    named = json.dumps([table.images, table.truths])
    return hashlib.sha256(named.encode()).hexdigest()[:12]


def ap_of(ranks: str) -> npt.NDArray[np.float64]:
    """AP@5 (q,) of queries with one right animal each, from `ranks_of`."""
    places = np.array([int(rank) for rank in ranks])
    return np.where(places > 0, 1 / np.maximum(places, 1), 0.0)
