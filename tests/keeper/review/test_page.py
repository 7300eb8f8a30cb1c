"""The page of a review as text: it holds its queue whole, and nothing that could run or load."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from flukeprint.keeper.review.page import render_review
from tests.keeper.review.drawn_queue import HOSTILE, drawn_queue


class Tags(HTMLParser):
    """Counts the elements of a page, and collects its addresses and the queue's text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.styled = 0
        self.title = self.queue = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(found[key]) for key in ("src", "href", "action") if key in found]
        self.styled += any(key == "style" or key.startswith("on") for key in found)
        self._inside = "queue" if found.get("id") == "queue" else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "title":
            self.title += data
        elif self._inside == "queue":
            self.queue += data


def test_nothing_is_asked_of_any_site() -> None:
    page = render_review(drawn_queue()).decode()
    tags = Tags(page)
    assert set(tags.addresses) == {"data:,", "#photo"}
    assert tags.styled == 0
    assert tags.tags.count("script") == 2
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe" not in policy[1]
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_queue_is_whole() -> None:
    queue = drawn_queue(event=7, suggested="n_1")
    data = json.loads(Tags(render_review(queue).decode()).queue)
    assert (data["event"], data["suggested"], data["stamp"]) == (7, "n_1", queue.stamp)
    assert data["names"] == list(HOSTILE)
    assert [entry["photo"] for entry in data["entries"]] == [e.photo for e in queue.entries]
    assert data["entries"][-1]["error"] == queue.entries[-1].error
    assert len(data["pictures"]) == len(queue.pictures)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_name_is_only_text(name: str) -> None:
    queue = drawn_queue()
    entry = replace(queue.entries[0], photo=name)
    page = render_review(replace(queue, title=name, names=(name,), entries=(entry,))).decode()
    tags = Tags(page)
    assert tags.tags == Tags(render_review(queue).decode()).tags
    data = json.loads(tags.queue)
    assert (data["names"], data["entries"][0]["photo"]) == ([name], name)


def test_another_queue_has_another_id() -> None:
    queue = drawn_queue()
    assert drawn_queue(suggested="n_9").id == queue.id
    assert drawn_queue(event=1).id != queue.id
    assert replace(queue, entries=queue.entries[::-1]).id != queue.id
    fewer = replace(queue.entries[0], candidates=queue.entries[0].candidates[1:])
    assert replace(queue, entries=(fewer, *queue.entries[1:])).id != queue.id
