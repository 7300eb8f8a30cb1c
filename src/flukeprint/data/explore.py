"""Counts and plots how photographs are distributed over identities: the long tail.

No photograph is opened; a table of labels is enough.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.names import near_equal
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import counted, listed
from flukeprint.pictures import check_picture, slide

MORE = 10  # identities with this many photos or more share one line of the text


@dataclass(frozen=True)
class Distribution:
    """How many identities have how many photographs.

    photos: of the whole catalogue.
    new_photos: those without an identity, whose label is `new_label`.
    sizes: (number of photos, number of identities that have that many), ascending.
    largest: (identity, number of photos) of the five identities with most.
    views: (view, number of photos), the commonest first; empty where none is known.
    spellings: groups of identities that may be one animal's name spelt in several ways.
    """

    photos: int
    new_photos: int
    new_label: str
    sizes: tuple[tuple[int, int], ...]
    largest: tuple[tuple[str, int], ...] = ()
    views: tuple[tuple[str, int], ...] = ()
    spellings: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.new_photos + sum(size * count for size, count in self.sizes) != self.photos:
            raise ValueError("the sizes of the identities do not add up to the photos")

    @property
    def identities(self) -> int:
        """Number of identities."""
        return sum(count for _, count in self.sizes)

    @property
    def single(self) -> int:
        """Number of identities with one photo."""
        return dict(self.sizes).get(1, 0)

    def text(self) -> str:
        """Format a table of several lines."""
        lines = [
            f"{counted(self.photos, 'photo')}, {_identities(self.identities)}, "
            f"{self.new_photos:,} {self.new_label}, "
            f"{_identities(self.single)} with one photo",
            "",
            "photos  identities",
        ]
        lines += [f"{size:6d}  {count:10,d}" for size, count in self.sizes if size < MORE]
        many = sum(count for size, count in self.sizes if size >= MORE)
        if many:
            top = self.sizes[-1][0]
            lines.append(f"{MORE:4d}..  {many:10,d}  (the largest has {top})")
        if self.largest:
            lines += ["", f"most photos: {listed(f'{name} {n}' for name, n in self.largest)}"]
        if self.views:
            lines += ["", f"views: {listed((f'{name} {n:,}' for name, n in self.views), most=20)}"]
        if self.spellings:
            groups = listed(" = ".join(map(repr, group)) for group in self.spellings)
            lines += ["", f"one animal in several spellings? {groups}"]
        return "\n".join(lines)


def _identities(count: int) -> str:
    return counted(count, "identity", "identities")


def explore_data(config: DataConfig, picture: Path | None = None) -> Distribution:
    """Count the labelled photographs that `config` names; with `picture`, plot them to that file.

    The photographs themselves may be missing where a table holds the labels.
    """
    if picture is not None:
        check_picture(picture)
    found = distribution(read_labelled(config, photos=False), config.new_label)
    if picture is not None:
        plot(found, picture)
    return found


def distribution(catalog: Catalog, new_label: str) -> Distribution:
    """Count the photographs of each identity; `new_label` is the label of unknown individuals."""
    counts = catalog.counts()
    views = Counter(view for view in catalog.views or () if view is not None)
    return Distribution(
        photos=len(catalog),
        new_photos=len(catalog) - counts.total(),
        new_label=new_label,
        sizes=tuple(sorted(Counter(counts.values()).items())),
        largest=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]),
        views=tuple(sorted(views.items(), key=lambda item: (-item[1], item[0]))),
        spellings=near_equal(counts),
    )


def plot(found: Distribution, path: Path) -> Path:
    """Plot identities by number of photos (log-log) and their share of all photos."""
    with slide(path, "Photographs of each animal") as figure:
        _plot(found, *figure.subplots(1, 2))
    return path


def _plot(found: Distribution, tail: Any, share: Any) -> None:
    sizes = [size for size, _ in found.sizes]
    counts = [count for _, count in found.sizes]
    scale = "log" if sizes else "linear"  # no logarithm of nothing
    tail.plot(sizes, counts, "o", color="#1f6f8b", markersize=4)
    tail.set(
        xscale=scale,
        yscale=scale,
        xlabel="photos of an identity",
        ylabel="identities",
        title=f"{_identities(found.identities)}, {found.single:,} with one photo",
    )
    tail.grid(visible=True, which="major", alpha=0.3)

    # On the right: the share of all photos that belong to identities with at most x photos.
    covered = found.new_photos
    steps = [covered]
    for size, count in found.sizes:
        covered += size * count
        steps.append(covered)
    parts = [step / max(found.photos, 1) for step in steps]
    share.step([0, *sizes], parts, where="post", color="#b5533c")
    share.set(
        xscale="symlog",
        ylim=(0, 1.02),
        xlim=(0, None),
        xlabel="identities with at most this many photos",
        ylabel="share of all photos",
        title=f"{counted(found.photos, 'photo')}, {found.new_photos:,} {found.new_label} (at 0)",
    )
    share.grid(visible=True, alpha=0.3)
