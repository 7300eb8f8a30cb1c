"""What a person says before a photograph is sent: which animals are meant, its date and place."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.identifier.identifier import Identifier
from tests.serving.page.browsing import (
    DESKTOP,
    PHONE,
    chromium,
    listened,
    sent,
    visit,
)
from tests.serving.page.test_accessibility import faults
from tests.serving.page.test_catalogue_pages import kept, open_
from tests.serving.served import Served, photo

__all__ = ["kept", "open_"]
in_browser = pytest.mark.skipif(chromium() is None, reason="there is no Chromium")


def draw(page: Page, x0: float, y0: float, x1: float, y1: float) -> None:
    """Draw with the mouse, in shares of the photograph."""
    at = page.locator("#box-frame img").bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + at["width"] * x0, at["y"] + at["height"] * y0)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] * x1, at["y"] + at["height"] * y1, steps=3)
    page.mouse.up()


def numbers(page: Page) -> list[float]:
    return [float(page.input_value(f"#box-{side}")) for side in ("x", "y", "width", "height")]


@pytest.mark.browser
@in_browser
@pytest.mark.parametrize(
    ("how", "locale", "scheme"), [(DESKTOP, "en-US", "light"), (PHONE, "es-CL", "dark")]
)
def test_boxes_are_drawn_moved_and_answered_one_by_one(
    site: Served, chrome: Browser, shape: Path, how: dict[str, Any], locale: str, scheme: str
) -> None:
    with visit(chrome, site.url, locale, **how, color_scheme=scheme) as visitor:
        page = listened(visitor).open()
        page.check("#first-boxes")
        page.set_input_files("#file-identify", shape)
        page.wait_for_selector("#box-frame img")
        draw(page, 0.1, 0.2, 0.5, 0.6)
        assert numbers(page) == pytest.approx([10, 20, 40, 40], abs=1.5)
        draw(page, 0.3, 0.4, 0.4, 0.5)  # inside the box: it moves
        assert numbers(page) == pytest.approx([20, 30, 40, 40], abs=1.5)
        draw(page, 0.6, 0.7, 0.8, 0.9)  # its corner
        assert numbers(page) == pytest.approx([20, 30, 60, 60], abs=1.5)
        corner = page.locator(".box.chosen .box-corner.se").bounding_box()
        assert corner is not None
        assert min(corner["width"], corner["height"]) >= 24
        page.click("#box-reset")
        assert page.locator(".box").count() == 0
        page.keyboard.press("Enter")  # on the button to add one
        for keys in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowDown"):
            page.keyboard.press(keys)
        assert numbers(page) == pytest.approx([21, 19, 49, 51])
        page.fill("#box-width", "30")
        page.keyboard.press("Tab")
        assert page.get_attribute(".box", "role") == "application"
        assert "30" in (page.get_attribute(".box", "aria-label") or "")
        page.wait_for_timeout(500)
        assert "30" in page.inner_text("#box-said")
        draw(page, 0.6, 0.75, 0.95, 0.95)
        assert faults(page) == []
        page.click("#choosing-ask")
        page.wait_for_selector("#animal-2-answer-5")
        assert page.locator("#identify-result .animal .crop").count() == 2
        page.wait_for_timeout(400)
        assert faults(page) == []
        first, second = ([float(n) for n in form["box"].split(",")] for form in sent(page))
        assert first == pytest.approx([0.21, 0.19, 0.30, 0.51])
        assert second == pytest.approx([0.6, 0.75, 0.35, 0.2], abs=0.02)
        said = page.inner_text("#identify-result")
        page.reload()
        page.wait_for_selector("#animal-2-answer-5")
        assert page.inner_text("#identify-result") == said


@pytest.mark.browser
@in_browser
def test_of_a_large_photograph_only_the_box_is_sent(
    known: Identifier, site: Served, chrome: Browser, tmp_path: Path
) -> None:
    """With the animal's own pixels, and nothing of what the camera wrote."""
    wide = np.random.default_rng(0).integers(90, 105, (1800, 2400, 3), dtype=np.uint8)
    animal = np.array(
        Image.fromarray(np.ascontiguousarray(draw_shape(9, 1, 64))).resize((480, 400))
    )
    wide[900:1300, 1200:1680] = animal
    exif = Image.Exif()
    exif[0x0112] = 8  # stored turned to the right
    exif[0x010E] = "a secret"
    path = tmp_path / "large.jpg"
    Image.fromarray(np.rot90(wide, -1).copy()).save(path, exif=exif, quality=97)
    with visit(chrome, site.url) as visitor:
        page = listened(visitor).open()
        page.set_input_files("#file-identify", path)
        page.wait_for_selector("#answer-5")
        page.click("#box-choose")  # after the answer to all of it
        page.click("#box-add")
        for side, share in {"x": 50, "y": 50, "width": 20, "height": 400 / 18}.items():
            page.fill(f"#box-{side}", f"{share:.1f}")
            page.keyboard.press("Tab")
        page.click("#choosing-ask")
        page.wait_for_selector("#identify-result .crop")
        whole, part = sent(page)
    for form in (whole, part):
        assert b"Exif" not in form["photos"]
        assert b"secret" not in form["photos"]
    assert "box" not in whole
    with Image.open(io.BytesIO(part["photos"])) as made:
        assert made.size == pytest.approx((576, 480), abs=4)
        x, y, width, height = (float(n) for n in part["box"].split(","))
        cut = made.crop(
            tuple(
                round(side)
                for side in (
                    x * made.width,
                    y * made.height,
                    (x + width) * made.width,
                    (y + height) * made.height,
                )
            )
        )
    one, other = known.embed([np.asarray(cut), animal]).vectors
    assert float(one @ other) > 0.99


TAKEN = {0x9003: "2026:05:12 13:55:01", 0x9011: "+02:00"}
PLACE = {1: "S", 2: (27.0, 3.0, 0.0), 3: "E", 4: (32.0, 24.0, 36.0)}


def camera(exif_ifd: dict[int, Any], gps: dict[int, Any], order: str = "II") -> bytes:
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif.get_ifd(0x8769).update(exif_ifd)
    exif.get_ifd(0x8825).update(gps)
    file = io.BytesIO()
    Image.open(io.BytesIO(photo(2, 2))).save(file, "JPEG", exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.browser
@in_browser
def test_date_and_place_are_read_and_damage_is_harmless(site: Served, chrome: Browser) -> None:
    good = camera(TAKEN, PLACE)
    cases: list[tuple[bytes, str, str]] = [
        (good, "2026-05-12T13:55+02:00", "-27.05000,32.41000"),
        (camera({0x9003: TAKEN[0x9003]}, {}, "MM"), "2026-05-12T13:55", ""),
        (camera({}, {**PLACE, 1: "N", 3: "W"}), "", "27.05000,-32.41000"),
        (camera({0x9003: "2026:13:40 99:00:00"}, {**PLACE, 2: (91.0, 0.0, 0.0)}), "", ""),
        (camera({0x9003: "2999:01:01 00:00:00"}, {**PLACE, 1: "X"}), "", ""),
        (camera({0x9003: "0000:00:00 00:00:00"}, {k: PLACE[k] for k in (1, 2)}), "", ""),
        (photo(2, 2), "", ""), (b"", "", ""), (b"\xff\xd8" + b"\xff\xe1\x00\x02" * 300, "", ""),
    ]  # fmt: skip
    turned = Image.Exif()
    turned[0x0112], turned[0x010E] = 6, "secret"
    plain, series = io.BytesIO(), io.BytesIO()
    with Image.open(io.BytesIO(good)) as shape:
        shape.save(plain, "JPEG", exif=turned, comment="secret", progressive=True)
        second = shape.resize((8, 8))
        second.encoderinfo = {"exif": turned}
        shape.save(series, "MPO", save_all=True, append_images=[second])
    whole = [good, plain.getvalue(), series.getvalue(), photo(2, 2)]
    random = np.random.default_rng(5)
    end = good.index(b"\xff\xdb")
    damaged = [good[:n] for n in range(0, end, 7)]
    for _ in range(300):
        one = bytearray(good[: end + 9])
        for at in random.integers(0, end, 4):
            one[at] = random.integers(0, 256)
        damaged.append(bytes(one))
    with visit(chrome, site.url) as visitor:
        page = visitor.open()
        script = page.evaluate("document.querySelector('script[src*=\"identify.js\"]').src")
        read = """async ([address, files]) => {
          const { takenOf } = await import(address);
          const now = new Date("2026-11-29T12:00Z");
          return Promise.all(files.map((one) => takenOf(new Blob([new Uint8Array(one)]), now)));
        }"""
        address = script.replace("identify.js", "exif.js")
        found = page.evaluate(read, [address, [list(data) for data, _, _ in cases]])
        assert [(one["date"], one["at"]) for one in found] == [case[1:] for case in cases]
        broken = page.evaluate(read, [address, [list(data) for data in damaged]])
        cut = page.evaluate(
            """async ([address, files]) => {
              const { bare } = await import(address);
              const made = [];
              for (const one of files) {
                const file = await bare(new File([new Uint8Array(one)], "a.jpg"));
                made.push([...new Uint8Array(await file.arrayBuffer())]);
              }
              return made;
            }""",
            [script.replace("identify.js", "bare.js"),
             [list(one) for one in (*whole, *damaged[:100], *damaged[-50:])]],
        )  # fmt: skip
    for before, after in zip(whole, map(bytes, cut[: len(whole)]), strict=True):
        with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
            turn = one.getexif().get(0x0112, 1)
            assert dict(other.getexif()) == ({0x0112: turn} if turn > 1 else {})
            assert np.array_equal(np.asarray(one), np.asarray(other))
        assert b"secret" not in after
    form = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d([+-]\d\d:\d\d)?)?")
    for one in broken:
        assert form.fullmatch(one["date"])
        assert not one["at"] or re.fullmatch(r"-?\d+\.\d{5},-?\d+\.\d{5}", one["at"])


@pytest.mark.browser
@in_browser
def test_date_and_place_go_along_only_if_the_person_says_so(
    open_: Served, chrome: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(camera(TAKEN, PLACE))
    with visit(chrome, open_.url) as visitor:
        page = listened(visitor).open()
        assert not page.is_checked("#first-taken")
        page.set_input_files("#file-identify", path)
        page.wait_for_selector("#answer-5")
        page.check("#first-taken")
        page.set_input_files("#file-identify", path)
        page.wait_for_selector("#taken-at")
        assert "-27.05000, 32.41000" in page.inner_text("#taken")
        assert "May 12, 2026, 13:55" in page.inner_text("#taken")
        assert len(sent(page)) == 1
        assert faults(page) == []
        page.uncheck("#taken-at")
        page.click("#choosing-ask")
        page.wait_for_selector("#answer-5")
        # This catalogue is too small to make anything of it, so that it is asked once more without.
        bare, dated, again = sent(page)
        visitor.complaints = [said for said in visitor.complaints if "409" not in said]
    assert set(bare) == set(again) == {"photos"}
    for form in (bare, dated, again):
        assert b"Exif" not in form["photos"]
    assert {name: text for name, text in dated.items() if name != "photos"} == {
        "date": "2026-05-12T13:55+02:00"
    }
