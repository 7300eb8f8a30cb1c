"""Every page follows WCAG 2.2 AA as far as axe-core can tell: light and dark, large and small."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.serving.page.browsing import DESKTOP, PHONE, chromium, visit
from tests.serving.served import Served, photo

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium"),
]
RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    "resultTypes": ["violations"],  # of all else it tells less, and sooner
}
PATHS = (
    "/", "/verify", "/review", "/map", "/classes", "/classes?q=zzz", "/similar?photo=0", "/about",
    "/compare?query=0&photo=1&photo=2",
    "/nothing",
)  # fmt: skip
WAYS = [("desktop", DESKTOP, "en-US"), ("phone", PHONE, "es-CL")]


def faults(page: Page, **options: Any) -> list[str]:
    """What axe-core complains about, a line each."""
    found = Axe().run(page, options={**RULES, **options}).response["violations"]
    return [
        f"{one['id']} ({one['help']}): {node['target']} {node['html'][:120]}"
        for one in found
        for node in one["nodes"]
    ]


def faults_of_both(page: Page) -> list[str]:
    """Those of the light page, and what dark colours make worse."""
    light = faults(page)
    page.emulate_media(color_scheme="dark")
    page.evaluate("new Promise(requestAnimationFrame)")  # it has changed colours
    dark = faults(page, runOnly={"type": "rule", "values": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    return [*light, *(f"dark: {line}" for line in dark)]


@pytest.mark.parametrize(("size", "how", "locale"), WAYS)
def test_pages_can_be_used_by_all(
    site: Served, chrome: Browser, tmp_path: Path, size: str, how: dict[str, Any], locale: str
) -> None:
    (tmp_path / "shape.png").write_bytes(photo(3))
    said: dict[str, list[str]] = {}
    with visit(chrome, site.url, locale, **how, color_scheme="light") as visitor:
        for path in PATHS:
            page = visitor.open(path)
            page.wait_for_load_state("networkidle")
            said[path] = faults_of_both(page)
        page = visitor.open("/")
        page.set_input_files("#file-identify", tmp_path / "shape.png")
        page.wait_for_selector("#answer-5")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        page.wait_for_timeout(400)  # until it has faded in
        said["an answer"] = faults_of_both(page)
        page = visitor.open("/review")
        page.set_input_files("#file-review", tmp_path / "shape.png")
        page.wait_for_selector("#review-accept-1")
        page.wait_for_timeout(400)
        said["a review"] = faults_of_both(page)
        visitor.complaints = [said for said in visitor.complaints if "404" not in said]
    assert {path: lines for path, lines in said.items() if lines} == {}


def test_the_documentation_can_be_used_by_all(site: Served, chrome: Browser) -> None:
    """All of WCAG 2.2 AA; Swagger UI only leaves out a level of headings, no rule of it."""
    with visit(chrome, site.url) as visitor:
        visitor.page.goto(f"{site.url}/docs")
        visitor.page.wait_for_selector(".opblock")
        lines = faults(visitor.page, rules={"heading-order": {"enabled": False}})
    assert lines == []
