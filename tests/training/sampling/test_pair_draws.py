"""The sampler `pairs`: its equal share, whom it pairs, processes, and what it refuses."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.config.training import SamplerConfig
from flukeprint.errors import FlukeprintError
from flukeprint.training.sampling.pair_draws import equal_pairs
from flukeprint.training.sampling.samplers import build_sampler
from tests.refusals import refused


def sampler(labels, share=0.5, batch_size=16, *, pair_with="nothing", flip="none", **more):
    return build_sampler(
        SamplerConfig(name="pairs", batch_size=batch_size, equal_share=share),
        np.asarray(labels), flip=flip, pair_with=pair_with, seed=more.pop("seed", 0), **more,
    )  # fmt: skip


def drawn(source, epoch=0):
    """Pairs of draws of each batch of an epoch."""
    source.set_epoch(epoch)
    return [list(zip(batch[::2], batch[1::2], strict=True)) for batch in source]


def is_equal(pair, labels):
    one, other = (int(labels[draw.row]) for draw in pair)
    return one == other >= 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.4, 0.5, 0.75])
@pytest.mark.parametrize("batch_size", [8, 32, 50])
def test_every_batch_has_its_least_number_of_equal_pairs(share, batch_size):
    labels = np.arange(400) // 2  # chance alone makes few
    pairs = batch_size // 2
    least = math.ceil(Fraction(str(share)) * pairs)
    config = SamplerConfig(name="pairs", batch_size=batch_size, equal_share=share)
    assert equal_pairs(config) == least
    for batch in drawn(sampler(labels, share, batch_size)):
        assert len(batch) == pairs
        assert sum(is_equal(pair, labels) for pair in batch) >= least
        assert sum(is_equal(pair, labels) for pair in batch[least:]) <= 3  # by chance


def test_the_other_pairs_are_of_any_two():
    """Chance pairs are equal as often as two photographs drawn without looking."""
    labels = np.arange(60) % 3
    pairs = [pair for epoch in range(150) for batch in drawn(sampler(labels, 0.0), epoch)
             for pair in batch]  # fmt: skip
    share = np.mean([is_equal(pair, labels) for pair in pairs])
    assert share == pytest.approx(19 / 59, abs=4 * math.sqrt(0.22 / len(pairs)))
    seconds = Counter(second.row for _, second in pairs)
    assert set(seconds) == set(range(60))
    assert max(seconds.values()) < 2 * min(seconds.values())


def test_all_photographs_of_an_identity_are_partners():
    labels = np.repeat([0, 1], [5, 30])
    met = Counter()
    for epoch in range(120):
        for batch in drawn(sampler(labels, 0.5, 8), epoch):
            for first, second in batch[:2]:
                assert labels[first.row] == labels[second.row]
                met[first.row, second.row] += 1
    of_five = {pair for pair in met if pair[0] < 5}
    assert of_five == {(i, j) for i in range(5) for j in range(5) if i != j}


@given(
    st.lists(st.integers(-1, 6), min_size=2, max_size=40),
    st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    st.sampled_from([4, 6, 20]),
    st.sampled_from(["augmentation", "nothing"]),
    st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_every_photograph_begins_a_pair(labels, share, batch_size, pair_with, epoch):
    labels = np.array(labels)
    counts = Counter(labels[labels >= 0].tolist())
    least = math.ceil(Fraction(str(share)) * (batch_size // 2))
    possible = any(count > (pair_with == "nothing") for count in counts.values())
    if least == batch_size // 2 or (least and not possible):
        with pytest.raises(FlukeprintError):
            sampler(labels, share, batch_size, pair_with=pair_with)
        return
    begun = Counter()
    for batch in drawn(sampler(labels, share, batch_size, pair_with=pair_with), epoch):
        assert len(batch) == batch_size // 2
        assert sum(is_equal(pair, labels) for pair in batch) >= least
        for first, second in batch:
            begun[first.row] += 1
            assert first.seed != second.seed
            if first.row == second.row:  # only a lone one with itself
                assert counts[int(labels[first.row])] == 1
                assert pair_with == "augmentation"
    assert set(begun) == set(range(len(labels)))


def test_processes_share_the_pairs_of_one():
    labels = np.arange(48) % 6
    whole = drawn(sampler(labels, 0.5, 16), 2)
    parts = [drawn(sampler(labels, 0.5, 16, rank=r, world_size=2), 2) for r in (0, 1)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert len(one) == len(other) == 4
        assert sorted([*one, *other]) == sorted(batch)
        for part in (one, other):
            assert sum(is_equal(pair, labels) for pair in part) >= 2


@pytest.mark.parametrize("flip", ["new_identity", "same", "none"])
def test_a_pair_is_never_an_animal_and_its_mirror_image(flip):
    labels = np.arange(40) % 4
    pairs = [pair for epoch in range(5) for batch in drawn(sampler(labels, 0.5, flip=flip), epoch)
             for pair in batch]  # fmt: skip
    equal = [pair for pair in pairs if is_equal(pair, labels)]
    apart = [one.mirrored != other.mirrored for one, other in equal]
    assert any(apart) == (flip == "same")
    mirrored = np.mean([draw.mirrored for pair in pairs for draw in pair])
    assert mirrored == (0 if flip == "none" else pytest.approx(0.5, abs=0.08))


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        ([0, 1, 2, 3], {}, ["no equal pairs", "data.pair_with"]),
        ([-1, -1, -1], {"pair_with": "augmentation"}, ["no equal pairs"]),
        ([0] * 8, {"share": 0.95}, ["sampler.equal_share 0.95", "all 8 pairs", "lower it"]),
        ([0] * 8, {"batch_size": 9}, ["sampler.batch_size 9", "multiple of 2"]),
        ([0] * 8, {"batch_size": 6, "world_size": 2}, ["whole pairs", "multiple of 4"]),
    ],
)
def test_wrong_input_is_one_clear_line(labels, options, words):
    refused(lambda: sampler(labels, **options), *words)


@pytest.mark.parametrize("more", [{"new_share": 0.2}, {"triplets": "t.csv"}])
def test_keys_that_mean_nothing_to_it(more):
    config = SamplerConfig(name="pairs", batch_size=16, **more)
    refused(
        lambda: build_sampler(
            config, np.zeros(8, dtype=np.int64), flip="none", pair_with="nothing", seed=0
        ),
        f"sampler.{next(iter(more))} means nothing to sampler.name pairs",
    )
