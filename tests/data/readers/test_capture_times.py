"""Bursts by EXIF times, and clocks that are not trusted."""

import warnings
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flukeprint.config.data import DataConfig, TimedBursts
from flukeprint.data.readers.capture_times import Shot, bursts_by_time, read_shot
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import group_photos
from flukeprint.output import Notice
from tests.data.readers.layouts import write

NOON = datetime(2024, 5, 3, 12)
NOW = datetime(2026, 1, 1)


def photograph(
    path: Path, taken: str | None, *, camera: str = "D5", serial: str | None = None,
    fraction: str | None = None,
) -> None:  # fmt: skip
    """A small JPEG that differs from the others, with what its camera wrote."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Nikon", camera
    inside = exif.get_ifd(0x8769)
    for tag, value in ((0x9003, taken), (0x9291, fraction), (0xA431, serial)):
        if value is not None:
            inside[tag] = value
    noise = np.random.default_rng(abs(hash(str(path))) % 2**32).integers(0, 256, (24, 24, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.astype(np.uint8)).save(path, exif=exif)


def test_what_a_file_says(tmp_path):
    photograph(tmp_path / "IMG_0042.jpg", "2024:05:03 12:00:01", fraction="25")
    shot = read_shot(tmp_path / "IMG_0042.jpg")
    assert shot.taken == NOON + timedelta(seconds=1.25)
    assert shot.camera == ("Nikon", "D5", str(tmp_path))
    assert shot.number == ("IMG_", 42)
    photograph(tmp_path / "a" / "x.jpg", "2024:05:03 12:00:01", serial="77")
    photograph(tmp_path / "b" / "y.jpg", None, serial="77")
    one, other = read_shot(tmp_path / "a" / "x.jpg"), read_shot(tmp_path / "b" / "y.jpg", "why")
    assert one.camera == other.camera != shot.camera
    assert (other.taken, other.name, other.number) == (None, "why", None)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert read_shot(tmp_path / "broken.jpg").taken is None
    photograph(tmp_path / "odd.jpg", "0000:00:00 00:00:00")
    assert read_shot(tmp_path / "odd.jpg").taken is None


def shots(*seconds: float | None, camera: str = "D5", first: int = 1) -> list[Shot]:
    """Photographs numbered in this order, at these seconds after noon."""
    return [
        Shot(
            f"{camera}_{number:04d}.jpg",
            None if second is None else NOON + timedelta(seconds=second),
            (camera,),
            (f"{camera}_", number),
        )
        for number, second in enumerate(seconds, first)
    ]


def groups(bursts):
    return sorted(
        [row for row, name in enumerate(bursts) if name == burst] for burst in set(bursts) - {None}
    )


def test_pauses_divide_and_cameras_do_too() -> None:
    found = bursts_by_time([*shots(0, 10, 70, 131, 140), *shots(5, 15, camera="X")], 60, NOW)
    assert groups(found.bursts) == [[0, 1, 2], [3, 4], [5, 6]]
    assert found.lines() == []
    alone = bursts_by_time([*shots(0, 100), *shots(None, camera="X")], 60, NOW)
    assert alone.bursts == (None, None, None)
    assert alone.undated == 1
    assert "1 photograph of 3 without a time" in alone.lines()[0]


@given(st.lists(st.floats(0, 1000), max_size=12), st.floats(1, 100))
def test_they_are_the_chains_of_short_pauses(seconds, pause):
    mixed = [Shot(f"{row}", NOON + timedelta(seconds=s), (), None) for row, s in enumerate(seconds)]
    found = bursts_by_time(mixed, pause, NOW).bursts
    ordered = sorted(range(len(mixed)), key=lambda row: (mixed[row].taken, row))
    joined = [
        (a, b) for a, b in pairwise(ordered)
        if (mixed[b].taken - mixed[a].taken).total_seconds() <= pause
    ]  # fmt: skip
    for a, b in pairwise(ordered):
        same = found[a] is not None and found[a] == found[b]
        assert same == ((a, b) in joined)
    in_chain = {row for pair in joined for row in pair}
    assert {row for row, burst in enumerate(found) if burst is not None} == in_chain


def test_a_clock_that_jumps_back_is_said_and_not_trusted() -> None:
    # The fifth is a day early, so that it seems to follow nothing; the others are as they were.
    found = bursts_by_time(shots(0, 10, 20, 30, -86400, 40, 50), 60, NOW)
    assert found.backward == ("D5_0005.jpg",)
    assert groups(found.bursts) == [[0, 1, 2, 3, 5, 6]]
    assert "1 photograph numbered against their times" in found.lines()[0]
    # Set back by half a minute, photographs would be mixed with earlier ones.
    found = bursts_by_time(shots(0, 10, 20, 30, 40, 11, 21), 60, NOW)
    assert found.backward == ("D5_0006.jpg", "D5_0007.jpg")
    assert groups(found.bursts) == [[0, 1, 2, 3, 4]]


def test_numbers_that_begin_anew_or_are_not_the_cameras_accuse_no_clock() -> None:
    anew = [*shots(20, 30, first=1), *shots(0, 10, first=9998)]
    assert bursts_by_time(anew, 60, NOW).backward == ()
    rng = np.random.default_rng(0)
    shuffled = bursts_by_time(shots(*rng.permutation(40).tolist()), 60, NOW)
    assert shuffled.backward == ()
    assert len(groups(shuffled.bursts)) == 1
    # The same fall without the end of the numbers is a jump.
    assert (
        len(bursts_by_time([*shots(20, 30, first=1), *shots(0, 10, first=98)], 60, NOW).backward)
        == 2
    )


@pytest.mark.parametrize(
    ("taken", "kind"),
    [
        (datetime(2026, 1, 3), "future"),
        (datetime(1970, 1, 1, 0, 0, 9), "reset"),
        (datetime(1980, 3, 5), "reset"),
        (datetime(2000, 1, 1, 7), "reset"),
    ],
)
def test_impossible_times_are_said_and_not_trusted(taken: datetime, kind: str) -> None:
    wrong = [Shot(f"w{row}.jpg", taken + timedelta(seconds=row), ("D5",), None) for row in range(2)]
    found = bursts_by_time([*wrong, *shots(0, 5)], 60, NOW)
    assert getattr(found, kind) == ("w0.jpg", "w1.jpg")
    assert groups(found.bursts) == [[2, 3]]
    assert len(found.lines()) == 1
    # Hours ahead of this machine may be another time zone.
    ahead = [Shot(f"{row}", NOW + timedelta(hours=13), ("D5",), None) for row in range(2)]
    assert groups(bursts_by_time(ahead, 60, NOW).bursts) == [[0, 1]]


@pytest.fixture
def whales(tmp_path: Path) -> Path:
    root = tmp_path / "whales"
    table = {
        "IMG_01.jpg": ("w_1", "2024:05:03 12:00:00"), "IMG_02.jpg": ("w_1", "2024:05:03 12:00:30"),
        "IMG_03.jpg": ("w_2", "2024:05:03 12:00:40"), "IMG_04.jpg": ("w_1", "2024:05:03 12:05:00"),
        "IMG_05.jpg": ("w_1", "2024:05:03 12:05:10"), "IMG_06.jpg": ("w_2", "1970:01:01 00:00:05"),
    }  # fmt: skip
    for name, (_, taken) in table.items():
        photograph(root / "train" / name, taken)
    rows = [f"{name},{who}" for name, (who, _) in table.items()]
    write(root / "train.csv", "Image,Id", *rows)
    return root


def told(root: Path, **keys: object) -> tuple[object, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        catalog = read_labelled(DataConfig(root=root, **keys))  # type: ignore[arg-type]
    return catalog, [str(one.message) for one in caught if issubclass(one.category, Notice)]


def test_splits_keep_them_together(whales: Path) -> None:
    catalog, said = told(whales, bursts={"seconds": 60})
    # Of one burst, those of one animal are never divided.
    assert group_photos(catalog).tolist() == [0, 0, 1, 2, 2, 3]
    assert len(said) == 1
    assert "IMG_06.jpg" in said[0]
    plain, said = told(whales)
    assert plain.bursts is None
    assert said == []


def test_they_join_the_bursts_of_the_table(whales: Path) -> None:
    rows = (whales / "train.csv").read_text().splitlines()
    marks = ["", "", "e", "", "", "e"]
    write(
        whales / "train.csv",
        f"{rows[0]},encounter",
        *map(",".join, zip(rows[1:], marks, strict=True)),
    )
    catalog, _ = told(whales, bursts={"seconds": 60})
    assert group_photos(catalog).tolist() == [0, 0, 1, 2, 2, 1]


def test_the_settings() -> None:
    assert DataConfig(bursts={"seconds": 5}).bursts == TimedBursts(seconds=5)
    assert DataConfig(bursts={}).bursts == TimedBursts()
    assert DataConfig(bursts="b.csv").bursts == "b.csv"
    with pytest.raises(ValueError, match=r"expected a file, \{seconds: S\}"):
        DataConfig(bursts={"seconds": 0})
    with pytest.raises(ValueError, match="expected a file"):
        DataConfig(bursts={"minutes": 1})
