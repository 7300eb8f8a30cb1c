"""What is compared in `benchmarks.accuracy.losses`, its rows, and the page and plot made of them."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.places import BENCHMARKS, PLOTS, RESULTS
from flukeprint.files import written_whole

RESULT, PAGE, PLOT = RESULTS / "losses.csv", BENCHMARKS / "losses.md", PLOTS / "losses.png"
SEEDS = (0, 1, 2)
FOLDS = 5
STEPS = 180
UNTRAINED = "no training"
DATA = {
    "nyala": "Nyala, real: animals with at least 8 photographs, 128 x 176 px",
    "whales": "Whales, drawn: animals with at least 2 photographs, 48 x 96 px",
}


@dataclass(frozen=True)
class Compared:
    """A loss: the terms of `losses` and the sampler that suits it."""

    terms: str
    sampler: str = "shuffled"


def _pairs(name: str, **params: str) -> Compared:
    inner = ", ".join(f"{key}: {value}" for key, value in params.items())
    return Compared(f"[{{name: {name}, params: {{{inner}}}}}]", "pk")


LOSSES = {
    "softmax": Compared("[{name: softmax}]"),
    "contrastive": _pairs("contrastive"),
    "triplet, easy": _pairs("triplet", mining="batch_easy"),
    "triplet, semi-hard": _pairs("triplet", mining="semi_hard"),
    "triplet, batch-hard": _pairs("triplet", mining="batch_hard"),
    "triplet, batch-all": _pairs("triplet", mining="batch_all"),
    "margin": _pairs("margin"),
    "center + softmax": Compared("[{name: softmax}, {name: center, weight: 0.003}]"),
    "center alone": Compared("[{name: center}]"),
    "SphereFace": Compared("[{name: sphereface}]"),
    "CosFace": Compared("[{name: cosface}]"),
    "ArcFace": Compared("[{name: arcface}]"),
    "sub-center ArcFace": Compared("[{name: subcenter_arcface}]"),
    "dynamic-margin ArcFace": Compared("[{name: dynamic_arcface}]"),
    "multi-similarity": _pairs("multi_similarity"),
    "circle": _pairs("circle"),
    "proxy-anchor": Compared("[{name: proxy_anchor}]"),
    "SupCon": _pairs("supcon"),
}


@dataclass(frozen=True)
class Row:
    """One training.

    of_queries: digest of the queries and their right answers.
    ranks: for each query the place of the right animal among its five answers, 0 where it is none.
    """

    data: str
    loss: str
    seed: int
    photos: int
    queries: int
    of_queries: str
    steps: int
    cpu_seconds: float
    effective_rank: float
    mean_cosine: float
    ranks: str


def read_rows() -> list[Row]:
    """All rows that are measured."""
    if not RESULT.is_file():
        return []
    kinds: dict[str, Any] = {field.name: field.type for field in fields(Row)}
    with RESULT.open(newline="") as file:
        return [
            Row(**{name: kinds[name](value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]


def save_rows(rows: Sequence[Row]) -> None:
    """Write all rows, each a training."""
    with written_whole(RESULT) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in rows:
            told = asdict(row)
            for name in ("cpu_seconds", "effective_rank", "mean_cosine"):
                told[name] = f"{told[name]:.4f}"
            writer.writerow(told)


def write_page(rows: Sequence[Row]) -> None:
    """Write the page and its plot."""
    raise NotImplementedError
