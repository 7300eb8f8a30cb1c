"""Two photographs side by side in a browser: moved together or alone, mirrored, with keypoints."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.serving.api.http_client import connected
from tests.serving.page.browsing import DESKTOP, PHONE, chromium, until, visit
from tests.serving.page.page_facts import elements, read
from tests.serving.page.test_accessibility import faults
from tests.serving.page.test_catalogue_pages import HTML, kept, open_, shoot, team, tokens
from tests.serving.page.test_queue_page import sign_in
from tests.serving.served import Served, photo

__all__ = ["kept", "open_", "team", "tokens"]
in_browser = pytest.mark.skipif(chromium() is None, reason="there is no Chromium")
SHIFTS = (
    "new PerformanceObserver(all => { for (const one of all.getEntries()) if (!one.hadRecentInput)"
    " window.shifted = (window.shifted || 0) + one.value })"
    ".observe({type: 'layout-shift', buffered: true})"
)


def enrolled(client: httpx2.Client) -> list[int]:
    """Photographs of the catalogue whose files are there, by animal."""
    found = []
    for name in ("kaya", "nandi"):
        (one,) = client.get("/v1/animals", params={"q": name}).json()["animals"]
        animal = client.get(f"/v1/animals/{one['id']}").json()
        found += [shot["photo"] for shot in animal["photos"] if shot["full"]]
    return found


def test_the_page_tells_what_the_catalogue_knows(open_: Served) -> None:
    with connected(open_) as client:
        one, *others = enrolled(client)
        query = "&".join(f"photo={other}" for other in others)
        text = client.get(f"/compare?query={one}&{query}&photo=99999&at=2", headers=HTML).text
        shown = list(elements(text.removeprefix("<!doctype html>"), class_="strip-photo"))
        assert [int(button.get("data-photo", "")) for button in shown] == others
        assert {button.get("data-query-name") for button in shown} == {"Kaya"}
        assert "2026" in " ".join(map(read, shown))
        assert all(button.get("data-animal") for button in shown)
        # In another language it is still the same comparison.
        spanish = re.search(r'href="(\?[^"]*lang=es)"', text)
        assert spanish
        assert spanish[1].count("photo=") == len(others) + 1
        for wrong in ("?photo=99999", "?photo=x", "?query=99999&photo=0"):
            answer = client.get(f"/compare{wrong}", headers=HTML)
            assert answer.status_code == 404
            assert "None of these photographs" in answer.text
            assert client.get(f"/fragments/compare{wrong}").status_code == 404
        assert "No photograph was named" in client.get("/compare", headers=HTML).text
        assert client.get("/compare?photo=0&at=99999999&item=x", headers=HTML).status_code == 200


def places(page: Page) -> list[str]:
    return [
        page.evaluate("one => one.style.transform", page.query_selector(f"#compare-{side} img"))
        for side in ("query", "candidate")
    ]


@pytest.mark.browser
@in_browser
@pytest.mark.parametrize(
    ("size", "locale", "how"), [("desktop", "en-US", DESKTOP), ("phone", "es-CL", PHONE)]
)
def test_a_pair_is_moved_mirrored_and_matched(
    open_: Served, chrome: Browser, size: str, locale: str, how: dict[str, Any]
) -> None:
    with connected(open_) as client:
        one, *others = enrolled(client)
    with visit(chrome, open_.url, locale, **how) as visitor:
        visitor.page.add_init_script(SHIFTS)
        # The last one is of the training: it has a thumbnail alone.
        query = "&".join(f"photo={other}" for other in (*others, 0))
        page = visitor.open(f"/compare?query={one}&{query}")
        until(page, lambda: "400 \u00d7" in page.inner_text("#compare-candidate .compare-size"))
        until(page, lambda: "400 \u00d7" in page.inner_text("#compare-query .compare-size"))
        assert page.evaluate("window.shifted || 0") < 0.05
        assert faults(page) == []
        wide, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= room
        # Together, by button and key; alone once the lock is off.
        whole = places(page)
        page.click("#compare-closer")
        page.keyboard.press("+")
        closer = places(page)
        assert closer[0] == closer[1] != whole[0]
        page.focus("#compare-candidate .stage")
        page.keyboard.press("ArrowRight")
        assert places(page)[0] == places(page)[1] != closer[0]
        page.click("#compare-together")
        page.focus("#compare-candidate .stage")
        before = places(page)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("f")
        after = places(page)
        assert after[0] == before[0]
        assert "scale(-" in after[1]
        assert page.get_attribute("#compare-mirror-candidate", "aria-pressed") == "true"
        page.keyboard.press("f")
        page.keyboard.press("l")
        page.keyboard.press("0")
        assert places(page) == whole
        # A plain wheel scrolls the page, with ctrl it goes closer.
        page.hover("#compare-query .stage")
        if size == "desktop":
            page.mouse.wheel(0, 50)
            page.wait_for_timeout(100)
            assert places(page) == whole
            page.keyboard.down("Control")
            page.mouse.wheel(0, -100)
            page.keyboard.up("Control")
            until(page, lambda: places(page) != whole)
            page.keyboard.press("0")
        # Keypoints: as many marks as numbers, in both; each leads to its place.
        page.keyboard.press("m")
        page.wait_for_selector("#compare-matched .hint")
        counts = [
            page.locator(f"#compare-{side} .point").count() for side in ("query", "candidate")
        ]
        assert counts[0] == counts[1] == page.locator(".pair-number").count()
        assert faults(page) == []
        shoot(visitor, f"compare-{size}")
        # The next one, to the end; what is not at hand is said to be small.
        for number in range(1, len(others) + 1):
            page.keyboard.press("n")
            assert page.get_attribute(f"#compare-show-{number}", "aria-current") == "true"
        small = {"en-US": "small picture of", "es-CL": "imagen pequeña de"}[locale]
        until(page, lambda: small in page.inner_text("#compare-candidate .compare-size"))
        assert page.is_disabled("#compare-next")
        page.keyboard.press("p")
        assert page.get_attribute("#compare-next", "disabled") is None


@pytest.mark.browser
@in_browser
def test_an_answer_is_compared_without_leaving_its_page(
    open_: Served, chrome: Browser, tmp_path: Path
) -> None:
    (tmp_path / "mine.png").write_bytes(photo(3, 11, 300, "PNG"))
    with visit(chrome, open_.url, reduced_motion="reduce", **DESKTOP) as visitor:
        page = visitor.open("/")
        page.set_input_files("#file-identify", tmp_path / "mine.png")
        page.wait_for_selector("#answer-5")
        link = page.locator(".compare-link").first
        address = link.get_attribute("href") or ""
        link.click()
        page.wait_for_selector("dialog .stage")
        until(page, lambda: "300 \u00d7" in page.inner_text("#compare-query .compare-size"))
        assert page.url == visitor.site + address
        assert faults(page) == []
        page.keyboard.press("Escape")
        until(page, lambda: page.url == f"{visitor.site}/")
        assert page.locator("dialog").count() == 0
        assert page.evaluate("document.activeElement.classList.contains('compare-link')")
        assert page.locator("#answer-5").count() == 1
        # Going back closes it too; at its address there is the small copy of the photograph.
        link.click()
        page.wait_for_selector("dialog .stage")
        page.go_back()
        until(page, lambda: page.locator("dialog").count() == 0)
        visitor.open(address)
        until(page, lambda: "small copy" in page.inner_text("#compare-query .compare-size"))
        page.set_input_files("#file-compare", tmp_path / "mine.png")
        until(page, lambda: "small" not in page.inner_text("#compare-query .compare-size"))
        assert page.is_hidden("#compare-own")


@pytest.mark.browser
@in_browser
def test_a_photograph_of_the_queue_is_decided_beside_its_candidate(
    team: Served, tokens: dict[str, str], chrome: Browser, tmp_path: Path
) -> None:
    (tmp_path / "IMG_9.png").write_bytes(photo(641, 3, 300, "PNG"))
    with visit(chrome, team.url) as visitor:
        page = sign_in(visitor, tokens["review"], "/queue")
        page.set_input_files("#file-upload", tmp_path / "IMG_9.png")
        until(page, lambda: "1 waiting" in page.inner_text("#batch"))
        page.click("#queue-next")
        page.wait_for_selector("#review-accept-1")
        page.locator(".compare-link").first.click()
        page.wait_for_selector("#compare-same")
        assert re.search(r"item=\d+$", page.url)
        until(page, lambda: "300 \u00d7" in page.inner_text("#compare-query .compare-size"))
        assert faults(page) == []
        said = page.get_attribute("#compare-same", "data-identity")
        page.click("#compare-same")
        until(page, lambda: page.locator("#queue-done li").count() == 1)
        decided = page.inner_text("#queue-done li").split(": ")[1].split()[0]
        assert decided == said
        until(page, lambda: page.locator("dialog").count() == 0)
        page.click("#queue-done button")
        until(page, lambda: page.locator("#queue-done li").count() == 0)


@pytest.mark.browser
@in_browser
def test_pictures_that_are_passed_by_leave_no_errors(open_: Served, chrome: Browser) -> None:
    with connected(open_) as client:
        one, *others = enrolled(client)
    with visit(chrome, open_.url) as visitor:
        query = "&".join(f"photo={other}" for other in (*others, 0) * 5)
        page = visitor.open(f"/compare?query={one}&{query}")
        page.keyboard.press("m")
        for _ in range(3):
            for key in "np":
                for _ in range(5 * len(others) + 4):
                    page.keyboard.press(key)
                    page.wait_for_timeout(7)
        until(page, lambda: "400 \u00d7" in page.inner_text("#compare-candidate .compare-size"))
        page.wait_for_selector("#compare-matched .hint")
        assert page.get_attribute("#compare-show-0", "aria-current") == "true"
