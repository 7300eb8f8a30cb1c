"""Changes over HTTP: each is an event of that person, shown at once, and taken back."""

from typing import Any

import httpx2
import pytest

from tests.serving.api.catalogue.test_animals import animal
from tests.serving.api.http_client import post, refused, well
from tests.serving.served import photo


def changed(said: httpx2.Response) -> dict[str, Any]:
    event: dict[str, Any] = well(said)["event"]
    assert event["author"] in ("the keep", "the review")
    assert event["undo"] == f"/v1/events/{event['id']}/undo"
    return event


def undone(client: httpx2.Client, event: dict[str, Any]) -> dict[str, Any]:
    back = changed(client.post(event["undo"], params={"reason": "a slip"}))
    assert (back["undoes"], back["reason"]) == (event["id"], "a slip")
    return back


def first(client: httpx2.Client, data: bytes) -> str:
    return str(well(post(client, "identify", data))["answers"][0]["identity"])


def test_a_rename_is_shown_at_once_and_taken_back(keeps: httpx2.Client) -> None:
    kai = animal(keeps, "kai")
    event = changed(
        keeps.post(f"/v1/animals/{kai['id']}/rename", json={"name": " Bella ", "reason": "park"})
    )
    assert (event["kind"], event["author"], event["reason"]) == ("rename", "the keep", "park")
    assert first(keeps, photo(501, 0, 400)) == "Bella"
    page = animal(keeps, "KAI")  # the alias
    assert (page["id"], page["name"], page["aliases"]) == (kai["id"], "Bella", ["Kai"])
    assert page["history"][0]["id"] == event["id"]
    undone(keeps, event)
    assert first(keeps, photo(501, 0, 400)) == "Kai"
    again = refused(keeps.post(event["undo"]), 409, "conflict")
    assert "taken back already" in again


def test_a_merge_moves_photographs_and_the_old_address_says_so(keeps: httpx2.Client) -> None:
    nandi, zoe = animal(keeps, "nandi"), animal(keeps, "zoe")
    event = changed(keeps.post(f"/v1/animals/{nandi['id']}/merge", json={"other": zoe["id"]}))
    page = well(keeps.get(f"/v1/animals/{nandi['id']}"))
    assert (page["photographs"], page["aliases"]) == (3, ["Zoe"])
    assert first(keeps, photo(502, 0, 400)) == "Nandí"
    told = refused(keeps.get(f"/v1/animals/{zoe['id']}"), 404, "not_found")
    assert f"/v1/animals/{nandi['id']}" in told
    refused(
        keeps.post(f"/v1/animals/{nandi['id']}/merge", json={"other": zoe["id"]}), 404, "not_found"
    )
    undone(keeps, event)
    assert animal(keeps, "zoe")["id"] == zoe["id"]


def test_aliases_and_facts_are_kept_and_forgotten(keeps: httpx2.Client) -> None:
    who = f"/v1/animals/{animal(keeps, 'zoe')['id']}"
    named = changed(keeps.post(f"{who}/aliases", json={"name": "Zoraida"}))
    assert animal(keeps, "ZORAIDA")["name"] == "Zoe"
    gone = changed(keeps.post(f"{who}/aliases/remove", json={"name": "Zoraida"}))
    assert well(keeps.get("/v1/animals?q=zoraida"))["animals"] == []
    told = changed(
        keeps.post(f"{who}/describe", json={"sex": "female", "notes": "torn ear", "died": "2026"})
    )
    page = well(keeps.get(who))
    assert (page["sex"], page["notes"], page["died"]) == ("female", "torn ear", "2026")
    forgot = changed(keeps.post(f"{who}/describe", json={"notes": None}))
    page = well(keeps.get(who))
    assert (page["sex"], page["notes"]) == ("female", None)
    for event in (forgot, told, gone, named):
        undone(keeps, event)
    assert well(keeps.get(who))["sex"] is None


def test_a_photograph_is_moved_to_another_a_new_one_and_nobody(keeps: httpx2.Client) -> None:
    nandi, kai = animal(keeps, "nandi"), animal(keeps, "kai")
    shown = nandi["photos"][1]["photo"]
    where = f"/v1/photos/{shown}/move"
    event = changed(keeps.post(where, json={"animal": kai["id"]}))
    assert first(keeps, photo(500, 1, 400)) == "Kai"
    assert well(keeps.get(f"/v1/animals/{kai['id']}"))["photographs"] == 3
    undone(keeps, event)
    event = changed(keeps.post(where, json={"new_name": "Nova"}))
    assert animal(keeps, "nova")["photos"][0]["photo"] == shown
    undone(keeps, event)
    event = changed(keeps.post(where, json={}))
    assert event["summary"].endswith("shown to be nobody known")
    assert keeps.get(f"/v1/photos/{shown}").status_code == 404
    undone(keeps, event)
    assert keeps.get(f"/v1/photos/{shown}").status_code == 200
    both = {"animal": kai["id"], "new_name": "x"}
    refused(keeps.post(where, json=both), 422, "invalid")
    refused(keeps.post("/v1/photos/99999/move", json={}), 404, "not_found")
    refused(keeps.post(where, json={"animal": 99999}), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("rename", {"name": "kai"}, 409, "conflict"),
        ("rename", {"name": ""}, 422, "invalid"),
        ("rename", {"name": "x", "more": 1}, 422, "invalid"),
        ("rename", {}, 422, "invalid"),
        ("merge", {"other": -1}, 422, "invalid"),
        ("describe", {}, 422, "invalid"),
        ("describe", {"sex": "both"}, 422, "invalid"),
        ("describe", {"died": "yesterday"}, 409, "conflict"),
        ("aliases", {"name": "Nandi"}, 409, "conflict"),
        ("aliases/remove", {"name": "nothing"}, 409, "conflict"),
    ],
)
def test_what_cannot_be_changes_nothing(
    keeps: httpx2.Client, path: str, body: dict[str, Any], status: int, kind: str
) -> None:
    who = animal(keeps, "zoe")["id"]
    before = well(keeps.get("/v1/events"))["events"][0]
    refused(keeps.post(f"/v1/animals/{who}/{path}", json=body), status, kind)
    assert well(keeps.get("/v1/events"))["events"][0] == before


def test_roles_are_kept_apart(people: dict[str, httpx2.Client]) -> None:
    kai = animal(people["look"], "kai")["id"]
    body = {"name": "Kai II", "force": True}
    for role in ("look", "review"):
        said = people[role].post(f"/v1/animals/{kai}/rename", json=body)
        assert "role keep" in refused(said, 403, "forbidden")
    event = changed(people["keep"].post(f"/v1/animals/{kai}/rename", json=body))
    assert "another one did it" in refused(people["review"].post(event["undo"]), 403, "forbidden")
    refused(people["look"].post(event["undo"]), 403, "forbidden")
    undone(people["keep"], event)
    refused(people["keep"].post("/v1/events/99999/undo"), 404, "not_found")
    said = refused(people["keep"].post("/v1/events/1/undo"), 409, "conflict")
    assert "cannot be taken back" in said
