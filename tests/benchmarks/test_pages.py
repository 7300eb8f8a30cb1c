"""What README.md promises: its commands exist, and pages hold what their scripts write."""

import ast
import json
import re
from pathlib import Path

import pytest

from benchmarks.harness.places import BENCHMARKS, REPORTS, ROOT
from benchmarks.serving import page as waiting
from benchmarks.speed import embed_all_page, report, scale_page
from flukeprint.evaluation.results_table import read_rows

PAGES = [
    ROOT / "Makefile",
    BENCHMARKS / "README.md",
    *(ROOT / "docs").glob("*.md"),
    *REPORTS.glob("*.md"),
]
COMMAND = re.compile(r"python -m benchmarks\.([a-z_]+(?:\.[a-z_]+)?)")
SCRIPTS = sorted(
    path for path in BENCHMARKS.glob("*/*.py") if '__name__ == "__main__"' in path.read_text()
)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(BENCHMARKS).with_suffix("").parts).removesuffix(".__main__")


def test_commands_on_pages_are_scripts_and_every_script_is_listed() -> None:
    known = {module_name(path) for path in SCRIPTS}
    assert len(known) > 12
    for page in PAGES:
        assert set(COMMAND.findall(page.read_text())) <= known, page
        assert "python benchmarks/" not in page.read_text(), page
    assert set(COMMAND.findall((BENCHMARKS / "README.md").read_text())) == known


@pytest.mark.parametrize("path", SCRIPTS, ids=module_name)
def test_a_script_names_itself_by_its_place(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert set(COMMAND.findall(ast.get_docstring(tree) or "")) == {module_name(path)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [
        ast.literal_eval(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in ("options", "service_options")
    ]
    assert named in ([module_name(path)], [])


def test_private_names_of_flukeprint_are_not_used() -> None:
    for path in BENCHMARKS.glob("**/*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {
            name.asname or name.name
            for node in nodes
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flukeprint")
            for name in node.names
        }
        used = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in imported
        }
        assert not [name for name in imported | used if name.startswith("_")], path


def test_links_lead_to_files() -> None:
    for page in (BENCHMARKS / "README.md", *REPORTS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)


def test_every_row_has_its_predictions_and_there_are_no_others() -> None:
    folder = BENCHMARKS / "accuracy"
    rows = read_rows(folder / "table.csv")
    there = {path.relative_to(folder).as_posix() for path in folder.glob("predictions/*/*.csv")}
    assert {row.answers for row in rows} == there
    for row in rows:
        run = f"{row.recipe}-{row.data}-fold{row.fold}-seed{row.seed}"
        assert row.answers == f"predictions/{row.config}/{run}.csv"


def test_pages_are_as_their_scripts_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    monkeypatch.setattr(report, "PLOTS", tmp_path / "plots")
    report.render(quick=False)
    assert (tmp_path / "speed.md").read_text() == (REPORTS / "speed.md").read_text()
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "growth.png",
        "search.png",
    ]
    monkeypatch.setattr(embed_all_page, "PAGE", tmp_path / "scale.md")
    embed_all_page.render(quick=False)
    assert (tmp_path / "scale.md").read_text() == (REPORTS / "scale.md").read_text()
    monkeypatch.setattr(scale_page, "PAGE", tmp_path / "scale.md")
    scale_page.render(quick=False)
    assert (tmp_path / "scale.md").read_text() == (ROOT / "docs" / "scale.md").read_text()
    visits, budgets = (json.loads(file.read_text()) for file in (waiting.RESULT, waiting.BUDGET))
    assert waiting.render(visits, budgets) == waiting.PAGE.read_text()
