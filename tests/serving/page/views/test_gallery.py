"""The list of classes, filtered and paged, and the addresses of the gallery's pages."""

from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.page.views.gallery import TILES, ListQuery, classes_list, map_page
from flukeprint.serving.page.views.map_groups import grouping
from tests.serving.page.page_facts import (
    classes,
    context,
    context_of,
    elements,
    map_points,
    read,
    with_class,
)


def test_the_list_of_classes_is_filtered_and_paged():
    many = {
        f"n_{i:03d}": classes(cards=False)["class_0"].model_copy(update={"identity": f"n_{i:03d}"})
        for i in range(2 * TILES + 1)
    }
    asked = context_of(many)
    assert read(classes_list(asked, "page=2")).startswith("49 of 49")
    (pager,) = with_class(classes_list(asked, "page=2"), "pager")
    assert [one.get("href") for one in elements(pager, "a")] == [
        "/classes?page=1",
        "/classes?page=3",
    ]
    assert "Page 3 of 3" in read(classes_list(asked, "page=99"))
    assert read(classes_list(asked, "q=N_00")).startswith("10 of 49")
    assert "No name contains" in read(classes_list(asked, "q=%3Cb%3E"))


def test_names_are_found_without_accents_and_in_any_language():
    for text, found in (
        ("lycosidae", ["class_2"]), ("COMUN ST", ["class_1", "class_0"]),
        ("common-lyc", ["class_2"]), ("class_1", ["class_1"]), ("zzz", []),
    ):  # fmt: skip
        assert [info.identity for info in context("es").names.find(text)] == found


def test_the_map_holds_all_photographs_and_no_names():
    points = map_points()
    content = map_page(context(), points, grouping(context(), points), "/map/points?v=1", "class=x")
    assert "6 of 6 photographs" in read(content)
    (graph,) = elements(content, id="map-graph")
    assert graph.get("data-points") == "/map/points?v=1"
    (field,) = elements(content, id="map-pick")
    assert field.get("value") == "x"
    assert not list(elements(content, "option"))


@given(st.text())
def test_any_address_can_be_read(search: str):
    asked = ListQuery.read(search)
    assert asked.page >= 1
    assert ListQuery.read(asked.href(asked.page).removeprefix("/classes")) == asked
