"""Pairs and their distance: the decision of each loss, panels, and the map in three dimensions."""

import math
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.training import LossConfig
from flukeprint.data.synthetic.coloured_shapes import COLOURS as SHAPE_COLOURS
from flukeprint.data.synthetic.coloured_shapes import hexadecimal
from flukeprint.evaluation.report.charts import Bars, Chart, PhotoRows, Points, colours
from flukeprint.evaluation.report.lab_sections.pair_lab import (
    EACH,
    decide,
    map_of,
    pair_lab,
    side_by_side,
    three_directions,
    unrepeated,
)
from flukeprint.evaluation.report.sections.embedding import embedding
from flukeprint.evaluation.studies.pair_accuracy import (
    PhotoPairs,
    best_distance,
    labelled_pairs,
)
from tests.evaluation.report.drawn_run import drawn_run

CONTRASTIVE = "losses=[{name: contrastive, params: {neg_margin: 1.6, pairs: drawn}}]"
CLOSED = ("data.closed_set=true", "split.unseen_share=0", "infer.fallback=none")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Three classes named by colours, judged at distance 0.8, some of them wrong."""
    return drawn_run(
        tmp_path_factory.mktemp("lab"), "sampler.name=pairs", CONTRASTIVE, animals=3,
        spread=1.1, names=("red", "green", "blue"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def part(lab):
    found = pair_lab(lab)
    assert found is not None
    return found


def test_a_run_without_pairs_has_no_such_section(run):
    assert run.config.sampler.name != "pairs"
    assert pair_lab(run) is None


@pytest.mark.parametrize(
    ("name", "params", "distance", "word"),
    [
        ("contrastive", {}, 0.5, "margin of 1"),
        ("contrastive", {"neg_margin": 1.4}, 0.7, "margin of 1.4"),
        ("pair_regression", {}, 1.0, "0.5"),  # |a - b|^2 = 2 - 2 * 0.5
        ("hinge", {}, 1.0, "cosine of 0.5"),
        ("hinge", {"threshold": 0.0}, math.sqrt(2), "cosine of 0"),
        ("margin", {}, 1.2, "beta"),
        ("margin", {"beta": 0.9}, 0.9, "beta"),
    ],
)
def test_the_distance_that_a_loss_draws(name, params, distance, word):
    pairs = labelled_pairs(np.eye(3), ("a", "a", "b"))
    found = decide(LossConfig(name=name, params=params), pairs)
    assert found.distance == pytest.approx(distance)
    assert word in found.reason


@pytest.mark.parametrize(
    "loss",
    [
        None,
        LossConfig(name="difference_head"),
        LossConfig(name="concatenation_head"),
        LossConfig(name="margin", params={"learn_beta": True}),
    ],
)
def test_a_loss_that_draws_none_gets_the_best_one(loss):
    angles = np.radians([0, 20, 70, 75])
    pairs = labelled_pairs(np.stack([np.cos(angles), np.sin(angles)], axis=1), ("a", "a", "b", "b"))
    found = decide(loss, pairs)
    assert found.distance == best_distance(pairs)
    assert "best" in found.reason


def side_by_hand(lab, rows):
    """(right same, same, right different, different) at distance 0.8, by a loop."""
    counts = [0, 0, 0, 0]
    rows = rows.tolist()
    for place, one in enumerate(rows):
        for other in rows[place + 1 :]:
            names = lab.catalog.identities[one], lab.catalog.identities[other]
            if names == (None, None):
                continue
            far = np.linalg.norm(
                lab.embeddings.vectors[one].astype(float) - lab.embeddings.vectors[other]
            )
            same = names[0] == names[1]
            counts[0 if same else 2] += (far < 0.8) == same
            counts[1 if same else 3] += 1
    return counts


def test_figures_by_hand(lab, part):
    (chart,) = (b for b in part.blocks if isinstance(b, Chart) and b.name == "pair-accuracy")
    (bars,) = chart.layers
    assert isinstance(bars, Bars)
    for place, rows in enumerate((lab.split.gallery, lab.split.queries)):
        right_same, same, right_other, other = side_by_hand(lab, rows)
        assert bars.values[place] == pytest.approx((right_same / same + right_other / other) / 2)
        assert f"of {same:,} same" in part.lines[1 + place]
        assert f"of {other:,} different pairs" in part.lines[1 + place]
    assert "below 0.8" in part.lines[0]


def test_panels_show_the_distance_and_mark_the_wrong_ones(lab, part):
    (panels,) = (block for block in part.blocks if isinstance(block, PhotoRows))
    titles = [row.title for row in panels.rows]
    assert titles[:2] == ["Some training pairs", "Some validation pairs"]
    assert len(titles) == 4
    marks = set()
    for row in panels.rows:
        assert 0 < len(row.photos) <= EACH
        for shown in row.photos:
            far = float(shown.lines[0].split()[1].rstrip(":"))
            same = ", " not in shown.lines[1]
            judged = shown.lines[0].endswith(": same")
            assert judged == (far < 0.8) or abs(far - 0.8) < 0.006
            assert shown.mark == ("right" if judged == same else "wrong")
            marks.add(shown.mark)
            assert shown.photo is not None
            with Image.open(BytesIO(shown.photo)) as image:
                assert image.height == 96
                assert image.width > image.height
    assert marks == {"right", "wrong"}
    for row, way in zip(panels.rows[2:], (-1, 1), strict=True):
        assert {shown.mark for shown in row.photos} == {"wrong"}
        far = [float(shown.lines[0].split()[1].rstrip(":")) for shown in row.photos]
        assert far == sorted(far, reverse=way < 0)


def test_a_photograph_is_shown_in_one_wrong_pair():
    first, second = np.array([0, 0, 2, 1, 4]), np.array([1, 2, 3, 3, 5])
    pairs = PhotoPairs(6, first, second, np.zeros(5), np.ones(5, dtype=bool))
    assert unrepeated(pairs, np.arange(5)).tolist() == [0, 2, 4]
    assert unrepeated(pairs, np.array([3, 1, 0])).tolist() == [3, 1]
    many = PhotoPairs(40, np.arange(20), np.arange(20, 40), np.zeros(20), np.ones(20, dtype=bool))
    assert unrepeated(many, np.arange(20)).tolist() == list(range(EACH))


def test_two_photographs_side_by_side():
    def jpeg(size, colour):
        out = BytesIO()
        Image.new("RGB", size, colour).save(out, "JPEG")
        return out.getvalue()

    joined = side_by_side(jpeg((28, 28), "red"), jpeg((200, 100), "blue"))
    assert joined is not None
    with Image.open(BytesIO(joined)) as image:
        assert image.size == (96 + 4 + 192, 96)
        red, blue = image.getpixel((48, 48)), image.getpixel((200, 48))
    assert red[0] > 200 > 60 > red[2]
    assert blue[2] > 200 > 60 > blue[0]
    assert side_by_side(None, jpeg((8, 8), "red")) is None


def test_a_class_that_is_a_colour_is_drawn_in_it(lab, part):
    chart = part.blocks[-1]
    assert isinstance(chart, Chart)
    layers = [layer for layer in chart.layers if isinstance(layer, Points)]
    assert [layer.name for layer in layers] == ["blue", "green", "red"]
    assert colours(layers) == ["#3250f0", "#28c83c", "#e62828"]
    for name, rgb in SHAPE_COLOURS.items():
        text = hexadecimal(name)
        assert text is not None
        assert tuple(bytes.fromhex(text[1:])) == rgb
    assert hexadecimal("w_01") is None


def test_the_maps_of_the_embedding_draw_it_so_as_well(lab):
    made = embedding(lab)
    assert made is not None
    drawn = {
        (name, layer.colour)
        for chart in made.blocks
        if isinstance(chart, Chart)
        for layer in chart.layers
        if isinstance(layer, Points) and (name := layer.name.partition(",")[0]) in SHAPE_COLOURS
    }
    assert len(drawn) >= 2  # the third may be new to the gallery
    assert all(colour == hexadecimal(name) for name, colour in drawn)


def test_the_map_shows_every_photograph_once(lab, part):
    chart = part.blocks[-1]
    names = {text.split(":")[0] for layer in chart.layers for text in layer.hover}
    known = [row for row in (*lab.split.gallery, *lab.split.queries)
             if lab.catalog.identities[row] is not None]  # fmt: skip
    assert names == {lab.catalog.images[row] for row in known}
    shown = [place for layer in chart.layers for place in layer.photos]
    assert sorted(shown) == list(range(len(known)))


@pytest.mark.parametrize(("animals", "layers"), [(10, 10), (12, 12), (13, 2)])
def test_ten_digits_have_ten_layers_that_look_different(tmp_path, animals, layers):
    run = drawn_run(tmp_path, *CLOSED, animals=animals, names=tuple(map(str, range(animals))))
    chart = map_of(run)
    assert len(chart.layers) == layers
    looks = {
        (colour, layer.symbol)
        for colour, layer in zip(colours(chart.layers), chart.layers, strict=True)
        if isinstance(layer, Points)
    }
    assert len(looks) == layers


def test_three_directions_of_most_variance():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 6)) * (5, 3, 2, 0.5, 0.2, 0.1)
    at, shares = three_directions(vectors)
    values = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1]
    np.testing.assert_allclose(shares, values[:3] / values.sum())
    np.testing.assert_allclose(at.var(axis=0, ddof=1), values[:3])
    np.testing.assert_allclose(at.mean(axis=0), 0, atol=1e-9)
    assert (at[np.abs(at).argmax(axis=0), range(3)] > 0).all()
    flat, none = three_directions(np.ones((4, 2)))
    np.testing.assert_allclose(flat, 0, atol=1e-9)
    np.testing.assert_allclose(none, 0)
