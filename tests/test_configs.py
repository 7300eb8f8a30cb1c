"""The ready-made configurations: every file loads, is listed, and keeps its recipe."""

from pathlib import Path

import pytest

from flukeprint.config.digests import recipe_digest
from flukeprint.config.load import load_config

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))

# Recipes that were measured: a change of these digests orphans their rows in the table of runs.
RECIPES = {
    "lions": "447f16e5e506",
    "nyala": "a73f2a78f43b",
    "nyala_open": "c08b1c76c271",
    "small": "ab213cc56d46",
    "spiders": "9dc56421fd46",
    "spiders_open": "2b390d068a08",
    "whales_synthetic": "75a5bba15b7b",
    # Not measured, but built on another file: what they inherit is part of the recipe.
    "whales": "3efe6a5f04d8",
    "whales_playground": "7dc660844cd6",
    "whales_resnet50": "1bc98f3b57ef",
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads_and_names_itself(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_table_that_a_config_names_is_in_the_repository(path: Path) -> None:
    config = load_config(path)
    tables = [config.cards, None if config.taxonomy is None else config.taxonomy.table]
    for table in tables:
        assert table is None or (FOLDER.parent / table).is_file()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_keeps_its_digest(name: str) -> None:
    assert recipe_digest(load_config(FOLDER / f"{name}.yaml")) == RECIPES[name]


def test_every_config_is_listed_once() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(listed) == sorted(path.name for path in CONFIGS)
