"""The folder of a training run, `runs/<config>/<run>/`: making, finding and resuming it.

The names of these files are a contract, because older runs are read:

config.yaml       the whole configuration, as resolved
catalog.json      digest of the labelled photographs
log/              CSV and TensorBoard logs
checkpoints/      last.ckpt to resume from, best.ckpt with early stopping
embeddings.npz    of all labelled photographs
centers.npz       class centres: the weights of the loss's head, if it works with cosines
asked.json        the fold's queries, ranked without a threshold
validation.json   figures on the fold
reliability.png   reliability diagram: predicted probabilities against observed accuracy
queries.csv       predictions for the fold's queries, of `flukeprint crossvalidate`
minutes.json      minutes and peak memory of the training
identifier/       network + gallery + threshold; only a finished run has it
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from flukeprint.config.load import parse_config
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.files import written_whole

CENTERS = "centers.npz"
PSEUDO_LABEL_COLUMNS = ("Image", "Id", "confidence", "run")
PREDICTIONS = "queries.csv"


@dataclass(frozen=True)
class Run:
    """The folder of one training run, and the paths in it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def identifier(self) -> Path:
        return self.path / "identifier"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def validation(self) -> Path:
        return self.path / "validation.json"

    @property
    def finished(self) -> bool:
        return self.identifier.is_dir()

    def figures(self) -> dict[str, Any]:
        """Read the figures of `validation.json`."""
        if not self.validation.is_file():
            raise FlukeprintError(f"{self.path} has no figures yet; finish its training first")
        figures: dict[str, Any] = json.loads(self.validation.read_text())
        return figures

    def text(self) -> str:
        """The figures as lines, with the threshold and what else is worth knowing."""
        figures = self.figures()
        constants = figures.get("constants", {})  # none in a closed set, nor in an older run
        lines = [f"{name + ':':24}{scores['text']}" for name, scores in constants.items()]
        lines.append(f"{'trained network:':24}{figures['text']}")
        if figures["threshold"] is not None and figures.get("doubt") is None:
            queries = counted(figures["fitted_on"], "other query", "other queries")
            lines.append(f"threshold {figures['threshold']:.4f}, fitted on {queries}")
        return "\n".join([*lines, *figures["lines"]])

    def data_digest(self) -> str:
        """Digest of the run's photographs and labels, 12 hex digits; empty where it has none."""
        file = self.path / "catalog.json"
        return str(json.loads(file.read_text()).get("digest", ""))[:12] if file.is_file() else ""

    def config(self) -> Config:
        """Read the configuration that the run was started with."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise FlukeprintError(f"{self.path} is no run: it has no config.yaml")
        return parse_config(yaml.safe_load(file.read_text()), where=str(file))


def new_run(config: Config, catalog: Catalog) -> Run:
    """Make the folder of a new run, named after the time, and write the configuration into it."""
    folder = config.runs / config.name
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name, count = stamp, 1
    while True:
        try:
            (folder / name).mkdir(parents=True)
            break
        except FileExistsError:
            count += 1
            name = f"{stamp}-{count}"
        except OSError as error:
            raise FlukeprintError(f"cannot make {folder / name}: {error.strerror}") from None
    run = Run(folder / name)
    with written_whole(run.path / "config.yaml") as path:
        path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    with written_whole(run.path / "catalog.json") as path:
        facts = {"photos": len(catalog), "digest": catalog_digest(catalog)}
        path.write_text(json.dumps(facts) + "\n")
    return run


def find_run(config: Config, name: str | None = None, *, finished: bool = True) -> Run:
    """Find the run `name` of this configuration, or its newest finished (or unfinished) one.

    Raises:
        FlukeprintError: there is none.
    """
    folder = config.runs / config.name
    runs = [Run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
    if name is not None:
        match = [run for run in runs if run.name == name] or [
            Run(path) for path in [Path(name)] if (path / "config.yaml").is_file()
        ]
        if not match:
            known = listed(run.name for run in runs) or "none"
            raise FlukeprintError(f"no run {name} in {folder}; runs there: {known}")
        if not finished and match[0].finished:
            raise FlukeprintError(f"run {name} is finished: there is nothing to resume")
        if finished and not match[0].finished:
            raise FlukeprintError(
                f"run {name} is not finished; go on with: train.py --config ... --resume {name}"
            )
        return match[0]
    # A run without a checkpoint cannot be resumed.
    fitting = [run for run in runs if run.finished == finished and (finished or run.last.is_file())]
    if not fitting:
        kind = "finished" if finished else "unfinished"
        hint = "; train one first" if finished else ""
        raise FlukeprintError(f"no {kind} run in {folder}{hint}")
    return fitting[-1]


def run_to_resume(config: Config, name: str) -> Run:
    """Find the run to resume: the run `name`, or the newest unfinished one for `last`.

    Settings of where to compute and to write may differ from those that it was started with.

    Raises:
        FlukeprintError: there is none, it has finished or has no checkpoint, or it was started
            with another configuration.
    """
    run = find_run(config, None if name == "last" else name, finished=False)
    if not run.last.is_file():
        raise FlukeprintError(f"{run.path} has no checkpoint yet; start a new run")
    free = {
        "train.workers", "train.accelerator", "train.devices", "train.num_nodes", "runs",
        "submissions",
    }  # fmt: skip
    before, now = _flat(run.config()), _flat(config)
    other = [key for key in before if before[key] != now.get(key) and key not in free]
    other += [key for key in now if key not in before]
    if other:
        raise FlukeprintError(
            f"{run.path} was started with another configuration; it differs in {listed(other)}; "
            "resume with the old one or start a new run"
        )
    return run


def check_same_labels(run: Run, catalog: Catalog) -> None:
    """Refuse to resume a run with other photographs or labels than it was started with."""
    kept = run.path / "catalog.json"
    if not kept.is_file() or json.loads(kept.read_text()).get("digest") != catalog_digest(catalog):
        raise FlukeprintError(
            f"the labelled photographs are not those that {run.path} was started with; "
            "restore them or start a new run"
        )


def catalog_digest(catalog: Catalog) -> str:
    """SHA-256 of the photographs' names and identities, which decide the numbers of classes."""
    rows = json.dumps([catalog.images, catalog.identities])
    return hashlib.sha256(rows.encode()).hexdigest()


def _flat(config: Config) -> dict[str, object]:
    """The configuration as dotted key -> value."""
    flat: dict[str, object] = {}

    def walk(node: object, key: str) -> None:
        if isinstance(node, dict) and node:
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else name)
        else:
            flat[key] = node

    walk(config.model_dump(mode="json"), "")
    return flat
