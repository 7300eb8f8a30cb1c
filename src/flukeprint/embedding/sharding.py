"""A catalogue embedded by several processes: a network and a catalogue enter, embeddings leave.

The rows are dealt to the processes of all nodes in parts.  A part is a file in a folder that all
nodes see, so a job that was killed goes on where it was, and the first process joins the parts in
the catalogue's order.  Lightning starts the processes:

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

from flukeprint.config.schema import PrecisionName
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import PRECISIONS, Embeddings, Floats
from flukeprint.data.embeddings import Precision as Made
from flukeprint.embedding.embed import Variants, embed
from flukeprint.embedding.engine_choice import pick_engine
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.models.network import FlukeNet

# Photographs of a file, at most: minutes of work, some 16 MB.
PART = 8192

# A process waits for the slowest; the default of half an hour would end the job.
PATIENCE = timedelta(days=7)


def settled(
    net: FlukeNet,
    catalog: Catalog,
    recipe: EmbeddingRecipe,
    compute: Compute,
    device: torch.device,
) -> Compute:
    """`compute` with the engine and precision chosen on this machine, for all processes alike.

    A part of a catalogue may be so small that by itself another engine would be chosen.
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
    """Files in `folder` with the embeddings of a catalogue, rows `ranges[0]`, `ranges[1]`, ...

    A file is valid for the network, precision, photographs (names, places, views and boxes) and
    rows that it was made of; any other is made anew.  The parts do not depend on the number of
    processes where the catalogue has PART photographs for each.
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
        made: Callable[[Catalog], Embeddings],
        precision: PrecisionName = "auto",
    ) -> int:
        """Embed what is missing of process `rank` of `world`; how many photographs were embedded.

        made: gives the embeddings of a part of the catalogue.
        precision: what kept parts must have; auto: any.
        """
        count = 0
        for rows in self.ranges[rank::world]:
            if self._kept(rows, precision) is None:
                embeddings = made(self._catalog.take(np.arange(rows.start, rows.stop)))
                embeddings.save(self._file(rows))
                count += len(rows)
        return count

    def joined(self) -> Embeddings:
        """All of them, in the catalogue's order.

        Raises:
            FlukeprintError: a part is missing or of another network.
        """
        vectors: Floats | None = None
        precisions: list[Made] = []
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
        """Delete the files, once what they were made for has been kept."""
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
        except FlukeprintError:  # cut short or damaged: it is made anew
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
        net: sent to the processes that are started here; where they start by themselves, each
            comes with its own, which must be the same.
        folder: for the parts, seen by all nodes.  They stay there: `Parts.remove` deletes them.
        accelerator: of each process one GPU, or its share of the cores.

    Returns:
        In the first process what `embed` gives, within what batches of other photographs round.
        None in a further process, which has done its share and has nothing else to do.

    Raises:
        FlukeprintError: where `embed` does, and when a process was killed.
    """
    import lightning as L
    from lightning.fabric.strategies.ddp import DDPStrategy
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    outside = num_nodes > 1 or _started_by_others()
    strategy = DDPStrategy(timeout=PATIENCE, start_method="popen" if outside else "spawn")
    fabric = L.Fabric(
        accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy
    )
    place = next(net.parameters()).device
    if not outside:
        net.cpu()  # else every process would hold a share of this one's GPU as well
    try:
        # Bound, for Lightning would look into arguments, and refuses frozen dataclasses.
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
            "for lack of memory; the same command goes on where it was"
        ) from None
    finally:
        net.to(place)
    if outside and not fabric.is_global_zero:
        return None
    return Parts(folder, catalog, recipe.stamp, devices * num_nodes).joined()


def first_process() -> bool:
    """Whether this is the first process of all nodes, or the only one.

    By the variables of Lightning, torchrun and Slurm, before any process group is there.
    """
    ranks = ("RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK", "LOCAL_RANK")
    return all(int(os.environ.get(name) or 0) == 0 for name in ranks)


def _started_by_others() -> bool:
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
    """What each process does: its parts, and then it waits for the others."""
    rank, world, device = fabric.global_rank, fabric.world_size, fabric.device
    here = fabric.strategy.num_processes
    with _own_cores(fabric.local_rank, here if device.type == "cpu" else 1):
        # One chooses for all: their embeddings are compared with each other.
        chosen = settled(net, catalog, recipe, compute, device) if fabric.is_global_zero else None
        chosen = fabric.broadcast(chosen)
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
    """This process's share of the node's cores: engines take all that they may."""
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
