"""A review in a real browser, opened from its file: clicks, keys, reloads, and its table."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from flukeprint.keeper.review.page import render_review
from flukeprint.keeper.review.table import ReviewDecision, read_decisions
from tests.keeper.review.drawn_queue import HOSTILE, STAMP, digest, drawn_queue
from tests.serving.page.browsing import DESKTOP, PHONE, Watched, browser, chromium, until, visit

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium"),
]
NO_STORE = """Object.defineProperty(window, "indexedDB", {
  get() { throw new DOMException("denied", "SecurityError"); },
});"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("review") / "queue.html"
    file.write_bytes(render_review(drawn_queue(event=12, suggested="n_009")))
    return file.as_uri()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as started:
        yield started


def opened(watched: Watched) -> Page:
    """Open the page, without a network."""
    page = watched.page
    page.context.set_offline(True)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(watched.site)
    return ready(page)


def ready(page: Page) -> Page:
    """The page, once it shows what was kept."""
    page.wait_for_selector("body[aria-busy=false]")
    return page


def photo(page: Page) -> str:
    return page.locator("#photo").text_content() or ""


def at(page: Page, place: int) -> None:
    """Check which photograph is shown."""
    assert photo(page) == drawn_queue().entries[place].photo
    assert page.locator("#goto").input_value() == str(place)


def downloaded(page: Page, folder: Path) -> tuple[ReviewDecision, ...]:
    with page.expect_download() as started:
        page.get_by_role("button", name="Download CSV").click()
    file = folder / "decisions.csv"
    started.value.save_as(file)
    return read_decisions(file)


@pytest.mark.parametrize(
    ("how", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_it_fits_the_screen_and_names_are_only_text(
    address: str, chrome: Browser, how: dict, scheme: str
) -> None:
    with visit(chrome, address, color_scheme=scheme, **how) as watched:
        page = opened(watched)
        wide, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room
        assert page.title() == f"Review: {HOSTILE[0]}"
        assert photo(page) == f" {HOSTILE[0]}.jpg"
        assert page.locator(".choose .name").first.text_content() == HOSTILE[0]
        assert page.locator("#decided").text_content() == "0 of 5 decided, 1 unreadable"
        for control in page.locator("button:visible, select:visible, input:visible").all():
            box = control.bounding_box()
            assert box is not None
            assert control.get_attribute("id") == "keys" or min(box["width"], box["height"]) >= 24
        loaded = "all => all.every(one => one.complete && one.naturalWidth > 0)"
        assert page.locator("img:visible").evaluate_all(loaded)


def test_every_control_has_a_name(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.locator("summary").click()
        assert page.get_by_role("group", name="Decide").count() == 1
        tree = page.locator("body").aria_snapshot()
        for line in tree.splitlines():
            kind = line.strip().removeprefix("- ").split(" ")[0].rstrip(":")
            if kind in ("button", "textbox", "combobox", "checkbox", "progressbar", "img"):
                assert '"' in line or "'" in line, line


def test_all_keys(address: str, chrome: Browser, tmp_path: Path) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.get_by_label("Your name").fill('Ada "Quote", =x')
        page.keyboard.press("2")  # it is typed into the name
        assert page.locator("#decided").text_content() == "0 of 5 decided, 1 unreadable"
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        at(page, 1)
        page.keyboard.press("n")
        page.keyboard.press("U")
        page.keyboard.press("b")
        at(page, 4)
        page.keyboard.press("ArrowRight")
        assert page.locator("#error").text_content() == drawn_queue().entries[5].error
        page.keyboard.press("1")  # there is nothing to decide
        at(page, 5)
        page.keyboard.press("ArrowLeft")
        page.get_by_label("Note on this photograph").fill('=left, "side"; \'x')
        page.keyboard.press("Escape")
        rows = downloaded(page, tmp_path)
    entries = drawn_queue().entries
    assert [row.decision for row in rows] == [
        "known", "new", "unsure", "wrong_view", "undecided", "unreadable",
    ]  # fmt: skip
    assert [row.identity for row in rows] == [HOSTILE[1], "n_009", None, None, None, None]
    assert [row.photo for row in rows] == [entry.photo for entry in entries]
    assert [row.path for row in rows] == [entry.path for entry in entries]
    assert [row.digest for row in rows] == [digest(place) for place in range(5)] + [None]
    assert [row.first_answer for row in rows] == [*HOSTILE[:5], None]
    assert [row.probability for row in rows[:2]] == [0.25, round(0.5 / 3, 4)]
    assert {row.reviewer for row in rows[:4]} == {'Ada "Quote", =x2'}
    assert rows[4].note == '=left, "side"; \'x'
    assert rows[5].error == entries[5].error
    assert {(row.stamp, row.catalogue_event, row.queue) for row in rows} == {
        (STAMP, 12, drawn_queue(event=12).id)
    }
    moments = [row.decided_at for row in rows[:4]]
    assert moments == sorted(moment for moment in moments if moment is not None)


def test_all_is_done_with_the_mouse(address: str, chrome: Browser, tmp_path: Path) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.locator(".choose").nth(1).click()
        assert page.evaluate("document.activeElement.id") == "photo"
        at(page, 1)
        page.get_by_role("button", name="Unsure").click()
        page.get_by_role("button", name="Wrong view").click()
        at(page, 3)
        page.get_by_role("button", name="Undo").click()
        at(page, 2)
        page.get_by_label("Name of a new animal").fill("whale Z")
        page.get_by_role("button", name="New animal").click()
        at(page, 3)
        # Another one that was found new here, and one that is known.
        page.get_by_label("Another animal").fill("whale Z")
        page.get_by_role("button", name="Choose it").click()
        page.get_by_label("Another animal").fill(f"  {HOSTILE[5]} ")
        page.keyboard.press("Enter")
        assert "All are decided" in (page.locator("#said").text_content() or "")
        rows = downloaded(page, tmp_path)
    assert [(row.decision, row.identity) for row in rows[:5]] == [
        ("known", HOSTILE[1]), ("unsure", None), ("new", "whale Z"), ("new", "whale Z"),
        ("known", HOSTILE[5]),
    ]  # fmt: skip


def test_a_candidate_that_is_new_means_a_new_animal(
    address: str, chrome: Browser, tmp_path: Path
) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.keyboard.press("3")
        page.keyboard.press("3")
        page.get_by_label("Name of a new animal").fill("")
        page.get_by_role("button", name="New animal").click()
        rows = downloaded(page, tmp_path)
    assert [(row.decision, row.identity) for row in rows[:3]] == [
        ("new", "n_009"), ("new", "n_010"), ("new", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("Name of a new animal", HOSTILE[2], "known already"),
        ("Name of a new animal", "new_whale", "any new animal"),
        ("Another animal", "nobody", "Nobody is called nobody"),
        ("Another animal", "", "Write a name first"),
    ],
)
def test_names_that_cannot_be_are_refused(
    address: str, chrome: Browser, field: str, name: str, told: str
) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.get_by_label(field).fill(name)
        page.keyboard.press("Enter")
        assert told in (page.locator("#state").text_content() or "")
        assert told in (page.locator("#said").text_content() or "")
        assert page.get_by_label(field).get_attribute("aria-invalid") == "true"
        at(page, 0)
        assert page.locator("#progress").get_attribute("value") == "0"


def test_undo_goes_back_step_by_step(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.keyboard.press("1")
        page.keyboard.press("1")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("u")  # the second is decided anew
        assert page.locator("#decided").text_content() == "2 of 5 decided, 1 unreadable"
        page.keyboard.press("Control+z")
        at(page, 1)
        assert HOSTILE[1] in (page.locator("#state").text_content() or "")
        page.keyboard.press("z")
        page.keyboard.press("z")
        at(page, 0)
        assert page.locator("#decided").text_content() == "0 of 5 decided, 1 unreadable"
        assert page.get_by_role("button", name="Undo").is_disabled()
        page.keyboard.press("z")
        assert page.locator("#said").text_content() == "There is nothing to undo."


@pytest.mark.parametrize("stored", [True, False])
def test_a_reload_loses_nothing(
    address: str, chrome: Browser, tmp_path: Path, stored: bool
) -> None:
    with visit(chrome, address) as watched:
        if not stored:
            watched.page.add_init_script(NO_STORE)
        page = opened(watched)
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Note on this photograph").fill("blurred")
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.keyboard.press("u")
        before = downloaded(page, tmp_path)
        page.reload()
        at(ready(page), 2)
        assert page.locator("#keeping").is_visible() != stored
        assert page.get_by_label("Your name").input_value() == "Ada"
        assert downloaded(page, tmp_path) == before
        page.keyboard.press("z")
        at(page, 1)
    assert [(row.decision, row.note) for row in before[:2]] == [
        ("known", "blurred"), ("unsure", None),
    ]  # fmt: skip


def test_a_reload_that_cuts_the_writing_short_loses_nothing(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.keyboard.press("1")
        until(page, lambda: page.evaluate(WRITTEN) == 1)
        page.evaluate("() => { IDBObjectStore.prototype.put = () => {}; }")
        page.keyboard.press("u")
        page.reload()
        at(ready(page), 2)
        until(page, lambda: page.evaluate(WRITTEN) == 2)
        page.keyboard.press("z")
        until(page, lambda: page.evaluate(WRITTEN) == 1)
        other = page.context.new_page()
        other.goto(address)
        assert ready(other).locator("#progress").get_attribute("value") == "1"


def test_two_tabs_lose_nothing_to_each_other(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        other = page.context.new_page()
        other.goto(address)
        ready(other)
        page.keyboard.press("1")
        other.wait_for_selector('#progress[value="1"]')
        other.keyboard.press("ArrowRight")
        other.keyboard.press("u")
        page.wait_for_selector('#progress[value="2"]')


def test_two_tabs_that_write_at_once_keep_both(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        other = page.context.new_page()
        other.goto(address)
        ready(other).keyboard.press("ArrowRight")
        other.evaluate(UNHEARD)
        page.evaluate(UNHEARD)
        page.keyboard.press("1")
        other.keyboard.press("u")  # which knows nothing of the first
        other.keyboard.press("b")
        until(page, lambda: page.evaluate(WRITTEN) == 3)
        for one in (page, other):
            one.reload()
            assert ready(one).locator("#progress").get_attribute("value") == "3"
        at(other, 3)
        for left in ("2", "1", "0"):
            page.keyboard.press("z")
            page.wait_for_selector(f'#progress[value="{left}"]')
        page.reload()
        assert ready(page).get_by_role("button", name="Undo").is_disabled()


# How many decisions lie in the database.
WRITTEN = """() => new Promise((done) => {
  indexedDB.open("flukeprint-review").onsuccess = ({ target: { result } }) => {
    const all = result.transaction("kept").objectStore("kept").getAll();
    all.onsuccess = () => {
      result.close();
      done(Math.max(0, ...all.result.map((one) => Object.keys(one.decisions || {}).length)));
    };
  };
})"""

# No channel hears what other tabs say.
UNHEARD = """() => {
  const channel = new BroadcastChannel("any"), all = Object.getPrototypeOf(channel);
  channel.close();
  all.postMessage = () => {};
}"""


def test_another_page_begins_anew(address: str, chrome: Browser, tmp_path: Path) -> None:
    with visit(chrome, "file://") as watched:
        watched.site = address
        page = opened(watched)
        page.keyboard.press("1")
        (tmp_path / "later.html").write_bytes(render_review(drawn_queue(event=13)))
        page.goto((tmp_path / "later.html").as_uri())
        ready(page)
        assert page.locator("#progress").get_attribute("value") == "0"


def test_keypoints_are_drawn_where_they_are(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        assert page.locator("#lines circle").count() == 0
        page.keyboard.press("m")
        assert page.get_by_role("button", name="Matches").get_attribute("aria-pressed") == "true"
        assert page.locator("#matched").text_content() == "2 keypoints agree in one geometry."
        circles = [circle.bounding_box() for circle in page.locator("#lines circle").all()]
        frames = [page.locator(f"#{name}").bounding_box() for name in ("query", "compared")]
        assert len(circles) == 4
        ends = drawn_queue().entries[0].candidates[0].matched
        assert ends is not None
        shape = np.asarray(Image.open(BytesIO(drawn_queue().pictures[0]))).shape  # of all
        for place, circle in enumerate(circles):
            frame = frames[place % 2]
            assert circle is not None
            assert frame is not None
            scale = min(frame["width"] / shape[1], frame["height"] / shape[0])
            width, height = scale * shape[1], scale * shape[0]
            x, y = ends.lines[place // 2][2 * (place % 2) :][:2]
            left = frame["x"] + (frame["width"] - width) / 2 + width * x / 1000
            top = frame["y"] + (frame["height"] - height) / 2 + height * y / 1000
            assert circle["x"] + circle["width"] / 2 == pytest.approx(left, abs=1.5)
            assert circle["y"] + circle["height"] / 2 == pytest.approx(top, abs=1.5)
        page.locator(".look").nth(1).click()  # another photograph of the first candidate
        assert page.locator("#lines circle").count() == 0
        assert f"{HOSTILE[0]} 1.jpg" in (page.locator("#compared-text").text_content() or "")
        page.keyboard.press("ArrowDown")
        assert page.locator("#lines circle").count() == 4
        assert HOSTILE[1] in (page.locator("#compared-text").text_content() or "")
        page.keyboard.press("ArrowDown")  # a new animal
        assert page.locator("#absent").text_content() == "Not in the collection: no photograph"
        page.keyboard.press("m")
        assert page.locator("#matched").text_content() == ""


def test_single_keys_can_be_switched_off(address: str, chrome: Browser) -> None:
    with visit(chrome, address) as watched:
        page = opened(watched)
        page.locator("summary").click()
        page.get_by_label("Single keys decide").uncheck()
        page.keyboard.press("1")
        at(page, 0)
        page.get_by_label("Single keys decide").check()
        page.keyboard.press("1")
        at(page, 1)


def test_what_is_seen_has_contrast(address: str, chrome: Browser) -> None:
    """4.5 to 1 for text (WCAG 2.2, 1.4.3), in light and dark."""
    with visit(chrome, address) as watched:
        page = opened(watched)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(200)
            found = page.evaluate(COLOURS)
            assert len(found) > 10
            for text, ink, paper in found:
                one, two = sorted((luminance(ink), luminance(paper)))
                assert (two + 0.05) / (one + 0.05) >= 4.5, (scheme, text, ink, paper)


COLOURS = """() => [...document.querySelectorAll(
    "h1, h2, p, label, small, span, figcaption, kbd, button:enabled, summary, select"
  )]
  .filter(one => one.offsetParent && one.textContent.trim() && !one.closest(".unseen"))
  .map(one => {
    const clear = "rgba(0, 0, 0, 0)";
    let under = one;
    while (getComputedStyle(under).backgroundColor === clear) under = under.parentElement;
    const numbers = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    return [one.textContent.trim().slice(0, 30), numbers(getComputedStyle(one).color),
      numbers(getComputedStyle(under).backgroundColor)];
  })"""


def luminance(colour: list[float]) -> float:
    """Relative luminance of sRGB, 0 to 255, as WCAG defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
