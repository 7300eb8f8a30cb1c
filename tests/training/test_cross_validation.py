"""Whole folds as a user measures them, on colour shapes with a tiny network."""

import csv
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.accuracy import ladder
from flukeprint.cli import app
from flukeprint.config.digests import recipe_digest, training_digest
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.evaluation.results_table import (
    RESULT_COLUMNS,
    Row,
    add_row,
    read_rows,
    summary_lines,
    write_rows,
)
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies.run_comparison import compare_recipes
from flukeprint.training import cross_validation as crossvalidation
from flukeprint.training.callbacks import Stopwatch
from flukeprint.training.check import split_of
from flukeprint.training.cross_validation import answers_of, crossvalidate
from flukeprint.training.module import MetricLearningModule
from tests.tiny import TinyConfig


class Tiny:
    """The tiny configuration with two epochs; its runs and table.csv lie in `folder`."""

    def __init__(self, config: TinyConfig) -> None:
        self.path, self.folder = config.path, config.folder
        self._config = config

    def __call__(self, *overrides: str) -> Config:
        return self._config("train.epochs=2", *overrides)


@pytest.fixture(scope="module")
def tiny(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The recipe `tiny` measured on both folds into table.csv."""
    tiny = Tiny(tiny_config.apart(tmp_path_factory.mktemp("crossvalidation")))
    into = tiny.folder / "table.csv"
    crossvalidate(tiny(), into=into, note="first  rung", report=lambda _: None)
    return tiny


@pytest.fixture(scope="module")
def root(tiny: Tiny) -> Path:
    return tiny.folder


@pytest.fixture
def table(root: Path, tmp_path: Path) -> Path:
    """A copy of the table and of the predictions beside it, to be changed."""
    first = {row.answers for row in read_rows(root / "table.csv")}
    for name in first:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    return Path(shutil.copy(root / "table.csv", tmp_path / "table.csv"))


def run_of(row: Row, runs: Path) -> Run:
    """The finished run behind a row of the recipe that it was trained for."""
    found = []
    for folder in sorted(runs.iterdir()):
        run, config = Run(folder), Run(folder).config()
        have = (recipe_digest(config), config.split.fold, config.train.seed)
        if run.finished and have == (row.recipe, row.fold, row.seed):
            found.append(run)
    (run,) = found
    return run


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(crossvalidation, "train", refuse)


def test_every_fold_has_a_row_that_can_be_recomputed(root: Path) -> None:
    rows = read_rows(root / "table.csv")
    assert [(row.fold, row.seed, row.note) for row in rows] == [
        (0, 0, "first rung"),
        (1, 0, "first rung"),
    ]
    for row in rows:
        run = run_of(row, root / "runs/tiny")
        figures = run.figures()
        assert (row.queries, row.new_queries) == (figures["queries"], figures["new_queries"])
        for name in ("low", "mean", "high"):
            mine = {"low": row.map5_low, "mean": row.map5, "high": row.map5_high}[name]
            assert mine == pytest.approx(figures["map5"][name], abs=1e-5)
        assert row.auroc == pytest.approx(figures["auroc"], abs=1e-5)
        assert row.answers == (f"predictions/tiny/{row.recipe}-{row.data}-fold{row.fold}-seed0.csv")
        copy = root / row.answers
        assert copy.read_bytes() == (run.path / "queries.csv").read_bytes()
        with copy.open(newline="") as file:
            queries = list(csv.DictReader(file))
        points, firsts, fives = [], [], []
        for query in queries:
            found, right = json.loads(query["answers"]), query["answer"] or None
            points.append(1 / (found.index(right) + 1) if right in found else 0.0)
            assert float(query["ap"]) == pytest.approx(points[-1])
            firsts.append(found[0] == right)
            fives.append(right in found)
        q = len(queries)
        assert row.map5 == pytest.approx(sum(points) / q, abs=1e-5)
        assert row.top1 == pytest.approx(sum(firsts) / q, abs=1e-5)
        assert row.top5 == pytest.approx(sum(fives) / q, abs=1e-5)
        assert row.top1_low <= row.top1 <= row.top1_high
        assert sum(part.queries for part in row.sizes.values()) == q
        assert row.sizes["0"].queries == row.new_queries
        assert row.views == {}  # colour shapes have none
        labels = [name for name in Identifier.load(run.identifier).gallery.identities if name]
        for query in queries:  # the identifier holds the queries as well as the gallery
            assert int(query["photos"]) <= labels.count(query["answer"])
        net = Identifier.load(run.identifier).net
        params = sum(p.numel() for p in net.parameters()) / 1e6
        assert row.million_parameters == pytest.approx(params, rel=1e-4)
        assert json.loads((run.path / "catalog.json").read_text())["digest"].startswith(row.data)
        assert row.minutes is not None
        assert 0 < row.minutes < 5
        assert row.peak_mb is not None
        assert 100 < row.peak_mb < 20000


@pytest.mark.usefixtures("no_training")
def test_what_is_in_the_table_is_skipped(tiny: Tiny, table: Path) -> None:
    before = table.read_bytes()
    said: list[str] = []
    rows = crossvalidate(tiny(), into=table, note="other", report=said.append)
    assert [row.fold for row in rows] == [0, 1]
    assert sum("skipped" in line for line in said) == 2
    assert table.read_bytes() == before
    crossvalidate(tiny("split.fold=1", "train.workers=1"), folds=1, into=table)
    assert table.read_bytes() == before


@pytest.mark.usefixtures("no_training")
def test_a_finished_run_without_a_row_is_only_scored(tiny: Tiny, root: Path, table: Path) -> None:
    rows = read_rows(table)
    write_rows(rows[1:], table)
    (table.parent / rows[0].answers).unlink()
    said: list[str] = []
    crossvalidate(tiny(), into=table, note="first rung", report=said.append)
    assert any("only scored" in line for line in said)
    assert read_rows(table) == [rows[1], rows[0]]  # the order of the rows is that of their making
    for row in rows:
        assert (table.parent / row.answers).read_bytes() == (root / row.answers).read_bytes()


def test_a_killed_measurement_goes_on_to_the_same_rows(
    tiny: Tiny, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the second epoch of the second fold."""
    table = tmp_path / "table.csv"
    config = tiny(f"runs={tmp_path}/runs")
    plain: Callable[[MetricLearningModule], None] = MetricLearningModule.on_train_epoch_start

    def cut_off(self: MetricLearningModule) -> None:
        if self.config.split.fold == 1 and self.current_epoch == 1:
            raise KeyboardInterrupt
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(MetricLearningModule, "on_train_epoch_start", cut_off)
        with pytest.raises(KeyboardInterrupt):
            crossvalidate(config, into=table, note="first rung")
    assert [row.fold for row in read_rows(table)] == [0]
    (cut,) = (run for path in (tmp_path / "runs/tiny").iterdir() if not (run := Run(path)).finished)
    states = torch.load(cut.last, weights_only=True)["callbacks"]
    until_then = next(state["minutes"] for state in states.values() if "minutes" in state)
    assert until_then > 0
    said: list[str] = []
    moved = tiny(f"runs={tmp_path}/runs", f"image.cache={tmp_path}/cache")
    rows = crossvalidate(moved, into=table, note="first rung", report=said.append)
    assert any("going on with" in line for line in said)
    assert not any("training" in line for line in said)
    assert len(list((tmp_path / "runs" / "tiny").iterdir())) == 2
    for row, unbroken in zip(rows, read_rows(root / "table.csv"), strict=True):
        for name in RESULT_COLUMNS:
            if name not in ("minutes", "peak_mb"):
                assert getattr(row, name) == getattr(unbroken, name)
    again = json.loads((run_of(rows[1], tmp_path / "runs/tiny").path / "minutes.json").read_text())
    assert rows[1].minutes == pytest.approx(again["minutes"])
    assert again["minutes"] > until_then  # the first session counts as well


def test_only_a_cut_off_run_of_the_recipe_itself_goes_on(
    tiny: Tiny, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another ranking would be refused as another recipe: it is trained anew."""
    run = run_of(read_rows(root / "table.csv")[0], root / "runs/tiny").path
    shutil.copytree(run, tmp_path / "runs" / "tiny" / run.name)
    shutil.rmtree(tmp_path / "runs" / "tiny" / run.name / "identifier")
    asked: list[str | None] = []

    def note_down(_: Config, resume: str | None = None, **__: object) -> None:
        asked.append(resume)
        raise KeyboardInterrupt

    monkeypatch.setattr(crossvalidation, "train", note_down)
    for wish in ("infer.threshold=none", "infer.threshold=0.5", "train.epochs=2"):
        with pytest.raises(KeyboardInterrupt):
            crossvalidate(tiny(f"runs={tmp_path}/runs", wish), into=tmp_path / "t.csv")
    assert asked == [None, None, run.name]


def test_the_stopwatch_goes_on_counting(tmp_path: Path) -> None:
    watch = Stopwatch(tmp_path / "minutes.json")
    assert watch.state_dict()["minutes"] == 0
    watch.load_state_dict({"minutes": 5.0, "peak_mb": 1e6})
    assert watch.state_dict() == {"minutes": 5.0, "peak_mb": 1e6}
    watch.start = time.monotonic() - 120
    assert watch.state_dict()["minutes"] == pytest.approx(7, abs=0.1)


def test_a_run_stands_in_the_table_once(table: Path) -> None:
    before = table.read_bytes()
    rows = read_rows(table)
    add_row(rows[0], table)
    assert table.read_bytes() == before
    add_row(Row(**{**vars(rows[0]), "seed": 9}), table)
    assert [row.seed for row in read_rows(table)] == [0, 0, 9]


def test_a_summary_names_the_constant_answers_of_an_open_set(root: Path) -> None:
    rows = read_rows(root / "table.csv")
    assert {row.new_queries > 0 for row in rows} == {row.never_new is not None for row in rows}
    open_rows = [replace(row, never_new=0.25, always_new=0.5) for row in rows]
    said = summary_lines(open_rows)
    assert any("never answering new: mean 0.250" in line for line in said)
    assert any("always answering new first: mean 0.500" in line for line in said)
    older = [replace(row, never_new=None, always_new=None) for row in rows]
    assert len(summary_lines(older)) == 3


def test_views_and_gallery_photos_are_those_of_the_catalogue(tiny: Tiny, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"w_{i}" for i in range(12) for _ in range(1 + i % 5)]
    catalog = Catalog(
        images=tuple(f"{i}.jpg" for i in range(len(names))),
        identities=tuple(names),
        views=tuple(("left", "right", None)[i % 3] for i in range(len(names))),
        pixels=rng.integers(0, 255, (len(names), 4, 4), dtype=np.uint8),
    )
    vectors = unit_rows(rng.normal(size=(len(names), 8)))
    run = Run(tmp_path)
    Embeddings(vectors, catalog.images, catalog.identities, catalog.views, "s").save(
        tmp_path / "embeddings.npz"
    )
    config = tiny("data.closed_set=true")
    split = split_of(config, catalog)
    answered, _ = answers_of(run, config, catalog, split)
    assert set(answered.images) <= {catalog.images[row] for row in split.queries}
    gallery = [names[row] for row in split.gallery]
    for image, view, truth, photos in zip(
        answered.images, answered.views, answered.truths, answered.photos, strict=True
    ):
        row = catalog.images.index(image)
        assert (view, truth) == (catalog.views[row], names[row])  # type: ignore[index]
        assert photos == gallery.count(names[row])
    with pytest.raises(FlukeprintError, match="of other photographs"):
        answers_of(run, config, catalog.take(range(5)), split)


@pytest.mark.usefixtures("no_training")
def test_another_way_of_answering_shares_the_training(tiny: Tiny, root: Path, table: Path) -> None:
    config = tiny("infer.threshold=none")
    assert recipe_digest(config) != recipe_digest(tiny())
    crossvalidate(config, into=table, note="no threshold")
    rows = read_rows(table)
    assert len(rows) == 4
    for before, after in zip(rows[:2], rows[2:], strict=True):
        own = run_of(before, root / "runs/tiny").path / f"queries-{after.recipe}.csv"
        copies = [table.parent / row.answers for row in (before, after)]
        assert copies[0].read_bytes() == (own.parent / "queries.csv").read_bytes()
        assert copies[1].read_bytes() == own.read_bytes() != copies[0].read_bytes()
        assert all(None not in names for names in QueryTable.load(copies[1]).found)
        assert after.auroc is not None
    a, b, found = compare_recipes("first rung", "no threshold", table)
    assert (a.folds, b.folds) == ((0, 1), (0, 1))
    assert found.queries == rows[0].queries + rows[1].queries
    total = sum(row.map5 * row.queries for row in rows[:2]) / found.queries
    assert found.map5.a == pytest.approx(total, abs=1e-5)


def test_seeds_are_counted_from_the_first(tiny: Tiny, root: Path, table: Path) -> None:
    config = tiny("train.epochs=1", "train.seed=5")
    rows = crossvalidate(config, folds=1, seeds=2, into=table)
    assert [(row.fold, row.seed) for row in rows] == [(0, 5), (0, 6)]
    assert rows[0].recipe == rows[1].recipe != read_rows(table)[0].recipe
    assert len(read_rows(table)) == 4
    run = run_of(rows[0], root / "runs/tiny")
    one, two, found = compare_recipes(str(run.path), rows[0].recipe[:8], table)
    assert (len(one.runs), len(two.runs)) == (1, 2)
    assert found.queries == rows[0].queries
    with pytest.raises(FlukeprintError, match="has the folds 0, first rung has 0, 1"):
        compare_recipes(rows[0].recipe, "first rung", table)


def test_the_digest_is_of_the_recipe(tiny: Tiny, root: Path) -> None:
    digest = recipe_digest(tiny())
    for same in (
        "split.fold=1", "train.seed=3", "train.workers=2", "train.accelerator=auto",
        "image.cache=null", "runs=elsewhere", "submissions=elsewhere", "data.root=elsewhere",
        "model.neck=true",
    ):  # fmt: skip
        assert recipe_digest(tiny(same)) == digest, same
    for other in ("train.lr=0.1", "split.seed=1", "model.pooling=avg", "losses=[{name: cosface}]"):
        assert recipe_digest(tiny(other)) != digest, other
        assert training_digest(tiny(other)) != training_digest(tiny()), other
    early = [training_digest(tiny("train.patience=1", *o)) for o in ([], ["rank.hubness=3"])]
    assert early[0] != early[1]  # early stopping looks at the ranking


@pytest.mark.usefixtures("no_training")
def test_the_table_and_its_predictions_can_be_moved_away_from_the_runs(
    tiny: Tiny, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossvalidate(tiny("infer.threshold=none"), into=table, note="no threshold")
    _, _, before = compare_recipes("first rung", "no threshold", table)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(table, moved)
    shutil.move(tmp_path / "predictions", moved)
    _, _, after = compare_recipes("first rung", "no threshold", moved / "table.csv")
    assert after == before
    monkeypatch.chdir(moved)
    assert compare_recipes("first rung", "no threshold", Path("table.csv"))[2] == before


@pytest.mark.usefixtures("no_training")
def test_a_table_names_its_predictions_wherever_they_lie(tiny: Tiny, table: Path) -> None:
    """Rows of older versions point to `answers/` beside the table."""
    crossvalidate(tiny("infer.threshold=none"), into=table, note="no threshold")
    before = compare_recipes("first rung", "no threshold", table)[2]
    (table.parent / "answers").mkdir()
    old = []
    for row in read_rows(table):
        name = f"answers/tiny-{row.recipe}-{row.data}-{row.fold}-{row.seed}.csv"
        shutil.move(table.parent / row.answers, table.parent / name)
        old.append(Row(**{**vars(row), "answers": name}))
    write_rows(old, table)
    assert compare_recipes("first rung", "no threshold", table)[2] == before
    (rung, _) = ladder.rungs_of(read_rows(table), table.parent)["tiny"]
    assert rung.judged is not None
    rows = crossvalidate(tiny("infer.threshold=0.5"), into=table, note="half")
    assert all(row.answers.startswith("predictions/tiny/") for row in rows)
    assert read_rows(table)[:4] == old
    assert compare_recipes("first rung", "half", table)[2].queries == before.queries


@pytest.mark.usefixtures("no_training")
def test_gone_answers_are_named_and_the_row_is_still_skipped(
    tiny: Tiny, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = read_rows(table)[0]
    gone = table.parent / row.answers
    gone.unlink()
    with pytest.raises(FlukeprintError, match="is missing; flukeprint crossvalidate makes it") as e:
        compare_recipes("first rung", "first rung", table)
    assert str(e.value).startswith(str(gone))
    (rung,) = ladder.rungs_of(read_rows(table), table.parent)["tiny"]
    assert rung.judged is None
    assert f"no paired intervals: {gone} is missing" in capsys.readouterr().err
    said: list[str] = []
    crossvalidate(tiny(), into=table, note="first rung", report=said.append)
    assert sum("skipped" in line for line in said) == 2
    assert not gone.exists()


@pytest.mark.usefixtures("no_training")
def test_wrong_wishes_are_refused_before_training(tiny: Tiny, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    for wish in ({"folds": 3}, {"folds": 0}, {"seeds": 0}):
        with pytest.raises(FlukeprintError, match=r"--folds|--seeds"):
            crossvalidate(tiny(), into=table, **wish)
    with pytest.raises(FlukeprintError, match="one device"):
        crossvalidate(tiny("train.devices=2"), into=table)
    table.write_text("config,fold,speed\nx,0,1\n")
    with pytest.raises(FlukeprintError, match=r"another version: .*speed.*--into"):
        crossvalidate(tiny(), into=table)


def test_a_damaged_table_is_refused_with_its_line(table: Path) -> None:
    rows = read_rows(table)
    table.write_text(table.read_text().replace(f",{rows[1].queries},", ",many,"))
    with pytest.raises(FlukeprintError, match=r"line .*cannot be read: .*many"):
        read_rows(table)


def test_names_that_compare_nothing_are_refused(root: Path, table: Path) -> None:
    with pytest.raises(FlukeprintError, match="no recipe or note"):
        compare_recipes("nonsense", "first rung", table)
    rows = read_rows(table)
    changed = {**vars(rows[0]), "recipe": "0123456789ab"}
    write_rows([*rows, Row(**changed)], table)
    with pytest.raises(FlukeprintError, match="names several recipes"):
        compare_recipes("first rung", rows[0].recipe, table)
    other = {**changed, "data": "000000000000"}
    write_rows([*rows, Row(**{**other, "note": "x"})], table)
    with pytest.raises(FlukeprintError, match="other photographs or labels"):
        compare_recipes("x", "first rung", table)
    gone = {**changed, "note": "y", "answers": "nowhere/queries.csv"}
    write_rows([*rows, Row(**gone)], table)
    with pytest.raises(FlukeprintError, match=r"nowhere/queries\.csv is missing"):
        compare_recipes("y", "first rung", table)


def test_the_doors(tiny: Tiny, table: Path) -> None:
    wish = ["crossvalidate", "-c", str(tiny.path), "--into", str(table), "train.epochs=2"]
    done = CliRunner().invoke(app, wish)
    assert done.exit_code == 0, done.output
    assert "map5: mean 0." in done.output
    done = CliRunner().invoke(app, ["compare", "first rung", "first rung", "--into", str(table)])
    assert done.exit_code == 0, done.output
    assert "B - A +0.000 [+0.000, +0.000], B better in 0.0% of resamples" in done.output


@pytest.mark.usefixtures("no_training")
def test_the_page_keeps_its_text_and_gets_its_tables(tiny: Tiny, table: Path) -> None:
    crossvalidate(tiny("infer.threshold=none"), into=table, note="no threshold")
    rungs = ladder.rungs_of(read_rows(table), table.parent)["tiny"]
    text = ladder.ladder(rungs)
    _, _, found = compare_recipes("first rung", "no threshold", table)
    gain = found.map5.gain
    assert f"| {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]; top-1 " in text
    assert f"| first rung | 2 x 1 | {found.queries} | {found.top1.a:.3f} [" in text
    assert text.index("first rung") < text.index("no threshold")

    page = ladder.put("# Mine\n\nBefore.\n", "tiny", text)
    page = page.replace("## tiny", "## Shapes").replace("<!-- end -->", "<!-- end -->\n\nAfter.")
    again = ladder.put(page, "tiny", "| a new table |")
    assert again.startswith("# Mine\n\nBefore.\n\n## Shapes\n\n<!-- ladder:tiny -->\n| a new table")
    assert again.count("<!-- ladder:tiny -->") == 1
    assert again.endswith("<!-- end -->\n\nAfter.\n")
    assert ladder.put(again, "tiny", text) == page
    with pytest.raises(FlukeprintError, match="without <!-- end -->"):
        ladder.put("<!-- ladder:tiny -->\n<!-- ladder:b -->\n<!-- end -->", "tiny", "x")


def test_without_the_queries_the_rows_alone_give_the_table(table: Path) -> None:
    rows = [Row(**{**vars(row), "answers": "gone"}) for row in read_rows(table)]
    better = [
        Row(**{**vars(row), "recipe": "0123456789ab", "note": "up", "map5": row.map5 + 0.1})
        for row in rows
    ]
    text = ladder.ladder(ladder.rungs_of([*rows, *better], table.parent)["tiny"])
    total = sum(row.queries for row in rows)
    mean = sum(row.map5 * row.queries for row in rows) / total
    assert f" | {mean:.3f} [" in text
    assert "| +0.100; top-1 +0.000 |" in text
