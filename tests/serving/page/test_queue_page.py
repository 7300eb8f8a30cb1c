"""The page of uploads and decisions: two people at once, a cut connection, undo, and merging."""

import contextlib
import hashlib
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.serving.api.http_client import connected
from tests.serving.page.browsing import DESKTOP, PHONE, Watched, chromium, until, visit
from tests.serving.page.page_facts import elements, read
from tests.serving.page.test_accessibility import faults
from tests.serving.page.test_catalogue_pages import HTML, kept, open_, shoot, team, tokens
from tests.serving.served import Served, photo

__all__ = ["kept", "open_", "team", "tokens"]
in_browser = pytest.mark.skipif(chromium() is None, reason="there is no Chromium")


@contextlib.contextmanager
def signed_in(team: Served, token: str) -> Iterator[httpx2.Client]:
    with connected(team) as client:
        client.post("/v1/session", json={"token": token}).raise_for_status()
        yield client


def test_only_who_may_review_sees_the_queue(
    team: Served, open_: Served, tokens: dict[str, str]
) -> None:
    with connected(team) as nobody:
        answer = nobody.get("/queue?batch=c0ffee0123456789", headers=HTML, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2Fqueue")
        assert nobody.get("/queue").status_code == 401
    with signed_in(team, tokens["look"]) as looks:
        answer = looks.get("/queue", headers=HTML)
        assert answer.status_code == 403
        assert "file-upload" not in answer.text
        assert 'href="/queue"' not in looks.get("/animals", headers=HTML).text
    for role in ("review", "keep"):
        with signed_in(team, tokens[role]) as person:
            text = person.get('/queue?batch="><b>', headers=HTML).text
            assert 'href="/queue"' in text
            (shown,) = elements(text.removeprefix("<!doctype html>"), id="batch")
            assert shown.get("data-batch") == '"><b>'
            assert shown.get("data-person") == f"the {role}"
            assert shown.get("data-keeps") == ("yes" if role == "keep" else "no")
    with connected(open_) as anybody:  # nobody can sign in there
        answer = anybody.get("/queue", headers=HTML)
        assert answer.status_code == 403


def test_only_keepers_are_offered_changes(team: Served, tokens: dict[str, str]) -> None:
    for role, wanted in (("look", 0), ("review", 0), ("keep", 5)):
        with signed_in(team, tokens[role]) as person:
            (one,) = person.get("/v1/animals", params={"q": "Nandí"}).json()["animals"]
            text = person.get(f"/animals/{one['id']}", headers=HTML).text
            page = text.removeprefix("<!doctype html>")
            forms = [form for form in elements(page, "form") if form.get("data-post")]
            assert len(forms) == wanted
            assert len(list(elements(page, id="edits"))) == (1 if wanted else 0)


def test_a_known_animal_is_told_by_its_name(team: Served, tokens: dict[str, str]) -> None:
    with connected(team) as client:
        client.headers["Authorization"] = f"Bearer {tokens['keep']}"
        batch = client.post("/v1/batches", json={"title": "by name"}).json()["id"]
        data = photo(640)
        address = f"/v1/batches/{batch}/photos/{hashlib.sha256(data).hexdigest()}"
        item = client.put(
            address, params={"name": "a.png"}, content=data,
            headers={"Content-Type": "application/octet-stream"},
        ).json()  # fmt: skip
        while client.post("/v1/queue/next").json()["item"] is None:
            time.sleep(0.1)
        decide = f"/v1/queue/{item['id']}/decision"
        known = {"decision": "known"}
        for wrong in (known, {**known, "identity": "Zoe", "animal": 1}, {"decision": "unsure",
                      "identity": "Zoe"}):  # fmt: skip
            assert client.post(decide, json=wrong).status_code == 422
        assert client.post(decide, json={**known, "identity": "nobody so"}).status_code == 409
        done = client.post(decide, json={**known, "identity": "Zoe", "force": True}).json()
        assert done["item"]["identity"] == "Zoe"
        client.post(done["item"]["undo"]).raise_for_status()
        client.delete(f"/v1/batches/{batch}").raise_for_status()


def sign_in(visitor: Watched, token: str, path: str) -> Page:
    visitor.page.emulate_media(reduced_motion="reduce")  # what rises is pale meanwhile
    shown = visitor.open(path)
    shown.fill("#token", token)
    shown.click("#sign-in button")
    shown.wait_for_url(re.compile(re.escape(path)))
    visitor.complaints.clear()
    return shown


def named(shown: Page) -> str:
    """The name of the photograph that somebody has."""
    return shown.inner_text("#queue-name").split(",")[0]


@pytest.mark.browser
@in_browser
def test_digests_are_the_same_without_the_browsers_help(team: Served, chrome: Browser) -> None:
    numbers = random.Random(4)
    with visit(chrome, team.url) as visitor:
        shown = visitor.open("/about")
        assets = shown.locator('script[type="module"]').first.get_attribute("src") or ""
        address = re.sub(r"[^/]+$", "sha256.js", assets)
        for length in (0, 1, 55, 56, 63, 64, 65, 119, 120, 5000):
            data = numbers.randbytes(length)
            found = shown.evaluate(
                "async ([address, bytes]) =>"
                " (await import(address)).plainDigest(Uint8Array.from(bytes))",
                [address, list(data)],
            )
            assert found == hashlib.sha256(data).hexdigest()


@pytest.mark.browser
@in_browser
def test_two_people_decide_what_one_uploaded(
    team: Served, tokens: dict[str, str], chrome: Browser, tmp_path: Path
) -> None:
    files = []
    for number in range(8):
        files.append(tmp_path / f"IMG_{number}.png")
        files[-1].write_bytes(photo(580 + 7 * number, number, 300))
    (tmp_path / "bad.png").write_bytes(b"this is no photograph")
    with (
        visit(chrome, team.url, "en-US", **DESKTOP) as ana,
        visit(chrome, team.url, "es-CL", **PHONE) as bea,
    ):
        left = sign_in(ana, tokens["keep"], "/queue")
        assert faults(left) == []
        # The connection breaks after three photographs, and comes back.
        sent: list[str] = []

        def count(route: object, request: object) -> None:
            sent.append(request.url)  # type: ignore[attr-defined]
            if len(sent) == 4:
                route.abort("internetdisconnected")  # type: ignore[attr-defined]
            else:
                route.continue_()  # type: ignore[attr-defined]

        left.route("**/v1/batches/*/photos/*", count)
        left.set_input_files("#file-upload", [*files, tmp_path / "bad.png"])
        until(left, lambda: "8 have arrived, 1 were refused" in left.inner_text("#upload-said"))
        assert len(sent) == 10  # one of them twice
        assert "bad.png" in left.inner_text("#upload-refused")
        ana.complaints = [said for said in ana.complaints if not re.search("DISCONN|415", said)]
        address = left.url
        assert "batch=" in address
        left.unroute("**/v1/batches/*/photos/*")
        # After reloading, the same photographs are not sent again.
        left.reload()
        again: list[str] = []
        left.on("request", lambda asked: again.append(asked.method + asked.url))
        left.set_input_files("#file-upload", files)
        until(left, lambda: "8 have arrived" in left.inner_text("#upload-said"))
        assert not [asked for asked in again if asked.startswith("PUT")]
        until(left, lambda: "8 waiting" in left.inner_text("#batch-counts"))
        assert faults(left) == []

        right = sign_in(bea, tokens["review"], address.removeprefix(team.url))
        left.click("#queue-next")
        left.wait_for_selector("#review-accept-1")
        right.click("#queue-next")
        right.wait_for_selector("#review-accept-1")
        assert named(left) != named(right)
        until(right, lambda: right.reload() and "La tiene" not in right.inner_text("#batch"))
        until(left, lambda: left.evaluate("document.getElementById('queue-photo').complete"))
        assert faults(left) == []
        shoot(ana, "queue-desktop")
        # A reload gives the one that a person has again.
        right.click("#queue-next")
        right.wait_for_selector("#review-accept-1")
        assert named(left) != named(right)
        assert faults(right) == []
        shoot(bea, "queue-phone")

        decided = [named(left)]
        left.keyboard.press("n")
        until(left, lambda: named(left) != decided[-1])
        decided.append(named(left))
        left.wait_for_selector("#review-accept-1")
        left.keyboard.press("u")
        until(left, lambda: named(left) != decided[-1])
        theirs = named(right)
        assert theirs not in [*decided, named(left)]
        right.click("#review-accept-1")
        until(right, lambda: named(right) != theirs)
        lines = left.locator("#queue-done li").all_inner_texts()
        assert [line.split(":")[0] for line in lines] == decided[::-1]
        until(left, lambda: left.reload() and "3 of 8 decided" in left.inner_text("#batch-counts"))
        # What is decided can be taken back from the list as well, by keepers also for others.
        until(left, lambda: left.locator("#batch li button").count() == 3)
        until(right, lambda: right.locator("#batch li button").count() == 1)
        left.locator("#batch li", has_text=decided[0]).locator("button").click()
        until(left, lambda: "2 of 8 decided" in left.inner_text("#batch-counts"))
        assert ana.page.request.get(f"{team.url}/v1/batches").ok


@pytest.mark.browser
@in_browser
def test_a_keeper_merges_two_animals_and_undoes_it(
    team: Served, tokens: dict[str, str], chrome: Browser
) -> None:
    with visit(chrome, team.url) as visitor:
        sign_in(visitor, tokens["keep"], "/animals")
        (one,) = visitor.page.request.get(f"{team.url}/v1/animals?q=nandi").json()["animals"]
        shown = visitor.open(f"/animals/{one['id']}")
        shown.click("#edits summary")
        assert faults(shown) == []
        shoot(visitor, "animal-edits")
        # Nothing is sent before another animal is chosen.
        shown.click("#edit-merge button")
        until(shown, lambda: shown.inner_text("#edit-merge .said") != "")
        shown.fill("#edit-merge-other", "zoe")
        shown.click("#edit-merge-other-found button")
        shown.fill("#edit-merge-reason", "the same ear")
        shown.click("#edit-merge button.plain")
        until(shown, lambda: "the same ear" in shown.inner_text("#history"))
        assert "Zoe" in shown.inner_text(".facts")
        shown.locator("#history button").first.click()
        until(shown, lambda: "Zoe" not in shown.inner_text(".facts"))
        # What is nearly another's name is asked about once more.
        shown.click("#edits summary")
        shown.fill("#edit-describe-died", "soon")
        shown.click("#edit-describe button")
        until(shown, lambda: shown.inner_text("#edit-describe .said") != "")
        shown.fill("#edit-describe-died", "2026-08")
        shown.select_option("#edit-describe-life_stage", "adult")
        shown.click("#edit-describe button")
        until(shown, lambda: "2026-08" in shown.inner_text(".facts"))
        assert "adult" in shown.inner_text(".facts")
        visitor.complaints = [said for said in visitor.complaints if "4" not in said]
        text = visitor.page.request.get(shown.url, headers=HTML).text()
        (facts,) = elements(text.removeprefix("<!doctype html>"), "dl", class_="facts")
        assert "2026-08" in read(facts)


@pytest.mark.browser
@in_browser
def test_what_is_being_compared_comes_by_itself(
    team: Served, tokens: dict[str, str], chrome: Browser, tmp_path: Path
) -> None:
    (tmp_path / "IMG_8.png").write_bytes(photo(642, 3, 300, "PNG"))
    with visit(chrome, team.url) as visitor:
        shown = sign_in(visitor, tokens["review"], "/queue")
        shown.set_input_files("#file-upload", tmp_path / "IMG_8.png")
        until(shown, lambda: "1 waiting" in shown.inner_text("#batch"))
        none_yet = {"item": None, "waiting": 1, "unanswered": 1}
        shown.route("**/v1/queue/next*", lambda route: route.fulfill(json=none_yet), times=2)
        shown.route("**/fragments/review", lambda route: route.abort(), times=1)
        shown.click("#queue-next")
        until(shown, lambda: "1 are being compared" in shown.inner_text("#queue-said"))
        shown.wait_for_selector("#review-accept-1")
        assert named(shown) == "IMG_8.png"
        shown.wait_for_selector("#gone", state="hidden")
        visitor.complaints = [said for said in visitor.complaints if "ERR_FAILED" not in said]
