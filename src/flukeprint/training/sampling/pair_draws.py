"""The sampler `pairs`: batches of pairs, of which at least a share are of one identity.

Photographs 2i and 2i + 1 of a batch are a pair, which losses with `pairs: drawn` take as it is.
"""

import math

import numpy as np

from flukeprint.config.training import SamplerConfig
from flukeprint.data.embeddings import Ints
from flukeprint.errors import FlukeprintError
from flukeprint.training.sampling.batches import BatchSampler, Draw, draws_of


def equal_pairs(config: SamplerConfig) -> int:
    """Least number of pairs of one identity in a batch of all processes."""
    return math.ceil(round(config.equal_share * (config.batch_size // 2), 9))  # 0.28 * 25 is 7


class DrawnPairs(BatchSampler):
    """Pairs of one identity, and pairs of any two photographs.

    A batch has `equal_pairs` of the first kind, shared out among the processes: a photograph and
    another of its identity; with `pair_with` "augmentation" a one-photo identity is paired with
    its own photo under another seed.  The second photograph of the other pairs is any one but
    the first, so that these, too, may be of one identity.  Each photograph begins a pair at least
    once an epoch; to fill up the last batch some begin two.
    """

    def _plan_epoch(self) -> int:
        labels = self.labels
        counts = np.bincount(labels[labels >= 0], minlength=1)
        fewest = 1 if self.pair_with == "augmentation" else 2
        can = (labels >= 0) & (counts[labels] >= fewest)
        self._can, self._cannot = np.flatnonzero(can), np.flatnonzero(~can)
        # The photos of an identity in a row, and the place of each photo there.
        self._by_label = np.argsort(labels, kind="stable")
        self._place = np.empty_like(self._by_label)
        self._place[self._by_label] = np.arange(len(labels))
        self._start = np.searchsorted(labels[self._by_label], labels)
        self._count = np.where(labels >= 0, counts[labels], 0)
        self._equal = equal_pairs(self.config)
        if self._equal and not len(self._can):
            raise FlukeprintError(
                "no training photo has another one of its identity, so sampler.name pairs has no "
                "equal pairs; set data.pair_with to augmentation"
            )
        pairs = self.config.batch_size // 2
        of_cannot = -(-len(self._cannot) // (pairs - self._equal))
        return max(-(-len(labels) // pairs), of_cannot)

    def _blocks(self, rng: np.random.Generator) -> list[list[Draw]]:
        batches, pairs = len(self), self.config.batch_size // 2
        equals, others = batches * self._equal, batches * (pairs - self._equal)
        order = rng.permutation(self._can)
        begin_equal = np.resize(order, equals)
        left = np.concatenate([order[equals:], self._cannot])
        again = np.resize(rng.permutation(len(self.labels)), max(0, others - len(left)))
        begin_other = rng.permutation(np.concatenate([left, again]))
        second_equal = self._another_of_its_identity(begin_equal, rng)
        step = rng.integers(1, len(self.labels), others)
        second_other = (begin_other + step) % len(self.labels)

        rows = np.concatenate(
            [np.stack([begin_equal, second_equal], 1), np.stack([begin_other, second_other], 1)]
        )
        mirrored = np.concatenate(
            [self._mirrored(rng, equals, 2), self._mirrored(rng, 2 * others, 1)]
        ).reshape(-1, 2)
        if self.flip == "new_identity":  # else a chance pair would be of an animal and its twin
            same = (self.labels[rows[:, 0]] == self.labels[rows[:, 1]]) & (
                self.labels[rows[:, 0]] >= 0
            )
            mirrored[same, 1] = mirrored[same, 0]
        draws = draws_of(rows.reshape(-1), mirrored.reshape(-1), rng)
        drawn = list(zip(draws[::2], draws[1::2], strict=True))
        wide, narrow = self._equal, pairs - self._equal
        found = []
        for batch in range(batches):
            first = drawn[wide * batch : wide * (batch + 1)]
            rest = drawn[equals + narrow * batch : equals + narrow * (batch + 1)]
            for rank in range(self.world_size):  # dealt out in turn
                mine = [*first, *rest][rank :: self.world_size]
                found.append([draw for pair in mine for draw in pair])
        return found

    def _another_of_its_identity(self, rows: Ints, rng: np.random.Generator) -> Ints:
        """(n,) a row of the same identity for each, another one where there is one."""
        count, start = self._count[rows], self._start[rows]
        step = rng.integers(0, np.maximum(count - 1, 1)) + (count > 1)
        within = (self._place[rows] - start + step) % count
        return np.asarray(self._by_label[start + within])
