"""Keypoints that agree in a photograph and in one of the gallery, asked for over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from flukeprint.config.schema import ServeConfig
from flukeprint.data.thumbnails import Thumbnails, thumbnail
from flukeprint.identifier.identifier import Identifier
from flukeprint.serving.server import assemble
from flukeprint.serving.service import Service
from tests.serving.served import photo

noise = np.random.default_rng(7).integers(0, 256, (24, 32, 3), dtype=np.uint8)
SPOTS = np.asarray(cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC))


def encoded(pixels: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(known: Identifier) -> Iterator[TestClient]:
    """A gallery whose first photograph has spots, and whose second has no picture."""
    assert known.showcase is not None
    files = [known.showcase.thumbnails[row] for row in range(len(known.gallery))]
    files[:2] = [thumbnail(SPOTS), None]
    shown = replace(known.showcase, thumbnails=Thumbnails.packed(files))
    spotted = replace(known, showcase=shown)
    with TestClient(
        assemble(Service(spotted, ServeConfig(photos=2))), base_url="http://127.0.0.1"
    ) as started:
        yield started


def ask(client: TestClient, *photos: bytes, **fields: str) -> httpx2.Response:
    files = [("photos", ("a", data)) for data in photos]
    return client.post("/v1/matches", files=files, data=fields)


def test_the_same_place_is_found_in_both(client: TestClient) -> None:
    part = SPOTS[30:210, 40:280]
    told = ask(client, encoded(part), candidate="0").json()
    assert told["size"] == "thumbnail"
    assert not told["mirrored"]
    assert told["points"] >= told["paired"] >= told["agreed"] > 10
    assert len(told["pairs"]) == min(40, told["agreed"])
    for pair in told["pairs"]:
        assert pair["x"] * 240 + 40 == pytest.approx(pair["candidate_x"] * 320, abs=4)
        assert pair["y"] * 180 + 30 == pytest.approx(pair["candidate_y"] * 240, abs=4)
    weights = [pair["weight"] for pair in told["pairs"]]
    assert weights == sorted(weights, reverse=True)
    # Of another flank only the mirror image can agree; places are told in what was sent.
    turned = encoded(part[:, ::-1])
    assert ask(client, turned, candidate="0").json()["agreed"] < 4
    other = ask(client, turned, candidate="0", mirror="yes").json()
    assert other["mirrored"]
    assert other["agreed"] == told["agreed"]
    for one, two in zip(told["pairs"], other["pairs"], strict=True):
        assert two["x"] == pytest.approx(1 - one["x"], abs=1e-6)
        assert two["candidate_x"] == one["candidate_x"]


def test_what_cannot_be_matched_is_refused(client: TestClient, known: Identifier) -> None:
    picture = encoded(SPOTS)
    missing = ask(client, picture, candidate="1")
    assert missing.status_code == 404
    assert missing.json()["detail"] == "the gallery has no picture of photo 1 to match with"
    assert ask(client, picture, candidate=str(len(known.gallery))).status_code == 404
    for fields in (
        {}, {"candidate": "x"}, {"candidate": "-1"}, {"candidate": "9" * 30},
        {"candidate": "0", "mirror": "maybe"}, {"candidate": "0", "more": "x"},
    ):  # fmt: skip
        answer = ask(client, picture, **fields)
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:flukeprint:problem:invalid"
    assert ask(client, picture, picture, candidate="0").status_code == 422
    assert ask(client, photo(1)[:300], candidate="0").status_code == 422
    assert ask(client, b"no photograph", candidate="0").status_code == 415


def test_a_photograph_of_nothing_agrees_with_nothing(client: TestClient) -> None:
    told = ask(client, encoded(np.zeros((40, 60, 3), np.uint8)), candidate="0").json()
    assert (told["points"], told["agreed"], told["pairs"]) == (0, 0, [])


def test_it_needs_a_token_where_looking_does(tmp_path: Path, known: Identifier) -> None:
    people = tmp_path / "people.csv"
    people.write_text("name,role,sha256\n")
    with TestClient(
        assemble(Service(known, ServeConfig(people=people))), base_url="http://127.0.0.1"
    ) as closed:
        assert ask(closed, encoded(SPOTS), candidate="0").status_code == 401
        assert closed.get("/compare?photo=0").status_code == 401
