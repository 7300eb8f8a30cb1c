"""Batch samplers: which training photographs make a batch, by their labels int64 (n,).

A sampler is the `batch_sampler` of a torch DataLoader and yields lists of `Draw`, whose `row` is
an index of `labels`; the label -1 is a new individual.  An epoch depends on (seed, epoch) alone,
so a resumed run has the same batches again.

An epoch consists of blocks of at most batch_size / world_size photos: global batch i is blocks
i * world_size to (i + 1) * world_size - 1, all of one size, and process r reads the r-th of
them.  With one process a block is a batch.

`positive_available` and `pk` fill a block in this order:
    groups   of one identity each, in a row: 2 photos (anchor, positive), or K photos;
    singles  one-photo identities where `pair_with` is "nothing": negatives only;
    new      new individuals, round(new_share * block) of them: negatives only.
An epoch goes once through all identities that can be positive, in random order, and starts
again from the first to fill the last batch; so no batch has two groups of one identity unless
there are fewer identities than groups.  Singles get as few places as show each of them in every
epoch, at most half of a block.  No batch has a single or a new photo twice, so a small number of
them gets fewer places.  Places too few for a group are filled by singles or stay empty.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from flukeprint.config.training import SamplerConfig
from flukeprint.data.embeddings import Ints
from flukeprint.errors import FlukeprintError, nearest

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
    ) -> None:
        self.config = config
        self.flip = flip
        self.pair_with = pair_with
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.block = config.batch_size // world_size
        self._all = labels
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

    def _drawn(self) -> list[list[Draw]]:
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch]))
        rows = self._rows.tolist()
        return [[draw._replace(row=rows[draw.row]) for draw in b] for b in self._blocks(rng)]

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


class Shuffled(BatchSampler):
    """Plain shuffling: every row once an epoch, in blocks that differ by at most one photo.

    A block has two photos or more (batch norm), so one may be a photo larger than
    batch_size / world_size.  Several processes draw a few rows (fewer than world_size, in sets
    of at least 2 * world_size photos) a second time, with other seeds, to have equal blocks.
    """

    def _plan_epoch(self) -> int:
        self._photos = max(2, -(-len(self.labels) // self.world_size))  # of one process
        return min(-(-self._photos // self.block), self._photos // 2)

    def _blocks(self, rng: np.random.Generator) -> list[list[Draw]]:
        total = self._photos * self.world_size
        rows = np.resize(rng.permutation(len(self.labels)), total)
        draws = _draws(rows, self._mirrored(rng, total, 1), rng)
        sizes = np.full(len(self), self._photos // len(self))
        sizes[: self._photos % len(self)] += 1
        ends = np.cumsum(np.repeat(sizes, self.world_size))
        return [draws[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


class Grouped(BatchSampler):
    """Base of samplers with positives: groups of one identity, singles, then new individuals."""

    @abstractmethod
    def _group_size(self) -> int:
        """Photos in a group."""

    @abstractmethod
    def _group(self, photos: Ints, turn: int, rng: np.random.Generator) -> Ints:
        """(group size,) rows for the turn-th time (from 0) that an identity is drawn."""

    def _plan_epoch(self) -> int:
        self._gather()
        world, size = self.world_size, self._group_size()
        new = min(round(self.config.new_share * self.block), len(self._new) // world)
        places = self.block - new
        if places < size:
            raise FlukeprintError(
                f"a batch of {self.block} photos a process, {new} of them new individuals, has "
                f"no room for {size} photos of one identity; raise sampler.batch_size or lower "
                "sampler.new_share"
            )
        enough = len(self._singles) // world
        for reserved in range(min(enough, self.block // 2, places - size) + 1):
            groups = (places - reserved) // size
            singles = min(places - groups * size, enough)
            length = -(-len(self._identities) // (groups * world))
            if length * singles * world >= len(self._singles):
                break
        self._places = (groups, singles, new)
        return length

    def _gather(self) -> None:
        """Sort the rows into identities that can be positive, singles and new individuals."""
        # The order in which an identity's photos take turns has a random stream of its own.
        turns = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1,)))
        order = turns.permutation(len(self.labels))
        order = order[np.argsort(self.labels[order], kind="stable")]
        starts = np.unique(self.labels[order], return_index=True)[1]
        photos = np.split(order, starts[1:])
        nothing = np.empty(0, dtype=np.int64)
        self._new = photos.pop(0) if self.labels.min() < 0 else nothing
        fewest = 1 if self.pair_with == "augmentation" else 2
        self._identities = [rows for rows in photos if len(rows) >= fewest]
        self._singles = np.concatenate([nothing, *[r for r in photos if len(r) < fewest]])
        if not photos:
            raise FlukeprintError(
                f"no training photo has an identity, so sampler.name {self.config.name} has no "
                "positive; check the labels"
            )
        if not self._identities:
            raise FlukeprintError(
                f"all {len(photos)} identities have one photo and data.pair_with is nothing, so "
                f"sampler.name {self.config.name} has no positive; set data.pair_with to "
                "augmentation"
            )

    def _blocks(self, rng: np.random.Generator) -> list[list[Draw]]:
        known, count = len(self._identities), len(self) * self.world_size
        groups, singles, new = self._places
        order = np.resize(rng.permutation(known), count * groups)
        # Identities that are drawn again, in a small set or the last batch, take further turns.
        first = self.epoch * (len(order) // known)
        parts = [
            self._group(self._identities[identity], first + place // known, rng)
            for place, identity in enumerate(order)
        ]
        # One permutation repeated: a window no longer than it has no row twice.
        parts.append(np.resize(rng.permutation(self._singles), count * singles))
        parts.append(np.resize(rng.permutation(self._new), count * new))
        of_groups = self._mirrored(rng, len(order), self._group_size())
        of_others = self._mirrored(rng, count * (singles + new), 1)
        draws = _draws(np.concatenate(parts), np.concatenate([of_groups, of_others]), rng)
        begins = np.cumsum([0, len(of_groups), count * singles])
        widths = (groups * self._group_size(), singles, new)
        return [
            [
                draw
                for begin, width in zip(begins, widths, strict=True)
                for draw in draws[begin + block * width : begin + (block + 1) * width]
            ]
            for block in range(count)
        ]


class PositiveAvailable(Grouped):
    """Pairs: each identity in turn gives an anchor and another photo of it as positive.

    Over n turns each of the n photos of an identity is anchor once and positive once; over
    n * (n - 1) turns every ordered pair occurs once.  A one-photo identity (`pair_with`
    "augmentation") is paired with its own photo under another seed.
    """

    def _group_size(self) -> int:
        return 2

    def _group(self, photos: Ints, turn: int, rng: np.random.Generator) -> Ints:
        n = len(photos)
        step = 1 + (turn // n) % (n - 1) if n > 1 else 0
        return photos[[turn % n, (turn + step) % n]]


class PK(Grouped):
    """PK batches: P identities with K random photos each; fewer than K photos are repeated."""

    def _group_size(self) -> int:
        return self.config.photos_per_identity

    def _group(self, photos: Ints, turn: int, rng: np.random.Generator) -> Ints:
        return np.resize(rng.permutation(photos), self._group_size())


SAMPLERS: dict[str, type[BatchSampler]] = {
    "shuffled": Shuffled,
    "positive_available": PositiveAvailable,
    "pk": PK,
}


def build_sampler(
    config: SamplerConfig,
    labels: Ints,
    *,
    flip: Flip,
    pair_with: PairWith,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
) -> BatchSampler:
    """Make the sampler `config.name` for the process `rank` of `world_size`.

    labels: (n,) class of each training photo, -1 for a new individual.
    flip: "none" never mirrors, else half of the photos are mirrored; with "new_identity" all
        photos of a group or none.
    pair_with: "augmentation" pairs a one-photo identity with itself, with "nothing" it is only a
        negative.  Has no effect on shuffled.
    seed: 0 or more.

    Raises FlukeprintError for an unknown name, a batch that cannot be shared out among the
    processes or has no room for positives, and labels without any possible positive.
    """
    if config.name not in SAMPLERS:
        raise FlukeprintError(
            f"sampler.name: unknown sampler {config.name!r}; {nearest(config.name, SAMPLERS)}"
        )
    labels = np.asarray(labels, dtype=np.int64)
    if labels.ndim != 1 or (labels < -1).any():
        raise ValueError("labels must be one row of class numbers, -1 for a new individual")
    if not 0 <= rank < world_size:
        raise ValueError(f"there is no process {rank} among {world_size}")
    if seed < 0:
        raise FlukeprintError(f"train.seed is {seed}; it must be 0 or more")
    if len(labels) < 2:
        raise FlukeprintError(
            f"training needs at least 2 photos, the training set has {len(labels)}"
        )
    check_batches(config, world_size)
    return SAMPLERS[config.name](
        config,
        labels,
        flip=flip,
        pair_with=pair_with,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )


def check_batches(config: SamplerConfig, world_size: int) -> None:
    """Refuse batches that no photographs could fill as they should, for `world_size` processes."""
    if config.batch_size % world_size or config.batch_size < 2 * world_size:
        raise FlukeprintError(
            f"sampler.batch_size {config.batch_size} cannot be shared out among {world_size} "
            f"processes of 2 photos or more each; choose a multiple of {world_size} from "
            f"{2 * world_size} up"
        )
    if config.name == "shuffled" and config.new_share > 0:
        raise FlukeprintError(
            "sampler.new_share means nothing to sampler.name shuffled, which draws every "
            "photo once; set it to 0 or choose positive_available or pk"
        )
    block = config.batch_size // world_size
    if config.name == "pk" and block < config.photos_per_identity:
        raise FlukeprintError(
            f"a batch of {block} photos a process has no room for {config.photos_per_identity} "
            "photos of one identity; raise sampler.batch_size or lower sampler.photos_per_identity"
        )


def _rows_with(labels: Ints, photos: int) -> Ints:
    """Rows of classes with at least `photos` photos, and of new individuals."""
    counts = np.bincount(labels[labels >= 0], minlength=1)
    if photos > counts.max():
        raise FlukeprintError(
            f"sampler.first_photos is {photos}, but no individual has more than {counts.max()} "
            "training photos; lower it or set sampler.first_epochs=0"
        )
    return np.flatnonzero((labels < 0) | (counts[labels] >= photos))


def _draws(rows: Ints, mirrored: npt.NDArray[np.bool_], rng: np.random.Generator) -> list[Draw]:
    """Make a Draw of each row, each with another seed."""
    seeds = rng.choice(2**31, size=len(rows), replace=False)
    columns = (rows.tolist(), seeds.tolist(), mirrored.tolist())
    return [Draw(*values) for values in zip(*columns, strict=True)]
