"""Enrolling over HTTP: the token, the gallery in memory and on disk, failures and restarts."""

import io
import json
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from PIL import Image

from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.records.journal import Note
from tests.serving.api.http_client import (
    BEARER,
    SECRET,
    connected,
    form,
    head,
    post,
    refused,
    secretive,
    snapshot,
    well,
)
from tests.serving.served import TOKEN, Served, answer, copied, photo, served


@pytest.fixture(scope="module")
def growing(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that enrolls, with a copy of the identifier."""
    with served(copied(identifier, tmp_path_factory.mktemp("growing")), enroll=True) as running:
        yield running


def folder_of(growing: Served) -> Path:
    arguments = Path(f"/proc/{growing.process.pid}/cmdline").read_text().split("\0")
    return Path(arguments[arguments.index("--identifier") + 1])


def enroll(
    client: httpx2.Client,
    identity: str,
    *photos: bytes,
    keep: str = "yes",
    token: Any = BEARER,
    **more: str,
) -> httpx2.Response:
    fields = {"identity": identity, "keep_photos": keep, **more}
    return post(client, "enroll", *photos, data=fields, headers=token)


def rows_of(client: httpx2.Client, identity: str) -> list[int]:
    places = well(client.get("/v1/map"))
    return [row for row, name in zip(places["photos"], places["identities"], strict=True)
            if name == identity]  # fmt: skip


def test_enrolling_needs_the_token(growing: Served) -> None:
    before = snapshot(folder_of(growing))
    with connected(growing) as client:
        for token in (
            {},
            {"Authorization": TOKEN},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Bearer"},
        ):
            answered = enroll(client, "w_1", photo(70), token=token)
            assert TOKEN not in refused(answered, 401, "unauthorized")
            assert answered.headers["www-authenticate"] == "Bearer"
    assert snapshot(folder_of(growing)) == before


def test_an_individual_is_enrolled_and_found(growing: Served, known: Identifier) -> None:
    with connected(growing) as client:
        assert well(client.get("/v1/about"))["enroll"]
        count = well(client.get("/v1/about"))["photos"]
        classes = well(client.get("/v1/classes"))["total"]
        assert well(enroll(client, "  Ñandú 7 ", secretive(), photo(71, 1)), 201) == {
            "identity": "Ñandú 7", "photos": 2, "classes": classes + 1, "gallery": count + 2,
            "event": 2,
        }  # fmt: skip
        assert well(enroll(client, "Ñandú 7", photo(71, 2), keep="no"), 201)["photos"] == 3
        for data in (secretive(), photo(71, 1), photo(71, 2)):
            first = well(post(client, "identify", data))["answers"][0]
            assert first["identity"] == "Ñandú 7"
            assert first["score"] == pytest.approx(1, abs=1e-5)
        rows = rows_of(client, "Ñandú 7")
        assert rows == [count, count + 1, count + 2]
        told = {
            one["identity"]: one for one in well(client.get("/v1/classes?limit=500"))["classes"]
        }
        assert told["Ñandú 7"] == {
            "identity": "Ñandú 7", "photos": 3, "photo": count, "card": None
        }  # fmt: skip
        small = client.get(f"/v1/photos/{rows[0]}").content
        assert SECRET.encode() not in small
        assert not Image.open(io.BytesIO(small)).getexif()
        refused(client.get(f"/v1/photos/{rows[2]}"), 404, "not_found")
    after = Identifier.load(folder_of(growing))
    assert after.showcase is not None
    assert [after.showcase.thumbnails[row] is None for row in rows] == [False, False, True]
    assert after.gallery.vectors[:count].tolist() == known.gallery.vectors.tolist()
    files = [path for path in folder_of(growing).rglob("*") if path.is_file()]
    whole = b"".join(path.read_bytes() for path in files)
    assert SECRET.encode() not in whole
    assert photo(71, 2)[-400:-100] not in whole


def test_two_animals_of_one_photograph_are_enrolled(growing: Served) -> None:
    wide = Image.new("RGB", (400, 200), "grey")
    for place, animal in ((20, 601), (220, 502)):
        wide.paste(Image.open(io.BytesIO(photo(animal, 1, 160))).resize((160, 160)), (place, 20))
    data = io.BytesIO()
    wide.save(data, "PNG")
    boxes = ["0.05,0.1,0.4,0.8", "0.55,0.1,0.4,0.8"]
    with connected(growing) as client:
        for name, box in zip(("left one", "right one"), boxes, strict=True):
            well(enroll(client, name, data.getvalue(), box=box), 201)
        for name, box in zip(("left one", "right one"), boxes, strict=True):
            asked = post(client, "identify", data.getvalue(), data={"box": box})
            first = well(asked)["answers"][0]
            assert first["identity"] == name
            assert first["score"] == pytest.approx(1, abs=1e-5)
        shown = well(post(client, "embed", data.getvalue(), data={"box": boxes[0]}))
        cut = wide.crop((20, 20, 180, 180))
        alone = io.BytesIO()
        cut.save(alone, "PNG")
        same = well(post(client, "embed", alone.getvalue()))
        one, other = (answer["embeddings"][0] for answer in (shown, same))
        assert one == pytest.approx(other, abs=1e-4)
        pair = {"data": {"box": [boxes[0], "0,0,1,1"]}}
        verdict = well(post(client, "verify", data.getvalue(), alone.getvalue(), **pair))
        assert verdict["score"] == pytest.approx(1, abs=1e-4)
        refused(enroll(client, "third", data.getvalue(), box="0,0,2,1"), 422, "invalid")
        refused(post(client, "verify", data.getvalue(), data.getvalue(), data={"box": "0,0,1,1"}),
                422, "invalid")  # fmt: skip


def test_a_nearly_known_name_needs_force(growing: Served) -> None:
    with connected(growing) as client:
        well(enroll(client, "Jos\u00e9 8", photo(301)), 201)
        said = refused(enroll(client, "jos\u00e9_8", photo(302)), 409, "conflict")
        assert "knows this name as Jos\u00e9 8" in said
        refused(enroll(client, "jos\u00e9_8", photo(302), force="maybe"), 422, "invalid")
        same = well(enroll(client, "Jose\u0301 8", photo(302)), 201)
        assert (same["identity"], same["photos"]) == ("Jos\u00e9 8", 2)
        other = well(enroll(client, "jos\u00e9_8", photo(303), force="yes"), 201)
        assert (other["identity"], other["photos"]) == ("jos\u00e9_8", 1)


def test_what_cannot_be_enrolled_changes_nothing(growing: Served) -> None:
    with connected(growing) as client:
        well(enroll(client, "w_72", photo(72), force="yes"), 201)
        before = snapshot(folder_of(growing))
        about = well(client.get("/v1/about"))
        assert "already" in refused(enroll(client, "w_73", photo(72)), 409, "conflict")
        assert "same photo" in refused(enroll(client, "w_73", *[photo(73)] * 2), 409, "conflict")
        assert "new_whale" in refused(enroll(client, "new_whale", photo(73)), 422, "invalid")
        for name in ("", "   ", "two\nlines", "bell\a", "x" * 1001, "\u202eevil"):
            assert "identity" in refused(enroll(client, name, photo(73)), 422, "invalid")
        assert "yes or no" in refused(enroll(client, "w", photo(73), keep="maybe"), 422, "invalid")
        data = {"identity": "w_73"}
        lacking = post(client, "enroll", photo(73), data=data, headers=BEARER)
        assert "keep_photos" in refused(lacking, 422, "invalid")
        refused(enroll(client, "w_73", photo(73), photo(74)[:-90]), 422, "damaged_photograph")
        refused(enroll(client, "w_73", b"x"), 415, "not_a_photograph")
        assert well(client.get("/v1/about")) == about
    assert snapshot(folder_of(growing)) == before


def test_a_full_disk_is_told_and_nothing_changes(growing: Served) -> None:
    folder = folder_of(growing)
    limits = resource.prlimit(growing.process.pid, resource.RLIMIT_FSIZE)
    with connected(growing) as client:
        before, about = snapshot(folder.parent), well(client.get("/v1/about"))
        resource.prlimit(growing.process.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            said = refused(enroll(client, "w_75", photo(75)), 500, "internal")
        finally:
            resource.prlimit(growing.process.pid, resource.RLIMIT_FSIZE, limits)
        assert str(folder) not in said
        assert "catalogue.db cannot be used: disk I/O error" in growing.said()  # the log says why
        assert snapshot(folder.parent) == before
        assert well(client.get("/v1/about")) == about
        assert well(post(client, "identify", photo(75)))
        well(enroll(client, "w_75", photo(75), force="yes"), 201)


def test_enrolments_at_once_are_all_kept(growing: Served) -> None:
    def add(number: int) -> None:
        with connected(growing) as client:
            well(enroll(client, f"many_{number}", photo(80 + number), force="yes"), 201)
            assert well(post(client, "identify", photo(80 + number)))["answers"]

    with connected(growing) as client, ThreadPoolExecutor(4) as pool:
        before = well(client.get("/v1/about"))["photos"]
        list(pool.map(add, range(6)))
        assert well(client.get("/v1/about"))["photos"] == before + 6
        found = [well(post(client, "identify", photo(80 + i)))["answers"][0] for i in range(6)]
    assert [one["identity"] for one in found] == [f"many_{number}" for number in range(6)]
    assert set(Identifier.load(folder_of(growing)).identities) >= {f"many_{i}" for i in range(6)}


def test_what_other_processes_enroll_is_kept_and_answered(growing: Served) -> None:
    folder = folder_of(growing)
    with connected(growing) as client:
        count = well(client.get("/v1/about"))["photos"]
        given = NewPhotograph(photo(76), "photo 76", "76.jpg", "from elsewhere")
        Keeper.open(folder).enroll([given], Note("ana"), force=True)
        told = well(enroll(client, "from here", photo(77), force="yes"), 201)
        assert told["gallery"] == count + 2
        first = well(post(client, "identify", photo(76)))["answers"][0]
        assert first["identity"] == "from elsewhere"
    names = Identifier.load(folder).gallery.identities
    assert names[count:] == ("from elsewhere", "from here")


def test_what_has_begun_is_finished_and_survives_a_restart(
    growing: Served, known: Identifier, tmp_path: Path
) -> None:
    """SIGTERM in the middle of an upload, then another server on the folder, with other cards."""
    folder = folder_of(growing)
    fields = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % pair
        for pair in ((b"identity", b"late"), (b"keep_photos", b"yes"))
    )
    body = fields + form(photo(90))
    with growing.dial() as line:
        line.sendall(head(body, "enroll", f"Authorization: Bearer {TOKEN}") + body[:300])
        time.sleep(0.7)
        growing.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert growing.process.poll() is None
        with pytest.raises(OSError):
            growing.dial().close()  # nobody new is let in
        line.sendall(body[300:])
        status, _, said = answer(line)
    assert (status, json.loads(said)["identity"]) == (201, "late")
    assert growing.process.wait(30) in (0, -signal.SIGTERM)
    assert "Traceback" not in growing.said()

    first = known.identities[0]
    (tmp_path / "cards.csv").write_text(
        f"class,name,rank\n{first},Alius nomen,species\nlate,Late,x\n"
    )
    rows = "".join(f"{name},Tribus\n" for name in known.identities)
    (tmp_path / "taxonomy.csv").write_text(f"class,tribe\n{rows}")
    settings = {
        "cards": str(tmp_path / "cards.csv"),
        "taxonomy": {"table": str(tmp_path / "taxonomy.csv"), "confidence": 0.9},
        "serve": {"title": "Other shapes"},
    }
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(settings))
    with (
        served(folder, "--config", str(tmp_path / "other.yaml")) as again,
        connected(again) as client,
    ):
        about = well(client.get("/v1/about"))
        assert about["title"] == "Other shapes"
        assert (about["ranks"], about["confidence"]) == (["tribe"], 0.9)
        assert not about["enroll"]
        found = well(post(client, "identify", photo(90)))
        assert found["answers"][0]["identity"] == "late"
        told = well(client.get("/v1/classes?limit=500"))["classes"]
        named = {one["identity"]: one["card"]["name"] for one in told if one["card"]}
        assert named == {first: "Alius nomen", "late": "Late"}
        lineages = {one["identity"]: one["card"]["lineage"] for one in told if one["card"]}
        assert lineages == {first: {"tribe": "Tribus"}, "late": {}}
        placed = well(post(client, "identify", photo(7, 7)))["placement"]
        assert placed is None or placed["rank"] in ("class", "tribe", None)
