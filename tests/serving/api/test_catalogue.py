"""A served catalogue that other processes change: what they do is in the next answers."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from flukeprint.config.ranking import GalleryConfig
from flukeprint.identifier.build import build_index_again
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records import edits, lookup
from flukeprint.records.database import Database
from flukeprint.records.journal import Note, undo
from tests.serving.api.http_client import BEARER, connected, post, refused, well
from tests.serving.served import Served, copied, photo, served

NOTE = Note("ana", "by hand")
NEW = "new_whale"


@pytest.fixture(scope="module")
def folder(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(identifier, tmp_path_factory.mktemp("catalogue"))


@pytest.fixture(scope="module")
def growing(folder: Path) -> Iterator[Served]:
    """A server that enrolls, with a copy of the identifier."""
    with served(folder, enroll=True) as running:
        yield running


@pytest.fixture
def client(growing: Served) -> Iterator[httpx2.Client]:
    with connected(growing) as client:
        yield client


def enroll(client: httpx2.Client, identity: str, data: bytes, **more: str) -> httpx2.Response:
    fields = {"identity": identity, "keep_photos": "yes", **more}
    return post(client, "enroll", data, data=fields, headers=BEARER)


def until(shown: Callable[[], bool]) -> None:
    """Ask again until the server shows what another process has done."""
    end = time.monotonic() + 60
    while not shown():
        assert time.monotonic() < end, "what others changed is not shown"
        time.sleep(0.1)


def names(client: httpx2.Client) -> list[str]:
    return [one["identity"] for one in well(client.get("/v1/classes?limit=500"))["classes"]]


def first(client: httpx2.Client, data: bytes) -> str:
    return str(well(post(client, "identify", data))["answers"][0]["identity"])


def test_the_history_says_who_enrolled(client: httpx2.Client, folder: Path) -> None:
    well(enroll(client, "w_400", photo(400), force="yes"), 201)
    well(enroll(client, "w_401", photo(401), force="yes", author="  Zoë of the ship "), 201)
    refused(enroll(client, "w_402", photo(402), author=" "), 422, "invalid")
    with Database.open(folder).reading() as connection:
        told = {event.summary: event for event in lookup.history(connection)}
        photos = lookup.list_photographs(connection)[-2:]
    assert told["1 photograph of w_400 enrolled"].author == "web"
    assert told["1 photograph of w_401 enrolled"].author == "Zoë of the ship"
    assert [(one.individual, one.decided_by, one.decider) for one in photos] == [
        ("w_400", "person", "web"), ("w_401", "person", "Zoë of the ship"),
    ]  # fmt: skip


def test_a_copy_that_was_saved_again_needs_force(client: httpx2.Client) -> None:
    well(enroll(client, "w_410", photo(410, side=256), force="yes"), 201)
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(410, side=256))).resize((170, 170)).save(file, "JPEG", quality=85)
    said = refused(enroll(client, "w_411", file.getvalue()), 409, "conflict")
    assert "looks like photo" in said
    assert "of w_410, similarity 0.9" in said or "of w_410, similarity 1.0" in said
    assert "w_411" not in names(client)
    assert well(enroll(client, "w_411", file.getvalue(), force="yes"), 201)["photos"] == 1
    again = refused(enroll(client, "w_411", file.getvalue(), force="yes"), 409, "conflict")
    assert "in the gallery already" in again


def test_a_rename_and_a_merge_by_others_are_shown_and_taken_back(
    client: httpx2.Client, folder: Path
) -> None:
    well(enroll(client, "w_420", photo(420), force="yes"), 201)
    well(enroll(client, "w_421", photo(421), force="yes"), 201)
    database = Database.open(folder)
    edits.rename(database, "w_420", "Bella", NOTE, new_label=NEW)
    until(lambda: first(client, photo(420)) == "Bella")
    assert "w_420" not in names(client)
    edits.merge(database, "Bella", "w_421", NOTE)
    until(lambda: first(client, photo(421)) == "Bella")
    # The name that it had is still its own: what is enrolled by it is Bella's.
    told = well(enroll(client, "w_421", photo(421, 1), force="yes"), 201)
    assert (told["identity"], told["photos"]) == ("Bella", 3)
    assert "w_421" in refused(enroll(client, " W-421 ", photo(421, 2)), 409, "conflict")
    undo(database, NOTE)
    undo(database, NOTE)
    until(lambda: first(client, photo(421)) == "w_421")
    assert first(client, photo(420)) == "Bella"


def test_what_is_removed_disappears_and_numbers_stay(client: httpx2.Client, folder: Path) -> None:
    well(enroll(client, "w_430", photo(430), force="yes"), 201)
    well(enroll(client, "w_431", photo(431), force="yes"), 201)
    places = well(client.get("/v1/map"))
    numbers = dict(zip(places["identities"], places["photos"], strict=True))
    gone, stays = numbers["w_430"], numbers["w_431"]
    pictures = {n: client.get(f"/v1/photos/{n}").content for n in (0, gone, stays)}
    total = well(client.get("/v1/about"))["photos"]
    database = Database.open(folder)
    edits.remove_individual(database, "w_430", NOTE)
    until(lambda: "w_430" not in names(client))
    assert well(client.get("/v1/about"))["photos"] == total - 1
    refused(client.get(f"/v1/photos/{gone}"), 404, "not_found")
    refused(client.get(f"/v1/photos/{gone}/similar"), 404, "not_found")
    assert gone not in well(client.get("/v1/map"))["photos"]
    found = well(post(client, "identify", photo(430)))["answers"]
    assert "w_430" not in [one["identity"] for one in found]
    assert gone not in [near["photo"] for one in found for near in one["photos"]]
    for number in (0, stays):
        assert client.get(f"/v1/photos/{number}").content == pictures[number]
    one = {one["identity"]: one for one in well(client.get("/v1/classes?limit=500"))["classes"]}
    assert one["w_431"]["photo"] == stays
    near = well(client.get(f"/v1/photos/{stays}/similar?most=48"))
    assert (near["photo"], near["identity"]) == (stays, "w_431")
    by = Identifier.load(folder)
    rows = [by.row_of(each["photo"]) for each in near["similar"]]
    assert None not in rows
    assert [each["identity"] for each in near["similar"]] == [
        by.gallery.identities[row] for row in rows if row is not None
    ]
    found = well(post(client, "identify", photo(431)))["answers"][0]
    assert (found["identity"], found["photos"][0]["photo"]) == ("w_431", stays)
    undo(database, NOTE)
    until(lambda: "w_430" in names(client))
    assert client.get(f"/v1/photos/{gone}").content == pictures[gone]


def test_what_others_enroll_is_shown_without_an_enrolment_here(
    client: httpx2.Client, folder: Path
) -> None:
    given = NewPhotograph(photo(440), "photo 440", "440.jpg", "w_440")
    Keeper.open(folder).enroll([given], NOTE, force=True)
    until(lambda: first(client, photo(440)) == "w_440")


def test_an_index_that_others_build_changes_no_answer(client: httpx2.Client, folder: Path) -> None:
    pytest.importorskip("faiss")
    before = well(post(client, "identify", photo(3)))
    known = build_index_again(folder, GalleryConfig(backend="hnsw"))
    assert known.index is not None
    well(enroll(client, "w_450", photo(450), force="yes"), 201)
    assert first(client, photo(450)) == "w_450"
    after = well(post(client, "identify", photo(3)))
    assert after["answers"][0]["identity"] == before["answers"][0]["identity"]
    again = Identifier.load(folder)
    assert again.index is not None
    assert "w_450" in again.identities


def test_nothing_of_it_went_wrong(growing: Served) -> None:
    assert "Traceback" not in growing.said()
    assert "cannot be followed" not in growing.said()
