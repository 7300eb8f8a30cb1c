"""Embed a catalogue with several processes, on one machine or several.

The rows are divided into parts among the processes of all nodes.  A part is a file in a folder
that all nodes share, so a killed job continues where it stopped, and the first process joins the
parts in the catalogue's order.  Lightning starts the processes:

one node            it starts `devices` processes itself, which import the program's first file
several nodes       the same command on every node, with MASTER_ADDR, MASTER_PORT and NODE_RANK
torchrun, Slurm     they start all processes
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from flukeprint.config.ranking import PrecisionName
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import PRECISIONS, Embeddings, Floats, Precision
from flukeprint.embedding.embed import Variants, embed
from flukeprint.embedding.engine_choice import pick_engine
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet

# Most photographs of a file: minutes of work, some 16 MB.
PART = 8192

# A process waits for the slowest; the default of half an hour would end the job.
PATIENCE = timedelta(days=7)


def with_engine(
    net: FlukeNet,
    catalog: Catalog,
    recipe: EmbeddingRecipe,
    compute: Compute,
    device: torch.device,
) -> Compute:
    """Choose the engine and precision on this machine, the same for all processes.

    Each process for itself might choose another one for a small part.  Returns `compute` with
    the choice.
    """
    if not len(catalog):
        return compute
    views = Variants(catalog, recipe)
    found = pick_engine(
        net.eval().to(device), views.size, compute.engine, compute.precision, stamp=recipe.stamp,
        sample=views.sample, passes=len(catalog) * views.each,
    )  # fmt: skip
    name: Any = found.name
    return replace(compute, engine=name, precision=found.precision)


class Parts:
    """Files in `folder` with the embeddings of parts of a catalogue: its rows `ranges[0]`, ...

    A file is used again only for the network, precision, photographs (names, paths, views and
    boxes) and rows that it was made of.  The parts do not depend on the number of processes where
    the catalogue has PART photographs for each.
    """

    def __init__(
        self, folder: Path, catalog: Catalog, stamp: str, world: int, *, part: int = PART
    ) -> None:
        n = len(catalog)
        size = max(1, min(part, -(-n // world)))
        self.ranges = [range(start, min(start + size, n)) for start in range(0, n, size)]
        self._folder, self._catalog, self._stamp = folder, catalog, stamp

    def make(
        self,
        rank: int,
        world: int,
        embed_part: Callable[[Catalog], Embeddings],
        precision: PrecisionName = "auto",
    ) -> int:
        """Embed the missing parts of process `rank` of `world`; returns their photographs' number.

        embed_part: embeds a part of the catalogue.
        precision: that of parts to use again; auto: any.
        """
        count = 0
        for rows in self.ranges[rank::world]:
            if self._kept(rows, precision) is None:
                embeddings = embed_part(self._catalog.take(np.arange(rows.start, rows.stop)))
                embeddings.save(self._file(rows))
                count += len(rows)
        return count

    def joined(self) -> Embeddings:
        """Join the parts in the catalogue's order.

        Raises:
            FlukeprintError: a part is missing or of another network.
        """
        vectors: Floats | None = None
        precisions: list[Precision] = []
        for rows in self.ranges:
            part = self._kept(rows, "auto")
            if part is None:
                raise FlukeprintError(
                    f"{self._file(rows)} is missing or damaged; all nodes must see this folder. "
                    "The same command again makes what is missing"
                )
            if vectors is None:
                vectors = np.empty((len(self._catalog), part.vectors.shape[1]), np.float32)
            vectors[rows.start : rows.stop] = part.vectors
            precisions.append(part.precision)
        if vectors is None:
            raise FlukeprintError("no photographs to embed")
        return Embeddings(
            vectors=vectors,
            images=self._catalog.images,
            identities=self._catalog.identities,
            views=self._catalog.views,
            stamp=self._stamp,
            precision=max(precisions, key=PRECISIONS.index),
        )

    def remove(self) -> None:
        """Delete the files, once the joined embeddings are saved."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, rows: range) -> Path:
        digest = hashlib.sha256(self._stamp.encode())
        known = self._catalog
        for column in (known.images, known.paths, known.views, known.boxes):
            values = None if column is None else [str(v) for v in column[rows.start : rows.stop]]
            digest.update(repr(values).encode())
        if known.pixels is not None:
            digest.update(np.ascontiguousarray(known.pixels[rows.start : rows.stop]).tobytes())
        return self._folder / f"{rows.start:09}-{rows.stop:09}-{digest.hexdigest()[:16]}.npz"

    def _kept(self, rows: range, precision: PrecisionName) -> Embeddings | None:
        file = self._file(rows)
        if not file.is_file():
            return None
        try:
            part = Embeddings.load(file)
        except FlukeprintError:  # cut short or damaged: it is made again
            return None
        if part.stamp != self._stamp or part.images != self._catalog.images[rows.start : rows.stop]:
            return None
        return part if precision in ("auto", part.precision) else None


def embed_sharded(
    net: FlukeNet,
    catalog: Catalog,
    recipe: EmbeddingRecipe,
    folder: Path,
    compute: Compute | None = None,
    *,
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    progress: str | None = None,
) -> Embeddings | None:
    """Embed every photograph of `catalog`, in its order, with devices x num_nodes processes.

    Args:
        net: sent to the processes that are started here; processes started otherwise have their
            own copies, which must be the same.
        folder: for the parts, shared by all nodes.  They stay there: `Parts.remove` deletes them.
        accelerator: each process has one GPU, or its share of the cores.

    Returns:
        In the first process the result of `embed`, but for rounding in batches of other sizes.
        None in a further process, which has done its share.

    Raises:
        FlukeprintError: where `embed` does, and when a process was killed.
    """
    import lightning as L
    from lightning.fabric.strategies.ddp import DDPStrategy
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    launched = num_nodes > 1 or _launched_externally()  # not started here
    strategy = DDPStrategy(timeout=PATIENCE, start_method="popen" if launched else "spawn")
    fabric = L.Fabric(
        accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy
    )
    place = next(net.parameters()).device
    if not launched:
        net.cpu()  # else every process would use memory of this one's GPU too
    try:
        # A partial, because Lightning inspects arguments and refuses frozen dataclasses.
        fabric.launch(
            partial(
                _share,
                net=net,
                catalog=catalog,
                recipe=recipe,
                folder=folder,
                compute=compute or Compute(),
                progress=progress,
            )
        )
    except ProcessRaisedException as error:  # with all of its traceback
        if "flukeprint.errors.FlukeprintError: " not in str(error):
            raise
        raise FlukeprintError(str(error)) from None
    except ProcessExitedException as error:
        raise FlukeprintError(
            f"a process that embedded was ended by {error.signal_name or error.exit_code}, perhaps "
            "for lack of memory; the same command continues where it stopped"
        ) from None
    finally:
        net.to(place)
    if launched and not fabric.is_global_zero:
        return None
    return Parts(folder, catalog, recipe.stamp, devices * num_nodes).joined()


def first_process() -> bool:
    """Whether this is the first process of all nodes, or the only one.

    It reads the variables of Lightning, torchrun and Slurm, so it works before there is a process
    group.
    """
    ranks = ("RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK", "LOCAL_RANK")
    return all(int(os.environ.get(name) or 0) == 0 for name in ranks)


def _launched_externally() -> bool:
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    return (
        "LOCAL_RANK" in os.environ or TorchElasticEnvironment.detect() or SLURMEnvironment.detect()
    )


def _share(
    fabric: Any,
    net: FlukeNet,
    catalog: Catalog,
    recipe: EmbeddingRecipe,
    folder: Path,
    compute: Compute,
    progress: str | None,
) -> None:
    """Embed the parts of this process, then wait for the others."""
    rank, world, device = fabric.global_rank, fabric.world_size, fabric.device
    here = fabric.strategy.num_processes
    with _own_cores(fabric.local_rank, here if device.type == "cpu" else 1):
        # The first one chooses for all, because their embeddings are compared.
        if fabric.is_global_zero:
            compute = with_engine(net, catalog, recipe, compute, device)
        chosen = fabric.broadcast(compute)
        title = None if progress is None or rank else f"{progress}, first of {world} shares"
        Parts(folder, catalog, recipe.stamp, world).make(
            rank,
            world,
            lambda part: embed(net, part, recipe, chosen, device=device, progress=title),
            chosen.precision,
        )
    fabric.barrier()


@contextlib.contextmanager
def _own_cores(rank: int, processes: int) -> Iterator[None]:
    """Limit this process to its share of the node's cores; engines use all that they are given."""
    if processes == 1 or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    mine = set(cores[rank * len(cores) // processes : (rank + 1) * len(cores) // processes])
    threads = torch.get_num_threads()
    os.sched_setaffinity(0, mine or before)
    torch.set_num_threads(max(1, min(threads, len(mine or before))))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        torch.set_num_threads(threads)
