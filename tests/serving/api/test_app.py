"""The service over real HTTP, beside the identifier that was loaded from the same folder."""

import base64
import contextlib
import csv
import hashlib
import io
import json
import re
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pillow_heif
import pytest
import uvicorn
import yaml
from fastapi.testclient import TestClient
from PIL import Image

from flukeprint import cli
from flukeprint.config.schema import ServeConfig
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.verdict import Verdict
from flukeprint.serving.server import Connection, _listen, assemble
from flukeprint.serving.service import Service
from tests.serving.served import TOKEN, Served, answer, make_identifier, photo, served

SECRET = "sECRETsECRET"  # of photographs and their names; nobody repeats it
POSITION = (41.0, 24.0, 12.34)
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WORK = ("identify", "embed", "verify")
LIMITS = (
    "serve.photo_bytes=200000", "serve.photo_pixels=100000", "serve.photos=2",
    "serve.request_bytes=300000", "serve.queue=1", "serve.rate=60",
    "serve.cors=[https://whales.example]",
)  # fmt: skip


@pytest.fixture(scope="module")
def identifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_identifier(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def known(identifier: Path) -> Identifier:
    known = Identifier.load(identifier)
    known.warm_up()  # as the service does
    return known


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only folder for temporary files that the server knows."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def server(identifier: Path, scratch: Path) -> Iterator[Served]:
    with served(identifier, environment={"TMPDIR": str(scratch)}) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Served) -> Iterator[httpx2.Client]:
    with connected(server) as client:
        yield client


@pytest.fixture(scope="module")
def limited(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with low limits and examples of its own, open to another site."""
    examples = tmp_path_factory.mktemp("examples")
    (examples / "a.jpg").write_bytes(secretive())
    (examples / "b.png").write_bytes(noise(99))
    (examples / "notes.txt").write_text("no photograph")
    with served(identifier, *LIMITS, f"serve.examples={examples}") as running:
        yield running


@pytest.fixture(scope="module")
def growing(identifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that enrolls, into a folder of its own."""
    folder = tmp_path_factory.mktemp("growing") / "identifier"
    shutil.copytree(identifier, folder)
    with served(folder, enroll=True) as running:
        yield running


def folder_of(growing: Served) -> Path:
    arguments = Path(f"/proc/{growing.process.pid}/cmdline").read_text().split("\0")
    return Path(arguments[arguments.index("--identifier") + 1])


def connected(server: Served, at: str | None = None) -> httpx2.Client:
    """A client, whose address may be another one of this machine."""
    transport = httpx2.HTTPTransport(local_address=at)
    return httpx2.Client(base_url=server.url, timeout=60, transport=transport)


def post(
    client: httpx2.Client, work: str, *photos: bytes, name: str = "photos", **more: Any
) -> httpx2.Response:
    files = [(name, (f"{SECRET}.jpg", data, f"image/{SECRET}")) for data in photos]
    return client.post(f"/v1/{work}", files=files, **more)


def well(answered: httpx2.Response, status: int = 200) -> Any:
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/json"
    return answered.json()


def refused(answered: httpx2.Response, status: int, kind: str) -> str:
    """The detail of a problem."""
    assert answered.status_code == status, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.headers["x-content-type-options"] == "nosniff"
    problem = answered.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["type"] == f"urn:flukeprint:problem:{kind}"
    return str(problem["detail"])


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Of each file when it was written and what it holds."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in folder.rglob("*")
        if path.is_file()
    }  # fmt: skip


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def noise(side: int, seed: int = 0) -> bytes:
    """A picture that does not compress: 3 bytes a pixel."""
    return png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


# Answers ----------------------------------------------------------------------------------------


def expected(verdict: Verdict, photos: int, new_label: str) -> dict[str, Any]:
    """What the API says of a verdict, in plain words."""
    names = verdict.ranking.identities[0]
    chances: Any = verdict.probabilities or [None] * len(names)
    placed = verdict.placement
    return {
        "photos": photos,
        "unknown": verdict.outside or names[0] is None,
        "verdict": "outside" if verdict.outside else "new" if names[0] is None else "known",
        "answers": [
            {
                "identity": name,
                "label": name or new_label,
                "score": score,
                "probability": chance,
                "photos": [{"photo": near.row, "score": near.score} for near in nearest],
            }
            for name, score, chance, nearest in zip(
                names, verdict.ranking.scores[0].tolist(), chances, verdict.nearest, strict=True
            )
        ],
        "probability_unknown": verdict.new,
        "closeness": verdict.nearest_cosine,
        "placement": None
        if placed is None
        else {"rank": placed.rank, "name": placed.name, "probability": placed.probability},
    }


def test_a_photograph_is_judged_to_the_digit(client: httpx2.Client, known: Identifier) -> None:
    asked = [photo(identity, 7) for identity in range(0, 60, 3)] + [noise(48)]
    kinds = Counter()
    for data in asked:
        verdict = known.judge([data])[0]
        found = well(post(client, "identify", data))
        assert found == expected(verdict, 1, known.card.new_label)
        ranking = known.identify([data])
        assert [one["identity"] for one in found["answers"]] == list(ranking.identities[0])
        assert [one["score"] for one in found["answers"]] == ranking.scores[0].tolist()
        kinds[found["verdict"]] += 1
    assert set(kinds) == {"known", "new", "outside"}


def test_photographs_of_one_encounter_are_one_answer(
    client: httpx2.Client, known: Identifier
) -> None:
    several = [photo(5, seed) for seed in range(4)]
    verdict = known.judge_encounter(known.examine(several))
    found = well(post(client, "identify", *several))
    assert found == expected(verdict, 4, known.card.new_label)
    assert found["answers"] != well(post(client, "identify", several[0]))["answers"]
    assert well(post(client, "identify", several[0], name="photo"))["photos"] == 1


def test_embeddings_are_the_identifiers(client: httpx2.Client, known: Identifier) -> None:
    several = [photo(1, 1), photo(2, 2), photo(3, 3)]
    found = well(post(client, "embed", *several))
    assert found["model"] == known.card.stamp
    assert np.array_equal(np.float32(found["embeddings"]), known.embed(several).vectors)
    assert np.linalg.norm(found["embeddings"], axis=1) == pytest.approx(1, abs=1e-6)


def test_a_pair_is_compared_alike_both_ways(client: httpx2.Client, known: Identifier) -> None:
    same = []
    for one, other in ((photo(8, 0), photo(8, 1)), (photo(8, 0), photo(9, 0)), (photo(8, 0),) * 2):
        score, point = known.verify(known.examine([one, other]), 0.01)
        found = well(post(client, "verify", one, other))
        assert found == {
            "same": score >= point.threshold,
            "score": score,
            "threshold": point.threshold,
            "false_accept_rate": point.false_accept,
            "false_reject_rate": point.false_reject,
        }
        assert point.false_accept <= 0.01
        back = well(post(client, "verify", other, one))
        assert back["score"] == pytest.approx(score, abs=1e-6)
        same.append(found["same"])
    assert same[-1]
    assert not all(same)


def test_classes_and_cards_are_those_of_the_tables(
    client: httpx2.Client, known: Identifier, identifier: Path
) -> None:
    tables = identifier.parents[3]
    with (tables / "cards.csv").open(newline="") as file:
        cards = {row["class"]: row for row in csv.DictReader(file)}
    with (tables / "taxonomy.csv").open(newline="") as file:
        lineages = {row.pop("class"): row for row in csv.DictReader(file)}
    names = list(known.gallery.identities)
    found = []
    while page := well(client.get(f"/v1/classes?offset={len(found)}&limit=23")):
        assert page["total"] == len(set(names))
        assert page["offset"] == len(found)
        if not page["classes"]:
            break
        found += page["classes"]
    assert [one["identity"] for one in found] == sorted(set(names))
    for one in found:
        name = one["identity"]
        assert one["photos"] == names.count(name)
        assert one["photo"] == names.index(name)
        row = cards.get(name)
        if row is None:
            assert one["card"] is None
            continue
        assert one["card"] == {
            "name": row["name"],
            "rank": "genus",
            "common_name": {"en": row["common_en"], "es": row["common_es"]},
            "lineage": lineages[name],
            "where": {"en": "In tests", "es": "En pruebas"},
            "medically_important": row["medical"] or None,
            "note": None,
            "credit": None,
        }
    assert sum(one["card"] is None for one in found) == 1


def test_similar_photographs_by_plain_arithmetic(client: httpx2.Client, known: Identifier) -> None:
    vectors = known.gallery.vectors.astype(np.float64)
    for row, most in ((0, 48), (60, 1), (len(vectors) - 1, 12)):
        cosines = vectors @ vectors[row]
        order = [i for i in np.argsort(-cosines, kind="stable").tolist() if i != row][:most]
        found = well(client.get(f"/v1/photos/{row}/similar?most={most}"))
        assert (found["photo"], found["identity"]) == (row, known.gallery.identities[row])
        assert [one["photo"] for one in found["similar"]] == order
        for one in found["similar"]:
            assert one["score"] == pytest.approx(cosines[one["photo"]], abs=1e-6)
            assert one["identity"] == known.gallery.identities[one["photo"]]


def test_pictures_and_map_are_the_showcases(client: httpx2.Client, known: Identifier) -> None:
    shown = known.showcase
    assert shown is not None
    for row in (0, 17, len(shown) - 1):
        picture = client.get(f"/v1/photos/{row}")
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.content == shown.thumbnails[row]
    assert well(client.get("/v1/examples")) == {"count": len(shown.examples)}
    for number in range(len(shown.examples)):
        assert client.get(f"/v1/examples/{number}").content == shown.examples[number]
    places = well(client.get("/v1/map"))
    assert places["photos"] == list(range(len(known.gallery)))
    assert places["identities"] == list(known.gallery.identities)
    drawn = np.stack([places["x"], places["y"]], axis=1)
    assert drawn == pytest.approx(shown.xy, abs=5.1e-5)


def test_about_tells_the_facts(client: httpx2.Client, known: Identifier) -> None:
    found = well(client.get("/v1/about"))
    card = known.card
    assert card.measured is not None
    assert card.verifier is not None
    assert card.outside is not None
    wanted = {
        "name": "shapes", "title": "shapes", "backbone": "test_resnet", "model": card.stamp,
        "embedding_dim": known.gallery.vectors.shape[1], "classes": len(known.identities),
        "photos": len(known.gallery), "thumbnails": True, "new_label": "new_whale",
        "threshold": card.threshold, "outside": card.outside.floor, "confidence": 0.5,
        "ranks": ["genus", "family"], "calibrated": True, "enroll": False,
        "max_bytes": 20 * 2**20, "max_pixels": 60_000_000, "max_photos": 8,
        "max_request_bytes": 64 * 2**20, "accuracy": json.loads(card.measured.model_dump_json()),
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert found["parameters"] == sum(p.numel() for p in known.net.parameters())
    assert found["verify"]["threshold"] == card.verifier.at(0.01).threshold
    assert {"JPEG", "HEIF", "AVIF"} <= set(found["formats"])
    assert well(client.get("/v1/health")) == {"status": "ok"}
    assert well(client.get("/v1/ready")) == {"status": "ready"}


def test_many_clients_at_once_are_answered_as_one_is(
    server: Served, client: httpx2.Client, known: Identifier
) -> None:
    asked = [[photo(i, 100 + k) for k in range(1 + i % 3)] for i in range(60)]
    alone = [well(post(client, "identify", *photos)) for photos in asked]

    def ask(part: int) -> list[Any]:
        with connected(server) as mine:
            return [well(post(mine, "identify", *photos)) for photos in asked[part::4]]

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(ask, range(4)))
    together = [parts[i % 4][i // 4] for i in range(len(asked))]  # none is lost
    for one, other in zip(alone, together, strict=True):
        assert [a["identity"] for a in one["answers"]] == [a["identity"] for a in other["answers"]]
        assert other["verdict"] == one["verdict"]
        for name in ("score", "probability"):
            both = ([answer[name] for answer in found["answers"]] for found in (one, other))
            assert next(both) == pytest.approx(next(both), abs=1e-6 if name == "score" else 1e-3)
        assert other["closeness"] == pytest.approx(one["closeness"], abs=1e-6)


# Photographs ------------------------------------------------------------------------------------


def test_a_telephones_photographs(client: httpx2.Client, known: Identifier) -> None:
    upright = Image.open(io.BytesIO(photo(4, 4, 48)))
    file = io.BytesIO()
    pillow_heif.from_pillow(upright).save(file, quality=90)
    verdict = known.judge([file.getvalue()])[0]
    assert well(post(client, "identify", file.getvalue())) == expected(verdict, 1, "new_whale")

    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned to the right by a quarter
    file = io.BytesIO()
    upright.save(file, "JPEG", exif=turned)
    stored = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    twin = well(post(client, "embed", png(np.rot90(stored, -1))))
    assert well(post(client, "embed", file.getvalue())) == twin
    assert well(post(client, "embed", png(stored))) != twin


def secretive() -> bytes:
    """A JPEG that tells of its place and of much more."""
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = SECRET
    exif.get_ifd(0x8825).update({1: "N", 2: POSITION, 3: "E", 4: POSITION})
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(2, 9))).save(file, "JPEG", exif=exif, comment=SECRET)
    assert SECRET.encode() in file.getvalue()
    return file.getvalue()


def test_nothing_of_a_photograph_is_told_or_logged(server: Served, client: httpx2.Client) -> None:
    good = secretive()
    damaged = [
        good[: len(good) // 2],
        b"\x89PNG\r\n\x1a\n" + SECRET.encode(),
        b"P3 9 9 255\n" + SECRET.encode() * 9,
        SECRET.encode(),
    ]
    said = [post(client, work, good, good) for work in WORK]
    assert [one.status_code for one in said] == [200] * 3
    said += [post(client, work, good, data) for work in WORK for data in damaged]
    said += [client.get(f"/v1/photos/{SECRET}"), client.get(f"/{SECRET}?{SECRET}={SECRET}")]
    said += [client.get(f"/v1/classes?limit={SECRET}"), client.post(f"/v1/{SECRET}")]
    said += [post(client, "identify", good, name=SECRET), post(client, "enroll", good)]
    said += [client.request(SECRET.upper(), "/v1/identify")]
    assert {one.status_code for one in said[3:]} <= {403, 404, 405, 415, 422}
    for one in said:
        assert SECRET.lower() not in (one.text + str(one.headers)).lower()
        assert "12.34" not in one.text
    assert len(server.lines()) == 2  # where page and API are


def test_nothing_is_written(
    server: Served, client: httpx2.Client, scratch: Path, identifier: Path
) -> None:
    """Not even to a file without a name: the server may not write a byte to any file."""
    before = snapshot(identifier.parents[3])
    large = noise(1000)
    assert len(large) > 3_000_000
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        for work in WORK:
            well(post(client, work, large, large))
        refused(post(client, "identify", large[:-9] + b"x", large[:9]), 422, "damaged_photograph")
        assert list(scratch.iterdir()) == []
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)
    assert snapshot(identifier.parents[3]) == before


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/photos/125", 404, "not_found"),
        ("GET", "/v1/photos/125/similar", 404, "not_found"),
        ("GET", "/v1/examples/6", 404, "not_found"),
        ("GET", "/docs-assets/nothing.js", 404, "not_found"),
        ("GET", "/v1/photos/-1", 422, "invalid"),
        ("GET", "/v1/photos/1e3", 422, "invalid"),
        ("GET", f"/v1/photos/{10**30}", 422, "invalid"),
        ("GET", "/v1/photos/1/similar?most=49", 422, "invalid"),
        ("GET", "/v1/classes?offset=-1", 422, "invalid"),
        ("GET", "/v1/classes?limit=501", 422, "invalid"),
        ("GET", "/v1/classes?limit=", 422, "invalid"),
        ("GET", "/v1/identify", 405, "method_not_allowed"),
        ("PUT", "/v1/identify", 405, "method_not_allowed"),
        ("POST", "/v1/health", 405, "method_not_allowed"),
        ("POST", "/v1/identify", 415, "unsupported_media_type"),
        ("POST", "/v1/enroll", 403, "forbidden"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    client: httpx2.Client, method: str, path: str, status: int, kind: str
) -> None:
    answered = client.request(method, path)
    assert refused(answered, status, kind)
    if status == 405:
        assert answered.headers["allow"] in ("GET", "POST")


def test_wrong_photographs_are_told_from_each_other(client: httpx2.Client) -> None:
    good = photo()
    for photos, status, kind, said in (
        ([], 415, "unsupported_media_type", "multipart"),
        ([good, b""], 422, "no_photograph", "photograph 2 is empty"),
        ([b"GIF89a"], 422, "damaged_photograph", "photograph 1 is damaged"),
        ([good, good[:-40]], 422, "damaged_photograph", "photograph 2 is damaged"),
        ([good] * 9, 422, "too_many_photographs", "at most 8"),
        ([good, b"no photograph"], 415, "not_a_photograph", "photograph 2 is not"),
        ([bytes(20 * 2**20 + 1)], 413, "too_many_bytes", "photograph 1 has more than 20 MiB"),
    ):
        assert said in refused(post(client, "identify", *photos), status, kind)
    for count in (1, 3):
        assert "two photographs" in refused(post(client, "verify", *[good] * count), 422, "invalid")
    form = {"files": [("photos", good), ("colour", b"red")]}
    assert "unknown part" in refused(client.post("/v1/identify", **form), 422, "invalid")


def test_limits_are_those_of_the_configuration(limited: Served) -> None:
    with connected(limited, "127.0.0.2") as client:
        about = well(client.get("/v1/about"))
        assert about["max_bytes"] == 200_000
        assert about["max_photos"] == 2
        assert "0.1907 MiB" in refused(
            post(client, "identify", bytes(200_001)), 413, "too_many_bytes"
        )
        assert "100000" in refused(
            post(client, "identify", noise(317)[:999]), 413, "too_many_pixels"
        )
        two = [noise(240, seed) for seed in range(2)]  # each is allowed, together they are not
        assert well(post(client, "identify", two[0]))
        assert "MiB" in refused(post(client, "identify", *two * 2), 413, "too_many_bytes")
        refused(post(client, "identify", *[photo()] * 3), 422, "too_many_photographs")


def test_examples_of_a_folder_tell_nothing_but_their_pixels(limited: Served) -> None:
    with connected(limited) as client:
        assert well(client.get("/v1/examples")) == {"count": 2}
        first, second = (client.get(f"/v1/examples/{number}").content for number in range(2))
        assert Image.open(io.BytesIO(second)).size == (99, 99)
        assert Image.open(io.BytesIO(first)).size == Image.open(io.BytesIO(secretive())).size
        assert SECRET.encode() not in first
        assert not Image.open(io.BytesIO(first)).getexif()


def test_an_identifier_that_knows_less_is_served_as_well(known: Identifier) -> None:
    """Without thumbnails, calibration, threshold and pairs: as an earlier version kept it."""
    nothing = dict.fromkeys(("calibration", "threshold", "verifier", "outside", "measured"))
    bare = replace(known, showcase=None, card=known.card.model_copy(update=nothing))
    with TestClient(assemble(Service(bare, ServeConfig()))) as client:
        about = client.get("/v1/about").json()
        for name in ("threshold", "outside", "confidence", "accuracy", "verify"):
            assert about[name] is None
        assert (about["thumbnails"], about["calibrated"], about["ranks"]) == (False, False, [])
        assert client.get("/v1/examples").json() == {"count": 0}
        for path in ("map", "photos/0", "examples/0"):
            assert client.get(f"/v1/{path}").status_code == 404
        files = [("photos", noise(48)), ("photos", photo())]
        assert client.post("/v1/verify", files=files).status_code == 409
        found = client.post("/v1/identify", files=files).json()
        assert found["verdict"] == "known"
        assert found["placement"] is found["probability_unknown"] is None
        assert len(found["answers"]) == 5
        for one in found["answers"]:
            assert one["identity"] == one["label"]
            assert one["probability"] is None


def form(*photos: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n%b\r\n'
            % data
            for data in photos
        )
        + end
    )


def head(body: bytes, work: str = "identify", *more: str) -> bytes:
    lines = [
        f"POST /v1/{work} HTTP/1.1", "Host: whales", f"Content-Length: {len(body)}",
        "Content-Type: multipart/form-data; boundary=x", *more,
    ]  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode()


def test_a_full_queue_says_when_to_come_back_and_loses_nobody(limited: Served) -> None:
    body = form(photo(3))
    with limited.dial("127.0.0.3") as line, connected(limited, "127.0.0.4") as other:
        line.sendall(head(body) + body[:100])  # holds the only place
        time.sleep(0.7)
        busy = post(other, "identify", photo(4))
        assert "try again" in refused(busy, 503, "busy")
        assert int(busy.headers["retry-after"]) >= 1
        assert well(other.get("/v1/health"))  # which costs nothing
        line.sendall(body[100:])
        status, headers, said = answer(line)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(said)["photos"] == 1
        assert well(post(other, "identify", photo(4)))


def test_a_hasty_address_waits_and_others_do_not(limited: Served) -> None:
    origin = {"Origin": "https://whales.example"}
    with connected(limited, "127.0.0.5") as hasty, connected(limited, "127.0.0.6") as other:
        said = [hasty.post("/v1/identify", headers=origin) for _ in range(70)]
        assert [one.status_code for one in said[:60]] == [415] * 60
        last = said[-1]
        assert "too many requests" in refused(last, 429, "rate_limited")
        assert 1 <= int(last.headers["retry-after"]) <= 2
        assert last.headers["access-control-allow-origin"] == "https://whales.example"
        assert "retry-after" in last.headers["access-control-expose-headers"].lower()
        pretence = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
        refused(hasty.post("/v1/identify", headers=pretence), 429, "rate_limited")
        assert well(post(other, "identify", photo()))
        assert well(hasty.get("/v1/about"))


# Browsers ---------------------------------------------------------------------------------------


def test_other_sites_may_call_only_where_they_are_named(
    client: httpx2.Client, limited: Served
) -> None:
    def ask(client: httpx2.Client, origin: str) -> tuple[httpx2.Response, httpx2.Response]:
        wish = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return (
            client.get("/v1/about", headers={"Origin": origin}),
            client.request("OPTIONS", "/v1/identify", headers=wish),
        )

    for one in ask(client, "https://whales.example"):
        assert not [name for name in one.headers if name.startswith("access-control")]
        assert one.headers["cross-origin-resource-policy"] == "same-origin"
    with connected(limited) as open_one:
        answered, before = ask(open_one, "https://whales.example")
        for one in (answered, before):
            assert one.status_code == 200
            assert one.headers["access-control-allow-origin"] == "https://whales.example"
            assert "access-control-allow-credentials" not in one.headers
        for one in ask(open_one, "https://elsewhere.example"):
            assert "access-control-allow-origin" not in one.headers


def test_every_answer_carries_the_security_headers(client: httpx2.Client, limited: Served) -> None:
    fixed = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }
    said = [
        client.get(path)
        for path in (
            "/", "/docs", "/docs-assets/swagger-ui.css", "/docs-assets/x", "/openapi.json",
            "/nothing", "/v1/about", "/v1/nothing", "/v1/photos/0", "/v1/photos/x",
            "/v1/identify", "/v1/identify/", "/_dash-layout", "/_dash-component-suites/dash/x.js",
        )
    ]  # fmt: skip
    said += [post(client, work, data) for work in WORK for data in (photo(), b"x", b"")]
    said += [client.post("/v1/identify"), client.post("/v1/enroll"), client.post("/")]
    said += [client.post("/v1/identify", content=bytes(65 * 2**20))]
    said += [client.post("/_dash-update-component", content=b"{")]
    with connected(limited) as other:
        said += [post(other, "identify", bytes(400_000))]
    statuses = {one.status_code for one in said}
    assert {200, 307, 400, 403, 404, 405, 413, 415, 422} == statuses
    for one in said:
        assert {name: one.headers.get(name) for name in fixed} == fixed, one.url
        policy = one.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "server" not in one.headers
        if one.url.path.startswith("/v1/"):
            assert "script-src" not in policy
            assert "cache-control" in one.headers


def test_the_docs_load_nothing_from_elsewhere(client: httpx2.Client) -> None:
    page = client.get("/docs")
    assert re.findall(r"https?:|\"//|'//", page.text) == []
    scripts = re.findall(r"<script(.*?)>(.*?)</script>", page.text, flags=re.DOTALL)
    inline = [text for attributes, text in scripts if "src=" not in attributes]
    digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
    assert len(inline) == 1
    assert f"script-src 'self' 'sha256-{digest}';" in page.headers["content-security-policy"]
    assert re.findall(r"<[^>]+ on\w+=", page.text) == []
    own = re.findall(r"(?:src|href)=\"(.*?)\"", page.text)
    assert len(own) == 3
    for path in own:
        assert path.startswith("/docs-assets/")
        assert client.get(path).status_code == 200
    assert "/v1/identify" in client.get(re.findall(r"url: '(.*?)'", page.text)[0]).json()["paths"]


@pytest.mark.parametrize(
    "path",
    [
        "/docs-assets/../../../pyproject.toml",
        "/docs-assets/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/docs-assets/%2e%2e/%2e%2e/etc/passwd",
        "/docs-assets//etc/passwd",
        "/assets/../server.py",
        "/assets/..%2fserver.py",
        "/assets/..%5c..%5cserver.py",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "/_dash-component-suites/dash/..%2f..%2fpip%2f__init__.py",
        "/_dash-component-suites/flukeprint/server.py",
        "/_dash-component-suites/os/..%2f..%2fetc%2fpasswd",
        "/v1/photos/..%2f..%2fetc%2fpasswd",
        "/v1/photos/0/../../../etc/passwd",
        "/v1/examples/..%00",
        "//etc/passwd",
        "/../../../../etc/passwd",
        "/%00",
        "/identifier.json",
    ],
)
def test_no_path_leads_out_of_what_is_served(server: Served, path: str) -> None:
    with server.dial() as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: whales\r\nConnection: close\r\n\r\n".encode())
        status, _, body = answer(line)
    assert status in (400, 404, 422)
    for word in (b"root:", b"import ", b"[project]", b"stamp"):
        assert word not in body


# Enrolling --------------------------------------------------------------------------------------


def enroll(
    client: httpx2.Client, identity: str, *photos: bytes, keep: str = "yes", token: Any = BEARER
) -> httpx2.Response:
    fields = {"identity": identity, "keep_photos": keep}
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


def test_what_cannot_be_enrolled_changes_nothing(growing: Served) -> None:
    with connected(growing) as client:
        well(enroll(client, "w_72", photo(72)), 201)
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
        assert "File too large" in growing.said()  # the log says why
        assert snapshot(folder.parent) == before
        assert well(client.get("/v1/about")) == about
        assert well(post(client, "identify", photo(75)))
        well(enroll(client, "w_75", photo(75)), 201)


def test_enrolments_at_once_are_all_kept(growing: Served) -> None:
    def add(number: int) -> None:
        with connected(growing) as client:
            well(enroll(client, f"many_{number}", photo(80 + number)), 201)
            assert well(post(client, "identify", photo(80 + number)))["answers"]

    with connected(growing) as client, ThreadPoolExecutor(4) as pool:
        before = well(client.get("/v1/about"))["photos"]
        list(pool.map(add, range(6)))
        assert well(client.get("/v1/about"))["photos"] == before + 6
        found = [well(post(client, "identify", photo(80 + i)))["answers"][0] for i in range(6)]
    assert [one["identity"] for one in found] == [f"many_{number}" for number in range(6)]
    assert set(Identifier.load(folder_of(growing)).identities) >= {f"many_{i}" for i in range(6)}


def test_what_has_begun_is_finished_and_survives_a_restart(
    growing: Served, known: Identifier, tmp_path: Path
) -> None:
    """SIGTERM in the middle of an upload; then another server, with other cards, on the folder."""
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


# The command ------------------------------------------------------------------------------------


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # which has ended, and waits for somebody to ask


def test_several_workers_answer_alike_and_end_together(identifier: Path, known: Identifier) -> None:
    with served(identifier, "--workers", "2") as running:
        first = expected(known.judge([photo(1)])[0], 1, "new_whale")
        for _ in range(6):
            with connected(running) as client:  # each connection may reach another worker
                assert well(post(client, "identify", photo(1))) == first
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()]
        assert len(workers) >= 2
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) in (0, -signal.SIGTERM)
        assert "Traceback" not in running.said()
    end = time.monotonic() + 20
    while any(map(lives, workers)):
        assert time.monotonic() < end, "workers outlive the first process"
        time.sleep(0.05)


def fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line of a refusal."""
    monkeypatch.setattr(sys, "argv", ["flukeprint", "serve", *more])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.startswith("engine: ")]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_what_cannot_be_served_is_said_in_one_line(
    identifier: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(*more: str, folder: Path = identifier) -> str:
        return fail(monkeypatch, capsys, "--identifier", str(folder), "--port", "0", *more)

    monkeypatch.delenv("FLUKEPRINT_ENROLL_TOKEN", raising=False)
    for workers in ("1", "2"):
        assert "no identifier" in said("--workers", workers, folder=tmp_path)
        assert "no folder" in said("--workers", workers, f"serve.examples={tmp_path}/nowhere")
    assert "FLUKEPRINT_ENROLL_TOKEN" in said("--enroll")
    monkeypatch.setenv("FLUKEPRINT_ENROLL_TOKEN", "too short")
    assert "16 characters" in said("--enroll")
    monkeypatch.setenv("FLUKEPRINT_ENROLL_TOKEN", TOKEN)
    assert "one worker" in said("--enroll", "--workers", "2")
    assert "did you mean queue" in said("serve.queu=3")
    assert "serve.queue" in said("serve.queue=0")
    assert "cannot listen" in said("--host", "192.0.2.1")
    (tmp_path / "cards.csv").write_text("class,name\nw_nobody,Nobody\n")
    assert "w_nobody" in said(f"cards={tmp_path}/cards.csv")
    (tmp_path / "ranks.csv").write_text("class,genus\nw_nobody,Nobody\n")
    assert "has no row for" in said(f"taxonomy={{table: {tmp_path}/ranks.csv}}")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"port {port}" in said("--port", port)


def test_answers_leave_at_once() -> None:
    """A socket that is not known to be TCP would hold small answers back for 40 ms."""
    with (
        _listen(ServeConfig(port=0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.proto == socket.IPPROTO_TCP


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Answers whom it may concern, /long with more than any buffer holds."""
    body = b"x" * (1 << 26) if scope["path"] == "/long" else b"yes"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The address of a server with short patience and few connections."""
    for name, value in (("HEADER_SECONDS", 1), ("REQUEST_SECONDS", 0.2), ("MOST_CONNECTIONS", 4)):
        monkeypatch.setattr(f"flukeprint.serving.server.{name}", value)
    config = uvicorn.Config(plain, port=0, log_level="critical", lifespan="off", http=Connection)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


def ended(line: socket.socket) -> bool:
    """Waits until the server has closed or cut the connection."""
    with contextlib.suppress(ConnectionError):
        while line.recv(1 << 20):
            pass
    return True


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_who_never_finishes_a_request_is_not_waited_for(
    hasty: tuple[str, int], said: bytes
) -> None:
    with socket.create_connection(hasty, 30) as line:
        line.sendall(said)
        assert ended(line)
    with socket.create_connection(hasty, 30) as line:  # nor is he after a first request
        line.sendall(
            b"GET / HTTP/1.1\r\nHost: whales\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert answer(line)[0] == 200
        line.sendall(said)
        assert ended(line)


def test_who_never_reads_his_answer_is_cut_off(hasty: tuple[str, int]) -> None:
    with socket.create_connection(hasty, 30) as line:
        line.sendall(b"GET /long HTTP/1.1\r\nHost: whales\r\n\r\n")
        time.sleep(2.5)
        got = 0
        with contextlib.suppress(ConnectionError):
            while part := line.recv(1 << 20):
                got += len(part)
        assert got < 1 << 26


def test_too_many_connections_do_not_hold_up_those_that_are_there(
    hasty: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flukeprint.serving.server.HEADER_SECONDS", 60)
    with contextlib.ExitStack() as opened:
        lines = [opened.enter_context(socket.create_connection(hasty, 30)) for _ in range(4)]
        assert ended(opened.enter_context(socket.create_connection(hasty, 30)))
        for line in lines:
            line.sendall(b"GET / HTTP/1.1\r\nHost: whales\r\nConnection: close\r\n\r\n")
            assert answer(line)[0] == 200
