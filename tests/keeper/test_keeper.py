"""A keeper: begun without loss, it enrolls, tells copies, and every change is found at once."""

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from flukeprint.data.decoding import Pixels
from flukeprint.errors import FlukeprintError, ProblemsError
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper import appending as module
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.records.edits import (
    merge,
    move,
    remove_individual,
    remove_photographs,
    rename,
    split,
)
from flukeprint.records.journal import Note, undo
from flukeprint.records.kinds import Encounter, Position, read_moment
from flukeprint.records.lookup import individual_page
from flukeprint.records.pointer import POINTER
from flukeprint.records.schema import catalogue, parts, tables
from flukeprint.search.index import PresentRows
from tests.catalogues import NEW, whose
from tests.keeper.kept import KEYPOINTS, frame, identifier, jpeg, owners, written

ANA = Note("ana", "field day")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return identifier(tmp_path_factory.mktemp("made"), KEYPOINTS)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "kept"))


@pytest.fixture
def keeper(folder: Path, catalogue_url: str | None) -> Keeper:
    return Keeper.open(folder, author="ana", url=catalogue_url)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files but the database's, whose rows are compared, and locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("catalogue.db", "lock"))
    }


def rows_of(keeper: Keeper) -> dict[str, list[tuple[object, ...]]]:
    with keeper.database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in tables.sorted_tables
        }


def enroll(keeper: Keeper, path: Path, name: str | None, **more: object) -> str:
    return keeper.enroll([NewPhotograph.of_file(path, name)], ANA, **more).images[0]


def answers_of(known: Identifier, queries: Sequence[Pixels]) -> list[tuple[object, ...]]:
    found = [(one.answers, one.ranking) for one in known.judge(queries)]
    return [
        (answers, ranking.identities, ranking.scores.tolist(), ranking.rows.tolist())
        for answers, ranking in found
    ]


# Begun.


@pytest.mark.parametrize("overrides", [(), (KEYPOINTS,), ("gallery.backend=hnsw",)])
def test_nothing_is_lost_when_a_catalogue_begins(
    tmp_path: Path, catalogue_url: str | None, overrides: Sequence[str]
) -> None:
    folder = identifier(tmp_path, *overrides)
    before = Identifier.load(folder)
    queries = [frame(animal, 7) for animal in range(6)]
    answers = answers_of(before, queries)
    said: list[str] = []
    keeper = Keeper.open(folder, url=catalogue_url, report=said.append)
    after = keeper.identifier
    assert len(said) == 1
    assert "catalogue of its 10 photographs" in said[0]
    assert owners(after) == owners(before) == whose(keeper.database)
    np.testing.assert_array_equal(after.gallery.vectors, before.gallery.vectors)
    assert after.card == before.card.model_copy(update={"format": after.card.format})
    assert answers_of(after, queries) == answers
    assert after.showcase is not None
    assert before.showcase is not None
    np.testing.assert_array_equal(after.showcase.xy, before.showcase.xy)
    assert after.showcase.cards == before.showcase.cards
    assert answers_of(Keeper.open(folder, report=said.append).identifier, queries) == answers
    assert len(said) == 1  # begun once


def test_an_identifier_of_an_earlier_version_is_brought_over(tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "old_files/runs/tiny/20260131-120000/identifier"
    folder = Path(shutil.copytree(old, tmp_path / "kept"))
    before = Identifier.load(folder)
    queries = [frame(animal, 0) for animal in range(3)]
    keeper = Keeper.open(folder)
    assert owners(keeper.identifier) == owners(before) == whose(keeper.database)
    assert answers_of(keeper.identifier, queries) == answers_of(before, queries)
    enroll(keeper, written(tmp_path, 9, 0), "w_new")
    again = Identifier.load(folder)
    assert again.identify([frame(9, 0)]).identities[0][0] == "w_new"
    assert len(again.gallery) == len(before.gallery) + 1


def test_names_that_are_no_text_are_brought_over(tmp_path: Path) -> None:
    folder = identifier(tmp_path)
    odd = os.fsdecode(b"\xff.jpg")
    known = Identifier.load(folder)
    gallery = replace(known.gallery, images=(odd, *known.gallery.images[1:]))
    replace(known, gallery=gallery, origin=None).save(tmp_path / "odd")
    keeper = Keeper.open(tmp_path / "odd")
    assert keeper.identifier.gallery.images == gallery.images
    move(keeper.database, [odd], "n_2", ANA, new_label=NEW)
    assert keeper.identifier.gallery.identities[0] == "n_2"


def test_a_loaded_identifier_with_a_catalogue_is_not_saved_over_it(keeper: Keeper) -> None:
    with pytest.raises(FlukeprintError, match="keeps a catalogue"):
        keeper.identifier.save(keeper.folder)


# Enrolled.


def test_photographs_of_known_new_and_nameless_animals(keeper: Keeper, tmp_path: Path) -> None:
    known = keeper.identifier
    day = Encounter(0, read_moment("2025-05-03"), Position(-27.1, 32.1, 50.0), "hide", "bo", "May")
    photos = [
        NewPhotograph.of_file(written(tmp_path, 0, 5), "n_1"),
        replace(NewPhotograph.of_file(written(tmp_path, 20, 0), "Bella"), encounter=day),
        replace(NewPhotograph.of_file(written(tmp_path, 20, 1), "Bella"), encounter=day),
        NewPhotograph.of_file(written(tmp_path, 21, 0), None),
    ]
    done = keeper.enroll(photos, ANA)
    assert done.identities == ("n_1", "Bella", "Bella", "n_6")
    assert done.event.summary == "4 photographs of n_1, Bella, n_6 enrolled"
    grown = keeper.identifier
    assert owners(grown) == owners(known) | dict(zip(done.images, done.identities, strict=True))
    assert owners(grown) == whose(keeper.database) == owners(Identifier.load(keeper.folder))
    assert grown.identify([frame(20, 1), frame(21, 0)]).identities[0][0] == "Bella"
    np.testing.assert_array_equal(
        grown.gallery.vectors[-4:], known.embed([photo.photo for photo in photos]).vectors
    )
    with keeper.database.reading() as connection:
        page = individual_page(connection, "bella")
    assert [photo.image for photo in page.photographs] == ["20-0.jpg", "20-1.jpg"]
    (seen,) = page.encounters
    assert replace(seen, id=0) == day
    assert page.individual.last_seen == day.moment
    assert grown.showcase is not None
    assert grown.showcase.thumbnails[len(grown.gallery) - 1] is not None
    assert isinstance(grown.keypoints, KeypointStore)
    fresh = grown.examine([photos[1].photo]).keypoints
    assert fresh is not None
    np.testing.assert_array_equal(
        grown.keypoints[len(known.gallery) + 1].descriptors, fresh[0].descriptors
    )


def test_an_enrolment_is_taken_back_and_done_again(keeper: Keeper, tmp_path: Path) -> None:
    before = owners(keeper.identifier)
    photo = written(tmp_path, 20, 0)
    image = enroll(keeper, photo, "Bella")
    back = undo(keeper.database, ANA)
    assert owners(keeper.identifier) == before
    assert "Bella" not in keeper.identifier.identities
    assert keeper.identifier.identify([photo]).identities[0][0] != "Bella"
    undo(keeper.database, ANA, back.id)
    assert owners(keeper.identifier) == before | {image: "Bella"}
    undo(keeper.database, ANA)
    again = enroll(keeper, photo, "Bella")
    assert again == "20-0~2.jpg"  # the first one's name comes back with it
    assert owners(keeper.identifier) == before | {again: "Bella"} == whose(keeper.database)


def test_several_keepers_write_in_turns(keeper: Keeper, tmp_path: Path) -> None:
    other = Keeper.open(keeper.folder)
    assert keeper.identifier.gallery.images == other.identifier.gallery.images
    names = ["n_1", "n_1", "Bella", "Bella", "n_2", "Kai"]
    for number, name in enumerate(names):
        enroll((keeper, other)[number % 2], written(tmp_path, 30 + number, 0), name)
    assert owners(keeper.identifier) == owners(other.identifier) == whose(keeper.database)
    with pytest.raises(ProblemsError, match=r"in the gallery already, as 35-0.jpg of Kai"):
        enroll(keeper, written(tmp_path, 35, 0), "n_3")


def test_what_another_one_enrolled_meanwhile_is_told(keeper: Keeper, tmp_path: Path) -> None:
    other = Keeper.open(keeper.folder)
    assert len(keeper.identifier.gallery) == len(other.identifier.gallery)
    photo = written(tmp_path, 30, 0)
    enroll(other, photo, "Bella")
    rename(other.database, "Bella", "Kai", ANA, new_label=NEW)
    for name in ("n_1", None):
        with pytest.raises(ProblemsError, match=r"in the gallery already, as 30-0.jpg of Kai"):
            enroll(keeper, photo, name)
    near = tmp_path / "near.jpg"
    near.write_bytes(jpeg(frame(30, 0), 85))
    with pytest.raises(
        ProblemsError, match=r"looks like photo 30-0.jpg of Kai, similarity (0.9|1.0)"
    ):
        enroll(keeper, near, "n_1")


def test_copies_are_sought_among_what_is_there_now(keeper: Keeper, tmp_path: Path) -> None:
    photo = written(tmp_path, 30, 0)
    image = enroll(keeper, photo, "Bella")
    assert keeper.identifier.kept is not None
    event = remove_photographs(keeper.database, [image], ANA)
    with pytest.raises(FlukeprintError, match="no photographs"):
        remove_photographs(keeper.database, [image], ANA)
    dry = Note("ana", dry_run=True)
    keeper.enroll([NewPhotograph.of_file(photo, "n_1")], dry)  # it is not there any more
    assert image not in keeper.identifier.gallery.images
    undo(keeper.database, ANA, event.id)
    with pytest.raises(ProblemsError, match="in the gallery already"):
        keeper.enroll([NewPhotograph.of_file(photo, "n_1")], dry)


def test_near_copies_are_told_and_other_frames_are_not(keeper: Keeper, tmp_path: Path) -> None:
    held = keeper.folder.parent / "held"
    for animal in range(20, 26):
        enroll(keeper, written(held, animal, 0), f"n_{animal}")
    for animal in range(20, 26):
        saved, small = tmp_path / "saved.jpg", tmp_path / "small.jpg"
        saved.write_bytes(jpeg(cv2.imdecode(
            np.frombuffer((held / f"{animal}-0.jpg").read_bytes(), np.uint8), cv2.IMREAD_COLOR
        )[..., ::-1], 85))  # fmt: skip
        scaled = cv2.resize(frame(animal, 0), (160, 120), interpolation=cv2.INTER_AREA)
        small.write_bytes(jpeg(scaled))
        for copy in (saved, small):
            with pytest.raises(ProblemsError) as refusal:
                enroll(keeper, copy, "n_1")
            # The untrained network may take the re-saved one for the very same.
            said = re.escape(str(copy)) + (
                rf" (looks like photo|is in the gallery already, as) {animal}-0.jpg of n_{animal}"
            )
            assert re.match(said, str(refusal.value)), str(refusal.value)
        for number in range(1, 5):
            enroll(keeper, written(tmp_path, animal, number), f"n_{animal}")
    assert "with force it is enrolled" in str(refusal.value)
    enroll(keeper, small, "n_1", force=True)
    with pytest.raises(ProblemsError, match="in the gallery already"):
        enroll(keeper, small, "n_1", force=True)


def test_all_that_is_wrong_is_told_and_nothing_is_changed(keeper: Keeper, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"no photograph")
    before = bytes_of(keeper.folder), rows_of(keeper)
    photos = [NewPhotograph.of_file(path, "n_1") for path in (torn, tmp_path / "nowhere.jpg")]
    good = NewPhotograph.of_file(written(tmp_path, 30, 0), "n_1")
    with pytest.raises(ProblemsError) as refusal:
        keeper.enroll([good, *photos], ANA)
    assert len(refusal.value.problems) == 2
    twice = replace(good, told="again")
    with pytest.raises(ProblemsError, match="again is the same photo as"):
        keeper.enroll([good, twice], ANA)
    with pytest.raises(ProblemsError) as refusal:
        keeper.enroll(
            [replace(good, identity="N 1"), NewPhotograph.of_file(written(tmp_path, 31, 0), " ")],
            ANA,
        )
    assert len(refusal.value.problems) == 2
    with pytest.raises(ProblemsError, match="Bella"):
        keeper.enroll([replace(good, identity="Bella")], ANA, new=False)
    with pytest.raises(FlukeprintError, match="no photograph"):
        keeper.enroll([], ANA)
    assert (bytes_of(keeper.folder), rows_of(keeper)) == before


def test_a_dry_run_leaves_no_byte_and_no_row(keeper: Keeper, tmp_path: Path) -> None:
    photos = [
        NewPhotograph.of_file(written(tmp_path, 30, 0), "Bella"),
        NewPhotograph.of_file(written(tmp_path, 31, 0), None),
    ]
    before = bytes_of(keeper.folder), rows_of(keeper)
    tried = keeper.enroll(photos, Note("ana", dry_run=True))
    assert (bytes_of(keeper.folder), rows_of(keeper)) == before
    done = keeper.enroll(photos, ANA)
    assert (done.images, done.identities) == (tried.images, tried.identities)
    assert done.event.id == tried.event.id


def test_a_name_of_two_lines_is_kept_on_one(keeper: Keeper, tmp_path: Path) -> None:
    path = written(tmp_path, 30, 0).rename(tmp_path / "a\nb.jpg")
    assert enroll(keeper, path, "n_1") == "a b.jpg"
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.jpg"))
    written(tmp_path, 31, 0).rename(odd)
    enroll(keeper, odd, "n_1")
    assert owners(keeper.identifier) == whose(keeper.database)


# Changed.


def test_every_change_is_found_at_once(keeper: Keeper) -> None:
    first = owners(keeper.identifier)

    def now() -> dict[str, str | None]:
        assert owners(keeper.identifier) == whose(keeper.database)
        assert keeper.identifier.identities == tuple(sorted(set(whose(keeper.database).values())))
        return owners(keeper.identifier)

    def answer(animal: int) -> str:
        return str(keeper.identifier.identify([frame(animal, 0)]).identities[0][0])

    rename(keeper.database, "n_1", "Bella", ANA, new_label=NEW)
    assert answer(0) == "Bella"
    assert now()["g0-0.jpg"] == "Bella"
    merge(keeper.database, "n_2", "Bella", ANA)
    assert answer(0) == answer(1) == "n_2"
    assert "Bella" not in keeper.identifier.identities
    split(keeper.database, "n_2", ["g0-0.jpg", "g0-1.jpg"], "Kai", ANA, new_label=NEW)
    assert answer(0) == "Kai"
    move(keeper.database, ["g2-0.jpg"], "Kai", ANA, new_label=NEW)
    assert now()["g2-0.jpg"] == "Kai"
    remove_individual(keeper.database, "n_4", ANA)
    assert answer(3) != "n_4"
    assert not {"g3-0.jpg", "g3-1.jpg"} & set(now())
    remove_photographs(keeper.database, ["g4-0.jpg"], ANA)
    assert "g4-0.jpg" not in now()
    for _ in range(6):
        undo(keeper.database, ANA)
        now()
    assert now() == first


def test_taxonomy_and_card_go_with_a_renamed_class(keeper: Keeper, tmp_path: Path) -> None:
    rename(keeper.database, "n_1", "Bella", ANA, new_label=NEW)
    enroll(keeper, written(tmp_path, 30, 0), "Kai")
    shown = keeper.identifier.showcase
    assert shown is not None
    assert shown.taxonomy is not None
    assert shown.taxonomy.lineages["Bella"] == ("herd of n_1",)
    assert shown.taxonomy.lineages["Kai"] == (None,)
    assert "n_1" not in shown.taxonomy.lineages
    assert shown.cards["Bella"].name == "card of n_1"
    assert "n_1" not in shown.cards
    undo(keeper.database, ANA)
    undo(keeper.database, ANA)
    shown = keeper.identifier.showcase
    assert shown is not None
    assert shown.cards["n_1"].name == "card of n_1"


def test_a_catalogue_without_photographs_says_so(keeper: Keeper) -> None:
    events = [remove_individual(keeper.database, f"n_{one}", ANA) for one in range(1, 6)]
    with pytest.raises(FlukeprintError, match="no photograph left; flukeprint undo"):
        assert keeper.identifier
    undo(keeper.database, ANA, events[0].id)
    assert keeper.identifier.identities == ("n_1",)


@pytest.mark.parametrize("backend", ["exact", "faiss_flat", "hnsw", "ivf_pq"])
def test_back_ends_find_what_is_there(tmp_path: Path, backend: str) -> None:
    folder = identifier(
        tmp_path, f"gallery.backend={backend}", "gallery.recall_at_5=0.01", animals=30, frames=3,
        pictures=False,
    )  # fmt: skip
    keeper = Keeper.open(folder)
    enroll(keeper, written(tmp_path, 50, 0), "Bella", force=True)
    remove_individual(keeper.database, "n_3", ANA)
    remove_photographs(keeper.database, ["g0-0.jpg", "g5-1.jpg"], ANA)
    move(keeper.database, ["g6-0.jpg"], "n_1", ANA, new_label=NEW)
    known = keeper.identifier
    assert len(known.gallery) == 91 - 3 - 2
    if backend == "exact":
        assert known.index is None
    else:
        assert isinstance(known.index, PresentRows)
    queries = known.embed([frame(animal, 8) for animal in range(10)] + [frame(50, 0)])
    found = known.prepared.gallery.search(queries, 5)
    scores = queries.vectors.astype(np.float64) @ known.gallery.vectors.T.astype(np.float64)
    if backend in ("exact", "faiss_flat"):  # the others promise no recall on so few photographs
        np.testing.assert_array_equal(found.rows, np.argsort(-scores, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(scores, found.rows, axis=1), atol=1e-6
    )
    assert known.identify([frame(50, 0)]).identities[0][0] == "Bella"
    assert "n_3" not in known.prepared.gallery.vocabulary


# Left by a process that died.


def test_rows_without_a_transaction_do_not_count(keeper: Keeper, tmp_path: Path) -> None:
    before = owners(keeper.identifier)
    gallery = keeper.folder / "gallery"
    for name in ("vectors.f32", "images.txt", "labels.i32", "identities.txt"):
        with (gallery / name).open("ab") as file:
            file.write(b"left by a process that died\n" * 9)
    assert owners(Identifier.load(keeper.folder)) == before
    enroll(keeper, written(tmp_path, 30, 0), "Bella")
    assert owners(Identifier.load(keeper.folder)) == before | {"30-0.jpg": "Bella"}
    with keeper.database.reading() as connection:
        store = connection.scalar(sa.select(catalogue.c.store))
    assert store is not None
    assert "left" not in (gallery / "identities.txt").read_text()  # the next one clears it


def test_a_writer_whose_server_is_gone_spoils_nothing(
    folder: Path, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction has ended without it, and another one wants to write to the same rows."""
    keeper = Keeper.open(folder, url=postgresql_url)
    other = Keeper.open(folder)
    assert keeper.identifier.gallery.images == other.identifier.gallery.images
    namespace = json.loads((folder / POINTER).read_text())["namespace"]
    photos = written(tmp_path, 40, 0), written(tmp_path, 41, 0)
    second = Thread(target=lambda: enroll(other, photos[1], "Kai"))
    write_at = module.write_at

    def slow(path: Path, start: int, data: bytes) -> None:
        if second.ident is None:
            with keeper.database.plain() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                    f"pid <> pg_backend_pid() AND query LIKE '%{namespace}%'"
                )
            second.start()
            second.join(1.0)
        write_at(path, start, data)

    monkeypatch.setattr(module, "write_at", slow)
    with pytest.raises(FlukeprintError, match=r"cannot be used: .*; nothing was changed"):
        enroll(keeper, photos[0], "Bella")
    second.join()
    known = Identifier.load(folder)
    assert owners(known) == whose(keeper.database)
    assert known.gallery.images[-1] == "41-0.jpg"
    np.testing.assert_allclose(known.gallery.vectors[-1], known.embed([photos[1]]).vectors[0])


def test_a_removed_photograph_that_came_again_is_not_brought_back_beside_it(
    keeper: Keeper, tmp_path: Path
) -> None:
    path = written(tmp_path, 40, 1)
    first = enroll(keeper, path, "w_new")
    gone = remove_photographs(keeper.database, [first], ANA)
    again = enroll(keeper, path, "w_new")
    assert again != first
    with pytest.raises(FlukeprintError, match=f"{first} is in the catalogue again, as {again}"):
        undo(keeper.database, ANA, gone.id)
    remove_photographs(keeper.database, [again], ANA)
    undo(keeper.database, ANA, gone.id)
    assert first in whose(keeper.database)


def test_a_database_that_lacks_parts_is_refused(keeper: Keeper, tmp_path: Path) -> None:
    enroll(keeper, written(tmp_path, 40, 1), "w_new")
    enroll(keeper, written(tmp_path, 41, 1), "w_other")
    with keeper.database.writing() as connection:
        first = connection.scalar(sa.select(sa.func.min(parts.c.row)))
        connection.execute(parts.delete().where(parts.c.row == first))
    with pytest.raises(FlukeprintError, match="lacks parts of photographs"):
        Identifier.load(keeper.folder)
