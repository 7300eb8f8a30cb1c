"""What earlier versions wrote still opens, and gives the answers that it gave then."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flukeprint.cli import app
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import find_run
from flukeprint.submission.infer import infer

OLD = Path(__file__).parent / "old_files"
RUN = Path("runs/tiny/20260131-120000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the files as the working directory; the photographs are drawn again."""
    folder = tmp_path_factory.mktemp("old") / "files"
    shutil.copytree(OLD, folder)
    before = Path.cwd()
    os.chdir(folder)
    data = load_config("tiny.yaml").data
    photos = {path.name: path.read_bytes() for path in (folder / "shapes/test").iterdir()}
    shutil.rmtree(folder / "shapes")
    write_synthetic(data.synthetic, Path("shapes"), progress=False)
    for name, content in photos.items():
        assert (folder / "shapes/test" / name).read_bytes() == content
    yield folder
    os.chdir(before)


@pytest.fixture
def config(folder: Path) -> Config:
    return load_config("tiny.yaml")


def test_an_identifier_answers_as_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = json.loads(Path("identified.json").read_text())
    photos = [row["photo"] for row in then]
    app(["identify", str(RUN / "identifier"), *photos, "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    for one, other in zip(found, then, strict=True):
        scores = [[answer.pop("score") for answer in row["answers"]] for row in (one, other)]
        np.testing.assert_allclose(*scores, atol=1e-5)
    assert found == then


def test_an_identifier_grows_and_is_saved(folder: Path, tmp_path: Path) -> None:
    known = Identifier.load(RUN / "identifier")
    photo = Path("shapes/test/0944e3784.jpg")
    known.enroll("w_new", [photo]).save(tmp_path / "grown")
    again = Identifier.load(tmp_path / "grown")
    assert again.identify([photo]).identities[0][0] == "w_new"
    assert len(again.gallery) == len(known.gallery) + 1


def test_a_run_gives_the_submission_that_it_gave(config: Config, folder: Path) -> None:
    run = find_run(config, None)
    assert run.path == RUN
    assert run.config() == config
    then = Path("submissions/tiny-20260131-120000.csv").read_text()
    answers = infer(config, run)
    assert answers.submission.read_text() == then


def test_a_run_s_figures_are_computed_again(folder: Path) -> None:
    figures = json.loads((OLD / RUN / "validation.json").read_text())
    config = load_config("tiny.yaml", ["infer.fallback=fitted"])  # all that there was
    found = validate_rankings(ValidationQueries.load(OLD / RUN / QUERIES_FILE), config)
    assert found.threshold == pytest.approx(figures["threshold"])
    assert found.scores.map5.mean == pytest.approx(figures["map5"]["mean"])
    assert Embeddings.load(OLD / RUN / "embeddings.npz").stamp == (
        Identifier.load(OLD / RUN / "identifier").card.stamp
    )


def test_a_table_of_recipes_is_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["compare", "old", "short", "--into", "accuracy.csv"], standalone_mode=False)
    then = Path("compared.txt").read_text().replace("(1 runs)", "(1 run)")
    assert capsys.readouterr().out == then


def test_the_import_of_earlier_versions_works() -> None:
    from flukeprint import Identifier as public
    from flukeprint.identify import Identifier as earlier

    assert earlier is public is Identifier
