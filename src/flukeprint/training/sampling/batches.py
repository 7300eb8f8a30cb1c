"""The base of the batch samplers: which photographs of which epoch go to which process.

A sampler is the `batch_sampler` of a torch DataLoader and yields lists of `Draw`, whose `row` is
an index of its labels; the label -1 is a new individual.  An epoch depends on (seed, epoch) alone,
so a resumed run has the same batches again.

An epoch consists of blocks of at most batch_size / world_size photos: global batch i is blocks
i * world_size to (i + 1) * world_size - 1, all of one size, and process r reads the r-th of
them.  With one process a block is a batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from flukeprint.config.training import SamplerConfig
from flukeprint.data.embeddings import Ints
from flukeprint.errors import FlukeprintError

Flip = Literal["new_identity", "same", "none"]
PairWith = Literal["augmentation", "nothing"]


class Draw(NamedTuple):
    """One photograph of a batch: its row, the seed of its augmentation, whether mirrored."""

    row: int
    seed: int  # 0 <= seed < 2**31, unique in an epoch
    mirrored: bool


class BatchSampler(ABC):
    """Base of the samplers: iterating yields the batches of one process, `len` is their number.

    The epochs before `config.first_epochs` use only identities with `config.first_photos` photos;
    `len` is the same in all of them, and in all later epochs.
    """

    def __init__(
        self,
        config: SamplerConfig,
        labels: Ints,
        *,
        flip: Flip,
        pair_with: PairWith,
        seed: int,
        rank: int,
        world_size: int,
        triplets: Ints,
    ) -> None:
        """`triplets` (t, 3): rows of the triplets to draw as well, see `triplet_draws.py`."""
        self.config = config
        self.flip = flip
        self.pair_with = pair_with
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.block = config.batch_size // world_size
        self._all = labels
        self._all_triplets = triplets
        self._first: bool | None = None  # whether planned for the first epochs
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (from 0) of the next iteration."""
        self.epoch = epoch
        first = epoch < self.config.first_epochs
        if first != self._first:
            self._first = first
            self._rows = _rows_with(self._all, self.config.first_photos if first else 0)
            self.labels = self._all[self._rows]  # of these epochs, by row numbers of their own
            place = np.full(len(self._all), -1)
            place[self._rows] = np.arange(len(self._rows))
            triplets = place[self._all_triplets]
            self.triplets = triplets[(triplets >= 0).all(axis=1)]
            self._length = self._plan_epoch()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[Draw]]:
        yield from self._drawn()[self.rank :: self.world_size]

    def whole_batches(self) -> list[list[Draw]]:
        """The epoch's batches of all processes together, as the losses see them."""
        blocks, world = self._drawn(), self.world_size
        return [
            [draw for block in blocks[i : i + world] for draw in block]
            for i in range(0, len(blocks), world)
        ]

    def triplets_drawn(self) -> tuple[int, int]:
        """Given triplets that the epoch draws, and the places for them in its batches."""
        return 0, 0

    def _drawn(self) -> list[list[Draw]]:
        rows = self._rows.tolist()
        blocks = self._blocks(self._stream())
        return [[draw._replace(row=rows[draw.row]) for draw in block] for block in blocks]

    def _stream(self) -> np.random.Generator:
        """The random numbers of the epoch."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch]))

    @abstractmethod
    def _plan_epoch(self) -> int:
        """Decide what a block holds; returns the number of batches in an epoch."""

    @abstractmethod
    def _blocks(self, rng: np.random.Generator) -> list[list[Draw]]:
        """The epoch's blocks for all processes, batch by batch: len(self) * world_size lists."""

    def _mirrored(self, rng: np.random.Generator, groups: int, size: int) -> npt.NDArray[np.bool_]:
        """Choose at random what is mirrored (groups * size,): every second photo on average.

        Where a mirror image is another animal, a group is mirrored as a whole.
        """
        if self.flip == "none":
            return np.zeros(groups * size, dtype=bool)
        if self.flip == "same":
            return rng.random(groups * size) < 0.5
        return np.repeat(rng.random(groups) < 0.5, size)


def _rows_with(labels: Ints, photos: int) -> Ints:
    """Rows of classes with at least `photos` photos, and of new individuals."""
    counts = np.bincount(labels[labels >= 0], minlength=1)
    if photos > counts.max():
        raise FlukeprintError(
            f"sampler.first_photos is {photos}, but no individual has more than {counts.max()} "
            "training photos; lower it or set sampler.first_epochs=0"
        )
    return np.flatnonzero((labels < 0) | (counts[labels] >= photos))


def draws_of(rows: Ints, mirrored: npt.NDArray[np.bool_], rng: np.random.Generator) -> list[Draw]:
    """Make a Draw of each row, each with another seed."""
    seeds = rng.choice(2**31, size=len(rows), replace=False)
    columns = (rows.tolist(), seeds.tolist(), mirrored.tolist())
    return [Draw(*values) for values in zip(*columns, strict=True)]
