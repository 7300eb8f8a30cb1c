"""The page in a real browser: it draws every chart, asks for nothing, and fits the screen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from flukeprint.evaluation.report.page import ReportPage, render
from tests.evaluation.report.drawn_run import HOSTILE
from tests.evaluation.report.every_kind import parts
from tests.serving.page.browsing import DESKTOP, PHONE, Watched, browser, chromium, visit

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("page") / "report.html"
    file.write_bytes(render(ReportPage(HOSTILE[0], (HOSTILE[1],), parts(), (HOSTILE[0],))))
    return file.as_uri()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


def scrolled(watched: Watched) -> Page:
    """Open the page and scroll to its end, by which all charts are drawn."""
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    page.goto(watched.site)
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        drawn(page, str(chart.get_attribute("id")))
    return page


def drawn(page: Page, chart: str) -> None:
    """Wait until a chart is drawn; by a selector, as the page's policy forbids code in strings."""
    page.wait_for_selector(f"#{chart}[data-drawn]", state="attached")


def pointed_at(page: Page, point: Locator) -> None:
    """Rest the cursor on a point of a chart until the photograph beside it is shown.

    Scrolling hides the photograph, and its event comes after the browser's next frame.
    """
    point.scroll_into_view_if_needed()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = point.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for step in range(50):  # plotly.js lets moves pass that follow each other closely
        page.mouse.move(x + step % 2, y)
        page.wait_for_timeout(100)
        if page.locator("#hover").is_visible():
            return
    raise AssertionError("no photograph is shown")


@pytest.mark.parametrize(
    ("how", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_all_charts_are_drawn(address: str, chrome: Browser, how: dict, scheme: str):
    with visit(chrome, address, color_scheme=scheme, **how) as watched:
        page = scrolled(watched)
        wide, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room
        assert page.locator(".chart .main-svg").count() >= 6
        assert page.locator(".chart .gl-container canvas").count() >= 1
        assert page.title() == HOSTILE[0]
        buttons = page.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
        assert not [title for title in buttons if "hare" in title or "loud" in title]
        assert bool(buttons) == (how == DESKTOP)
        # Told as they are, not as tags: the label of a bar.
        labels = page.locator("#bars .xtick").all_text_contents()
        assert any(label.replace(" ", "").startswith("<script>") for label in labels)
        page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
        page.wait_for_timeout(100)


def test_a_photograph_is_shown_beside_the_cursor(address: str, chrome: Browser):
    with visit(chrome, address) as watched:
        page = scrolled(watched)
        points = page.locator("#points .scatterlayer .trace").nth(0).locator(".point")
        assert not page.locator("#hover").is_visible()
        pointed_at(page, points.nth(1))
        source = page.locator("#hover img").get_attribute("src") or ""
        assert source.startswith("data:image/jpeg;base64,")
        page.mouse.move(0, 0)
        page.wait_for_selector("#hover", state="hidden")


def test_a_photograph_of_a_point_in_space_is_shown_beside_the_cursor(address: str, chrome: Browser):
    with visit(chrome, address) as watched:
        page = scrolled(watched)
        page.locator("#solid").scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        box = page.locator("#solid").bounding_box()
        assert box is not None
        places = [
            (box["x"] + box["width"] * across / 40, box["y"] + box["height"] * down / 30)
            for down in range(8, 28) for across in range(12, 29)
        ]  # fmt: skip
        for x, y in places:
            page.mouse.move(x, y)
            page.wait_for_timeout(30)
            if page.locator("#hover").is_visible():
                break
        shown = page.locator("#hover").bounding_box()
        assert shown is not None
        assert abs(shown["x"] - x) < 200
        assert abs(shown["y"] - y) < 200


def test_charts_out_of_sight_wait(address: str, chrome: Browser):
    with visit(chrome, address) as watched:
        watched.page.goto(address)
        drawn(watched.page, "line")
        assert watched.page.locator("#heatmap").get_attribute("data-drawn") is None


def test_the_keyboard_reaches_the_sections(address: str, chrome: Browser):
    with visit(chrome, address) as watched:
        page = watched.page
        page.goto(address)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(2):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#others"
        assert page.locator("#others").evaluate("e => e.getBoundingClientRect().top") < 900


def test_without_scripts_the_files_are_named(address: str, chrome: Browser):
    with visit(chrome, address, java_script_enabled=False) as watched:
        watched.page.goto(address)
        notice = watched.page.locator("noscript .notice")
        assert notice.is_visible()
        assert "in the folder report" in notice.inner_text()
        assert watched.page.locator('a[href="report/line.png"]').is_visible()


def test_a_browser_that_cannot_unpack_says_so(address: str, chrome: Browser):
    with visit(chrome, address) as watched:
        watched.page.add_init_script("delete window.DecompressionStream")
        watched.page.goto(address)
        said = watched.page.locator("#line").get_by_text("This browser cannot unpack the charts")
        said.wait_for()
