"""The page of two runs: what it holds, and what it refuses before anything is made."""

from pathlib import Path

import pytest
from PIL import Image

from flukeprint.identifier.reports.comparison_page import check_comparison, write_comparison
from flukeprint.identifier.runs import Run
from flukeprint.identifier.studies.run_comparison import compare_recipes
from flukeprint.training.train import train
from tests.processes import call
from tests.refusals import refused
from tests.tiny import TinyConfig


@pytest.fixture(scope="module")
def other(tiny_config: TinyConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the same fold with another seed."""
    tiny = tiny_config.apart(tmp_path_factory.mktemp("other"))
    return train(tiny("train.epochs=1", "train.seed=7"))


def test_two_runs_side_by_side(tiny_run: Run, other: Run, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    two = check_comparison(str(tiny_run.path), str(other.path), target)
    _, _, result = compare_recipes(str(tiny_run.path), str(other.path), tmp_path / "none.csv")
    assert write_comparison(two, result, target) == target
    page = target.read_text(encoding="utf-8")
    for anchor in ("figures", "recognition", "answers", "pairs", "curves", "settings"):
        assert f'<section id="{anchor}"' in page
    for letter, run in zip("AB", two, strict=True):
        scores = run.validation.scores
        assert f"{letter}: {run.folder}, MAP@5 {scores.map5.text()}" in page
    gain = result.map5.gain
    assert f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" in page
    assert '<th scope="row">train.seed</th><td class="whole">0</td><td class="whole">7</td>' in page
    charts = {file.stem for file in (tmp_path / "page-charts").glob("*.png")}
    assert charts == {file.stem for file in (tmp_path / "page-charts").glob("*.svg")}
    assert {"differences", "both-sizes", "pairs-a", "pairs-b"} <= charts
    for file in (tmp_path / "page-charts").glob("*.png"):
        assert f'href="page-charts/{file.name}"' in page
        with Image.open(file) as picture:
            picture.load()


def test_a_run_beside_itself_differs_in_nothing(tiny_run: Run, tmp_path: Path) -> None:
    target = tmp_path / "same.html"
    done = call("flukeprint", "compare", tiny_run.path, tiny_run.path, "--html", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"page: {target}\n")
    page = target.read_text(encoding="utf-8")
    assert "Nothing differs." in page
    assert "+0.000 [+0.000, +0.000]" in page
    assert "0 queries that A answers rightly and B does not." in page
    assert "B is better, by" not in page
    assert "B is worse" not in page


def test_what_is_no_page_of_two_runs_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    run = str(tiny_run.path)
    page = tmp_path / "page.html"
    refused(lambda: check_comparison(run, "recipe", page), "recipe is no folder of a run", "--html")
    refused(lambda: check_comparison(str(tmp_path), run, page), "is no folder of a run")
    refused(lambda: check_comparison(run, run, tmp_path / "page.pdf"), "page.pdf", ".html")
    folder = tmp_path / "folder.html"
    folder.mkdir()
    refused(lambda: check_comparison(run, run, folder), "is a folder")
    assert list(tmp_path.iterdir()) == [folder]
