"""What the network looked at: which pairs are shown, and the colours of a map."""

import re
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from flukeprint.evaluation.report.charts import Part, Picture
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.reports.looked_at import BLUE, RED, STRONGEST, looked_at, overlay
from flukeprint.identifier.reports.run_report import gather
from flukeprint.identifier.runs import Run


@pytest.fixture(scope="module")
def material(tiny_run: Run) -> RunMaterial:
    return gather(tiny_run)


@pytest.fixture(scope="module")
def part(material: RunMaterial) -> Part:
    found = looked_at(material)
    assert found is not None
    return found


def kinds(material: RunMaterial) -> tuple[list[int], list[int]]:
    """Places of queries with a right and with a wrong known animal first, the surest first."""
    ranking = material.validation.ranking
    right, wrong = [], []
    for place, truth in enumerate(material.truths):
        first = ranking.identities[place][0]
        if first is not None:
            (right if first == truth else wrong).append(place)
    order = {place: -float(ranking.scores[place, 0]) for place in (*right, *wrong)}
    return sorted(right, key=order.__getitem__), sorted(wrong, key=order.__getitem__)


def test_the_surest_right_and_wrong_pairs_are_shown(material: RunMaterial, part: Part) -> None:
    right, wrong = kinds(material)
    names = {block.name for block in part.blocks if isinstance(block, Picture)}
    expected = {"looked-at-right"} if right else set()
    expected |= {"looked-at-wrong"} if wrong else set()
    expected |= {"looked-at-random"} if len(right) > 1 else set()
    assert {name for name in names if name.startswith("looked-at")} == expected
    assert right
    assert wrong
    by_name = {block.name: block for block in part.blocks if isinstance(block, Picture)}
    ranking = material.validation.ranking
    for name, places in (("right", right), ("wrong", wrong)):
        caption = by_name[f"looked-at-{name}"].caption
        said = []
        for place in places:
            truth = material.catalog.identities[material.queries[place]]
            truth = truth or material.config.data.new_label
            if ranking.scores[place, 0] == ranking.scores[places[0], 0]:  # as sure as the surest
                said.append(f"{truth} is taken for {ranking.identities[place][0]}, cosine ")
        assert any(one in caption for one in said)
        with Image.open(BytesIO(by_name[f"looked-at-{name}"].file)) as picture:
            assert picture.format == "JPEG"
            assert picture.width == 1000


def test_each_pair_says_its_keypoints_once(part: Part) -> None:
    pictures = [block for block in part.blocks if isinstance(block, Picture)]
    maps = [one for one in pictures if one.name.startswith("looked-at")]
    drawn = [one for one in pictures if one.name.startswith("keypoints")]
    none = [one for one in maps if "No keypoints" in one.caption]
    assert len(none) + len(drawn) == len(maps)
    said = " ".join(part.lines)
    assert all(one.caption not in said for one in pictures)


def test_the_cosine_that_is_told_is_that_of_the_network(material: RunMaterial, part: Part) -> None:
    """Of the embeddings that are kept, where the run has no test-time augmentation."""
    infer = material.config.infer
    assert not infer.mirror
    right, _ = kinds(material)
    query = int(material.queries[right[0]])
    first = material.validation.ranking.identities[right[0]][0]
    vectors = material.embeddings.vectors
    cosines = [
        float(vectors[query] @ vectors[row])
        for row in material.split.gallery
        if material.catalog.identities[row] == first
    ]
    (picture,) = [b for b in part.blocks if isinstance(b, Picture) and b.name == "looked-at-right"]
    told = re.search(r"cosine (-?[\d.]+) without", picture.caption)
    assert told is not None
    assert float(told[1]) == pytest.approx(max(cosines), abs=0.02)


def test_a_map_is_red_where_it_is_high_and_blue_where_it_is_low() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None].astype(float)
    values = np.zeros((6, 8))
    values[0, 0], values[1, 1], values[2, 2], values[3, 3] = 2.0, -2.0, 1.0, 5.0
    found = overlay(photo, values, 2.0).astype(float)
    for at, colour, share in (((0, 0), RED, 1.0), ((1, 1), BLUE, 1.0), ((2, 2), RED, 0.5),
                              ((3, 3), RED, 1.0), ((5, 7), RED, 0.0)):  # fmt: skip
        strength = STRONGEST * share
        expected = (1 - strength) * grey[at] + strength * np.array(colour)
        np.testing.assert_allclose(found[at], expected, atol=0.51)
    np.testing.assert_allclose(overlay(photo, values, 0.0), np.broadcast_to(grey, photo.shape))


def test_nothing_to_show_where_all_answers_are_new(
    material: RunMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    ranking = material.validation.ranking
    new = tuple(
        (None, *[name for name in row if name is not None])[: len(row)]
        for row in ranking.identities
    )
    other = replace(material.validation, ranking=replace(ranking, identities=new))

    def never(*_: object, **__: object) -> Identifier:
        raise AssertionError("the network is not needed")

    monkeypatch.setattr(Identifier, "load", never)
    assert looked_at(replace(material, validation=other)) is None
