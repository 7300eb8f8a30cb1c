"""Batch samplers: which training photographs make a batch, by their labels int64 (n,).

`positive_available` and `pk` fill a block (see `batches.py`) in this order:
    triplets of `sampler.triplets`, if any, a triplets_share of the block: anchor, positive and
             negative in a row (`triplet_draws.py`);
    groups   of one identity each, in a row: 2 photos (anchor, positive), or K photos;
    singles  one-photo identities where `pair_with` is "nothing": negatives only;
    new      new individuals, round(new_share * block) of them: negatives only.
An epoch goes once through all identities that can be positive, in random order, and starts
again from the first to fill the last batch; so no batch has two groups of one identity unless
there are fewer identities than groups.  Singles get as few places as show each of them in every
epoch, at most half of a block.  No batch has a single or a new photo twice, so a small number of
them gets fewer places.  Places too few for a group are filled by singles or stay empty.
"""

from abc import abstractmethod

import numpy as np

from flukeprint.config.training import SamplerConfig
from flukeprint.data.embeddings import Ints
from flukeprint.errors import FlukeprintError, nearest
from flukeprint.training.sampling.batches import BatchSampler, Draw, Flip, PairWith, draws_of
from flukeprint.training.sampling.pair_draws import DrawnPairs, equal_pairs
from flukeprint.training.sampling.triplet_draws import (
    NO_TRIPLETS,
    fitted_triplets,
    triplets_of_a_block,
)


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
        draws = draws_of(rows, self._mirrored(rng, total, 1), rng)
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
        hard = triplets_of_a_block(self.config, self.block, len(self.triplets))
        room = self.block - 3 * hard
        new = min(round(self.config.new_share * self.block), len(self._new) // world)
        places = room - new
        if places < size:
            less = (
                ("sampler.new_share", "sampler.triplets_share") if hard else ("sampler.new_share",)
            )
            taken = f", {3 * hard} of them of given triplets" if hard else ""
            raise FlukeprintError(
                f"a batch of {self.block} photos a process{taken}, {new} of them new individuals, "
                f"has no room for {size} photos of one identity; raise sampler.batch_size or lower "
                f"{' or '.join(less)}"
            )
        enough = len(self._singles) // world
        for reserved in range(min(enough, room // 2, places - size) + 1):
            groups = (places - reserved) // size
            singles = min(places - groups * size, enough)
            length = -(-len(self._identities) // (groups * world))
            if length * singles * world >= len(self._singles):
                break
        self._places = (groups, singles, new)
        self._hard = hard * world  # places for triplets in a batch of all processes
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

    def triplets_drawn(self) -> tuple[int, int]:
        found = self._fitted(self._other_rows(self._stream()))
        return sum(map(len, found)), self._hard * len(self)

    def _blocks(self, rng: np.random.Generator) -> list[list[Draw]]:
        count, world, size = len(self) * self.world_size, self.world_size, self._group_size()
        groups, singles, new = self._places
        parts = self._other_rows(rng)
        hard = self._fitted(parts)
        mirrored = [
            self._mirrored(rng, count * groups, size),
            self._mirrored(rng, count * (singles + new), 1),
            self._mirrored(rng, sum(map(len, hard)), 3),  # a triplet as a whole, like a group
        ]
        rows = np.concatenate([*parts, *(triplets.ravel() for triplets in hard)])
        draws = draws_of(rows, np.concatenate(mirrored), rng)
        # Where the photos of each block begin, part by part, and how many they are.
        width = np.repeat([3 * len(triplets) // world for triplets in hard], world)
        first = sum(map(len, parts)) + np.cumsum(width) - width
        spans = [list(zip(first.tolist(), width.tolist(), strict=True))]
        begin = 0
        for part, each in zip(parts, (groups * size, singles, new), strict=True):
            spans.append([(begin + block * each, each) for block in range(count)])
            begin += len(part)
        return [
            [draw for start, number in block for draw in draws[start : start + number]]
            for block in zip(*spans, strict=True)
        ]

    def _other_rows(self, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        """The rows of the epoch's groups, singles and new individuals, block by block each."""
        known, count = len(self._identities), len(self) * self.world_size
        groups, singles, new = self._places
        order = np.resize(rng.permutation(known), count * groups)
        # Identities that are drawn again, in a small set or the last batch, take further turns.
        first = self.epoch * (len(order) // known)
        of_groups = [
            self._group(self._identities[identity], first + place // known, rng)
            for place, identity in enumerate(order)
        ]
        return (
            np.concatenate(of_groups),
            # One permutation repeated: a window no longer than it has no row twice.
            np.resize(rng.permutation(self._singles), count * singles),
            np.resize(rng.permutation(self._new), count * new),
        )

    def _fitted(self, parts: tuple[Ints, Ints, Ints]) -> list[Ints]:
        """The triplets (m, 3) of each batch of all processes, beside the rows of `parts`."""
        by_batch = [part.reshape(len(self), -1) for part in parts]
        batches = [np.concatenate(rows) for rows in zip(*by_batch, strict=True)]
        return fitted_triplets(
            self.triplets, batches, wanted=self._hard, world_size=self.world_size, seed=self.seed,
            epoch=self.epoch,
        )  # fmt: skip


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
    "pairs": DrawnPairs,
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
    triplets: Ints = NO_TRIPLETS,
) -> BatchSampler:
    """Make the sampler `config.name` for the process `rank` of `world_size`.

    labels: (n,) class of each training photo, -1 for a new individual.
    flip: "none" never mirrors, else half of the photos are mirrored; with "new_identity" all
        photos of a group or none.
    pair_with: "augmentation" pairs a one-photo identity with itself, with "nothing" it is only a
        negative.  Has no effect on shuffled.
    seed: 0 or more.
    triplets: (t, 3) rows of an anchor, a positive and a negative, to draw a share of each batch
        from; they are those of `config.triplets`, resolved.

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
        triplets=triplets,
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
    if config.name == "shuffled" and config.triplets is not None:
        raise FlukeprintError(
            "sampler.triplets means nothing to sampler.name shuffled, which draws every photo "
            "once; choose positive_available or pk"
        )
    block = config.batch_size // world_size
    if config.name == "pairs":
        _check_pairs(config, block, world_size)
    if config.name == "pk" and block < config.photos_per_identity:
        raise FlukeprintError(
            f"a batch of {block} photos a process has no room for {config.photos_per_identity} "
            "photos of one identity; raise sampler.batch_size or lower sampler.photos_per_identity"
        )


def _check_pairs(config: SamplerConfig, block: int, world_size: int) -> None:
    if block % 2:
        raise FlukeprintError(
            f"sampler.batch_size {config.batch_size} does not give each of {world_size} processes "
            f"whole pairs; choose a multiple of {2 * world_size}"
        )
    pairs = config.batch_size // 2
    if equal_pairs(config) == pairs:
        raise FlukeprintError(
            f"sampler.equal_share {config.equal_share:g} makes all {pairs} pairs of a batch "
            "those of one identity, and nothing is told apart; lower it or raise "
            "sampler.batch_size"
        )
    for key, given in (("new_share", config.new_share), ("triplets", config.triplets)):
        if given:
            raise FlukeprintError(
                f"sampler.{key} means nothing to sampler.name pairs, which draws pairs of any two "
                "photos; leave it out or choose positive_available or pk"
            )
