"""Chromium for the tests of the page: finds it, starts it, and records its errors."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True,
    "has_touch": True,
}  # fmt: skip


def chromium() -> str | None:
    """The browser's path: FLUKEPRINT_CHROMIUM, or what the system has."""
    named = os.environ.get("FLUKEPRINT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@dataclass
class Watched:
    """A page, its errors, and its requests to other sites."""

    page: Page
    site: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """Go to a path of the site and wait until the page is shown."""
        self.page.goto(self.site + path)
        self.page.wait_for_selector("#page-title")
        return self.page


@contextlib.contextmanager
def visit(started: Browser, site: str, locale: str = "en-US", **how: Any) -> Iterator[Watched]:
    """A visitor with an empty browser; fails at the end if there were errors."""
    context = started.new_context(locale=locale, accept_downloads=True, **(how or DESKTOP))
    page = context.new_page()
    page.set_default_timeout(30_000)
    watched = Watched(page, site)
    page.on(
        "console",
        lambda said: watched.complaints.append(said.text) if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((site, "data:", "blob:"))
            else watched.elsewhere.append(asked.url)
        ),
    )
    try:
        yield watched
        assert watched.complaints == [], watched.complaints
        assert watched.elsewhere == []
    finally:
        context.close()


def until(page: Page, happens: Callable[[], object]) -> None:
    """Wait until something happens, half a minute at most."""
    for _ in range(100):
        if happens():
            return
        page.wait_for_timeout(300)
    pytest.fail("it does not happen")


LISTEN = """
window.sent = [];
const plain = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (form) {
  window.sent.push(Promise.all([...form].map(async ([name, value]) => [
    name, value instanceof Blob ? [...new Uint8Array(await value.arrayBuffer())] : value,
  ])));
  return plain.call(this, form);
};"""


def listened(visitor: Watched) -> Watched:
    """A visitor whose page remembers what it sends."""
    visitor.page.add_init_script(LISTEN)
    return visitor


def sent(page: Page) -> list[dict[str, Any]]:
    """The forms that the page has sent, photographs as bytes."""
    forms = page.evaluate("Promise.all(window.sent)")
    return [
        {name: value if isinstance(value, str) else bytes(value) for name, value in form}
        for form in forms
    ]


def cleared(visitor: Watched) -> None:
    """Forget what the browser says of a network that was not there."""
    visitor.complaints = [said for said in visitor.complaints if "ERR_INTERNET" not in said]
