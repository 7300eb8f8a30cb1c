"""The laws of the packages: imports descend, no torch where it is not needed, importing is free."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "flukeprint"

# A package imports from earlier groups, and nothing from another package of its own group.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("ground",),  # the modules at the top that import no package
    ("config",),
    ("data", "models"),
    ("embedding", "search", "records"),
    ("ranking",),
    ("evaluation",),
    ("identifier",),
    ("keeper",),
    ("training", "submission", "serving", "bulk"),
    ("commands",),  # the modules at the top that do
)
WITHOUT_TORCH = ("ground", "config", "data", "search", "records", "ranking", "evaluation")
NETWORK_PACKAGES = {"torch", "torchvision", "timm", "lightning", "pytorch_metric_learning"}
MOST_MODULES = 15

LAYER_OF = {package: layer for layer, group in enumerate(LAYERS) for package in group}
FILES = {
    ".".join(("flukeprint", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def imports(source: str, known: set[str]) -> tuple[set[str], set[str], set[str]]:
    """Names of what a module imports, inside functions too.

    Returns:
        (modules of flukeprint, packages imported anywhere, packages imported at the top level)
    """
    tree = ast.parse(source)
    modules: set[str] = set()
    packages: set[str] = set()
    at_top: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole path"
            names = [node.module or ""]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name for name in names if name in known] or [node.module or ""]
            if len(names) > 1 and node.module in names:  # from package import module
                names.remove(node.module or "")
        else:
            continue
        for name in names:
            if name.split(".")[0] == "flukeprint":
                modules.add(name)
            else:
                packages.add(name.split(".")[0])
                if node in tree.body:
                    at_top.add(name.split(".")[0])
    return modules, packages, at_top


IMPORTED = {
    name: imports(path.read_text(), set(FILES)) for name, path in FILES.items()
}  # fmt: skip


def package(module: str) -> str:
    """The package of a module; ground or commands for one at the top."""
    parts = module.split(".")
    if len(parts) > 2 or (len(parts) == 2 and FILES[module].name == "__init__.py"):
        return parts[1]
    # What a command calls, it imports; the public surface does so when it is asked.
    inside = {other for other in IMPORTED[module][0] if other.count(".") > 1}
    return "commands" if inside or module in ("flukeprint", "flukeprint.__main__") else "ground"


def test_every_form_of_import_is_seen() -> None:
    known = {"flukeprint", "flukeprint.cli", "flukeprint.data", "flukeprint.data.catalog"}
    source = (
        "import os, flukeprint.cli\nfrom flukeprint.data.catalog import Catalog\n"
        "from flukeprint.data import catalog\nfrom flukeprint import __version__\n"
        "def f():\n    import torch.nn\n    from timm.models import z\n"
    )
    modules, packages, at_top = imports(source, known)
    assert modules == {"flukeprint.cli", "flukeprint.data.catalog", "flukeprint"}
    assert packages == {"os", "torch", "timm"}
    assert at_top == {"os"}


@pytest.mark.parametrize("module", FILES)
def test_imports_descend(module: str) -> None:
    own = package(module)
    assert own in LAYER_OF, f"package {own} has no layer: add it to LAYERS in {Path(__file__).name}"
    modules, _, at_top = IMPORTED[module]
    for other in sorted(modules - {"flukeprint"}):
        assert other in FILES, f"{module} imports {other}, which is no module"
        theirs = package(other)
        assert own == theirs or LAYER_OF[theirs] < LAYER_OF[own], (
            f"{module} ({own}) must not import {other} ({theirs})"
        )
    if own in WITHOUT_TORCH:
        heavy = sorted(at_top & NETWORK_PACKAGES)
        assert not heavy, f"{module} ({own}) must do without {', '.join(heavy)}"


def test_modules_import_in_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"imports in a circle: {' -> '.join((*way, module))}"
        if module not in done:
            for other in sorted(IMPORTED[module][0] - {"flukeprint"}):
                visit(other, (*way, module))
            done.add(module)

    for module in FILES:
        visit(module, ())


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in FILES.values()}), ids=lambda folder: folder.name
)
def test_a_folder_holds_at_most_fifteen_modules(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("module", FILES)
def test_private_names_stay_in_their_module(module: str) -> None:
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "flukeprint":
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert private in ([], ["__version__"]), f"{module} imports {private}"


@pytest.mark.parametrize("module", FILES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    """In one sentence, and not by what enters and what leaves."""
    docstring = ast.get_docstring(ast.parse(FILES[module].read_text()))
    assert docstring, f"{module} has no docstring"
    first = docstring.split("\n\n")[0].replace("\n", " ")
    assert not re.search(r"\benters?\b.*\bleaves?\b", first), first


@pytest.mark.parametrize("module", FILES)
def test_a_name_is_imported_where_it_is_defined(module: str) -> None:
    tree = ast.parse(FILES[module].read_text())
    assert not any(
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
        for node in tree.body
    ), "no re-exports"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "") in FILES:
            defined = names_defined(FILES[node.module or ""])
            for alias in node.names:
                if f"{node.module}.{alias.name}" not in FILES:
                    assert alias.name in defined, f"{node.module} does not define {alias.name}"


def names_defined(path: Path) -> set[str]:
    """Names that a module binds at its top level other than by import."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def test_no_two_public_classes_of_one_name() -> None:
    seen: dict[str, str] = {}
    for module, path in FILES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in seen, f"{node.name} in {module} and {seen[node.name]}"
                seen[node.name] = module


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in an empty folder, with arguments that no parser would accept."""
    command = [sys.executable, "-B", "-W", "ignore", "-c", code, "--no-such-option", "nothing"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


IMPORT_ALL = """
import importlib, random, sys
import numpy as np
sys.path.insert(0, {path!r})
for package in {first!r}:
    importlib.import_module(package)
def state():
    found = [random.getstate(), repr(np.random.get_state())]
    if "torch" in sys.modules:
        import torch
        found += [torch.get_rng_state().tolist(), torch.get_default_dtype()]
        found += [torch.get_num_threads()]
    return found
before = state()
for name in {names!r}:
    importlib.import_module(name)
assert state() == before, "an import changed global random state, type or threads"
loaded = set({forbidden!r}) & set(sys.modules)
assert not loaded, f"loaded: {{sorted(loaded)}}"
"""


@pytest.mark.parametrize("without_torch", [True, False])
def test_importing_does_nothing(tmp_path: Path, without_torch: bool) -> None:
    names = [name for name in FILES if not without_torch or package(name) in WITHOUT_TORCH]
    code = IMPORT_ALL.format(
        path=str(SOURCE.parent),
        first=[] if without_torch else ["torch", "timm", "lightning"],
        names=names,
        forbidden=sorted(NETWORK_PACKAGES) if without_torch else [],
    )
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
