"""Identify, embed and verify over HTTP, compared with the same identifier in this process."""

import io
import resource
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from flukeprint.config.schema import ServeConfig
from flukeprint.data.catalog import Catalog
from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.keeper import Keeper
from flukeprint.keeper.new_photographs import NewPhotograph
from flukeprint.ranking.calibration import Calibration, Rising
from flukeprint.records.journal import Note
from flukeprint.records.kinds import Encounter, Moment, Position
from flukeprint.serving.server import assemble
from flukeprint.serving.service import Service
from tests.serving.api.http_client import (
    SECRET,
    WORK,
    connected,
    expected,
    noise,
    png,
    post,
    refused,
    secretive,
    snapshot,
    well,
)
from tests.serving.served import Served, copied, photo

EVEN = Calibration(
    right=Rising(intercept=0.5, score=1.0, lead=1.0),
    known=Rising(intercept=0.5, score=1.0, lead=1.0), queries=100,
)  # fmt: skip


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


def test_a_box_is_cut_as_those_of_a_catalogue_are(
    client: httpx2.Client, known: Identifier, tmp_path: Path
) -> None:
    """Of a photograph that its camera turned, two animals; of an encounter one each."""
    wide = np.full((90, 200, 3), 90, np.uint8)
    wide[10:66, 20:84] = draw_shape(7, 1, 64)[:56]
    wide[16:72, 120:184] = draw_shape(9, 1, 64)[:56]
    turned = Image.Exif()
    turned[0x0112] = 8  # stored turned to the right
    Image.fromarray(np.rot90(wide, -1).copy()).save(
        tmp_path / "a.jpg", exif=turned, quality=95, subsampling=0
    )
    data = (tmp_path / "a.jpg").read_bytes()
    corners = ((20.0, 10.0, 84.0, 66.0), (120.0, 16.0, 184.0, 72.0))
    shares = [f"{x / 200},{y / 90},{64 / 200},{56 / 90}" for x, y, _, _ in corners]
    found = [well(post(client, "identify", data, data={"box": share})) for share in shares]
    for corner, one in zip(corners, found, strict=True):
        row = Catalog(("a.jpg",), (tmp_path / "a.jpg",), boxes=(corner,))
        (verdict,) = known.judge(row)
        names = [answer["identity"] for answer in one["answers"]]
        assert names == list(verdict.ranking.identities[0])
        scores = [answer["score"] for answer in one["answers"]]
        assert scores == pytest.approx(verdict.ranking.scores[0].tolist(), abs=1e-5)
    assert found[0]["answers"] != found[1]["answers"]
    whole = well(post(client, "identify", data))
    assert whole["answers"] not in [one["answers"] for one in found]
    assert well(post(client, "identify", data, data={"box": "0,0,1,1"})) == whole
    both = well(post(client, "identify", data, data, data={"box": [shares[0], "0,0,1,1"]}))
    assert both["photos"] == 2
    assert both["answers"] not in (found[0]["answers"], whole["answers"])


def test_wrong_boxes_dates_and_places_are_refused_in_a_line(client: httpx2.Client) -> None:
    for fields, said in (
        ({"box": f"0,0,{SECRET},1"}, "box 1: a box is four numbers; write X,Y,WIDTH,HEIGHT in"),
        ({"box": "0,0,nan,1"}, "box 1: a box is four finite numbers"),
        ({"box": "0.2,0.2,0,0.5"}, "box 1: the box is empty"),
        ({"box": "0.5,0.5,0.6,0.1"}, "box 1: the box is not inside the photograph"),
        ({"box": ["0,0,1,1"] * 2}, "there are 1 photographs and 2 boxes"),
        ({"date": f"12.5.{SECRET}"}, "date: write 2026-05-12"),
        ({"date": "2999"}, "date: write"),
        ({"at": f"{SECRET},1"}, "at: write latitude and longitude"),
        ({"at": "91,0"}, "at: write"),
    ):
        detail = refused(post(client, "identify", photo(), data=fields), 422, "invalid")
        assert detail.startswith(said)
        assert SECRET not in detail
    for fields in ({"date": "2026-05-12T13:55"}, {"at": "-27,32"}):
        detail = refused(post(client, "identify", photo(), data=fields), 409, "no_catalogue")
        assert "leave date and at out" in detail


def test_date_and_place_count_only_where_they_are_sent(
    identifier: Path, known: Identifier, tmp_path: Path
) -> None:
    """What a camera wrote into the photograph itself changes nothing."""
    folder, shots = copied(identifier, tmp_path), []
    for animal in range(14):  # each stays where it is, far from the others
        for number in range(2):
            path = tmp_path / f"{animal}_{number}.jpg"
            path.write_bytes(photo(80 + animal, 30 + number))
            place = Position(animal * 3.0, animal * 2.0)
            seen = Encounter(0, Moment(f"2026-0{number + 1}-03"), place)
            shots.append(NewPhotograph(path, str(path), path.name, f"b_{animal:02d}", seen))
    Keeper.open(folder, author="ana").enroll(shots, Note("ana"), force=True)
    calibrated = known.card.model_copy(update={"calibration": known.card.calibration or EVEN})
    kept = replace(Identifier.load(folder), card=calibrated)
    app = assemble(Service(kept, ServeConfig(), path=folder))
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (3.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)})
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(81, 50))).save(file, "JPEG", exif=exif, quality=95)
    bare = io.BytesIO()
    Image.open(io.BytesIO(photo(81, 50))).save(bare, "JPEG", quality=95)
    with TestClient(app, base_url="http://127.0.0.1") as client:

        def ask(data: bytes, **fields: str) -> Any:
            answer = client.post("/v1/identify", files=[("photos", data)], data=fields)
            assert answer.status_code == 200, answer.text
            return {one["identity"]: one["probability"] for one in answer.json()["answers"]}

        plain = ask(bare.getvalue())
        assert ask(file.getvalue()) == plain
        there = ask(file.getvalue(), at="3,2", date="2026-01-03")
        assert there["b_01"] > plain.get("b_01", 0)


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
    """The server is not allowed to write a byte to any file, not even to one without a name."""
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
