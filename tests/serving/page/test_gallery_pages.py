"""The list of classes, filtered and paged, and the addresses of the gallery's pages."""

from dash import dcc
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.page.callbacks import photo_of
from flukeprint.serving.page.context import PageContext
from flukeprint.serving.page.gallery_pages import TILES, ListQuery, classes_list, matching
from tests.serving.page.page_facts import (
    about,
    classes,
    components,
    context,
    read,
)


def test_the_list_of_classes_is_filtered_and_paged():
    many = {
        f"n_{i:03d}": classes(cards=False)["class_0"].model_copy(update={"identity": f"n_{i:03d}"})
        for i in range(2 * TILES + 1)
    }
    asked = PageContext(about(), many, None, "individual", "en")
    assert read(classes_list(asked, "?page=2", "")).startswith("49 of 49")
    shown = [
        one.href
        for one in components(classes_list(asked, "?page=2", ""))
        if isinstance(one, dcc.Link) and "page" in one.href
    ]
    assert shown == ["/classes?page=1", "/classes?page=3"]
    assert "Page 3 of 3" in read(classes_list(asked, "?page=99", None))
    # What is typed counts before the address has followed.
    assert read(classes_list(asked, "?page=2", "N_00")).startswith("10 of 49")
    assert "No name contains" in read(classes_list(asked, "", "<b>"))
    assert [info.identity for info in matching(context(), "lycosidae")] == ["class_2"]
    assert [info.identity for info in matching(context("es"), "COMÚN ST")] == ["class_1", "class_0"]


@given(st.text() | st.none() | st.integers())
def test_any_address_can_be_read(search: object):
    asked = ListQuery.read(search)
    assert asked.page >= 1
    assert ListQuery.read(asked.href(asked.page).removeprefix("/classes")) == asked
    photo = photo_of(search)
    assert photo is None or photo >= 0


def test_photos_in_addresses():
    assert photo_of("?photo=12") == 12
    for search in ("", "?photo=", "?photo=-1", "?photo=1.5", "?photo=²", "?photo=1e3", None):
        assert photo_of(search) is None
