"""Fill an identifier's gallery from the files of an embedding job, piece by piece.

Vectors go from the Parquet files into the gallery's without being in memory together.  A photograph
keeps its row, which is its number in an index and in a collection of Qdrant; one that is there
already is not added again, so that the same command can be repeated.  The identifier is replaced as
a whole at the end; what a killed process left in the gallery's files is not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flukeprint.bulk.embedded_files import blocks_of, check_fit, embedded_files
from flukeprint.config.ranking import GalleryConfig
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.files import folder_written_whole, locked_for_writing
from flukeprint.identifier.build import with_index
from flukeprint.identifier.files import linked_gallery, write_network
from flukeprint.identifier.gallery_map import placed
from flukeprint.identifier.identifier import Identifier
from flukeprint.output import Stage
from flukeprint.records.pointer import has_catalogue
from flukeprint.search.gallery_store import GalleryStore

_AT_ONCE = 1 << 13  # photographs that are placed together
_MAP = 1000  # known photographs among which new ones are placed on the map
_SAME = 2e-3  # most that a number of a vector may differ, for float16 is rounded


@dataclass(frozen=True)
class FilledGallery:
    """What was done.  there: photographs that the gallery had; nameless: rows without an animal."""

    identifier: Identifier
    added: int
    there: int
    nameless: int

    def text(self) -> str:
        """One line for people."""
        line = f"added: {counted(self.added, 'photograph')}"
        if self.there:
            line += f"; there before: {self.there:,}"
        if self.nameless:
            line += f"; without an animal, left out: {self.nameless:,}"
        return line


def fill_gallery(
    folder: Path,
    source: Path,
    settings: GalleryConfig,
    report: Callable[[str], None] | None = None,
    *,
    waiting: Callable[[str], None] | None = None,
    progress: bool = False,
) -> FilledGallery:
    """Add the photographs of an embedding job to the identifier in `folder`, and index all.

    report, waiting: as of `build_index_again`.

    Raises:
        FlukeprintError: an identifier that keeps a catalogue or matches keypoints, embeddings of
            another network, or a photograph that the gallery has otherwise; nothing is changed.
    """
    if has_catalogue(folder):
        raise FlukeprintError(
            f"{folder} keeps a catalogue, whose gallery grows by flukeprint enroll; fill an "
            "identifier before flukeprint keep"
        )
    files = embedded_files(source)
    with locked_for_writing(folder, waiting):
        known = Identifier.load(folder, with_index=False)
        instead = "enroll the photographs, or train with rank.local.candidates=0"
        check_fit(files, known, folder, instead)
        with folder_written_whole(folder) as draft:
            write_network(known.net, known.card, folder, draft)
            store = linked_gallery(folder, draft)
            filling = _Filling(store)
            with Stage("photographs" if progress else None, sum(one.rows for one in files)) as bar:
                for file in files:
                    for block, _ in blocks_of(file, known.card.new_label):
                        filling.add(block, file.path)
                        bar.update(len(block))
            grown = replace(known, gallery=store.embeddings, showcase=_showcase(known, store))
            with_index(grown, settings, report).written_around(draft, folder)
    return FilledGallery(Identifier.load(folder), filling.added, filling.there, filling.nameless)


class _Filling:
    """Appends to a gallery what it has not yet."""

    def __init__(self, store: GalleryStore) -> None:
        here = store.embeddings
        self._store = store
        self._row = {name: row for row, name in enumerate(here.images)}
        self._owners = list(here.identities)
        self.added = self.there = self.nameless = 0

    def add(self, block: Embeddings, path: Path) -> None:
        """Append the photographs of animals that are not there.

        Raises:
            FlukeprintError: one is there as another animal's, or with another embedding.
        """
        named = [row for row, who in enumerate(block.identities) if who is not None]
        self.nameless += len(block) - len(named)
        fresh: list[int] = []
        again: list[tuple[int, int]] = []  # row in the block, row in the gallery
        for row in named:
            place = self._row.setdefault(block.images[row], len(self._owners))
            if place == len(self._owners):
                self._owners.append(block.identities[row])
                fresh.append(row)
            else:
                again.append((row, place))
        if fresh:
            self._store.append(block.take(fresh))
        self._check_same(block, again, path)
        self.added, self.there = self.added + len(fresh), self.there + len(again)

    def _check_same(self, block: Embeddings, again: list[tuple[int, int]], path: Path) -> None:
        if not again:
            return
        other = [row for row, place in again if self._owners[place] != block.identities[row]]
        if not other:
            facts = self._store.facts
            vectors = np.memmap(
                self._store.folder / "vectors.f32", np.float32, "r",
                shape=(facts.photos, facts.dimension),
            )  # fmt: skip
            rows, places = np.array(again).T
            off = np.abs(vectors[places] - block.vectors[rows]).max(axis=1)
            other = rows[off > _SAME].tolist()
        if other:
            raise FlukeprintError(
                f"{path}: the gallery has {listed(block.images[row] for row in other)} already, of "
                "another animal or another photograph; rename them in the table"
            )


def _showcase(known: Identifier, store: GalleryStore) -> Any:
    """Places on the map for what was added, without thumbnails; None where there is no showcase."""
    showcase, here, first = known.showcase, store.embeddings, len(known.gallery)
    if showcase is None:
        return None
    some = np.unique(np.linspace(0, first - 1, min(first, _MAP)).astype(np.int64))
    near, xy = np.asarray(known.gallery.vectors[some]), showcase.xy[some]
    places = [
        placed(near, xy, np.asarray(here.vectors[start : start + _AT_ONCE]))
        for start in range(first, len(here), _AT_ONCE)
    ]
    added = len(here) - first
    grown = showcase.followed_by(
        Thumbnails.none(added), np.concatenate([np.empty((0, 2), np.float32), *places])
    )
    return grown.naming(dict.fromkeys(str(who) for who in here.identities[first:]))
