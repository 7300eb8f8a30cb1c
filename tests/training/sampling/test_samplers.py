"""Samplers: the promise to every identity, new individuals, determinism, processes, bad input."""

import csv
import pickle
from collections import Counter, defaultdict
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from flukeprint.config.training import SamplerConfig
from flukeprint.errors import FlukeprintError
from flukeprint.training.sampling.batches import BatchSampler, Draw
from flukeprint.training.sampling.samplers import SAMPLERS, build_sampler


def sampler(
    labels,
    name="positive_available",
    *,
    batch_size=8,
    k=4,
    new_share=0.0,
    flip="none",
    pair_with="augmentation",
    seed=0,
    rank=0,
    world_size=1,
    first_epochs=0,
    first_photos=10,
) -> BatchSampler:
    config = SamplerConfig(
        name=name,
        batch_size=batch_size,
        photos_per_identity=k,
        new_share=new_share,
        first_epochs=first_epochs,
        first_photos=first_photos,
    )
    return build_sampler(
        config,
        np.asarray(labels, dtype=np.int64),
        flip=flip,
        pair_with=pair_with,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_whole_batches_are_those_of_all_processes_together(name: str, world: int) -> None:
    labels = np.arange(60) % 17
    each = [sampler(labels, name, k=2, rank=r, world_size=world) for r in range(world)]
    want = [[d for part in parts for d in part] for parts in zip(*map(list, each), strict=True)]
    assert [each[0].whole_batches(), each[-1].whole_batches()] == [want, want]


def epoch(source: BatchSampler, number: int) -> list[list[Draw]]:
    source.set_epoch(number)
    batches = list(source)
    assert len(batches) == len(source)
    return batches


def long_tail(identities=60, new=40, seed=1) -> np.ndarray:
    """Half of the identities with one photo, a few with many; shuffled."""
    rng = np.random.default_rng(seed)
    sizes = [1] * (identities // 2) + [2] * (identities // 4)
    sizes += list(rng.integers(3, 15, identities - len(sizes)))
    labels = np.concatenate([np.repeat(np.arange(identities), sizes), np.full(new, -1)])
    return rng.permutation(labels)


def pairs_of(batch: list[Draw], labels: np.ndarray, singles: set[int]) -> list[tuple[Draw, Draw]]:
    """The leading pairs of a batch; asserts that only singles and new individuals follow."""
    classes = [int(labels[draw.row]) for draw in batch]
    count = 0
    while 2 * count + 1 < len(batch):
        first, second = classes[2 * count : 2 * count + 2]
        if first != second or first < 0 or first in singles:
            break
        count += 1
    assert all(label < 0 or label in singles for label in classes[2 * count :])
    return [(batch[2 * i], batch[2 * i + 1]) for i in range(count)]


def check_the_promise(
    labels: np.ndarray, pair_with: str, new_share: float, batch_size: int
) -> None:
    """What positive_available promises of an epoch, on any table with a possible positive."""
    photos = Counter(labels[labels >= 0].tolist())
    lone = {label for label, count in photos.items() if count == 1}
    singles = lone if pair_with == "nothing" else set()
    source = sampler(labels, batch_size=batch_size, new_share=new_share, pair_with=pair_with)
    eligible = set(photos) - singles
    anchored: Counter[int] = Counter()
    for batch in epoch(source, 3):
        assert 2 <= len(batch) <= batch_size
        pairs = pairs_of(batch, labels, singles)
        in_batch = Counter(int(labels[anchor.row]) for anchor, _ in pairs)
        anchored += in_batch
        if len(eligible) >= len(pairs):
            assert max(in_batch.values()) == 1
        for anchor, positive in pairs:
            assert anchor.seed != positive.seed
            assert (anchor.row == positive.row) == (int(labels[anchor.row]) in lone)
        others = [draw.row for draw in batch[2 * len(pairs) :]]
        assert len(set(others)) == len(others)
    assert set(anchored) == eligible
    # Nobody a second time but to fill up the last batch.
    if len(eligible) >= len(pairs):
        assert sum(anchored.values()) - len(eligible) < len(pairs)


@pytest.mark.parametrize("pair_with", ["augmentation", "nothing"])
@pytest.mark.parametrize("new_share", [0.0, 0.25])
def test_every_identity_is_anchored_with_another_photo(pair_with, new_share):
    check_the_promise(long_tail(), pair_with, new_share, 16)


@given(
    st.lists(st.integers(-1, 8), min_size=2, max_size=60),
    st.sampled_from(["augmentation", "nothing"]),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.integers(4, 24),
)
@settings(max_examples=150, deadline=None)
def test_the_promise_holds_on_any_table(labels, pair_with, new_share, batch_size):
    table = np.array(labels, dtype=np.int64)
    photos = Counter(table[table >= 0].tolist())
    if not any(count > 1 or pair_with == "augmentation" for count in photos.values()):
        with pytest.raises(FlukeprintError):
            sampler(table, pair_with=pair_with)
        return
    check_the_promise(table, pair_with, new_share, batch_size)


@pytest.mark.photos
@pytest.mark.parametrize("pair_with", ["augmentation", "nothing"])
def test_the_promise_holds_on_the_humpback_table(photos: Path, pair_with):
    with (photos / "humpback" / "train.csv").open() as table:
        names = [row["Id"] for row in csv.DictReader(table)]
    place = {name: i for i, name in enumerate(sorted(set(names) - {"new_whale"}))}
    labels = np.array([place.get(name, -1) for name in names])
    assert (len(labels), len(place), int((labels < 0).sum())) == (25361, 5004, 9664)
    check_the_promise(labels, pair_with, 0.25, 32)
    source = sampler(labels, batch_size=32, new_share=0.25, pair_with=pair_with)
    shown = {int(labels[draw.row]) for batch in source for draw in batch}
    assert shown == {-1, *range(5004)}  # the 2,073 of one photo too, if only as negatives


def test_photos_of_an_identity_take_even_turns():
    labels = np.repeat([0, 1, 2], [5, 3, 2])  # rows 0-4, 5-7, 8-9
    source = sampler(labels, batch_size=6)
    anchors: dict[int, list[int]] = defaultdict(list)
    pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number in range(20):
        (batch,) = epoch(source, number)
        for anchor, positive in pairs_of(batch, labels, set()):
            anchors[int(labels[anchor.row])].append(anchor.row)
            pairs[int(labels[anchor.row])].append((anchor.row, positive.row))
    for start in range(0, 20, 5):
        assert sorted(anchors[0][start : start + 5]) == [0, 1, 2, 3, 4]
    for start in range(0, 18, 3):
        assert sorted(anchors[1][start : start + 3]) == [5, 6, 7]
    assert sorted(pairs[0]) == sorted(permutations(range(5), 2))
    assert sorted(pairs[2]) == sorted([(8, 9), (9, 8)] * 10)


def test_turns_are_even_where_identities_come_round_within_a_batch():
    labels = np.repeat([0, 1], [5, 10])
    source = sampler(labels, batch_size=20)  # 10 pairs of 2 identities, 5 turns each
    used: Counter[int] = Counter()
    for number in (6, 7):
        (batch,) = epoch(source, number)
        used += Counter(anchor.row for anchor, _ in pairs_of(batch, labels, set()))
    assert used == {**dict.fromkeys(range(5), 2), **dict.fromkeys(range(5, 15), 1)}


def test_new_individuals_have_their_share_and_are_all_used():
    labels = long_tail(new=30)
    source = sampler(labels, batch_size=16, new_share=0.25)
    used: Counter[int] = Counter()
    for batch in epoch(source, 0):
        new = [draw.row for draw in batch if labels[draw.row] < 0]
        assert len(new) == 4
        used += Counter(new)
    assert max(used.values()) - min(used.values()) <= 1
    assert len(used) == min(30, 4 * len(source))
    none = sampler(labels, batch_size=16)
    assert all(labels[draw.row] >= 0 for batch in none for draw in batch)
    few = sampler(np.array([0, 0, 1, 1, 2, 2, 3, 3, -1]), batch_size=8, new_share=0.5)
    for batch in few:  # one new photo: its other places go to pairs
        assert sum(draw.row == 8 for draw in batch) == 1
        assert len(batch) == 7


def test_singles_are_negatives_only_and_each_is_seen():
    labels = long_tail()
    photos = Counter(labels[labels >= 0].tolist())
    for name in ("positive_available", "pk"):
        source = sampler(labels, name, batch_size=16, pair_with="nothing")
        seen: Counter[int] = Counter()
        for batch in epoch(source, 1):
            rows = Counter(draw.row for draw in batch if photos[int(labels[draw.row])] == 1)
            assert max(rows.values(), default=1) == 1
            seen += rows
        assert len(seen) == 30
    only = sampler(np.arange(12), batch_size=4, pair_with="augmentation")
    assert {draw.row for batch in only for draw in batch} == set(range(12))


def test_pk_draws_k_photos_of_each_identity():
    labels = long_tail()
    photos = Counter(labels.tolist())
    source = sampler(labels, "pk", batch_size=20, k=4, new_share=0.2)
    shown: Counter[int] = Counter()
    for batch in epoch(source, 2):
        assert len(batch) == 20
        groups = [batch[i : i + 4] for i in range(0, 16, 4)]
        assert all(labels[draw.row] < 0 for draw in batch[16:])
        names = [{int(labels[draw.row]) for draw in group} for group in groups]
        assert len(set.union(*names)) == 4
        for group, name in zip(groups, names, strict=True):
            (label,) = name
            shown[label] += 1
            rows = Counter(draw.row for draw in group)
            assert len(rows) == min(4, photos[label])
            assert max(rows.values()) - min(rows.values()) <= 1
    assert set(shown) == set(range(60))


@given(st.integers(2, 70), st.integers(1, 3), st.integers(2, 9), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_shuffled_draws_every_row(n, world_size, photos, seed):
    labels = np.arange(n) % 7 - 1
    ranks = [
        sampler(
            labels,
            "shuffled",
            batch_size=photos * world_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        for rank in range(world_size)
    ]
    batches = [epoch(one, 4) for one in ranks]
    assert len({len(one) for one in ranks}) == 1
    for parts in zip(*batches, strict=True):
        assert len({len(part) for part in parts}) == 1
        assert 2 <= len(parts[0]) <= photos + (n % 2 or world_size > 1)
    drawn = Counter(draw.row for one in batches for batch in one for draw in batch)
    assert set(drawn) == set(range(n))
    assert sum(drawn.values()) - n < max(world_size, 2 * world_size - n + 1)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_an_epoch_is_a_pure_function_of_seed_and_epoch(name):
    labels = long_tail()
    one, other = sampler(labels, name, flip="same"), sampler(labels, name, flip="same")
    for number in range(3):
        epoch(one, number)
    assert epoch(one, 3) == epoch(other, 3)  # a resumed run need not draw what came before
    assert epoch(one, 3) != epoch(one, 4)
    assert epoch(one, 3) != epoch(sampler(labels, name, flip="same", seed=1), 3)
    assert epoch(pickle.loads(pickle.dumps(one)), 3) == epoch(one, 3)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_first_epochs_draw_the_identities_with_many_photos(name):
    labels = long_tail()
    common = {"new_share": 0.0 if name in ("shuffled", "pairs") else 0.25, "flip": "same"}
    photos = Counter(labels.tolist())
    often = [row for row, label in enumerate(labels) if label < 0 or photos[label] >= 5]
    source = sampler(labels, name, first_epochs=2, first_photos=5, **common)
    alone = sampler(labels[often], name, **common)  # as if there were no others
    plain = sampler(labels, name, **common)
    lengths = []
    for number in (0, 3, 1, 2):  # whatever was asked before
        batches = epoch(source, number)
        lengths.append(len(batches))
        if number >= 2:
            assert batches == epoch(plain, number)
            continue
        drawn = {draw.row for batch in batches for draw in batch}
        assert {int(labels[row]) for row in drawn} == {int(labels[row]) for row in often}
        assert batches == [
            [draw._replace(row=often[draw.row]) for draw in batch] for batch in epoch(alone, number)
        ]
    assert lengths[0] == lengths[2] < lengths[1] == lengths[3]
    assert epoch(pickle.loads(pickle.dumps(source)), 1) == epoch(source, 1)


def test_processes_share_the_first_epochs():
    labels = long_tail()
    common = {"first_epochs": 1, "first_photos": 4, "batch_size": 12}
    whole = epoch(sampler(labels, **common), 0)
    parts = [epoch(sampler(labels, rank=r, world_size=2, **common), 0) for r in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert sorted(first + second) == sorted(batch)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_seeds_differ_within_an_epoch(name):
    seeds = [draw.seed for batch in sampler(long_tail(), name) for draw in batch]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert max(seeds) < 2**31


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@pytest.mark.parametrize("flip", ["none", "same", "new_identity"])
def test_mirroring(name, flip):
    labels = long_tail(identities=200)
    share = 0.0 if name in ("shuffled", "pairs") else 0.25
    batches = epoch(sampler(labels, name, batch_size=32, flip=flip, new_share=share), 0)
    coins = [draw.mirrored for batch in batches for draw in batch]
    if flip == "none":
        assert not any(coins)
        return
    assert 0.4 < np.mean(coins) < 0.6
    if name in ("shuffled", "pairs"):
        return
    size = 2 if name == "positive_available" else 4
    groups = [batch[i : i + size] for batch in batches for i in range(0, 24, size)]
    agree = [len({draw.mirrored for draw in group}) == 1 for group in groups]
    assert all(agree) == (flip == "new_identity")
    new = [draw.mirrored for batch in batches for draw in batch[24:]]
    assert 0.3 < np.mean(new) < 0.7


@pytest.mark.parametrize("name", ["positive_available", "pk"])
def test_processes_share_the_batches_of_one(name):
    labels = long_tail(identities=64)
    common = {"batch_size": 32, "k": 4, "new_share": 0.25, "flip": "new_identity"}
    whole = epoch(sampler(labels, name, **common), 5)
    parts = [epoch(sampler(labels, name, rank=r, world_size=2, **common), 5) for r in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert len(first) == len(second) == 16
        assert sorted(first + second) == sorted(batch)
        for part in (first, second):  # positives side by side, in the same process
            known = [int(labels[draw.row]) for draw in part if labels[draw.row] >= 0]
            assert len(known) == 12
            assert min(Counter(known).values()) >= 2


def test_shuffled_processes_share_the_batches_of_one():
    labels = np.zeros(64, dtype=np.int64)
    whole = epoch(sampler(labels, "shuffled", batch_size=16), 1)
    parts = [
        epoch(sampler(labels, "shuffled", batch_size=16, rank=r, world_size=2), 1) for r in (0, 1)
    ]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_a_data_loader_takes_it():
    class Rows:
        def __len__(self) -> int:
            return 40

        def __getitem__(self, draw: Draw) -> int:
            return draw.row

    source = sampler(np.arange(40) // 4, batch_size=8)
    loaded = [batch.tolist() for batch in DataLoader(Rows(), batch_sampler=source)]
    assert loaded == [[draw.row for draw in batch] for batch in source]


@pytest.mark.parametrize(
    ("labels", "changes", "words"),
    [
        ([-1, -1, -1], {}, "no training photo has an identity"),
        ([0, 1, 2, -1], {"pair_with": "nothing"}, "data.pair_with"),
        ([0, 1, 2, -1], {"pair_with": "nothing", "name": "pk"}, "data.pair_with"),
        ([0], {"name": "shuffled"}, "at least 2 photos"),
        ([], {}, "at least 2 photos"),
        ([0] * 9, {"world_size": 3}, "sampler.batch_size 8"),
        ([0] * 9, {"world_size": 8}, "sampler.batch_size 8"),
        ([0] * 9, {"name": "pk", "k": 9}, "no room for 9"),
        ([0] * 9 + [-1] * 9, {"new_share": 0.9}, "sampler.new_share"),
        ([0] * 9, {"name": "shuffled", "new_share": 0.1}, "sampler.new_share"),
        ([0] * 9, {"seed": -1}, "train.seed"),
        ([0] * 9 + [1], {"first_epochs": 1}, "no individual has more than 9 training photos"),
        ([-1] * 9, {"first_epochs": 1, "name": "shuffled"}, "no individual has more than 0"),
    ],
)
def test_wrong_input_is_one_clear_line(labels, changes, words):
    with pytest.raises(FlukeprintError, match=words) as error:
        sampler(labels, **changes)
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_refused():
    config = SamplerConfig().model_copy(update={"name": "posative_available"})
    with pytest.raises(FlukeprintError, match="did you mean positive_available"):
        build_sampler(config, np.zeros(4, dtype=np.int64), flip="none", pair_with="nothing", seed=0)
