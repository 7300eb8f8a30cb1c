"""Uploads and the queue over HTTP: resumed uploads, answers, two reviewers, decisions and undo."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from flukeprint.keeper.queue.files import FOLDER
from flukeprint.keeper.queue.shared_queue import ANSWERING
from flukeprint.keeper.queue.tables import upload_items
from flukeprint.records.database import Database
from tests.serving.api.catalogue.test_animals import animal
from tests.serving.api.http_client import POSITION, SECRET, connected, post, refused, well
from tests.serving.served import Served, photo, served


def sent(client: httpx2.Client, batch: str, data: bytes, name: str = "IMG_1.jpg") -> Any:
    digest = hashlib.sha256(data).hexdigest()
    return client.put(f"/v1/batches/{batch}/photos/{digest}", params={"name": name}, content=data)


def begun(client: httpx2.Client, *photos: bytes, **how: Any) -> str:
    batch = well(client.post("/v1/batches", json={"title": "May", **how}), 201)["id"]
    for number, data in enumerate(photos):
        well(sent(client, batch, data, f"IMG_{number:04}.jpg"))
    return str(batch)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def answered(client: httpx2.Client, batch: str) -> list[dict[str, Any]]:
    """The photographs of a batch, once all have their answers."""

    def counts() -> dict[str, int]:
        found: dict[str, int] = well(client.get(f"/v1/batches/{batch}"))["batch"]["counts"]
        return found

    until(lambda: not counts()["pending"])
    items: list[dict[str, Any]] = well(client.get(f"/v1/batches/{batch}"))["items"]
    return items


def test_answers_come_in_the_background_and_are_those_of_identify(reviews: httpx2.Client) -> None:
    photos = [photo(600 + number, 0, 128) for number in range(3)]
    batch = begun(reviews, *photos)
    items = answered(reviews, batch)
    assert [one["state"] for one in items] == ["waiting"] * 3
    for one, data in zip(items, photos, strict=True):
        told = well(post(reviews, "identify", data))
        assert one["answer"]["verdict"] == told["verdict"]
        assert [a["identity"] for a in one["answer"]["answers"]] == [
            a["identity"] for a in told["answers"]
        ]
        assert one["digest"] == hashlib.sha256(data).hexdigest()
    listed = well(reviews.get("/v1/batches"))["batches"][0]
    assert (listed["id"], listed["total"], listed["author"]) == (batch, 3, "the review")
    page = well(reviews.get(f"/v1/batches/{batch}?limit=2"))
    rest = well(reviews.get(f"/v1/batches/{batch}?after={page['next']}"))
    assert page["items"] + rest["items"] == items
    assert rest["next"] is None
    assert reviews.delete(f"/v1/batches/{batch}").status_code == 204
    refused(reviews.get(f"/v1/batches/{batch}"), 404, "not_found")


def test_two_people_decide_and_one_click_takes_it_back(people: dict[str, httpx2.Client]) -> None:
    reviews, keeps = people["review"], people["keep"]
    photos = [photo(610, 0, side) for side in (128, 150)]  # nearly one picture
    batch = begun(reviews, *photos)
    answered(reviews, batch)
    query = {"batch": batch}
    mine = well(reviews.post("/v1/queue/next", params=query))
    other = well(keeps.post("/v1/queue/next", params=query))
    assert mine["waiting"] == 2
    assert mine["item"]["id"] != other["item"]["id"]
    assert mine["item"]["taken_by"] == "the review"
    third = well(people["keep"].post("/v1/queue/next", params=query))
    assert third["item"]["id"] == other["item"]["id"]
    where = f"/v1/queue/{mine['item']['id']}"
    body = {"decision": "new", "new_name": "Decided", "note": "a scar", "force": True}
    said = refused(keeps.post(f"{where}/decision", json=body), 409, "conflict")
    assert "the review has photograph" in said
    refused(keeps.post(f"{where}/release"), 409, "conflict")
    done = well(reviews.post(f"{where}/decision", json=body))
    assert (done["item"]["state"], done["item"]["identity"]) == ("decided", "Decided")
    assert (done["event"]["author"], done["event"]["reason"]) == ("the review", "a scar")
    assert done["item"]["undo"] == done["event"]["undo"]
    page = animal(keeps, "decided")
    assert page["photographs"] == 1
    shown = keeps.get(f"/v1/photos/{page['photos'][0]['photo']}?size=full")
    assert shown.headers["x-photo-size"] == "full"  # the file stays
    # The catalogue has changed since the other one was answered: it is answered again.
    again = well(keeps.post("/v1/queue/next", params=query))
    assert again["item"]["id"] == other["item"]["id"]
    data = {hashlib.sha256(one).hexdigest(): one for one in photos}[again["item"]["digest"]]
    now = well(post(keeps, "identify", data))["answers"]
    assert [one["identity"] for one in again["item"]["answer"]["answers"]] == [
        one["identity"] for one in now
    ]
    assert "Decided" in [one["identity"] for one in now]
    assert "Decided" not in str(other["item"]["answer"])
    known = {"decision": "known", "animal": page["id"], "force": True}
    second = well(keeps.post(f"/v1/queue/{other['item']['id']}/decision", json=known))
    assert animal(keeps, "decided")["photographs"] == 2
    counts = well(reviews.get(f"/v1/batches/{batch}"))["batch"]["counts"]
    assert counts == {"pending": 0, "waiting": 0, "failed": 0, "decided": 2}
    refused(reviews.post(second["event"]["undo"]), 403, "forbidden")  # another one's
    for event, client in ((second["event"], keeps), (done["event"], reviews)):
        well(client.post(event["undo"]))
    assert well(keeps.get("/v1/animals?q=decided"))["animals"] == []
    counts = well(reviews.get(f"/v1/batches/{batch}"))["batch"]["counts"]
    assert counts["waiting"] == 2
    well(reviews.post("/v1/queue/next", params=query))
    assert reviews.delete(f"/v1/batches/{batch}").status_code == 204


def test_unsure_and_nobody_are_put_aside_and_reopened(reviews: httpx2.Client) -> None:
    batch = begun(reviews, photo(620, 0, 128))
    (item,) = answered(reviews, batch)
    where = f"/v1/queue/{item['id']}"
    done = well(reviews.post(f"{where}/decision", json={"decision": "unsure"}))
    assert done["event"] is None
    assert done["item"]["undo"] == f"{where}/reopen"
    refused(reviews.post(f"{where}/decision", json={"decision": "nobody"}), 409, "conflict")
    assert well(reviews.post(done["item"]["undo"]))["state"] == "waiting"
    assert well(reviews.get(where))["decision"] is None
    for body in (
        {"decision": "known"}, {"decision": "unsure", "animal": 1}, {"decision": "maybe"},
        {"decision": "known", "animal": 1, "new_name": "x"}, {}, {"decision": "new", "x": 1},
    ):  # fmt: skip
        refused(reviews.post(f"{where}/decision", json=body), 422, "invalid")
    refused(
        reviews.post(f"{where}/decision", json={"decision": "known", "animal": 99999}),
        404, "not_found",
    )  # fmt: skip
    refused(reviews.get("/v1/queue/99999"), 404, "not_found")
    assert reviews.delete(f"/v1/batches/{batch}").status_code == 204


def test_an_upload_is_resumed_and_pictures_tell_nothing(reviews: httpx2.Client, kept: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET
    exif.get_ifd(0x8825).update({1: "N", 2: POSITION, 3: "E", 4: POSITION})
    exif.get_ifd(0x8769)[0x9003] = "2026:05:12 13:55:00"
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(630, 0, 500))).save(file, "JPEG", exif=exif)
    data, other = file.getvalue(), photo(631)
    batch = begun(reviews, data)
    digests = [hashlib.sha256(one).hexdigest() for one in (data, other)]
    missing = well(reviews.post(f"/v1/batches/{batch}/missing", json={"digests": digests}))
    assert missing == {"missing": digests[1:]}
    again = well(sent(reviews, batch, data, "other.jpg"))
    assert again["name"] == "IMG_0000.jpg"
    assert again["taken"] == "2026-05-12T13:55:00"
    assert again["encounter"] == 1
    for size, side in (("full", 500), ("thumbnail", 320)):
        picture = reviews.get(again["photo"], params={"size": size})
        assert picture.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(picture.content)).size) == side
        assert SECRET.encode() not in picture.content
        assert not Image.open(io.BytesIO(picture.content)).getexif()
    assert SECRET not in str(again)
    assert (kept / FOLDER / batch / digests[0] / "IMG_0000.jpg").read_bytes() == data
    assert reviews.delete(f"/v1/batches/{batch}").status_code == 204
    assert not (kept / FOLDER / batch).exists()


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (b"", 422, "no_photograph"), (b"no photograph", 415, "not_a_photograph"),
        (photo()[:200], 422, "damaged_photograph"),
    ],
)  # fmt: skip
def test_what_is_no_photograph_is_not_kept(
    reviews: httpx2.Client, data: bytes, status: int, kind: str
) -> None:
    batch = begun(reviews)
    said = sent(reviews, batch, data)
    if status == 422 and kind == "damaged_photograph":
        assert said.status_code in (200, 422)  # its header may be whole
    else:
        refused(said, status, kind)
        assert well(reviews.get(f"/v1/batches/{batch}"))["items"] == []
    wrong = reviews.put(
        f"/v1/batches/{batch}/photos/{'0' * 64}", params={"name": "a"}, content=photo()
    )
    refused(wrong, 422, "invalid")
    refused(sent(reviews, batch, photo(), "a\nb"), 422, "invalid")
    refused(sent(reviews, "0" * 16, photo()), 404, "not_found")
    refused(reviews.put(f"/v1/batches/{batch}/photos/xyz?name=a", content=b""), 422, "invalid")
    reviews.delete(f"/v1/batches/{batch}")


def test_what_cannot_be_decoded_fails_alone(reviews: httpx2.Client) -> None:
    whole = photo(640, 0, 256)
    batch = begun(reviews, whole[: len(whole) // 2], whole)
    broken, fine = answered(reviews, batch)
    assert (broken["state"], fine["state"]) == ("failed", "waiting")
    assert "damaged" in broken["error"]
    assert well(reviews.post("/v1/queue/next", params={"batch": batch}))["item"]["id"] == fine["id"]
    reviews.delete(f"/v1/batches/{batch}")


def test_who_may_only_look_sees_no_uploads(people: dict[str, httpx2.Client]) -> None:
    looks = people["look"]
    batch = begun(people["keep"])
    for said in (
        looks.post("/v1/batches", json={"title": "x"}), looks.get("/v1/batches"),
        looks.get(f"/v1/batches/{batch}"), looks.post("/v1/queue/next"),
        looks.get("/v1/queue/1"), looks.get("/v1/queue/1/photo"), sent(looks, batch, photo()),
        looks.post("/v1/queue/1/release"), looks.delete(f"/v1/batches/{batch}"),
    ):  # fmt: skip
        refused(said, 403, "forbidden")
    said = people["review"].delete(f"/v1/batches/{batch}")
    assert "another one made it" in refused(said, 403, "forbidden")
    assert people["keep"].delete(f"/v1/batches/{batch}").status_code == 204


def test_uploads_outlive_a_server_and_workers_share_the_answers(
    kept: Path, team: Served, tokens: dict[str, str]
) -> None:
    bearer = {"Authorization": f"Bearer {tokens['keep']}"}
    people = f"serve.people={kept.parent / 'people.csv'}"
    with served(kept, people) as first, connected(first) as client:
        client.headers.update(bearer)
        batch = begun(client, *[photo(650 + number, 0, 128) for number in range(6)])
        first.process.kill()
        first.process.wait(30)
    with Database.open(kept).writing() as connection:  # what it was about to answer is late
        late = upload_items.c.answering_until - ANSWERING
        connection.execute(upload_items.update().values(answering_until=late))
    with connected(team) as client:  # which has served all the time
        client.headers.update(bearer)
        end = time.monotonic() + 200
        while (counts := well(client.get(f"/v1/batches/{batch}"))["batch"]["counts"])["pending"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert counts["waiting"] == 6
        client.delete(f"/v1/batches/{batch}")


def test_nothing_of_it_went_wrong(team: Served) -> None:
    assert "Traceback" not in team.said()
    assert "cannot be" not in team.said()
    assert SECRET not in team.said()
