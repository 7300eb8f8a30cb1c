"""A run's material, drawn: animals around their own directions, with views and coloured squares."""

from pathlib import Path

import numpy as np

from flukeprint.config.load import load_config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.data.splits import split_for
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.validation import validate
from flukeprint.ranking.features import Features

HOSTILE = ("<script>alert(1)</script>", "\"'&", "_under $x^2$", "a\x00b\ud800\nc")
TEXT = """
name: drawn
split: {folds: 3, unseen_share: 0.3}
infer: {fallback: fitted}
image: {cache: null}
"""


def drawn_run(
    folder: Path, *overrides: str, animals: int = 30, spread: float = 0.8, seed: int = 0,
    views: bool = True, names: tuple[str, ...] = (),
) -> RunMaterial:  # fmt: skip
    """A validated fold in `folder`, without a network.

    names: of the first animals, instead of their numbers; these have ten photographs each.
    """
    rng = np.random.default_rng(seed)
    owners: list[str | None] = []
    vectors = []
    for animal in range(animals):
        centre = rng.normal(size=8)
        name = names[animal] if animal < len(names) else f"w_{animal:02}"
        for _ in range(10 if animal < len(names) else 1 + animal % 12):
            owners.append(name)
            vectors.append(centre + spread * rng.normal(size=8))
    for _ in range(animals):
        owners.append(None)
        vectors.append(rng.normal(size=8))
    n = len(owners)
    images = tuple(f"{place}.jpg" for place in range(n))
    sides = tuple(("left", "right", None)[place] for place in rng.integers(0, 3, n))
    pixels = rng.integers(0, 255, (n, 24, 32, 3), dtype=np.uint8)
    catalog = Catalog(
        images, identities=tuple(owners), views=sides if views else None, pixels=pixels
    )
    (folder / "drawn.yaml").write_text(TEXT)
    config = load_config(folder / "drawn.yaml", list(overrides))
    split = split_for(config, catalog)
    embeddings = Embeddings(unit_rows(vectors), images, tuple(owners), catalog.views, "s")
    validation, _ = validate(Features(embeddings), split, config)
    return RunMaterial(folder, config, catalog, split, embeddings, validation)


def write_log(folder: Path, name: str, text: str) -> None:
    """Write a CSV log as Lightning does."""
    file = folder / "log" / name / "metrics.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
