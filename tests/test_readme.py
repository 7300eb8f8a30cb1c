"""Links, files, functions, commands and keys in README, CONTRIBUTING and the guides exist."""

import ast
import re
from pathlib import Path

import pytest
import typer
import yaml

from flukeprint.cli import app
from flukeprint.config.load import load_config

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "flukeprint"
PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "input/README.md", "submissions/README.md")
] + [ROOT / "configs" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
MOST_LINES = 160

# Folders and files at the root that a page may name, and what of them is kept in git.
NAMED_PATH = re.compile(
    r"(?<![\w/.:~-])((?:src|configs|docs|tests|benchmarks)/[\w./-]*|[\w-]+\.toml|Makefile)(?![\w*<])"
)
OWN = {"configs/mine.yaml"}  # what a reader writes


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(params=PAGES, ids=page_id)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert not dead, f"{page_id(page)} links to {dead}"


def test_every_file_that_is_named_exists(page: Path) -> None:
    named = {name.rstrip(".-") for name in NAMED_PATH.findall(page.read_text(encoding="utf-8"))}
    missing = sorted(name for name in named - OWN if not (ROOT / name).exists())
    assert not missing, f"{page_id(page)} names {missing}"


def test_every_function_is_where_it_is_said_to_be(page: Path) -> None:
    text = " ".join(page.read_text(encoding="utf-8").split())
    for name, file in re.findall(r"`(\w+)`,? (?:in|of) `((?:src|tests)/[\w/]+\.py)`", text):
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        defined |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                defined |= {target.id for target in targets if isinstance(target, ast.Name)}
        assert name in defined, f"{page_id(page)}: {file} does not define {name}"


def test_every_command_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = set(re.findall(r"^(?:\.venv/bin/)?flukeprint ([a-z][\w-]*)", text, re.MULTILINE))
    found |= set(re.findall(r"`flukeprint ([a-z][\w-]*)", text))
    assert found <= COMMANDS, f"{page_id(page)}: {sorted(found - COMMANDS)}"


def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z][\w-]*)", text, re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z][\w-]*)`", text))
    assert named <= targets, f"{page_id(page)}: {sorted(named - targets)}"


@pytest.mark.usefixtures("at_repository")
def test_every_setting_after_a_command_is_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    settings = re.findall(
        r"(?<![\w.])((?:data|image|split|model|losses|sampler|train|rank|infer|gallery|serve)"
        r"\.[a-z_0-9.]+)=(\{[^}`]*\}|\[[^\]`]*\]|[\w./:@-]+)",
        text,
    )
    for key, value in settings:
        backend = ["gallery.backend=qdrant"] if key == "gallery.url" else []
        load_config(None, ["losses=[{name: arcface}]", *backend, f"{key}={value}"])


@pytest.mark.usefixtures("at_repository")
def test_the_configuration_of_ones_own_animals_loads(tmp_path: Path) -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "your_animals.md"):
        text = re.findall(r"```yaml\n(# configs/mine.yaml.*?)```", page.read_text(), re.DOTALL)[0]
        tree = yaml.safe_load(text)
        tree["extends"] = str(ROOT / "configs" / tree["extends"])
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
        assert load_config(tmp_path / "mine.yaml").data.reader == "folders"


def test_the_tree_of_the_readme_names_every_package() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.findall(r"```text\nsrc/flukeprint/\n(.*?)```", text, re.DOTALL)[0]
    named: list[str] = []
    above: list[str] = []
    for line in tree.splitlines():
        found = re.match(r"((?:  )+)((?:\w+/ )+)", line)
        if found is not None:
            above = above[: len(found[1]) // 2 - 1]
            several = found[2].replace("/", "").split()  # the last may have folders of its own
            named += ["/".join((*above, name)) for name in several]
            above = [*above, several[-1]]
    packages = [
        path.parent.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("__init__.py")
        if path.parent != SOURCE
    ]
    assert sorted(named) == sorted(packages)
    assert len(named) == len(set(named))
