"""Pictures: the right answer's frame is green, and only that one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.config.ranking import LocalConfig
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.plots import draw_answers, draw_curves, draw_pair, draw_reliability
from flukeprint.evaluation.reliability import (
    measure_reliability,
)
from flukeprint.ranking.ranking import Ranking

GREEN = (26, 152, 80)


def green_pixels(path: Path) -> int:
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - GREEN).sum(axis=2) < 12).sum())


def test_only_right_answers_are_framed(tmp_path: Path) -> None:
    grey = np.full((2, 20, 40), 128, np.uint8)
    queries = Catalog(images=("a.jpg", "b.jpg"), pixels=grey)
    gallery = Catalog(images=("c.jpg", "d.jpg"), identities=("w_1", "w_2"), pixels=grey)
    ranking = Ranking(
        images=queries.images,
        identities=(("w_1", None, "w_2"), ("w_2", "w_1", None)),
        scores=np.array([[0.9, 0.5, 0.1], [0.8, 0.7, 0.5]], np.float32),
        rows=np.array([[0, -1, 1], [1, 0, -1]]),
        best_known=np.array([0.9, 0.8], np.float32),
    )
    counts = []
    for truth in ([None, "w_9"], ["w_1", None], ["w_9", "w_9"]):
        path = tmp_path / "answers.png"
        draw_answers(queries, ranking, gallery, path, new_label="new_whale", truth=truth)
        counts.append(green_pixels(path))
    assert counts[2] == 0
    assert counts[1] > 1.5 * counts[0] > 0


def test_curves_join_the_logs_of_a_resumed_run(tmp_path: Path) -> None:
    logs = []
    for part, epochs in enumerate(([0, 1], [1, 2])):
        log = tmp_path / f"{part}.csv"
        lines = [f"{epoch},{2.0 - epoch},{0.1 * epoch}" for epoch in epochs]
        log.write_text("\n".join(["epoch,train/loss,val/map5", *lines]) + "\n")
        logs.append(log)
    draw_curves(logs, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (700, 320)


def test_a_pair_is_drawn_with_what_agrees(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC))
    Image.fromarray(photo).save(tmp_path / "one.png")
    Image.fromarray(photo[20:, 30:]).save(tmp_path / "two.png")
    found = draw_pair(
        tmp_path / "one.png", tmp_path / "two.png", LocalConfig(), tmp_path / "out.png"
    )
    assert found.count >= 10
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size[0] > picture.size[1]
        drawn = np.asarray(picture.convert("RGB")).astype(int)
    assert drawn.shape[2] == 3
    assert drawn.std() > 10
    with pytest.raises(FlukeprintError, match="nobody"):
        draw_pair(tmp_path / "nobody.png", tmp_path / "two.png", LocalConfig(), tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_points_of_faultless_probabilities_are_drawn_on_the_diagonal(tmp_path: Path) -> None:
    columns = []
    for share in (0.25, 0.75):
        p = np.full(400, share)
        right = np.arange(400) < 400 * share
        draw_reliability(measure_reliability(p, right, seed=0), tmp_path / "r.png")
        pixels = np.asarray(Image.open(tmp_path / "r.png").convert("RGB")).astype(int)
        blue = np.abs(pixels - (69, 117, 180)).sum(axis=2) < 12
        rows, cols = (places.mean() for places in np.nonzero(blue))
        columns.append((cols, rows))
    (left, low), (right_, high) = columns
    assert right_ - left == pytest.approx(low - high, abs=3)  # as far right as up
    assert right_ - left > 50
