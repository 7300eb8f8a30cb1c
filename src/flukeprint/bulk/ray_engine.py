"""Embed partitions on Ray: a pool of actors on one machine or a cluster, by Ray Data.

Ray Data hands the numbers of partitions to the actors, each of which reads, embeds and returns
whole files; the driver writes them.  It starts no partition whose predecessors wait to be written,
starts a partition again whose node was lost, and keeps the pool within its limits.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from flukeprint.bulk.choices import Choice
from flukeprint.bulk.embed_all import Work
from flukeprint.bulk.partitions import Damaged, EmbeddedPartition
from flukeprint.bulk.tables import Partition
from flukeprint.embedding.embed import Accelerator
from flukeprint.errors import FlukeprintError, counted, needs

IN_FLIGHT = 2  # partitions of an actor: one in work, one waiting for it
STORE = 1 << 29  # bytes of the object store that is started here, at least
_MARK = "flukeprint.errors.FlukeprintError: "


@dataclass(frozen=True)
class RaySettings:
    """address: of a cluster; None: RAY_ADDRESS, else Ray is started on this machine.

    actors: least and most; None: from 1 to as many as the cluster has room for.
    cores: of an actor, or 0 for one on a GPU that shares the others'.
    """

    address: str | None = None
    actors: tuple[int, int] | None = None
    cores: int = 1


class RayEngine:
    """Embeds partitions by actors on Ray; see `LocalEngine` for its methods."""

    def __init__(self, accelerator: Accelerator, settings: RaySettings | None = None) -> None:
        self._settings = settings or RaySettings()
        self._accelerator = accelerator
        if accelerator == "mps":
            raise FlukeprintError("Ray has no actors on mps; set --accelerator cpu or gpu")
        _import_ray()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Connect to the cluster, or start Ray on this machine and stop it again.

        Raises:
            FlukeprintError: no cluster answers at the address.
        """
        ray = _import_ray()
        if ray.is_initialized():
            yield
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
        address = self._settings.address or os.environ.get("RAY_ADDRESS")
        try:
            if address:
                del quiet["include_dashboard"]  # the cluster's, which is there already
                ray.init(address=address, **quiet)
            else:
                cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
                ray.init(address="local", num_cpus=cores, object_store_memory=STORE, **quiet)
        except Exception as error:  # of any kind, from many places
            where = f"no cluster of Ray answers at {address}" if address else "Ray does not start"
            advice = ""
            if address and "RAY_AUTH_MODE" not in os.environ:
                # Ray 2.60 tells who connects by an address of neither the token nor the mode.
                advice = "; if the cluster asks for a token, set RAY_AUTH_MODE=token"
            raise FlukeprintError(f"{where}: {type(error).__name__}: {error}{advice}") from None
        try:
            yield
        finally:
            ray.shutdown()

    def choose(self, work: Work, photographs: int) -> Choice:
        """Engine and batch size, measured where an actor would be, if anything is open."""
        settings = work.settings
        if settings.batch_size and "auto" not in (settings.engine, settings.precision):
            return Choice(settings, ())
        ray = _import_ray()
        needs_of = self._resources()
        measure = ray.remote(_measured).options(max_retries=3, **needs_of)
        with _failing():
            found: Choice = ray.get(measure.remote(ray.put(work), *self._place(), photographs))
        return found

    def embed(self, work: Work, partitions: Sequence[Partition]) -> Iterator[EmbeddedPartition]:
        """Embed partitions in any order; as they are finished."""
        ray = _import_ray()
        import pyarrow as pa
        from ray.data import ActorPoolStrategy, DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        context.print_on_execution_start = False
        by_number = {one.number: one for one in partitions}
        least, most = self._pool(len(partitions))
        # A block each: Ray Data hands out blocks, and keeps those back that nobody reads yet.
        blocks = [pa.table({"number": [number]}) for number in by_number]
        with _failing():
            made = ray.data.from_arrow(blocks).map_batches(
                _Actor, fn_constructor_args=(ray.put(work), *self._place()), batch_size=None,
                batch_format="pyarrow", zero_copy_batch=True,
                compute=ActorPoolStrategy(
                    min_size=least, max_size=most, max_tasks_in_flight_per_actor=IN_FLIGHT
                ),
                **self._resources(),
            )  # fmt: skip
            for block in made.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                for row in block.to_pylist():
                    yield EmbeddedPartition(
                        by_number[row["number"]], row["data"], row["rows"],
                        tuple(Damaged(*one) for one in json.loads(row["damaged"])),
                    )  # fmt: skip

    def _on_gpu(self) -> bool:
        ray = _import_ray()
        there = ray.cluster_resources().get("GPU", 0)
        if self._accelerator == "gpu" and not there:
            raise FlukeprintError(
                "--accelerator gpu, but Ray knows of no GPU; set --accelerator cpu"
            )
        return bool(there) and self._accelerator != "cpu"

    def _resources(self) -> dict[str, float]:
        if self._on_gpu():
            return {"num_gpus": 1, "num_cpus": self._settings.cores}
        return {"num_cpus": max(1, self._settings.cores)}

    def _place(self) -> tuple[str, int]:
        return ("cuda" if self._on_gpu() else "cpu"), max(1, self._settings.cores)

    def _pool(self, partitions: int) -> tuple[int, int]:
        """Least and most actors.

        Raises:
            FlukeprintError: the cluster has no room for the least.
        """
        there = _import_ray().cluster_resources()
        names = {"num_gpus": "GPU", "num_cpus": "CPU"}
        room = min(
            int(there.get(names[name], 0) // each)
            for name, each in self._resources().items()
            if each
        )
        least, most = self._settings.actors or (1, max(1, room))
        if room < least:
            raise FlukeprintError(
                f"--actors {least}..{most}, but the cluster has room for {counted(room, 'actor')} "
                f"of {counted(self._settings.cores, 'core')}; set fewer, or smaller --cores"
            )
        return min(least, partitions), max(1, min(most, partitions))


class _Actor:
    """A process of the pool: its network, and partitions one after the other."""

    def __init__(self, work: Any, device: str, cores: int) -> None:
        torch.set_num_threads(cores)
        found: Work = _import_ray().get(work)
        self._by_number = {one.number: one for one in found.source.partitions}
        self._embedder = found.embedder(torch.device(device), cores)

    def __call__(self, block: Any) -> Any:
        import pyarrow as pa

        made = [self._embedder(self._by_number[n]) for n in block["number"].to_pylist()]
        damaged = [
            json.dumps([[one.source_row, one.image, one.reason] for one in each.damaged])
            for each in made
        ]
        return pa.table(
            {
                "number": [each.partition.number for each in made],
                "data": pa.array([each.data for each in made], pa.large_binary()),
                "rows": [each.rows for each in made],
                "damaged": damaged,
            }
        )


def _measured(work: Work, device: str, cores: int, photographs: int) -> Choice:
    torch.set_num_threads(cores)
    return work.choice(torch.device(device), photographs)


def _import_ray() -> Any:
    """Ray, which reports to nobody from here on."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read when it is imported
    with needs("ray"):
        import ray
        import ray.data
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """Turn what fails on the cluster into one line."""
    from ray.exceptions import RayError

    try:
        yield
    except FlukeprintError:
        raise
    except Exception as error:
        text = str(error)
        if _MARK in text:  # of an actor, with its traceback around it
            raise FlukeprintError(text.partition(_MARK)[2].splitlines()[0]) from None
        if isinstance(error, RayError):
            reason = " ".join(text.split())[:300]
            raise FlukeprintError(
                f"Ray ended: {type(error).__name__}: {reason}.  The same command goes on where it "
                "stopped"
            ) from None
        raise
