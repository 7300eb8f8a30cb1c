"""A served catalogue with dated photographs, and three people with tokens."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.journal import Note
from flukeprint.records.kinds import Encounter, Moment, Position
from flukeprint.serving.people import ROLES, give_token
from tests.serving.api.http_client import connected
from tests.serving.served import Served, copied, photo, served

# name, seed, date, place, view
SHOTS = (
    ("Nandí", 500, 0, "2026-05-12T13:55", "Rincón del Río", "left"),
    ("Nandí", 500, 1, "2026-06-04", "water hole", "right"),
    ("Kai", 501, 0, "2026-06-04", "water hole", "left"),
    ("Kai", 501, 1, "2025", "water hole", "left"),
    ("Zoe", 502, 0, None, None, None),
)


@pytest.fixture(scope="package")
def kept(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an identifier with a catalogue."""
    root = tmp_path_factory.mktemp("kept")
    folder = copied(identifier, root)
    keeper = Keeper.open(folder, author="ana")
    photos = []
    for name, animal, seed, date, place, view in SHOTS:
        path = root / f"{name}-{seed}.jpg"
        path.write_bytes(photo(animal, seed, 400))
        encounter = None
        if date is not None:
            encounter = Encounter(0, Moment(date), Position(-27.0, 32.4), place)
        photos.append(NewPhotograph(path, str(path), path.name, name, encounter, view))
    keeper.enroll(photos, Note("ana", "spring survey"), force=True)
    return folder


@pytest.fixture(scope="package")
def tokens(kept: Path) -> dict[str, str]:
    file = kept.parent / "people.csv"
    return {role: give_token(file, f"the {role}", role) for role in ROLES}


@pytest.fixture(scope="package")
def team(kept: Path, tokens: dict[str, str]) -> Iterator[Served]:
    """A server for three people: the look, the review and the keep."""
    with served(kept, f"serve.people={kept.parent / 'people.csv'}") as running:
        yield running


@pytest.fixture(scope="package")
def people(team: Served, tokens: dict[str, str]) -> Iterator[dict[str, httpx2.Client]]:
    """A client of each, by role."""
    clients = {}
    for role, token in tokens.items():
        clients[role] = connected(team)
        clients[role].headers["Authorization"] = f"Bearer {token}"
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture
def looks(people: dict[str, httpx2.Client]) -> httpx2.Client:
    return people["look"]


@pytest.fixture
def keeps(people: dict[str, httpx2.Client]) -> httpx2.Client:
    return people["keep"]


@pytest.fixture
def reviews(people: dict[str, httpx2.Client]) -> httpx2.Client:
    return people["review"]
