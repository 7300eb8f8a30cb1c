"""What a format has no room for comes back from JSON, and nothing else does."""

import json
from pathlib import Path

import pytest

from flukeprint.data.exchange.details import FIELDS, detail_in, details_of
from flukeprint.data.exchange.observed import ObservedPhoto

PHOTO = ObservedPhoto(
    "a.jpg", Path("root/p/a.jpg"), "A", (0.1, 0.2, 0.3, 0.4), "left", "2024", "+02:00", 50.5, 4.25,
    10.0, "Bach", "Ann", "1", "e", "d", "Lynx lynx", "female", "adult", "limps", 0.5, 0.75, "Ben",
    True,
)  # fmt: skip


def name_of(path: Path | None) -> str | None:
    return None if path is None else path.relative_to("root").as_posix()


def test_all_that_differs_comes_back() -> None:
    details = details_of(PHOTO, ObservedPhoto("b.jpg", None), name_of)
    assert set(details) == set(FIELDS) == set(vars(PHOTO))
    back = json.loads(json.dumps(details))
    found = {name: detail_in(name, value, Path("root")) for name, value in back.items()}
    assert ObservedPhoto(**found) == PHOTO


def test_what_is_the_same_is_no_detail() -> None:
    assert details_of(PHOTO, PHOTO, name_of) == {}
    other = ObservedPhoto(**(vars(PHOTO) | {"path": Path("root/p/../p/a.jpg"), "view": None}))
    same = details_of(PHOTO, other, lambda path: None if path is None else path.name)
    assert same == {"view": "left"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("image", None), ("machine", None), ("color", "red"), ("view", 1), ("latitude", "1"),
     ("latitude", True), ("latitude", float("inf")), ("path", "/etc/passwd"), ("path", "../a"),
     ("box", ["a", 0, 1, 1]), ("box", 1)],
)  # fmt: skip
def test_other_values_are_refused(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        detail_in(name, value, Path("root"))
