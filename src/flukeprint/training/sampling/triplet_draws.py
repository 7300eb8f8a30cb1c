"""Choose which given triplets go into which batch of an epoch, beside its other photographs."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from flukeprint.config.training import SamplerConfig
from flukeprint.data.embeddings import Ints

NO_TRIPLETS: Ints = np.empty((0, 3), dtype=np.int64)


def triplets_of_a_block(config: SamplerConfig, block: int, available: int) -> int:
    """Number of triplets that a block of `block` photographs has places for, 0 without any.

    It is the number whose photographs come nearest to a `triplets_share` of the block, 1 at least.

    available: number of triplets that there are; a batch draws none of them twice.
    """
    return max(1, round(config.triplets_share * block / 3)) if available else 0


def fitted_triplets(
    triplets: Ints, batches: Sequence[Ints], *, wanted: int, world_size: int, seed: int, epoch: int
) -> list[Ints]:
    """Triplets (m, 3) for each batch of an epoch, so that no batch shows a photograph twice.

    All triplets take turns, in one random order for the whole training, which an epoch goes on
    with about where the one before it stopped.  A triplet that shares a photograph with its batch
    waits for the next one.  Where too few fit, m is below `wanted`, but always a multiple of
    `world_size`, for each process to have the same number.

    Args:
        triplets: (t, 3) rows.
        batches: the rows of each batch that are drawn already.
        wanted: places for triplets in a batch of all processes.
    """
    if not len(triplets):
        return [NO_TRIPLETS] * len(batches)
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    order = stream.permutation(len(triplets))
    turns = deque(np.roll(order, -epoch * wanted * len(batches)).tolist())
    found = []
    for rows in batches:
        taken = set(rows.tolist())
        picked: list[int] = []
        waiting: list[int] = []
        for _ in range(len(turns)):
            if len(picked) == wanted:
                break
            one = turns.popleft()
            photos = set(triplets[one].tolist())
            if photos & taken:
                waiting.append(one)
            else:
                picked.append(one)
                taken |= photos
        kept = len(picked) // world_size * world_size
        turns.extendleft(reversed(waiting + picked[kept:]))
        turns.extend(picked[:kept])
        found.append(triplets[picked[:kept]].reshape(-1, 3))
    return found
