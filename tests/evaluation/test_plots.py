"""Pictures: the right answer's frame is green, and only that one."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
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
    assert Image.open(tmp_path / "curves.png").size == (1920, 1080)


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


def boxes_of_text(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text of a figure that is drawn, with its box in px."""
    FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return [(text.get_text(), text.get_window_extent()) for text in texts]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written from now on."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: object, **options: object) -> None:
        kept.append(self)
        save(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


def drawn_answers(photos: int, answers: int, size: tuple[int, int], target: Path) -> None:
    name = "a very long name of a photograph of a camera trap, number {} $x_1$.JPG"
    animal = "Individual {} of the northern pod called 'Old Tom' $a_b$ {{"
    grey = np.full((6, *size), 128, np.uint8)
    gallery = Catalog(
        images=tuple(f"{i}.jpg" for i in range(6)),
        identities=tuple(animal.format(i) for i in range(6)),
        pixels=grey,
    )
    queries = Catalog(images=tuple(name.format(i) for i in range(photos)), pixels=grey[:photos])
    ranking = Ranking(
        images=queries.images,
        identities=((*gallery.identities[: answers - 1], None),) * photos,
        scores=np.tile(np.linspace(28.995, 1, answers, dtype=np.float32), (photos, 1)),
        rows=np.tile([*range(answers - 1), -1], (photos, 1)),
        best_known=np.ones(photos, np.float32),
    )
    truth = [gallery.identities[0], None] * 3
    draw_answers(queries, ranking, gallery, target, new_label="new_whale", truth=truth[:photos])


@pytest.mark.parametrize(
    ("photos", "answers", "size"),
    [(6, 5, (100, 300)), (4, 5, (300, 100)), (1, 5, (200, 200)), (2, 2, (100, 200))],
)
def test_labels_of_answers_do_not_touch(
    photos: int, answers: int, size: tuple[int, int], tmp_path: Path, figures: list[Figure]
) -> None:
    drawn_answers(photos, answers, size, tmp_path / "answers.png")
    assert Image.open(tmp_path / "answers.png").size == (1920, 1080)
    boxes = boxes_of_text(figures[0])
    for place, (one, box) in enumerate(boxes):
        assert box.x0 >= 0, one
        assert box.y0 >= 0, one
        assert box.x1 <= 1920, one
        assert box.y1 <= 1080, one
        assert all(not box.overlaps(other) for _, other in boxes[:place]), one
    assert min(text.get_fontsize() for text in figures[0].findobj(Text)) >= 12
    words = [text for text, _ in boxes]
    assert sum("\u2713" in text and "score" in text for text in words) == min(photos, 4)
    assert any(text.startswith("a very lon") and "\nis Individu" in text for text in words)


@pytest.mark.parametrize("epochs", [1, 2, 300])
def test_curves_of_any_length_have_whole_epochs(
    epochs: int, tmp_path: Path, figures: list[Figure]
) -> None:
    lines = [f"{epoch},{1 / (epoch + 1)},0.5" for epoch in range(epochs)]
    log = tmp_path / "metrics.csv"
    log.write_text("\n".join(["epoch,train/loss,val/map5", *lines]) + "\n")
    draw_curves([log], tmp_path / "curves.png")
    for axis in figures[0].axes:
        assert axis.get_xlabel() == "epoch"
        assert axis.get_ylabel()
        shown = [tick.get_text() for tick in axis.get_xticklabels() if tick.get_text()]
        assert all(text.lstrip("\u2212").isdigit() for text in shown)


def test_what_was_never_validated_is_said(tmp_path: Path, figures: list[Figure]) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,train/loss\n0,1.5\n")
    draw_curves([tmp_path / "metrics.csv"], tmp_path / "curves.png")
    assert "not measured" in [text for text, _ in boxes_of_text(figures[0])]


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
