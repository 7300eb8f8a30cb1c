"""Identities in COCO, under the key that the file uses, beside all that stood there."""

import json
from pathlib import Path
from typing import Any

import pytest

from flukeprint.data.exchange.coco.answers import answer_coco
from flukeprint.data.exchange.coco.reading import read_coco
from tests.data.exchange.answering import BY, NEW, answers, known


def tree(annotations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "info": {"version": "2", "odd": None},
        "images": [
            {"id": f"i{n}", "file_name": f"{n}.jpg", "width": 100, "height": 50, "own": [n]}
            for n in range(4)
        ],
        "annotations": annotations,
        "categories": [{"id": 4, "name": "leopard", "supercategory": "cat"}],
        "parts": [{"id": 1}],
        **more,
    }


def box(n: int, **more: Any) -> dict[str, Any]:
    return {"id": n, "image_id": f"i{n}", "category_id": 4, "bbox": [0, 0, 10, 10], **more}


def answered(tmp_path: Path, before: dict[str, Any], **of: Any) -> tuple[dict[str, Any], Path]:
    source, target = tmp_path / "coco.json", tmp_path / "out.json"
    source.write_text(json.dumps(before))
    answer_coco(source, None, answers({f"{key[1:]}.jpg": one for key, one in of.items()}), target)
    return json.loads(target.read_text()), target


@pytest.mark.parametrize("key", ["individual_id", "name", "individual_name"])
def test_the_key_of_the_file_is_used_and_all_else_stays(tmp_path: Path, key: str) -> None:
    before = tree(
        [
            box(0, **{key: "Ana"}, extra={"a": 1}), box(1, **{key: "____"}), box(2, own="x"),
            box(3, **{key: None}),
        ]
    )  # fmt: skip
    after, target = answered(tmp_path, before, _1=known("Bo"), _2=known("Cy", None), _3=NEW)
    bo, cy, new = (after["annotations"][n] for n in (1, 2, 3))
    said = {"identified_by": BY, "by_machine": True}
    assert bo == before["annotations"][1] | said | {
        key: "Bo", "probability": 0.75, "identity_verdict": "known",
    }  # fmt: skip
    assert cy == before["annotations"][2] | said | {key: "Cy", "identity_verdict": "known"}
    assert new == before["annotations"][3] | said | {key: None, "identity_verdict": "new"}
    after["annotations"][1:] = before["annotations"][1:]
    assert after == before
    read = read_coco(target).photos
    assert [(one.identity, one.machine) for one in read] == [
        ("Ana", False), ("Bo", True), ("Cy", True), (None, True),
    ]  # fmt: skip
    assert read[1].probability == 0.75


def test_a_name_that_a_machine_gave_is_replaced_with_its_ids(tmp_path: Path) -> None:
    old = {"by_machine": True, "identity": "Old", "individual_uuid": "u-1", "probability": 0.3}
    after, target = answered(tmp_path, tree([box(0, **old), box(1, **old)]), _0=known("A"), _1=NEW)
    assert [one.identity for one in read_coco(target).photos][:2] == ["A", None]
    assert "individual_uuid" not in after["annotations"][0]
    assert "probability" not in after["annotations"][1]


def test_a_photograph_without_an_annotation_gets_one(tmp_path: Path) -> None:
    before = tree([box(0, name="Ana")])
    del before["categories"]
    after, target = answered(tmp_path, before, _2=known("Di"), _3=NEW)
    _, added = after["annotations"]  # none for the new one, of whom nothing is known
    assert added["image_id"] == "i2"
    assert added["id"] not in (0, None)
    assert after["categories"] == [{"id": added["category_id"], "name": "animal"}]
    assert {one.image: one.identity for one in read_coco(target).photos} == {
        "0.jpg": "Ana", "1.jpg": None, "2.jpg": "Di", "3.jpg": None,
    }  # fmt: skip
