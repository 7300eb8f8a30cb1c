"""Embed all photographs that tables name, partition by partition, and go on after interruptions.

    plan_source -> choose_compute -> PartitionEmbedder, here or on Ray -> Target

Nothing grows with the number of photographs but the plan, some 300 bytes a partition.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from flukeprint.bulk.choices import Choice, choose_compute
from flukeprint.bulk.partitions import (
    EmbeddedPartition,
    NumberType,
    PartitionEmbedder,
    PartitionSettings,
)
from flukeprint.bulk.photographs import find_columns
from flukeprint.bulk.qdrant_points import QdrantPoints
from flukeprint.bulk.tables import Partition, Source, plan_source
from flukeprint.bulk.target import DAMAGED, FOLDER, Target, manifest_of
from flukeprint.config.ranking import EngineName, GalleryConfig, PrecisionName
from flukeprint.embedding.embed import Accelerator, check_devices, pick_device
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.errors import FlukeprintError, counted
from flukeprint.identifier.identifier import Identifier
from flukeprint.models.network import FlukeNet
from flukeprint.output import Stage
from flukeprint.search.qdrant_client import check_answers
from flukeprint.storage import is_local, parse_path, require_local

FAR_READERS = 16  # threads that wait for a storage which is no disk
PARTITION_ROWS = 8192  # minutes of a core, some 16 MB


@dataclass(frozen=True)
class EmbedAllOptions:
    """How photographs are found, embedded and written.

    photos: where their names begin; None: the folder of the tables.
    columns: fields whose column is named, such as image.
    numbers: type of what is written.  partition_rows: photographs of a file.
    engine, precision: of `infer`.  batch_size: None: the fastest.
    readers: threads of a process that read and decode; None: its cores, more where photographs are
        on no disk.
    list_unreachable: list photographs that their storage refuses as damaged.
    gallery: of a server of Qdrant that gets the embeddings, too; first_row: the number there of the
        source's first row.
    """

    photos: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    numbers: NumberType = "float32"
    partition_rows: int = PARTITION_ROWS
    engine: EngineName = "auto"
    precision: PrecisionName = "fp32"
    batch_size: int | None = None
    readers: int | None = None
    accelerator: Accelerator = "auto"
    list_unreachable: bool = False
    gallery: GalleryConfig | None = None
    first_row: int = 0


@dataclass(frozen=True)
class EmbedAllResult:
    """What there is at the end.  photographs: all that are embedded; made: of them now."""

    folder: Path
    photographs: int
    files: int
    damaged: int
    made: int

    def text(self) -> str:
        """Lines for people."""
        lines = [
            f"embeddings: {counted(self.photographs, 'photograph')} in "
            f"{counted(self.files, 'file')}: {self.folder / FOLDER}"
        ]
        if before := self.photographs - self.made:
            lines.append(f"there before: {counted(before, 'photograph')}")
        if self.damaged:
            lines.append(f"damaged: {counted(self.damaged, 'photograph')}: {self.folder / DAMAGED}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Work:
    """What an engine needs to embed partitions anywhere; it can be pickled."""

    net: FlukeNet
    recipe: EmbeddingRecipe
    source: Source
    settings: PartitionSettings
    readers: int | None

    def readers_of(self, cores: int) -> int:
        """Threads that read and decode in a process of `cores`."""
        if self.readers is not None:
            return self.readers
        return cores if is_local(parse_path(self.settings.root)) else max(FAR_READERS, cores)

    def embedder(self, device: torch.device, cores: int) -> PartitionEmbedder:
        """The embedder of a process."""
        return PartitionEmbedder(
            self.net, self.recipe, self.source.tables, self.settings, device=device,
            readers=self.readers_of(cores),
        )  # fmt: skip

    def choice(self, device: torch.device, photographs: int) -> Choice:
        """Engine and batch size on a device, see `choose_compute`."""
        return choose_compute(
            self.net, self.recipe, self.source.tables, self.source.partitions[0], self.settings,
            device=device, photographs=photographs,
        )  # fmt: skip


class BulkEngine(Protocol):
    """Embeds partitions somewhere."""

    def running(self) -> AbstractContextManager[None]:
        """Be ready within this context."""

    def choose(self, work: Work, photographs: int) -> Choice:
        """Engine and batch size where partitions will be embedded."""

    def embed(self, work: Work, partitions: Sequence[Partition]) -> Iterator[EmbeddedPartition]:
        """Embed partitions, each once, in any order."""


class LocalEngine:
    """Embeds partitions one after the other in this process, on its device or all its cores."""

    def __init__(self, accelerator: Accelerator) -> None:
        check_devices(accelerator, 1, "devices")
        self._device = pick_device(accelerator)

    def running(self) -> AbstractContextManager[None]:
        """Nothing has to be started."""
        return nullcontext()

    def choose(self, work: Work, photographs: int) -> Choice:
        """Engine and batch size here."""
        return work.choice(self._device, photographs)

    def embed(self, work: Work, partitions: Sequence[Partition]) -> Iterator[EmbeddedPartition]:
        """Embed partitions; each is asked for when the one before is written."""
        yield from map(work.embedder(self._device, _cores()), partitions)


def embed_all(
    source: Path,
    identifier: Path,
    target: Path,
    options: EmbedAllOptions | None = None,
    engine: BulkEngine | None = None,
    *,
    report: Callable[[str], None] | None = None,
    progress: bool = False,
) -> EmbedAllResult:
    """Embed all photographs of the tables `source` with an identifier's network, into `target`.

    What is in `target` from an interrupted start is kept.

    report: receives a line on each choice.

    Raises:
        FlukeprintError: tables or an identifier that cannot be read, a target of something else, or
            a storage of photographs that does not answer.
    """
    options = options or EmbedAllOptions()
    report = report or (lambda line: None)
    require_local(target, "writing embeddings")
    engine = engine or LocalEngine(options.accelerator)
    folder = Target(target)
    before = folder.settings()
    source = _anywhere(source)
    found = plan_source(source, options.partition_rows)
    known = Identifier.load(identifier, with_index=False)
    columns = find_columns(found.tables[0].names, options.columns, str(found.tables[0].path))
    root = options.photos or (source.parent if source == found.tables[0].path else source)
    settings = PartitionSettings(
        columns, str(_anywhere(root)), options.numbers, *_computed_as(options, before),
        options.list_unreachable,
    )  # fmt: skip
    stamp = known.card.stamp
    recipe = known.card.recipe
    work = Work(known.net, recipe, found, settings, options.readers)
    folder.check(manifest_of(found, stamp, _kept(work, options, chosen=False)))
    points = None
    if options.gallery is not None:
        points = QdrantPoints(
            options.gallery, stamp, recipe.dim(known.net), first_row=options.first_row,
            new_label=known.card.new_label,
        )  # fmt: skip
        check_answers(options.gallery)
    with engine.running():
        if not before:
            choice = engine.choose(work, found.rows)
            for line in choice.lines:
                report(line)
            work = Work(known.net, recipe, found, choice.settings, options.readers)
        manifest = manifest_of(found, stamp, _kept(work, options))
        with folder.writing(manifest, found):
            return _embed_missing(work, engine, folder, points, report, progress)


def _embed_missing(
    work: Work,
    engine: BulkEngine,
    folder: Target,
    points: QdrantPoints | None,
    report: Callable[[str], None],
    progress: bool,
) -> EmbedAllResult:
    if points is not None:
        points.begin(folder.folder, work.source)
        for before in folder.finished():
            if not before.upserted:
                points.upsert(folder.file(before.number))
                folder.note(replace(before, upserted=True))
    missing = folder.missing()
    left = sum(one.rows for one in missing)
    if left < work.source.rows:
        report(f"{work.source.rows - left:,} of {work.source.rows:,} photographs are done already")
    made = 0
    with Stage("photographs" if progress else None, left) as bar:
        for embedded in engine.embed(work, missing) if missing else ():
            finished = folder.write(embedded)
            if points is not None:
                points.upsert(folder.file(finished.number))
                folder.note(replace(finished, upserted=True))
            made += embedded.rows
            bar.update(embedded.partition.rows)
    if folder.missing():
        raise FlukeprintError(
            f"{counted(len(folder.missing()), 'partition')} was not embedded; the same command "
            "makes what is missing"
        )
    damaged = folder.write_damaged()
    rows = sum(one.rows for one in folder.finished())
    return EmbedAllResult(folder.folder, rows, len(folder.finished()), damaged, made)


def _computed_as(
    options: EmbedAllOptions, before: Mapping[str, Any]
) -> tuple[EngineName, PrecisionName, int]:
    """Engine, precision and batch size: as asked, else as before; auto and 0 are to be chosen."""
    engine, precision = options.engine, options.precision
    return (
        before.get("engine", engine) if engine == "auto" else engine,
        before.get("precision", precision) if precision == "auto" else precision,
        options.batch_size or before.get("batch_size", 0),
    )


def _kept(work: Work, options: EmbedAllOptions, *, chosen: bool = True) -> dict[str, object]:
    """The settings of the manifest; without those that are still to be chosen."""
    settings = asdict(work.settings)
    settings["partition_rows"] = options.partition_rows
    if not chosen:
        for key, undecided in (("engine", "auto"), ("precision", "auto"), ("batch_size", 0)):
            if settings[key] == undecided:
                del settings[key]
    return settings


def _anywhere(path: Path) -> Path:
    """The path as processes in other folders find it."""
    return path.absolute() if is_local(path) else path


def _cores() -> int:
    return max(1, min(torch.get_num_threads(), os.cpu_count() or 1))
