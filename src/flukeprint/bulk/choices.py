"""Choose how partitions are embedded on a device: the inference engine and the batch size.

Both are measured on photographs of the first partition, once, and written in the manifest, so that
every process and every later start computes alike.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from flukeprint.bulk.partitions import PartitionSettings
from flukeprint.bulk.photographs import PartitionPhotos
from flukeprint.bulk.tables import Partition, SourceTable, read_rows
from flukeprint.config.ranking import EngineName
from flukeprint.embedding.embed import Variants
from flukeprint.embedding.engine import Engine, Photos
from flukeprint.embedding.engine_choice import WORTH_MEASURING, pick_engine
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.models.network import FlukeNet
from flukeprint.storage import parse_path

SIZES = {"cpu": (8, 16, 32, 64, 128), "cuda": (32, 64, 128, 256, 512, 1024)}
LONG_ENOUGH = 0.3  # s that a batch size is timed for
NEARLY = 0.97  # of the best rate: the smaller batch takes less memory
USUAL = 64  # for few photographs, and for lanes, whose batches have a size of their own


@dataclass(frozen=True)
class Choice:
    """The settings with engine, precision and batch size; lines: what was found, for people."""

    settings: PartitionSettings
    lines: tuple[str, ...]


def choose_compute(
    net: FlukeNet,
    recipe: EmbeddingRecipe,
    tables: tuple[SourceTable, ...],
    partition: Partition,
    settings: PartitionSettings,
    *,
    device: torch.device,
    photographs: int,
) -> Choice:
    """Replace what of the settings is automatic: engine and precision `auto`, batch size 0.

    photographs: how many are to be embedded, by which measuring is worth it or not.

    Raises:
        FlukeprintError: an engine or precision that is not possible on the device, or a table or
            storage that cannot be read.
    """
    rows = read_rows(tables[partition.table], partition)
    photos = PartitionPhotos(
        rows, settings.columns, parse_path(settings.root), recipe.image,
        list_unreachable=settings.list_unreachable,
    )  # fmt: skip
    views = Variants(photos.catalog(), recipe, photos)
    lines: list[str] = []
    drawn: list[Photos] = []

    def sample() -> Photos:
        if not drawn:
            drawn.append(views.sample())
        return drawn[0]

    engine = pick_engine(
        net.eval().to(device), views.size, settings.engine, settings.precision, stamp=recipe.stamp,
        sample=sample, passes=photographs * views.each, report=lines.append,
    )  # fmt: skip
    batch_size = settings.batch_size
    worth_it = photographs * views.each >= WORTH_MEASURING
    if not batch_size and (not worth_it or len(engine.lanes()) > 1):
        batch_size = USUAL
    elif not batch_size:
        rates = batch_rates(engine, sample(), SIZES.get(device.type, SIZES["cpu"]))
        batch_size = smallest_of_the_fastest(rates)
        told = ", ".join(f"{size}: {rate:.0f}" for size, rate in rates.items())
        lines.append(f"batch size: {batch_size}, of photographs a second in batches of {told}")
    chosen = replace(
        settings, engine=cast(EngineName, engine.name), precision=engine.precision,
        batch_size=batch_size,
    )  # fmt: skip
    return Choice(chosen, tuple(lines))


def batch_rates(
    engine: Engine,
    sample: Photos,
    sizes: tuple[int, ...],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Photographs a second in batches of each size, up to one that memory is too small for."""
    rates: dict[int, float] = {}
    for size in sizes:
        batch: Any = np.resize(sample, (size, *sample.shape[1:]))
        try:
            engine.embed(batch)  # a first time, for memory and kernels
            begin, count = clock(), 0
            while not count or clock() - begin < LONG_ENOUGH:
                engine.embed(batch)
                count += size
            rates[size] = count / (clock() - begin)
        except (MemoryError, torch.cuda.OutOfMemoryError):
            break
        if rates[size] < 0.8 * max(rates.values()):
            break  # larger ones only grow slower
    return rates


def smallest_of_the_fastest(rates: dict[int, float]) -> int:
    """The smallest size whose rate is nearly the best."""
    best = max(rates.values())
    return min(size for size, rate in rates.items() if rate >= NEARLY * best)
