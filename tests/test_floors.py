"""The house: imports descend, facts and numbers need no network, importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "flukeprint"

# A room imports rooms of lower floors, and of its own floor as long as no circle closes.
FLOORS: dict[str, set[str]] = {
    "facts": {
        "__init__", "errors", "files", "archive", "config", "catalog", "readers", "tables",
        "digits", "doctor", "photo_entries", "photo_store",
        "explore", "splits", "decoding", "synthetic", "shape_drawing", "fluke_anatomy",
        "fluke_drawing", "sea_drawing", "photo_camera", "wildlife",
        "sections", "serve_config", "scale_config", "photo_paths", "cards", "taxonomy",
        "thumbnails",
    },
    "numbers": {
        "reranking", "reciprocal", "scoring", "views",
        "keypoints", "keypoint_store", "keypoint_matching", "local_fusion",
        "gallery", "ranking", "metrics", "open_set", "asked", "submission", "kaggle_hub",
        "breakdown", "comparison", "results",
        "exact_search", "index", "index_choice", "index_recall", "faiss_index", "faiss_kinds",
        "gallery_store", "embeddings", "growing", "qdrant_index", "qdrant_place",
        "encounters", "outside", "posterior", "projection", "showcase", "verification",
    },
    "network": {
        "images", "augment", "sampling", "weights", "model", "losses", "margins", "mining",
        "embedding", "allocator", "optimizer", "progressive", "averaging",
        "learned_matching", "intake", "half_product",
        "engines", "engine_table", "engine_export", "engine_openvino", "engine_onnxruntime",
        "engine_choice", "engine_notes", "engine_parity", "depthwise", "loading", "sharding",
        "prefetch",
    },
    "acts": {
        "training", "learner", "runs", "answering", "validation", "identify", "inference", "report",
        "crossvalidation", "stopwatch", "distillation", "pseudo_labels",
        "batching", "fold_facts", "identifier_card", "pairing", "service", "verdicts",
        "identifier_files",
    },
    "doors": {
        "cli", "demo", "__main__",
        "api", "api_bodies", "api_docs", "api_guards", "api_models", "api_problems", "api_uploads",
        "server",
        "dashboard",
        "page.__init__", "page.about_page", "page.answer_view", "page.asking_pages",
        "page.callbacks", "page.class_card", "page.context", "page.dash_backend", "page.frame",
        "page.gallery_figure", "page.gallery_pages", "page.headline", "page.outcomes",
        "page.problem_view", "page.wording", "page.wording_table",
    },
}  # fmt: skip
NO_NETWORK = ("facts", "numbers")
NETWORK_PACKAGES = {"torch", "torchvision", "timm", "lightning", "pytorch_metric_learning"}

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS.values()) for room in rooms}
NAMES = tuple(FLOORS)
ROOMS = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in SOURCE.rglob("*.py")
)


def imports(source: str, room: str) -> tuple[set[str], set[str]]:
    """(rooms of flukeprint, packages) that a module imports anywhere, inside functions too."""
    rooms: set[str] = set()
    packages: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = ["flukeprint" + (f".{node.module}" if node.module else "")]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            package, _, inside = name.partition(".")
            if package != "flukeprint":
                packages.add(package)
            elif inside:
                rooms.add(inside)
            elif isinstance(node, ast.ImportFrom):  # from flukeprint import room
                rooms |= {alias.name for alias in node.names if alias.name in FLOOR_OF}
    return rooms - {room}, packages


def test_the_reader_of_imports_sees_every_form():
    source = (
        "import os, flukeprint.cli\nfrom flukeprint.gallery import x\n"
        "from flukeprint import __version__, model\nfrom . import losses\nfrom .doctor import y\n"
        "def f():\n    import torch.nn\n    from timm.models import z\n"
    )
    rooms, packages = imports(source, "errors")
    assert rooms == {"cli", "gallery", "model", "losses", "doctor"}
    assert packages == {"os", "torch", "timm"}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_descend(room: str):
    assert room in FLOOR_OF, (
        f"src/flukeprint/{room.replace('.', '/')}.py stands on no floor: add it to FLOORS in "
        f"{Path(__file__).name}, as low as its imports allow"
    )
    own = FLOOR_OF[room]
    rooms, packages = imports((SOURCE / f"{room.replace('.', '/')}.py").read_text(), room)
    unknown = sorted(rooms - set(FLOOR_OF))
    assert not unknown, f"{room} imports {unknown}, which FLOORS does not know"
    upward = [f"{other} ({NAMES[FLOOR_OF[other]]})" for other in rooms if FLOOR_OF[other] > own]
    assert not upward, f"{room} ({NAMES[own]}) imports upward: {', '.join(sorted(upward))}"
    if NAMES[own] in NO_NETWORK:
        heavy = sorted(packages & NETWORK_PACKAGES)
        assert not heavy, f"{room} ({NAMES[own]}) must do without {', '.join(heavy)}"


def test_rooms_of_one_floor_import_in_no_circle():
    imported = {
        room: imports((SOURCE / f"{room.replace('.', '/')}.py").read_text(), room)[0]
        for room in ROOMS
    }
    done: set[str] = set()

    def visit(room: str, way: tuple[str, ...]) -> None:
        assert room not in way, f"imports in a circle: {' -> '.join((*way, room))}"
        if room not in done:
            for other in sorted(imported.get(room, ())):
                visit(other, (*way, room))
            done.add(room)

    for room in ROOMS:
        visit(room, ())


def modules(rooms: list[str]) -> list[str]:
    return ["flukeprint" if room == "__init__" else f"flukeprint.{room}" for room in rooms]


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


@pytest.mark.parametrize("without_network", [True, False])
def test_importing_does_nothing(tmp_path: Path, without_network: bool):
    rooms = ROOMS
    if without_network:
        rooms = [room for room in ROOMS if NAMES[FLOOR_OF.get(room, -1)] in NO_NETWORK]
    code = IMPORT_ALL.format(
        path=str(SOURCE.parent),
        first=[] if without_network else ["torch", "timm", "lightning"],
        names=modules(rooms),
        forbidden=sorted(NETWORK_PACKAGES) if without_network else [],
    )
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
