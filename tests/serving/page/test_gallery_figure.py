"""The groups of the map: by family, by class, or none."""

from hypothesis import given
from hypothesis import strategies as st

from flukeprint.serving.page.gallery_figure import GROUPS, grouping
from tests.serving.page.page_facts import (
    context,
    gallery_map,
)


def test_the_map_is_coloured_by_family_and_holds_every_photo():
    asked = context()
    found = grouping(asked, gallery_map())
    assert (found.rank, [(group.name, group.rows) for group in found.groups]) == (
        "family",
        [("Other", (0, 1, 2, 3)), ("Lycosidae", (4, 5))],
    )
    bare = grouping(context(cards=False), gallery_map())
    assert bare.rank == "individual"
    assert [group.rows for group in bare.groups] == [(0, 1), (2, 3), (4, 5)]


@given(st.integers(0, 40))
def test_each_photo_is_in_one_group(identities: int):
    names = [f"i{n}" for n in range(identities)] * 2
    map_ = gallery_map().model_copy(
        update={
            "photos": list(range(len(names))),
            "x": [0.0] * len(names),
            "y": [0.0] * len(names),
            "identities": names,
        }
    )
    found = grouping(context(cards=False), map_)
    rows = sorted(row for group in found.groups for row in group.rows)
    assert rows == list(range(len(names)))
    assert len(found.groups) <= len(GROUPS) + 1
