"""Drawn data sets: sizes by hand, layout, bytes by hash, and files of others left alone."""

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.config.data import SyntheticConfig
from flukeprint.data.synthetic.dataset import identity_sizes, write_synthetic, write_whales
from flukeprint.data.synthetic.shapes import SHAPE_IDENTITIES
from flukeprint.errors import FlukeprintError

SMALL = SyntheticConfig(identities=6, test_photos=8, long_side=48)
SHAPES = SMALL.model_copy(update={"kind": "shapes"})


def rows(table: Path) -> list[list[str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "whales"
    write_whales(SMALL, root, progress=False)
    return root


def test_the_real_number_of_whales_has_the_real_tail() -> None:
    counts = Counter(identity_sizes(4250, np.random.default_rng(0)))
    assert [counts[size] for size in range(1, 10)] == [2220, 1034, 492, 192, 102, 61, 40, 23, 21]
    many = [size for size in counts.elements() if size >= 10]
    assert len(many) == 65
    assert max(many) == 34


def test_sizes_of_a_hundred_whales_by_hand() -> None:
    # 100 * (2220, 1034, 492, 192, 102, 61, 40, 23, 21, 65) / 4250 =
    # 52.24 24.33 11.58 4.52 2.40 1.44 0.94 0.54 0.49 1.53: floors leave 5, to .94 .58 .54 .53 .52
    sizes = identity_sizes(100, np.random.default_rng(1))
    counts = Counter(min(size, 10) for size in sizes)
    assert [counts[size] for size in range(1, 11)] == [52, 24, 12, 5, 2, 1, 1, 1, 0, 2]


@given(st.integers(2, 600), st.integers(0, 2**32))
def test_every_set_is_whole_and_has_a_well_known_animal(identities: int, seed: int) -> None:
    sizes = identity_sizes(identities, np.random.default_rng(seed))
    assert len(sizes) == identities
    assert min(sizes) >= 1
    assert 10 <= max(sizes) <= 34
    again = identity_sizes(identities, np.random.default_rng(seed + 1))
    assert sorted(again) == sorted(sizes)


def test_layout_and_counts(drawn: Path) -> None:
    assert sorted(path.name for path in drawn.iterdir()) == [
        "sample_submission.csv",
        "synthetic.json",
        "test",
        "test_truth.csv",
        "train",
        "train.csv",
    ]
    train, sample, truth = (
        rows(drawn / f"{name}.csv") for name in ("train", "sample_submission", "test_truth")
    )
    assert train[0] == sample[0] == truth[0] == ["Image", "Id"]
    for table, folder in ((train, "train"), (truth, "test")):
        assert [image for image, _ in table[1:]] == sorted(
            p.name for p in (drawn / folder).iterdir()
        )
    assert [image for image, _ in sample] == [image for image, _ in truth]
    assert {identity for _, identity in sample[1:]} == {"new_whale"}

    counts = Counter(identity for _, identity in train[1:])
    new = counts.pop("new_whale")
    assert len(counts) == 6
    assert new == round(sum(counts.values()) * 0.08 / 0.92)
    queries = Counter(identity for _, identity in truth[1:])
    assert queries.pop("new_whale") == 2  # 0.276 of 8 is 2.2
    assert set(queries) <= set(counts)
    assert sum(queries.values()) == 6


def test_names_look_like_kaggles_and_do_not_sort_by_animal(drawn: Path) -> None:
    table = rows(drawn / "train.csv")[1:]
    for image, identity in table:
        stem, _, end = image.partition(".")
        assert end == "jpg"
        assert len(stem) == 9
        int(stem, 16)
        if identity != "new_whale":
            assert identity.startswith("w_")
            assert len(identity) == 9
            int(identity[2:], 16)
    changes = sum(a[1] != b[1] for a, b in pairwise(table))
    assert changes > len({identity for _, identity in table})


def test_photos_can_be_read_and_none_is_there_twice(drawn: Path) -> None:
    photos = [path for folder in ("train", "test") for path in (drawn / folder).iterdir()]
    for path in photos:
        image = cv2.imread(str(path))
        assert image is not None
        assert max(image.shape) <= 48
    assert len({path.read_bytes() for path in photos}) == len(photos)


@pytest.mark.parametrize("config", [SMALL, SHAPES], ids=["whales", "shapes"])
def test_same_seed_same_bytes(config: SyntheticConfig, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_synthetic(config, tmp_path / name, progress=False)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    write_synthetic(config.model_copy(update={"seed": 1}), tmp_path / "c", progress=False)
    assert not set(hashes(tmp_path / "a")) & {
        name for name in hashes(tmp_path / "c") if name.endswith(".jpg")
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_nothing_is_drawn_twice(tmp_path: Path) -> None:
    write_synthetic(SHAPES, tmp_path / "set", progress=False)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    write_synthetic(SHAPES, tmp_path / "set", progress=False)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}


def test_another_set_of_ours_is_replaced_wholly(tmp_path: Path) -> None:
    write_synthetic(SHAPES, tmp_path / "set", progress=False)
    fewer = SHAPES.model_copy(update={"identities": 3, "seed": 5})
    write_synthetic(fewer, tmp_path / "set", progress=False)
    write_synthetic(fewer, tmp_path / "fresh", progress=False)
    assert hashes(tmp_path / "set") == hashes(tmp_path / "fresh")


def test_other_formats_are_drawn_anew(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_synthetic(SHAPES, root, progress=False)
    expected = hashes(root)
    marker = json.loads((root / "synthetic.json").read_text())
    (root / "synthetic.json").write_text(json.dumps({**marker, "format": -1}))
    next((root / "train").iterdir()).unlink()
    write_synthetic(SHAPES, root, progress=False)
    assert hashes(root) == expected


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "train").mkdir(parents=True)
    (mine / "train" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(FlukeprintError, match=r"mine holds files that were not drawn \(train\)"):
        write_synthetic(SHAPES, mine, progress=False)

    root = tmp_path / "set"
    write_synthetic(SHAPES, root, progress=False)
    other = SHAPES.model_copy(update={"seed": 2})
    for foreign in ("train/holiday.jpg", "notes.txt"):
        (root / foreign).write_bytes(b"x")
        with pytest.raises(FlukeprintError, match=foreign):
            write_synthetic(other, root, progress=False)
        (root / foreign).unlink()
    write_synthetic(other, root, progress=False)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FlukeprintError, match="is a file"):
        write_synthetic(SHAPES, tmp_path / "file", progress=False)
    assert (mine / "train" / "holiday.jpg").read_bytes() == b"x"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "not" / "yet"):
        write_synthetic(SHAPES, root, progress=False)
        assert (root / "synthetic.json").is_file()


def test_a_failed_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("disk full")

    write_synthetic(SHAPES, tmp_path / "set", progress=False)
    expected = hashes(tmp_path)
    monkeypatch.setattr("flukeprint.data.synthetic.dataset._jpeg", fail)
    for root in (tmp_path / "set", tmp_path / "fresh"):
        with pytest.raises(RuntimeError, match="disk full"):
            write_synthetic(SHAPES.model_copy(update={"seed": 3}), root, progress=False)
    assert hashes(tmp_path) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_killed_drawings_left_is_removed(tmp_path: Path) -> None:
    for name in (".whales.a1b2c3d4.partial", ".whales.a1b2c3d4.old"):
        (tmp_path / name / "whales" / "train").mkdir(parents=True)
    (tmp_path / "whales").mkdir()
    write_whales(SMALL, tmp_path / "whales", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["whales"]
    modes = [(tmp_path / name).stat().st_mode for name in ("whales", "whales/train")]
    assert modes[0] == modes[1], "others may read it"


def test_threads_of_opencv_are_given_back(tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    write_synthetic(SHAPES, tmp_path / "set", progress=False)
    assert cv2.getNumThreads() == before


def test_too_many_shapes(tmp_path: Path) -> None:
    config = SHAPES.model_copy(update={"identities": SHAPE_IDENTITIES})
    with pytest.raises(FlukeprintError, match="lower identities"):
        write_synthetic(config, tmp_path / "set", progress=False)
    assert not list(tmp_path.iterdir())


def test_drawing_needs_no_torch() -> None:
    code = "import sys, flukeprint.data.synthetic.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
