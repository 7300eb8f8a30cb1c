"""Recipes measured together on every fold: a row of the table, and a rung of the ladder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import ladder
from flukeprint.config.digests import recipe_digest
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import QueryTable
from flukeprint.evaluation.results_table import Row, read_rows, write_rows
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.studies.run_comparison import compare_recipes
from flukeprint.training import cross_validation as crossvalidation
from flukeprint.training.check import split_of
from flukeprint.training.cross_validation import crossvalidate, finished_run
from flukeprint.training.recipe_ensembles import crossvalidate_together, ensemble_digest
from tests.says import Says
from tests.tiny import TinyConfig

WISHES = ("train.epochs=1", "infer.threshold=none")
WIDE = "extends: tiny.yaml\nimage: {height: 48}\nmodel: {embedding_dim: 24}\ntrain: {seed: 7}\n"


@pytest.fixture(scope="module")
def folder(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.yaml and wide.yaml, measured together in table.csv; tiny before that by itself."""
    folder = tmp_path_factory.mktemp("ensembles")
    tiny_config.apart(folder)
    (folder / "wide.yaml").write_text(WIDE)
    table = folder / "table.csv"
    crossvalidate(recipe(folder, "tiny"), into=table, note="alone", report=lambda _: None)
    said: list[str] = []
    rows = crossvalidate_together(recipes(folder), into=table, note="both", report=said.append)
    assert [row.note for row in rows] == ["both", "both"]
    assert sum(line.endswith("it is only scored") for line in said) == 2  # those of tiny
    assert sum(line.endswith(": training") for line in said) == 2
    return folder


def recipe(folder: Path, name: str, *overrides: str) -> Config:
    return load_config(folder / f"{name}.yaml", [*WISHES, *overrides])


def recipes(folder: Path, *overrides: str) -> list[Config]:
    return [recipe(folder, name, *overrides) for name in ("tiny", "wide")]


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was trained")

    monkeypatch.setattr(crossvalidation, "train", refuse)


def test_every_fold_has_rows_of_the_recipes_and_of_their_ensemble(folder: Path) -> None:
    rows = read_rows(folder / "table.csv")
    assert [(row.config, row.note, row.fold, row.seed) for row in rows] == [
        ("tiny", "alone", 0, 0),
        ("tiny", "alone", 1, 0),
        ("wide", "wide", 0, 7),
        ("tiny", "both", 0, 0),
        ("wide", "wide", 1, 7),
        ("tiny", "both", 1, 0),
    ]
    both, alone, wide = (
        [row for row in rows if row.note == note] for note in ("both", "alone", "wide")
    )
    for fold in (0, 1):
        parts = (alone[fold], wide[fold])
        params = sum(part.million_parameters for part in parts)
        assert both[fold].million_parameters == pytest.approx(params, rel=1e-4)
        assert both[fold].minutes == pytest.approx(sum(part.minutes or 0 for part in parts), 1e-4)
        assert both[fold].epochs == 2
        assert both[fold].data == alone[fold].data
        assert both[fold].queries == alone[fold].queries


def test_an_ensembles_answers_are_those_of_the_mean_cosine(folder: Path) -> None:
    row = next(row for row in read_rows(folder / "table.csv") if row.note == "both")
    answered = QueryTable.load(folder / row.answers)
    config, catalog = recipe(folder, "tiny"), read_labelled(recipe(folder, "tiny").data)
    split = split_of(config, catalog)
    assert answered.images == tuple(catalog.images[place] for place in split.queries)
    mean = np.zeros((len(catalog), len(catalog)))
    for name in ("tiny", "wide"):
        run = finished_run(recipe(folder, name), catalog)
        vectors = Embeddings.load(run.path / "embeddings.npz").vectors.astype(float)
        mean += vectors @ vectors.T / 2
    points = []
    for place, right, found in zip(split.queries, split.answers, answered.found, strict=True):
        best: dict[str, float] = {}
        for other in split.gallery:
            name = str(catalog.identities[other])
            best[name] = max(mean[place, other], best.get(name, -2.0))
        five = sorted(best.values(), reverse=True)[:5]
        np.testing.assert_allclose([best[str(name)] for name in found], five, atol=1e-5)
        points.append(1 / (found.index(right) + 1) if right in found else 0.0)
    assert row.map5 == pytest.approx(np.mean(points), abs=1e-5)


def test_the_ladder_shows_the_ensemble_as_a_rung(folder: Path) -> None:
    rows = read_rows(folder / "table.csv")
    rungs = ladder.rungs_of(rows, folder)["tiny"]
    assert [rung.name for rung in rungs] == ["alone", "both"]
    _, _, found = compare_recipes("alone", "both", folder / "table.csv")
    gain = found.map5.gain
    text = ladder.ladder(rungs)
    assert f"| {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]; top-1 " in text
    assert "| both | 2 x 1 |" in text


@pytest.mark.usefixtures("no_training")
def test_what_is_done_is_not_repeated(folder: Path, tmp_path: Path) -> None:
    table = Path(shutil.copy(folder / "table.csv", tmp_path))
    before = table.read_bytes()
    said: list[str] = []
    rows = crossvalidate_together(recipes(folder), into=table, report=said.append)
    assert sum("skipped" in line for line in said) == 2
    assert table.read_bytes() == before
    kept = [row for row in read_rows(table) if row.note != "both"]
    write_rows(kept, table)
    assert crossvalidate_together(recipes(folder), into=table, note="both") == rows
    weighted = crossvalidate_together(recipes(folder), weights=[3, 1], folds=1, into=table)
    assert [(row.note, row.fold) for row in weighted] == [("tiny + wide", 0)]
    assert weighted[0].recipe != rows[0].recipe


def test_the_digest_is_of_recipes_and_weights(folder: Path) -> None:
    configs = recipes(folder)
    digest = ensemble_digest(configs)
    assert digest == ensemble_digest(configs, [2, 2])
    assert digest == ensemble_digest([recipe(folder, name, "split.fold=1") for name in
                                      ("tiny", "wide")])  # fmt: skip
    others = [
        ensemble_digest(configs, [2, 1]),
        ensemble_digest(configs[::-1]),
        ensemble_digest(recipes(folder, "rank.hubness=3")),
        ensemble_digest([configs[0], recipe(folder, "wide", "train.seed=8")]),
        ensemble_digest([configs[0], configs[1], recipe(folder, "wide", "train.seed=8")]),
        recipe_digest(configs[0]),
    ]
    assert len({digest, *others}) == 7
    ranked = recipe(folder, "wide", "rank.hubness=3")  # how the first ranks decides
    assert ensemble_digest([configs[0], ranked]) == digest


@pytest.mark.usefixtures("no_training")
def test_recipes_that_do_not_go_together_are_refused(folder: Path, tmp_path: Path) -> None:
    tiny, wide = recipes(folder)
    into = tmp_path / "table.csv"
    for other, words in (
        (recipe(folder, "wide", "split.folds=3"), r"tiny and wide .*split\.folds is 2 and 3"),
        (recipe(folder, "wide", "split.seed=1"), r"split\.seed is 0 and 1"),
        (recipe(folder, "wide", "data.closed_set=true"), r"data\.closed_set is False and True"),
        (tiny, "tiny and tiny are the same training"),
        (recipe(folder, "tiny", "rank.hubness=2"), "are the same training"),
    ):
        with pytest.raises(FlukeprintError, match=words):
            crossvalidate_together([tiny, other], into=into)
    shutil.copytree(tiny.data.root, tmp_path / "shapes")
    labels = tmp_path / "shapes" / "train.csv"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join(lines[:-1]) + "\n")
    moved = recipe(folder, "wide", f"data.root={tmp_path}/shapes", f"runs={tmp_path}/runs")
    with pytest.raises(FlukeprintError, match="tiny has other photographs or labels"):
        crossvalidate_together([tiny, moved], into=into)
    headed = recipe(folder, "tiny", "rank.head=0.3")
    triplets = recipe(folder, "wide", "losses=[{name: triplet}]", "sampler.name=pk")
    with pytest.raises(FlukeprintError, match=r"wide: rank\.head=0\.3 needs class centers"):
        crossvalidate_together([headed, triplets], into=into)
    with pytest.raises(FlukeprintError, match="as many weights above 0"):
        crossvalidate_together([tiny, wide], weights=[1], into=into)
    assert not into.exists()


def test_the_command(folder: Path, says: Says, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    wish = ["crossvalidate", "-c", folder / "tiny.yaml", "--with", folder / "wide.yaml", *WISHES]
    said, error = says(*wish, "--into", table, "--folds", "1", "--weights", "2,1")
    assert error is None
    rows: list[Row] = read_rows(table)
    assert [row.note for row in rows] == ["tiny", "wide", "tiny + wide"]
    assert f"map5: mean {rows[2].map5:.3f} of 1 run" in said
    assert "one alone has no weight" in str(says(*wish[:3], "--weights", "2")[1])
    assert (
        Identifier.load(
            finished_run(
                recipe(folder, "wide"), read_labelled(recipe(folder, "wide").data)
            ).identifier
        ).card.image.height
        == 48
    )
