"""The groups of the map: by family, by class, or none."""

from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.page.views.map_groups import REST, SIGNS, grouping
from tests.serving.page.page_facts import classes, context, context_of, map_points


def test_the_map_is_coloured_by_family_and_holds_every_photo():
    found = grouping(context(), map_points())
    assert (found.rank, [(group.name, group.photos) for group in found.groups]) == (
        "family",
        [("Other", 4), ("Lycosidae", 2)],
    )
    assert found.of_points.tolist() == [0, 0, 0, 0, 1, 1]
    bare = grouping(context(cards=False), map_points())
    assert bare.rank == "individual"
    assert bare.of_points.tolist() == [0, 0, 1, 1, 2, 2]


@given(st.integers(1, 40))
def test_each_photo_is_in_one_group(identities: int):
    one = classes(cards=False)["class_0"]
    known = {
        f"class_{i}": one.model_copy(update={"identity": f"class_{i}"}) for i in range(identities)
    }
    points = map_points(identities)
    found = grouping(context_of(known), points)
    assert sum(group.photos for group in found.groups) == len(points) == len(found.of_points)
    for group in found.groups:
        assert int((found.of_points == group.number).sum()) == group.photos
    assert len(found.groups) <= len(SIGNS) + 1
    assert all(group.number <= REST for group in found.groups)
