"""Following a catalogue: nothing is read where nothing changed, and every change is seen."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from flukeprint.config.ranking import GalleryConfig
from flukeprint.config.schema import ServeConfig
from flukeprint.errors import FlukeprintError, ProblemsError
from flukeprint.identifier.build import build_index_again
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.database import FILE, Database
from flukeprint.records.edits import remove_photographs, rename
from flukeprint.records.journal import Note, undo
from flukeprint.records.pointer import has_catalogue
from flukeprint.serving import catalogue_watch, service
from flukeprint.serving.catalogue_watch import CatalogueWatch
from flukeprint.serving.service import NotSavedError, Service
from tests.identifier.drawn_identifiers import build, config, shapes
from tests.refusals import refused
from tests.serving.served import photo

NOTE = Note("ana")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    build(config(folder), shapes(6, 3), threshold=0.5).save(folder / "kept")
    return folder / "kept"


@pytest.fixture
def kept(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "kept"))


def enroll(folder: Path, name: str, number: int) -> None:
    given = NewPhotograph(photo(number), f"photo {number}", f"{number}.jpg", name)
    Keeper.open(folder).enroll([given], NOTE, force=True)


def age(folder: Path, seconds: float) -> None:
    """Let what was written be so old."""
    then = time.time() - seconds
    for name in (FILE, f"{FILE}-wal"):
        if (folder / name).is_file():
            os.utime(folder / name, (then, then))


def test_without_a_catalogue_nothing_is_looked_at(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_watch, "Keeper", None)
    monkeypatch.setattr(catalogue_watch, "read_card", None)
    known = Identifier.load(kept)
    watch = CatalogueWatch(kept, known)
    assert not watch.look()
    assert watch.identifier is known
    assert not has_catalogue(kept)


def test_a_catalogue_that_others_begin_is_followed(kept: Path) -> None:
    known = Identifier.load(kept)
    watch = CatalogueWatch(kept, known)
    enroll(kept, "w_new", 1)
    assert watch.look()
    assert watch.identifier.identities[-1] == "w_new"
    assert watch.identifier.net is known.net
    assert not watch.look()


def test_every_change_is_seen_and_an_unchanged_file_is_not_opened(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(kept, "w_new", 1)
    watch = CatalogueWatch(kept, Identifier.load(kept))
    assert not watch.look()
    database = Database.open(kept)
    rename(database, "w_0", "Bella", NOTE, new_label="new_whale")
    assert watch.look()
    assert "Bella" in watch.identifier.identities
    rename(database, "w_1", "Cora", NOTE, new_label="new_whale")  # at once, in the same second
    assert watch.look()
    remove_photographs(database, ["p004.jpg"], NOTE)
    assert watch.look()
    assert watch.identifier.row_of(4) is None
    assert watch.identifier.row_of(5) == 4
    undo(database, NOTE)
    assert watch.look()
    assert watch.identifier.row_of(4) == 4
    age(kept, 60)
    assert not watch.look()  # it is read once more, for it may have changed before
    opened = []
    monkeypatch.setattr(
        Database,
        "reading",
        lambda self: opened.append(self),  # type: ignore[func-returns-value]
    )
    assert not watch.look()
    assert not opened
    monkeypatch.undo()
    rename(database, "w_2", "Dora", NOTE, new_label="new_whale")
    age(kept, 30)
    assert watch.look()
    assert "Dora" in watch.identifier.identities
    age(kept, 20)
    watch.look()
    if pytest.importorskip("faiss"):
        build_index_again(kept, GalleryConfig(backend="hnsw"))
    assert watch.look()
    assert watch.identifier.index is not None


def test_what_is_wrong_is_told_from_what_cannot_be_written(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = CatalogueWatch(kept, Identifier.load(kept))
    data = [photo(1)]
    done = watch.enroll("w_new", data, "web", thumbnails=False, force=True)
    assert done.identities == ("w_new",)
    for name, given, said in (
        ("New Whale", photo(2), "is no name for an individual"), ("w_other", photo(1), "already"),
    ):  # fmt: skip
        with pytest.raises(ProblemsError, match=said):
            watch.enroll(name, [given], "web", thumbnails=False, force=True)
    before = Identifier.load(kept).gallery.images

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("flukeprint.keeper.appending.write_at", full)
        error = refused(
            lambda: watch.enroll("w_late", [photo(3)], "web", thumbnails=False, force=True),
            "No space left",
        )
    assert not isinstance(error, ProblemsError)
    assert Identifier.load(kept).gallery.images == before


def served(kept: Path) -> Service:
    return Service(Identifier.load(kept), ServeConfig(enroll=True), path=kept)


def test_a_service_follows_and_goes_on_where_it_cannot(
    kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)

    async def shown(one: Service, name: str) -> None:
        async with asyncio.timeout(60):
            while name not in one.identifier.identities:
                await asyncio.sleep(0.01)

    async def scenario() -> None:
        one = served(kept)
        one.start_following()
        try:
            await asyncio.to_thread(enroll, kept, "w_new", 1)
            await shown(one, "w_new")
            hidden = kept / "hidden"
            (kept / FILE).rename(hidden)
            while "cannot be followed" not in caplog.text:
                await asyncio.sleep(0.01)
            verdict, by = await one.identify([photo(1)])
            assert verdict.ranking.identities[0][0] == "w_new"
            assert by is one.identifier
            hidden.rename(kept / FILE)
            await asyncio.to_thread(enroll, kept, "w_later", 2)
            await shown(one, "w_later")
        finally:
            await one.close()

    asyncio.run(scenario())
    assert caplog.text.count("cannot be followed") == 1


def test_enrolling_is_in_memory_once_it_is_kept_or_not_at_all(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        one = served(kept)
        try:
            done = await one.enroll("w_new", [photo(1)], thumbnails=False, force=True)
            assert done.event.author == "web"
            assert "w_new" in one.identifier.identities
            before = one.identifier
            with pytest.raises(FlukeprintError, match="already") as refusal:
                await one.enroll("w_new", [photo(1)], thumbnails=False)
            assert not isinstance(refusal.value, NotSavedError)
            with monkeypatch.context() as patched:

                def full(*given: object) -> None:
                    raise OSError(28, "No space left on device")

                patched.setattr("flukeprint.keeper.appending.write_at", full)
                with pytest.raises(NotSavedError, match="No space left"):
                    await one.enroll("w_late", [photo(2)], thumbnails=False, force=True)
            assert one.identifier is before
        finally:
            await one.close()

    asyncio.run(scenario())
    assert "w_late" not in Identifier.load(kept).identities


def test_another_network_in_the_folder_is_not_taken_over(kept: Path, tmp_path: Path) -> None:
    enroll(kept, "w_new", 1)
    known = Identifier.load(kept)
    watch = CatalogueWatch(kept, known)
    shutil.rmtree(kept)
    build(config(tmp_path, "infer.mirror=true"), shapes(4, 2)).save(kept)
    assert not watch.look()  # it keeps no catalogue
    enroll(kept, "w_new", 1)
    refused(watch.look, "another network", "start the server again")
    refused(
        lambda: watch.enroll("w_late", [photo(2)], "web", thumbnails=False, force=True),
        "another network",
    )
    assert watch.identifier is known
