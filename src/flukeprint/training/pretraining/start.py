"""Refuse to start from a run that has seen what it will be measured on.

A finished run's backbone was trained with the labels of its fold.  On another fold of the same
photographs it would be measured on animals that it learned by name.
"""

from pathlib import Path

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run, data_digest
from flukeprint.models.run_weights import PREFIX
from flukeprint.training.distillation import other_fold


def check_start(config: Config, catalog: Catalog) -> None:
    """Check every run that weights of `config` come from, and those that these came from.

    catalog: the labelled photographs.

    Raises:
        FlukeprintError: one was trained on another fold of these photographs, or on other labels of
            them.  One of other photographs may be of any fold.
    """
    waiting, seen = _runs_in(config), set[Path]()
    while waiting:
        run = waiting.pop()
        if run.path.resolve() in seen or not (run.path / "config.yaml").is_file():
            continue
        seen.add(run.path.resolve())
        theirs = run.config()
        waiting += _runs_in(theirs)
        same = run.data_digest() == data_digest(catalog)
        if not same and Path(theirs.data.root).absolute() != Path(config.data.root).absolute():
            continue
        blind = run.made_by == "pretrain" or not run.finished
        if blind and (theirs.pretrain is None or theirs.pretrain.photos == "all"):
            continue  # it read no labels, and was meant to see every photograph
        if not same:
            raise FlukeprintError(
                f"model.weights: run {run.path} was trained on other photographs or labels of "
                f"{theirs.data.root}, perhaps on queries of this fold; train it on these"
            )
        if other := other_fold(config, theirs):
            raise FlukeprintError(
                f"model.weights: run {run.path} was trained on another fold: its {other}; train it "
                "on this one"
            )


def _runs_in(config: Config) -> list[Run]:
    weights = [config.model.weights, *(named.weights for named in config.model.beside)]
    return [Run(Path(one.removeprefix(PREFIX))) for one in weights if one.startswith(PREFIX)]
