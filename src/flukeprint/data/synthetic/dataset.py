"""Draws a synthetic data set of whales or shapes in Kaggle's layout.

    root/train/*.jpg, root/test/*.jpg
    root/train.csv               Image,Id; new_whale where the individual is seen only once
    root/sample_submission.csv   Image,Id of the test photos, all new_whale
    root/test_truth.csv          Image,Id: the right answers, to score a submission offline
    root/synthetic.json          what was drawn; written last

Everything is a function of the configuration: the same seed gives the same bytes.
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from flukeprint.config.data import SyntheticConfig
from flukeprint.data.decoding import Pixels
from flukeprint.data.synthetic.camera import jpeg_quality
from flukeprint.data.synthetic.fluke import flat_fluke, photograph
from flukeprint.data.synthetic.shapes import SHAPE_IDENTITIES, draw_shape
from flukeprint.disks import full_disk_named
from flukeprint.drafts import clear_drafts, draft_of, replace_folder
from flukeprint.errors import FlukeprintError, listed
from flukeprint.output import Stage

NEW_WHALE = "new_whale"
_FORMAT = 1  # raise it when the same configuration is drawn otherwise
_MARKER = "synthetic.json"
_TABLES = ("train.csv", "sample_submission.csv", "test_truth.csv")

# How many of 4,250 whales in Kaggle's first humpback competition have 1, 2, .. 9 photos, and more.
_TAIL = (2220, 1034, 492, 192, 102, 61, 40, 23, 21, 65)


def identity_sizes(identities: int, rng: np.random.Generator) -> list[int]:
    """Numbers of photos of `identities` animals, in random order, with the real set's long tail.

    Shares follow `_TAIL` by largest remainder; at least one animal has ten photos or more.
    Numbers above nine are quantiles of 10 + an exponential of mean 5: for 65 animals, as in the
    real set, they reach 34, as they do there.
    """
    if identities < 1:
        raise ValueError(f"identities is {identities}, but a set has at least one")
    exact = np.array(_TAIL) * identities / sum(_TAIL)
    counts = np.floor(exact).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: identities - counts.sum()]
    counts[rest] += 1
    if counts[-1] == 0:
        counts[np.argmax(counts)] -= 1
        counts[-1] = 1
    few = [size for size, count in enumerate(counts[:-1], 1) for _ in range(count)]
    many = [10 + int(-5 * math.log(1 - (i + 0.5) / counts[-1])) for i in range(counts[-1])]
    return [int(size) for size in rng.permutation(few + many)]


@dataclass(frozen=True)
class _Photo:
    """One photo to draw: `animal` is a number, `label` its identity in the table."""

    animal: int
    seed: int
    folder: str
    image: str
    label: str


_Draw = Callable[[int, list[int]], Iterable[Pixels]]  # (animal, seeds of its photos) -> photos


def write_whales(config: SyntheticConfig, root: Path, *, progress: bool) -> None:
    """Draw a data set of flukes, whatever `config.kind` is: see `write_synthetic`."""
    write_synthetic(config.model_copy(update={"kind": "whales"}), root, progress=progress)


def write_synthetic(config: SyntheticConfig, root: Path, *, progress: bool) -> None:
    """Draw the data set that `config` describes into `root`, unless it is there already.

    A data set of another configuration is replaced as a whole.  The photos are drawn beside
    `root` and moved into place at the end, so `root` never holds an incomplete set.

    Raises FlukeprintError if `root` holds anything that was not drawn here, or if `config` needs
    more shapes than there are.
    """
    root = root.resolve()
    wanted = {"drawn_by": "flukeprint", "format": _FORMAT, "config": _digest(config)}
    if _found(root) == wanted:
        return
    _refuse_foreign(root)
    photos = _plan(config)
    with full_disk_named(root, lambda: f"nothing was left; make room or move {root}"):
        root.parent.mkdir(parents=True, exist_ok=True)
        clear_drafts(root.parent)
        with draft_of(root, folder=True) as draft:
            partial = draft / root.name  # as open to others as any folder; a draft is not
            _draw_into(partial, photos, _DRAWERS[config.kind](config), progress=progress)
            _write_tables(partial, photos)
            (partial / _MARKER).write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
            _swap(partial, root, wanted)


def _whale_drawer(config: SyntheticConfig) -> _Draw:
    def draw(animal: int, seeds: list[int]) -> Iterable[Pixels]:
        fluke = flat_fluke(_number(config.seed, "animal", animal), config.long_side)
        return (photograph(fluke, seed, config.long_side) for seed in seeds)

    return draw


def _shape_drawer(config: SyntheticConfig) -> _Draw:
    def draw(animal: int, seeds: list[int]) -> Iterable[Pixels]:
        return (draw_shape(animal, seed, config.long_side) for seed in seeds)

    return draw


_DRAWERS = {"whales": _whale_drawer, "shapes": _shape_drawer}


def _plan(config: SyntheticConfig) -> list[_Photo]:
    """List all photos of the set, those of one animal side by side."""
    rng = np.random.default_rng([config.seed, 0x7A11])
    sizes = identity_sizes(config.identities, rng)
    known = sum(sizes)
    train_new = round(known * config.new_share / (1 - config.new_share))
    test_new = round(config.test_photos * config.test_new_share)
    seen_again = rng.integers(config.identities, size=config.test_photos - test_new).tolist()
    strangers = config.identities + np.arange(train_new + test_new)
    if config.kind == "shapes" and config.identities + len(strangers) > SHAPE_IDENTITIES:
        raise FlukeprintError(
            f"data.synthetic: {config.identities} identities and {len(strangers)} new individuals, "
            f"but there are {SHAPE_IDENTITIES} shapes; lower identities or test_photos"
        )
    rows = [(animal, "train", False) for animal, size in enumerate(sizes) for _ in range(size)]
    rows += [(int(animal), "train", True) for animal in strangers[:train_new]]
    rows += [(int(animal), "test", False) for animal in seen_again]
    rows += [(int(animal), "test", True) for animal in strangers[train_new:]]
    names = [f"w_{code}" for code in _codes(config.seed, "identity", config.identities, 7)]
    images = _codes(config.seed, "image", len(rows), 9)
    photos = [
        _Photo(
            animal=animal,
            seed=_number(config.seed, "photo", number),
            folder=folder,
            image=f"{code}.jpg",
            label=NEW_WHALE if new else names[animal],
        )
        for number, ((animal, folder, new), code) in enumerate(zip(rows, images, strict=True))
    ]
    return sorted(photos, key=lambda photo: photo.animal)


def _draw_into(folder: Path, photos: list[_Photo], draw: _Draw, *, progress: bool) -> None:
    for name in ("train", "test"):
        (folder / name).mkdir(parents=True)

    def draw_animal(group: list[_Photo]) -> int:
        pictures = draw(group[0].animal, [photo.seed for photo in group])
        for photo, pixels in zip(group, pictures, strict=True):
            (folder / photo.folder / photo.image).write_bytes(_jpeg(pixels, photo.seed))
        return len(group)

    groups = [list(group) for _, group in groupby(photos, key=lambda photo: photo.animal)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # on pictures this small OpenCV's own threads only slow down the pool's
    try:
        with (
            Stage("drawing" if progress else None, len(photos)) as bar,
            ThreadPoolExecutor(max_workers=2) as pool,
        ):
            for done in pool.map(draw_animal, groups):
                bar.update(done)
    finally:
        cv2.setNumThreads(threads)


def _jpeg(pixels: Pixels, photo_seed: int) -> bytes:
    """Encode a photo as a JPEG, of one channel if it has no colour."""
    grey = bool((pixels == pixels[:, :, :1]).all())
    image = pixels[:, :, 0] if grey else pixels[:, :, ::-1]
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality(photo_seed)]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image), options)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {pixels.shape}")
    return data.tobytes()


def _write_tables(folder: Path, photos: list[_Photo]) -> None:
    train, test = (
        sorted((photo.image, photo.label) for photo in photos if photo.folder == name)
        for name in ("train", "test")
    )
    blank = [(image, NEW_WHALE) for image, _ in test]
    for name, rows in zip(_TABLES, (train, blank, test), strict=True):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("Image", "Id"))
            writer.writerows(rows)


def _swap(partial: Path, root: Path, wanted: dict[str, object]) -> None:
    """Move the finished set into place, where an empty folder or an older set may be."""
    try:
        replace_folder(partial, root)
    except OSError:
        if _found(root) != wanted:  # otherwise another process has just drawn the same set
            raise


def _found(root: Path) -> dict[str, object] | None:
    """Read the marker file in `root`; None where there is none of this package."""
    try:
        found = json.loads((root / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(found, dict) and found.get("drawn_by") == "flukeprint"
    return found if ours else None


def _refuse_foreign(root: Path) -> None:
    """Raise FlukeprintError unless everything in `root` was drawn here and may be replaced."""
    if not root.exists():
        return
    if not root.is_dir():
        raise FlukeprintError(f"{root} is a file; give data.root a folder to draw into")
    inside = sorted(path.name for path in root.iterdir())
    if not inside:
        return
    problem = f"{root} holds files that were not drawn"
    advice = "move them away or give data.root an empty folder"
    if _found(root) is None:
        raise FlukeprintError(f"{problem} ({listed(inside)}); {advice}")
    drawn = {"train": _images(root / "train.csv"), "test": _images(root / "test_truth.csv")}
    foreign = [name for name in inside if name not in (*_TABLES, _MARKER, *drawn)]
    for folder, images in drawn.items():
        if (root / folder).is_dir():
            files = (path.name for path in (root / folder).iterdir())
            foreign += sorted(f"{folder}/{name}" for name in files if name not in images)
    if foreign:
        raise FlukeprintError(f"{problem} ({listed(foreign)}); {advice}")


def _images(table: Path) -> set[str]:
    """Image names of a table that was written here; none where it is missing."""
    if not table.is_file():
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        return {row[0] for row in csv.reader(file) if row}


def _digest(config: SyntheticConfig) -> str:
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _number(*parts: object) -> int:
    """A 63-bit number that is a function of all `parts`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _codes(seed: int, what: str, count: int, digits: int) -> list[str]:
    """`count` different strings of hex digits, in random order."""
    codes: dict[str, None] = {}
    number = 0
    while len(codes) < count:
        codes[f"{_number(seed, what, number):016x}"[-digits:]] = None
        number += 1
    return list(codes)
