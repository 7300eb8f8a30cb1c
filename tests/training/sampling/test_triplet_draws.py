"""Given triplets in the batches: no photograph twice, their share, turns, processes and mirrors."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.config.training import SamplerConfig
from flukeprint.training.sampling.batches import BatchSampler, Draw
from flukeprint.training.sampling.samplers import build_sampler
from flukeprint.training.sampling.triplet_draws import NO_TRIPLETS, fitted_triplets
from tests.refusals import refused

NAMES = ("positive_available", "pk")


def sampler(labels, triplets, name="positive_available", **changes) -> BatchSampler:
    given = {"flip": "none", "pair_with": "augmentation", "seed": 0, **changes}
    keys = ("batch_size", "new_share", "triplets_share", "first_epochs", "first_photos")
    settings = {key: given.pop(key) for key in keys if key in given}
    config = SamplerConfig(
        **{
            "name": name,
            "batch_size": 24,
            "photos_per_identity": 3,
            "triplets": "f.csv",
            **settings,
        }
    )
    return build_sampler(config, np.asarray(labels), triplets=np.asarray(triplets), **given)


def drawn(labels, count: int, seed: int = 0) -> np.ndarray:
    """Triplets without repeats that agree with the labels."""
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    found: set[tuple[int, int, int]] = set()
    for _ in range(20 * count):
        a = int(rng.choice(np.flatnonzero(labels >= 0)))
        positives = np.flatnonzero((labels == labels[a]) & (np.arange(len(labels)) != a))
        negatives = np.flatnonzero(labels != labels[a])
        if len(positives) and len(negatives) and len(found) < count:
            found.add((a, int(rng.choice(positives)), int(rng.choice(negatives))))
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 3)


def leading(batch: list[Draw], given: set[tuple[int, int, int]]) -> int:
    """How many given triplets a block begins with."""
    count = 0
    while tuple(draw.row for draw in batch[3 * count : 3 * count + 3]) in given:
        count += 1
    return count


LABELS = np.repeat(np.arange(40), 5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_batch_begins_with_its_share_of_triplets(name: str, share: float) -> None:
    triplets = drawn(LABELS, 60)
    source = sampler(LABELS, triplets, name, triplets_share=share)
    given = set(map(tuple, triplets.tolist()))
    each = round(share * 24 / 3)
    assert {leading(batch, given) for batch in source} == {each}
    size = {"positive_available": 2, "pk": 3}[name]
    # No identity has one photo alone, so a place that is too few for a group stays empty.
    assert {len(batch) for batch in source} == {24 - (24 - 3 * each) % size}
    drawn_now, places = source.triplets_drawn()
    assert drawn_now == places == each * len(source)


@given(
    st.lists(st.integers(-1, 9), min_size=12, max_size=70),
    st.sampled_from(NAMES),
    st.sampled_from([1, 2]),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from(["none", "same", "new_identity"]),
    st.integers(1, 40),
)
@settings(max_examples=150, deadline=None)
def test_no_photograph_of_a_triplet_is_in_its_batch_twice(
    labels, name, world, new_share, flip, count
) -> None:
    photos = Counter(label for label in labels if label >= 0)
    triplets = drawn(labels, count) if len(photos) > 1 else np.empty((0, 3), int)
    if not len(triplets):
        return
    given = set(map(tuple, triplets.tolist()))
    ranks = [
        sampler(
            labels, triplets, name, new_share=new_share, flip=flip, rank=rank, world_size=world,
        )
        for rank in range(world)
    ]  # fmt: skip
    whole = ranks[0].whole_batches()
    each = [list(one) for one in ranks]
    assert whole == [[d for part in parts for d in part] for parts in zip(*each, strict=True)]
    plain = build_sampler(
        SamplerConfig(name=name, batch_size=24, photos_per_identity=3, new_share=new_share),
        np.asarray(labels), flip=flip, pair_with="augmentation", seed=0, world_size=world,
    )  # fmt: skip
    seeds = [draw.seed for batch in whole for draw in batch]
    assert len(set(seeds)) == len(seeds)
    # Of other photographs each block has as many; how many are triplets' follows from its length.
    # To look for triplets would not do: a pair and the photo after it may look like one.
    drawn_now, places = ranks[0].triplets_drawn()
    blocks = len(whole) * world
    others, left = divmod(len(seeds) - 3 * drawn_now, blocks)
    assert left == 0
    most = max(1, round(24 // world / 4 / 3))
    assert places == most * blocks
    assert 2 <= others <= 24 // world - 3 * most
    for parts in zip(*each, strict=True):
        assert len({len(part) for part in parts}) == 1  # every process has as many triplets
        batch = Counter(draw.row for part in parts for draw in part)
        for part in parts:
            count, left = divmod(len(part) - others, 3)
            assert left == 0
            assert 0 <= count <= min(most, leading(part, given))
            for place in range(count):
                three = part[3 * place : 3 * place + 3]
                assert all(batch[draw.row] == 1 for draw in three)
                if flip == "new_identity":
                    assert len({draw.mirrored for draw in three}) == 1
    assert len(plain) <= len(ranks[0])


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_is_a_pure_function_of_seed_and_epoch(name: str) -> None:
    triplets = drawn(LABELS, 60)
    one, other = sampler(LABELS, triplets, name), sampler(LABELS, triplets, name)
    for number in range(3):
        one.set_epoch(number)
        list(one)
    one.set_epoch(3)
    other.set_epoch(3)
    assert list(one) == list(other) == list(pickle.loads(pickle.dumps(one)))
    one.set_epoch(4)
    assert list(one) != list(other)


def test_all_triplets_take_turns() -> None:
    triplets = drawn(LABELS, 50)
    source = sampler(LABELS, triplets)
    given = set(map(tuple, triplets.tolist()))
    used: Counter[tuple[int, ...]] = Counter()
    for epoch in range(60):
        source.set_epoch(epoch)
        for batch in source:
            for place in range(leading(batch, given)):
                used[tuple(draw.row for draw in batch[3 * place : 3 * place + 3])] += 1
    assert set(used) == given
    mean = 60 * len(source) * 2 / 50
    assert sum(used.values()) == 50 * mean
    # Waiting costs a triplet turns at times; drawn at random they would be further apart still.
    assert mean / 2 <= min(used.values()) <= max(used.values()) <= 1.5 * mean


def test_without_triplets_the_batches_are_as_before() -> None:
    config = SamplerConfig(name="positive_available", batch_size=24)
    plain = build_sampler(config, LABELS, flip="same", pair_with="nothing", seed=3)
    source = sampler(LABELS, NO_TRIPLETS, flip="same", pair_with="nothing", seed=3)
    assert list(source) == list(plain)
    assert plain.triplets_drawn() == (0, 0)


def test_the_others_of_a_batch_are_drawn_as_a_smaller_batch_would_be() -> None:
    triplets = drawn(LABELS, 60)
    source = sampler(LABELS, triplets, triplets_share=0.25)  # 2 triplets and 18 others
    plain = build_sampler(
        SamplerConfig(name="positive_available", batch_size=18), LABELS, flip="none",
        pair_with="augmentation", seed=0,
    )  # fmt: skip
    rest = [[draw.row for draw in batch[6:]] for batch in source]
    assert rest == [[draw.row for draw in batch] for batch in plain]


def test_a_triplet_waits_for_a_batch_without_its_photographs() -> None:
    triplets = np.array([[0, 1, 4], [2, 3, 5], [6, 7, 0]])
    batches = [np.array([0]), np.array([9]), np.array([0, 2])]
    for seed in range(6):  # whatever their order
        found = fitted_triplets(triplets, batches, wanted=1, world_size=1, seed=seed, epoch=0)
        assert [len(one) for one in found] == [1, 1, 0]
        assert found[0].tolist() == [[2, 3, 5]]  # the only one without photograph 0
        found = fitted_triplets(triplets, batches, wanted=2, world_size=2, seed=seed, epoch=0)
        assert [len(one) for one in found] == [0, 2, 0]  # one is too few for two processes
        assert len(set(found[1].ravel().tolist())) == 6


def test_first_epochs_draw_triplets_of_frequent_animals_alone() -> None:
    labels = np.repeat(np.arange(20), [6] * 10 + [2] * 10)
    triplets = drawn(labels, 80)
    source = sampler(labels, triplets, first_epochs=1, first_photos=5)
    rare = set(range(60, 80))
    assert not {draw.row for batch in source for draw in batch} & rare
    assert source.triplets_drawn()[0] > 0
    none = [row for row in triplets.tolist() if set(row) & rare]
    alone = sampler(labels, none, first_epochs=1, first_photos=5)
    assert alone.triplets_drawn() == (0, 0)
    assert {len(batch) for batch in alone} == {24}
    alone.set_epoch(1)
    assert alone.triplets_drawn()[0] > 0


def test_a_mirrored_triplet_is_mirrored_as_a_whole() -> None:
    triplets = drawn(LABELS, 60)
    for flip in ("new_identity", "same", "none"):
        source = sampler(LABELS, triplets, flip=flip)
        coins = [
            [draw.mirrored for draw in batch[start : start + 3]]
            for epoch in range(8)
            for batch in (source.set_epoch(epoch), list(source))[1]
            for start in (0, 3)
        ]
        agree = [len(set(three)) == 1 for three in coins]
        assert all(agree) == (flip != "same")
        assert any(any(three) for three in coins) == (flip != "none")


def test_what_cannot_be_drawn_is_refused() -> None:
    triplets = drawn(LABELS, 5)
    refused(lambda: sampler(LABELS, triplets, "shuffled"), "sampler.triplets", "shuffled", "pk")
    refused(
        lambda: sampler(LABELS, triplets, "pk", batch_size=4, triplets_share=0.5),
        "3 of them of given triplets", "sampler.triplets_share",
    )  # fmt: skip
