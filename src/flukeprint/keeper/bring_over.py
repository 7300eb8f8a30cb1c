"""Begin the catalogue of an identifier that has none yet: its gallery becomes the first records."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from flukeprint.data.names import spelling
from flukeprint.errors import counted
from flukeprint.files import LOCK, locked_for_writing, written_whole
from flukeprint.identifier.card import FILE, KEPT_FORMAT, read_card
from flukeprint.identifier.files import GALLERY, check_digests
from flukeprint.records.batches import batches
from flukeprint.records.database import Database
from flukeprint.records.events import time_now
from flukeprint.records.names import kept_text
from flukeprint.records.pointer import has_catalogue
from flukeprint.records.schema import VERSION, catalogue, events, individuals, photographs
from flukeprint.search.gallery_store import GalleryStore


def open_catalogue(
    folder: Path,
    author: str,
    *,
    url: str | None = None,
    report: Callable[[str], None] | None = None,
) -> Database:
    """Open the catalogue of an identifier; where it has none, begin one of its gallery.

    url: of a PostgreSQL server to begin it in; None: SQLite in the folder.
    report: receives a line where it is begun.

    Raises:
        FlukeprintError: no identifier there, a damaged one, or a database that cannot be written.
    """
    if has_catalogue(folder) and read_card(folder).format == KEPT_FORMAT:
        return Database.open(folder)
    with locked_for_writing(folder, report):
        card = read_card(folder)
        if not has_catalogue(folder):
            check_digests(folder, card)
            store = GalleryStore.open(folder / GALLERY)
            if report is not None:
                report(
                    f"{folder} gets a catalogue of its {counted(len(store), 'photograph')}; "
                    "earlier versions of flukeprint cannot read it afterwards"
                )

            def fill(connection: sa.Connection) -> None:
                _fill(connection, store, card.name, author)

            Database.make(folder, url, fill)
        with written_whole(folder / FILE) as draft:
            draft.write_text(card.model_copy(update={"format": KEPT_FORMAT}).text())
    return Database.open(folder)


@contextlib.contextmanager
def tried_on(folder: Path, dry_run: bool) -> Iterator[Path]:
    """The folder that a command works on: of a dry run one in which a catalogue may begin.

    Where an identifier keeps no catalogue yet, that is a folder of links to its files, which is
    removed afterwards.
    """
    if not dry_run or has_catalogue(folder):
        yield folder
        return
    read_card(folder)  # else an error would name the other folder
    with tempfile.TemporaryDirectory(prefix="flukeprint-") as name:
        for path in folder.iterdir():
            if path.name == FILE:
                shutil.copyfile(path, Path(name, FILE))  # the beginning writes it
            elif path.name != LOCK:
                _linked(path, Path(name, path.name))
        yield Path(name)


def _linked(path: Path, new: Path) -> None:
    try:
        new.symlink_to(path.absolute())
    except OSError:  # as for most users of Windows
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, new)


def _fill(connection: sa.Connection, store: GalleryStore, name: str, author: str) -> None:
    gallery = store.embeddings
    numbers = {who: number for number, who in enumerate(store.stored_names())}
    gone = set(store.removed.tolist())
    connection.execute(
        catalogue.insert().values(
            id=1, version=VERSION, name=name, born=store.facts.born, stamp=store.facts.stamp,
            store=store.facts.text(), first_photos=store.facts.photos, last_event=1,
        )
    )  # fmt: skip
    connection.execute(
        events.insert().values(
            id=1, time=time_now(), author=author,
            kind="begin", undoable=False,
            summary=f"catalogue of {counted(len(gallery), 'photograph')} of "
            f"{counted(len(numbers), 'animal')} begun",
        )
    )  # fmt: skip
    for part in batches(
        {"id": number + 1, "label": number, "name": who, "spelling": spelling(who),
         "renamed": False, "removed": False}
        for who, number in ((kept_text(name), number) for name, number in numbers.items())
    ):  # fmt: skip
        connection.execute(individuals.insert(), part)
    views = gallery.views or (None,) * len(gallery)
    rows = zip(gallery.images, gallery.identities, views, strict=True)
    for several in batches(
        {"id": row + 1, "row": row, "image": kept_text(image), "view": view,
         "individual_id": None if who is None else numbers[who] + 1,
         "decided_by": "person", "changed": row in gone, "removed": row in gone}
        for row, (image, who, view) in enumerate(rows)
    ):  # fmt: skip
        connection.execute(photographs.insert(), several)
