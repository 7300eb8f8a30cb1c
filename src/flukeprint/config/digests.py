"""Digests of recipes, by which runs of the same training are recognised.

They are written into tables of measured runs: a setting that is new in a later version must not
change the digest of an older recipe.
"""

import hashlib
import json

from flukeprint.config.schema import Config

# Settings outside the recipe: the fold and seed, folders, how to compute and how to serve.
NOT_OF_THE_RECIPE = (
    "split.fold", "train.seed", "runs", "submissions", "train.workers", "train.accelerator",
    "train.report", "train.num_nodes", "image.cache", "image.cache_gb", "data.root",
    "train.recompute",  # the same numbers
    "train.all_epochs", "train.all_lr_factor",  # no figure is of the network that they make
    "rank.encounters",  # no figure is of several photographs together
    "infer.outside", "infer.engine",
    "gallery.url", "gallery.collection", "gallery.memory_gb", "cards", "taxonomy", "serve",
)  # fmt: skip

# Settings of ranking; a training does not depend on them, unless it stops early.
RANKING = (
    "rank", "split.queries", "infer.threshold", "infer.fallback", "infer.answers",
    "infer.batch_size",
)  # fmt: skip


def recipe_digest(config: Config) -> str:
    """Digest of a recipe, 12 hex digits: the same for all its folds and seeds, on any machine.

    Only what differs from the defaults counts.  Which photographs `data.root` holds is told by
    `runs.data_digest`.
    """
    return _digest(config, NOT_OF_THE_RECIPE)


def training_digest(config: Config) -> str:
    """Digest of the settings that embeddings depend on, as `recipe_digest`."""
    if config.train.patience is not None:
        return _digest(config, NOT_OF_THE_RECIPE)
    return _digest(config, (*NOT_OF_THE_RECIPE, *RANKING))


def _digest(config: Config, without: tuple[str, ...]) -> str:
    tree = config.model_dump(mode="json", exclude_defaults=True)
    for key in without:
        section, _, name = key.rpartition(".")
        (tree.get(section, {}) if section else tree).pop(name, None)
    if tree.get("infer", {}).get("fallback") == "fitted":  # what every recipe did before that key
        del tree["infer"]["fallback"]
    kept = {key: value for key, value in tree.items() if value != {}}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
