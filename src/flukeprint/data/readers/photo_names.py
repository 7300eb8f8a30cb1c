"""Find photographs whose names tables and disks write differently.

One name may be written in Unicode form C by a table and in form D by a disk, with `\\` between
folders by Windows, or with `.JPG` for `.jpg`.  Where only one photograph can be meant it is taken;
where several can, the name is refused.
"""

import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from flukeprint.config.data import DataConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.layout import how_to_get
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.storage import is_folder, join, name_of, names_in


def loose_name(name: str) -> str:
    """What different ways of writing one name share: Unicode form C, `/`, a small extension."""
    composed = unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")
    stem, dot, extension = composed.rpartition(".")
    return f"{stem}.{extension.lower()}" if dot and "/" not in extension else composed


def on_disk(catalog: Catalog, config: DataConfig) -> Catalog:
    """The catalogue with the paths as the disk writes them.

    Each folder is listed once.

    Raises:
        FlukeprintError: photographs that are not on disk, all named at once, or that may be one
            of several.
    """
    if catalog.paths is None:
        return catalog
    disk = _Disk()
    at = {path.parent for path in catalog.paths}
    present = {folder: disk.names(folder) for folder in at}
    lost = [
        row for row, path in enumerate(catalog.paths) if name_of(path) not in present[path.parent]
    ]
    if not lost:
        return catalog
    taken = set(catalog.paths).difference(catalog.paths[row] for row in lost)
    paths, missing, unclear = list(catalog.paths), [], []
    for row in lost:
        path = catalog.paths[row]
        found = disk.alike(path, config.root)
        if len(found) > 1:
            unclear.append(f"{_below(path, config.root)} ({listed(map(name_of, found))})")
        elif not found:
            missing.append(path)
        elif found[0] in taken:
            unclear.append(f"{_below(path, config.root)} ({name_of(found[0])} has another row)")
        else:
            paths[row] = found[0]
    if unclear:
        raise FlukeprintError(
            f"photographs whose names do not tell which file below {config.root} is meant: "
            f"{listed(unclear)}; write them as the files are called"
        )
    spelt: defaultdict[Path, set[Path]] = defaultdict(set)
    for row in lost:
        spelt[paths[row]].add(catalog.paths[row])
    twice = [names for names in spelt.values() if len(names) > 1]
    if twice:
        raise FlukeprintError(
            "one file is named in several ways: "
            f"{listed(_below(path, config.root) for names in twice for path in sorted(names))}; "
            "write it in one way"
        )
    if not missing:
        return replace(catalog, paths=tuple(paths))
    if len(at) == 1 and not is_folder(folder := next(iter(at))):
        raise FlukeprintError(f"folder {folder} is missing; {how_to_get(config)}")
    raise FlukeprintError(
        f"{len(missing)} of {counted(len(catalog), 'listed photo')} "
        f"{'is' if len(missing) == 1 else 'are'} not on disk below {config.root}: "
        f"{listed(_below(path, config.root) for path in missing)}; "
        "restore them or remove their rows"
    )


def rows_of_photos(
    rows: Collection[str],
    images: Sequence[str],
    table: Path,
    others: Callable[[], Iterable[str] | None],
    *,
    kind: str,
) -> dict[str, str]:
    """Which row of a table of views, boxes or bursts is which photograph's: image -> its row.

    Rows that name nothing are counted on standard error.

    others: lists photographs that the table may name as well, as it does those of the test set;
        None where they are not known.
    kind: what the images are called then: labelled or test photographs.

    Raises:
        FlukeprintError: a row that may be one of several photographs, or that names one in
            another way than only by extension, Unicode form or `\\`.
    """
    known, named = set(images), set(rows)
    found = {image: image for image in images if image in named}
    stray = [row for row in rows if row not in known]
    if stray and len(found) < len(known):
        free = [image for image in images if image not in found]
        found |= _matched(stray, free, table)
        used = set(found.values())
        stray = [row for row in stray if row not in used]
    if not stray:
        return found
    listing = others()
    elsewhere = {loose_name(name) for name in listing or ()}
    stray = [row for row in stray if loose_name(row) not in elsewhere]
    _refuse_near(stray, [image for image in images if image not in found], table)
    if stray:
        whose = f"no {kind} photograph" if listing is None else "no photograph"
        say_once(
            f"{table}: {len(stray):,} of {counted(len(named), 'row')} "
            f"{'names' if len(stray) == 1 else 'name'} {whose}: {listed(stray, most=3)}"
        )
    return found


@lru_cache(maxsize=256)
def say_once(line: str) -> None:
    """Print a line on standard error, once in a process: a catalogue may be read several times."""
    print(line, file=sys.stderr)


class _Disk:
    """Lists folders, each once."""

    def __init__(self) -> None:
        self._names: dict[Path, set[str]] = {}
        self._loose: dict[Path, dict[str, list[str]]] = {}

    def names(self, folder: Path) -> set[str]:
        if folder not in self._names:
            self._names[folder] = names_in(folder)
        return self._names[folder]

    def alike(self, path: Path, root: Path) -> list[Path]:
        """The files that `path` may mean: in its folder, or looked for from `root` on."""
        beside = self._alike(path.parent, name_of(path))
        if beside:
            return [join(path.parent, name) for name in beside]
        if path.is_relative_to(root):
            start, parts = root, path.relative_to(root).parts
        else:
            start, parts = path.parent, (path.name,)
        names = [name_of(start / part) for part in parts]  # without the quotes of a web address
        here = [start]
        for name in "/".join(names).replace("\\", "/").split("/"):
            here = [join(folder, one) for folder in here for one in self._alike(folder, name)]
        return here

    def _alike(self, folder: Path, name: str) -> list[str]:
        if name in self.names(folder):
            return [name]
        if folder not in self._loose:
            loose: defaultdict[str, list[str]] = defaultdict(list)
            for one in sorted(self.names(folder)):
                loose[loose_name(one)].append(one)
            self._loose[folder] = loose
        return self._loose[folder].get(loose_name(name), [])


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _matched(rows: Iterable[str], images: Iterable[str], table: Path) -> dict[str, str]:
    """image -> row where they differ in ways that do not count."""
    found: dict[str, str] = {}
    images_of, rows_of = _by_key(images), _by_key(rows)
    unclear = []
    for key, candidates in images_of.items():
        named = rows_of.get(key, ())
        if len(named) == 1 and len(candidates) == 1:
            found[candidates[0]] = named[0]
        elif named:
            unclear += named
    if unclear:
        raise FlukeprintError(
            f"{table}: names that may be one of several photographs: {listed(unclear)}; write "
            "them as the photographs are called"
        )
    return found


def _by_key(names: Iterable[str]) -> Mapping[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[loose_name(name)].append(name)
    return groups


def _refuse_near(rows: Sequence[str], images: Sequence[str], table: Path) -> None:
    """Refuse rows that name a photograph without a row of its own in another way."""
    whole, ends = defaultdict(set), defaultdict(set)
    for image in images:
        parts = _parts(image)
        whole[parts].add(image)
        for first in range(1, len(parts)):
            ends[parts[first:]].add(image)
    near = []
    for row in rows:
        parts = _parts(row)
        tails = [whole[parts[first:]] for first in range(len(parts)) if parts[first:] in whole]
        meant = set.union(set(), *tails, ends.get(parts, set()))
        if len(meant) == 1:
            near.append((row, meant.pop()))
    if near:
        row, image = near[0]
        raise FlukeprintError(
            f"{table}: {counted(len(near), 'row')} {'names' if len(near) == 1 else 'name'} a "
            f"photograph otherwise than it is called, such as {row} for {image}; correct the table"
        )


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name, without extension, case and Unicode form."""
    composed = unicodedata.normalize("NFC", name).casefold().replace("\\", "/")
    *folders, last = composed.removeprefix("./").split("/")
    stem, dot, _ = last.rpartition(".")
    return (*folders, stem if dot and stem else last)
