"""What the API shows of a catalogue: lists, an animal's page, encounters, history, pictures."""

import io
import time
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.serving.api.catalogue.conftest import SHOTS
from tests.serving.api.http_client import refused, well
from tests.serving.served import Served


def names(said: dict[str, Any]) -> list[str]:
    return [one["name"] for one in said["animals"]]


def animal(client: httpx2.Client, name: str) -> dict[str, Any]:
    found = well(client.get("/v1/animals", params={"q": name}))["animals"]
    assert len(found) == 1
    page: dict[str, Any] = well(client.get(f"/v1/animals/{found[0]['id']}"))
    return page


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"q": "nandi"}, ["Nandí"]),
        ({"q": "NANDÍ"}, ["Nandí"]),
        ({"place": "rincon del rio"}, ["Nandí"]),
        ({"place": "HOLE"}, ["Kai", "Nandí"]),
        ({"place": "hole", "view": "left"}, ["Kai"]),
        ({"from": "2026-06-01", "to": "2026-06-30"}, ["Kai", "Nandí"]),
        ({"to": "2025-07"}, ["Kai"]),
        ({"view": "right"}, ["Nandí"]),
        ({"sex": "male"}, []),
        ({"sort": "-last_seen", "limit": "2"}, ["Kai", "Nandí"]),
    ],
)
def test_lists_are_narrowed_down(
    looks: httpx2.Client, asked: dict[str, str], wanted: list[str]
) -> None:
    said = well(looks.get("/v1/animals", params=asked))
    assert sorted(names(said)) == wanted


def test_all_animals_come_page_by_page(looks: httpx2.Client) -> None:
    total = well(looks.get("/v1/about"))["classes"]
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        said = well(looks.get("/v1/animals", params={"limit": "25", **cursor}))
        assert said["total"] == total
        found += names(said)
        if said["next"] is None:
            break
        cursor = {"cursor": said["next"]}
    assert len(set(found)) == len(found) == total
    assert {"Nandí", "Kai", "Zoe"} <= set(found)


@pytest.mark.parametrize(
    "query", ["sort=size", "limit=0", "from=yesterday", "cursor=x", "sex=x", "name=x", "to=3000"]
)
def test_a_wrong_question_is_told(looks: httpx2.Client, query: str) -> None:
    refused(looks.get(f"/v1/animals?{query}"), 422, "invalid")


def test_an_animals_page_tells_all(looks: httpx2.Client) -> None:
    page = animal(looks, "nandi")
    assert (page["name"], page["photographs"], page["encounters"]) == ("Nandí", 2, 2)
    assert (page["first_seen"], page["last_seen"]) == ("2026-05-12T13:55", "2026-06-04")
    assert page["views"] == ["left", "right"]
    assert [(one["view"], one["date"], one["full"]) for one in page["photos"]] == [
        ("left", "2026-05-12T13:55", True), ("right", "2026-06-04", True),
    ]  # fmt: skip
    assert [one["place"] for one in page["seen"]] == ["Rincón del Río", "water hole"]
    assert page["seen"][0]["position"] == {
        "latitude": -27.0, "longitude": 32.4, "uncertainty": None,
    }  # fmt: skip
    assert page["seen"][0]["precision"] == "minute"
    event = page["history"][0]
    assert (event["author"], event["kind"], event["reason"]) == ("ana", "enroll", "spring survey")
    assert event["undo"] == f"/v1/events/{event['id']}/undo"
    assert page["photo"] in [one["photo"] for one in page["photos"]]
    assert "kept" not in str(page)  # no path of the server
    refused(looks.get("/v1/animals/99999"), 404, "not_found")
    refused(looks.get(f"/v1/animals/{2**31}"), 422, "invalid")


def test_photographs_are_had_at_full_size(looks: httpx2.Client) -> None:
    shown = animal(looks, "nandi")["photos"][0]["photo"]
    for size, side in (("full", 400), ("thumbnail", 320)):
        said = looks.get(f"/v1/photos/{shown}", params={"size": size})
        assert said.headers["content-type"] == "image/jpeg"
        assert said.headers["x-photo-size"] == size
        assert max(Image.open(io.BytesIO(said.content)).size) == side
        assert "private" in said.headers["cache-control"]
    old = looks.get("/v1/photos/0?size=full")  # of the training: no file is recorded
    assert (old.status_code, old.headers["x-photo-size"]) == (200, "thumbnail")
    refused(looks.get(f"/v1/photos/{shown}?size=huge"), 422, "invalid")
    refused(looks.get("/v1/photos/99999?size=full"), 404, "not_found")


def test_who_looks_alike_is_told_with_photographs(looks: httpx2.Client) -> None:
    page = animal(looks, "nandi")
    said = well(looks.get(f"/v1/animals/{page['id']}/alike?most=3"))
    assert said["animal"] == page["id"]
    end = time.monotonic() + 60
    while well(looks.get(f"/v1/animals/{page['id']}/alike"))["learning"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert 1 <= len(said["alike"]) <= 3
    own = [one["photo"] for one in page["photos"]]
    for one in said["alike"]:
        other = well(looks.get(f"/v1/animals/{one['id']}"))
        assert other["name"] == one["name"] != "Nandí"
        assert one["photo"] in own
        assert one["other"] in [each["photo"] for each in other["photos"]]
        assert -1 <= one["similarity"] <= 1
    refused(looks.get("/v1/animals/99999/alike"), 404, "not_found")


def test_encounters_come_latest_first(looks: httpx2.Client) -> None:
    said = well(looks.get("/v1/encounters"))
    assert said["next"] is None
    dates = [one["date"] for one in said["encounters"]]
    assert dates == sorted({shot[3] for shot in SHOTS if shot[3]}, reverse=True)
    both = said["encounters"][0]
    assert sorted(one["name"] for one in both["animals"]) == ["Kai", "Nandí"]
    assert both["photographs"] == 2
    first = well(looks.get("/v1/encounters?limit=1"))
    rest = well(looks.get("/v1/encounters", params={"cursor": first["next"]}))
    assert first["encounters"] + rest["encounters"] == said["encounters"]
    there = well(looks.get("/v1/encounters", params={"place": "rio", "from": "2026"}))
    assert [one["place"] for one in there["encounters"]] == ["Rincón del Río"]


def test_the_history_and_what_lists_can_be_narrowed_to(looks: httpx2.Client) -> None:
    said = well(looks.get("/v1/events", params={"author": "ana"}))["events"]
    assert [one["kind"] for one in said] == ["enroll", "begin"]
    assert said[1]["undo"] is None
    assert well(looks.get("/v1/events?kind=merge&author=nobody"))["events"] == []
    page = well(looks.get("/v1/events?limit=1&author=ana"))
    rest = well(looks.get("/v1/events", params={"before": page["next"], "author": "ana"}))
    assert page["events"] + rest["events"] == said
    facets = well(looks.get("/v1/facets"))
    assert facets["places"] == ["Rincón del Río", "water hole"]
    assert facets["views"] == ["left", "right"]
    assert facets["suggested_name"]


def test_without_a_catalogue_that_is_said(client: httpx2.Client, server: Served) -> None:
    assert well(client.get("/v1/about"))["catalogue"] is False
    for path in ("animals", "animals/1", "animals/1/alike", "encounters", "events", "facets"):
        said = refused(client.get(f"/v1/{path}"), 409, "no_catalogue")
        assert "flukeprint keep" in said
    refused(client.post("/v1/events/1/undo"), 403, "forbidden")
