"""The folder of a training run, `runs/<config>/<run>/`: making, finding and resuming it.

The names of these files are a contract, because older runs are read:

config.yaml       the whole configuration, as resolved
run.json          the command that made it: train, pretrain, or crossvalidate for one of its folds;
                  and with which versions
catalog.json      digest of the labelled photographs
log/              CSV and TensorBoard logs
pretrain/         backbone.safetensors of a pretraining, its log, and last.ckpt while it goes on
checkpoints/      last.ckpt to resume from, best.ckpt with early stopping
embeddings.npz    of all labelled photographs
centers.npz       class centres: the weights of the loss's head, if it works with cosines
asked.json        the fold's queries, ranked without a threshold
validation.json   figures on the fold
queries.csv       predictions for the fold's queries
answers.png       some queries of the fold with their answers
curves.png        loss and validation MAP@5 by epoch
reliability.png   reliability diagram: predicted probabilities against observed accuracy
matches.png       keypoints that agree in two photographs of one animal, if keypoints are matched
report.html       page with all that these figures and pictures say, and more, to look at
report/           its charts as PNG and SVG
triplets.csv      hardest triplets of the training photographs, where some violate the margin
minutes.json      minutes and peak memory of the training
measured/         network and card that all these are of, where training went on after them
all_photos/       log of that further training on all labelled photographs, minutes.json, and
                  last.ckpt while it goes on
identifier/       network + gallery + threshold; only a finished run has it
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from flukeprint.config.load import parse_config
from flukeprint.config.schema import Config
from flukeprint.config.yaml_tree import read_tree
from flukeprint.data.catalog import Catalog
from flukeprint.environment import environment
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.files import written_whole

CENTERS = "centers.npz"
PSEUDO_LABEL_COLUMNS = ("Image", "Id", "confidence", "run")
PREDICTIONS = "queries.csv"
PICTURES = ("answers.png", "curves.png", "reliability.png", "matches.png")
MadeBy = Literal["train", "pretrain", "crossvalidate"]


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
    def pretraining(self) -> Path:
        """The checkpoint of a pretraining that goes on."""
        return self.path / "pretrain" / "last.ckpt"

    @property
    def pretrained(self) -> Path:
        """The backbone's weights after a pretraining."""
        return self.path / "pretrain" / "backbone.safetensors"

    @property
    def measured(self) -> Path:
        """The network that the figures are of, where the identifier's was trained further."""
        return self.path / "measured"

    @property
    def all_photos(self) -> Path:
        """The checkpoint of a training on all labelled photographs that goes on."""
        return self.path / "all_photos" / "last.ckpt"

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint to go on from, or a pretrained backbone."""
        return any(file.is_file() for file in (self.last, self.pretraining, self.pretrained))

    @property
    def validation(self) -> Path:
        return self.path / "validation.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def finished(self) -> bool:
        return self.identifier.is_dir()

    def pictures(self) -> tuple[Path, ...]:
        """The pictures that a finished training drew into its folder."""
        return tuple(file for name in PICTURES if (file := self.path / name).is_file())

    def figures(self) -> dict[str, Any]:
        """Read the figures of `validation.json`."""
        if not self.validation.is_file():
            raise FlukeprintError(f"{self.path} has no figures yet; finish its training first")
        return _read_json(self.validation)

    def text(self) -> str:
        """The figures as lines, with the threshold and what else is worth knowing."""
        figures = self.figures()
        constants = figures.get("constants", {})  # none in a closed set, nor in an older run
        with _of_figures(self.validation):
            lines = [f"{name + ':':24}{scores['text']}" for name, scores in constants.items()]
            lines.append(f"{'trained network:':24}{figures['text']}")
            if figures["threshold"] is not None and figures.get("doubt") is None:
                queries = counted(figures["fitted_on"], "other query", "other queries")
                lines.append(f"threshold {figures['threshold']:.4f}, fitted on {queries}")
            lines += figures["lines"]
        if self.measured.is_dir():
            epochs = counted(self.config().train.all_epochs, "further epoch")
            lines.append(
                f"the identifier has learned all labelled photographs for {epochs}; the figures "
                "are of the network before that"
            )
        return "\n".join(lines)

    @property
    def made_by(self) -> MadeBy:
        """The command that made the run.

        An older run does not say: it is one of `train` unless it has what cross-validation writes.
        """
        file = self.path / "run.json"
        if file.is_file():
            found = _read_json(file).get("made_by")
            return found if found in ("pretrain", "crossvalidate") else "train"
        return "crossvalidate" if any(self.path.glob("queries*.csv")) else "train"

    def description(self) -> str:
        """Its path, age, epochs and MAP@5 in a line, for whoever did not choose it by name."""
        newest = (self.validation, self.last, self.pretrained, self.pretraining)
        facts = [f"trained {_ago(next((file for file in newest if file.is_file()), self.last))}"]
        config = self.config()
        facts.append(counted(config.train.epochs, "epoch"))
        if self.finished and self.validation.is_file():
            with _of_figures(self.validation):
                facts.append(f"MAP@5 {self.figures()['map5']['mean']:.3f}")
        if self.made_by == "crossvalidate":
            facts.append(f"fold {config.split.fold} of crossvalidate")
        return f"{self.path} ({', '.join(facts)})"

    def data_digest(self) -> str:
        """Digest of the run's photographs and labels, 12 hex digits; empty where it has none."""
        file = self.path / "catalog.json"
        return str(_read_json(file).get("digest", ""))[:12] if file.is_file() else ""

    def config(self) -> Config:
        """Read the configuration that the run was started with."""
        file = self.path / "config.yaml"
        if not file.is_file():
            raise FlukeprintError(f"{self.path} is no run: it has no config.yaml")
        return parse_config(read_tree(file), where=str(file))


@contextlib.contextmanager
def _of_figures(file: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise _damaged(file, f"{type(error).__name__}: {reason}") from None


def _read_json(file: Path) -> dict[str, Any]:
    """Read an object of JSON that a run holds.

    Raises:
        FlukeprintError: it cannot be read or is damaged.
    """
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, " ".join(str(error).split())[:100]) from None
    if not isinstance(found, dict):
        raise _damaged(file, "no object of JSON")
    return found


def _damaged(file: Path, reason: str) -> FlukeprintError:
    return FlukeprintError(
        f"{file} cannot be read ({reason}); restore it from a copy, or train a new run"
    )


def new_run(config: Config, catalog: Catalog, made_by: MadeBy = "train") -> Run:
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
    with written_whole(run.path / "run.json") as path:
        path.write_text(json.dumps({"made_by": made_by, "environment": environment()}) + "\n")
    with written_whole(run.path / "catalog.json") as path:
        facts = {"photos": len(catalog), "digest": catalog_digest(catalog)}
        path.write_text(json.dumps(facts) + "\n")
    return run


def find_run(
    config: Config, name: str | None = None, *, finished: bool = True, made_by: MadeBy = "train"
) -> Run:
    """Find the run `name` of this configuration, or the newest finished (or unfinished) one.

    The newest is looked for among the runs of `made_by`: a fold of `crossvalidate` has to be named.

    Raises:
        FlukeprintError: there is none.
    """
    folder = config.runs / config.name
    runs = [Run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
    if name is not None:
        match = [run for run in runs if run.name == name] or [
            Run(path)
            for path in [Path(name), config.runs / name]  # the folder, or CONFIG/RUN
            if (path / "config.yaml").is_file()
        ]
        if not match:
            known = listed(run.name for run in runs) or "none"
            raise FlukeprintError(f"no run {name} in {folder}; runs there: {known}")
        if not finished and match[0].finished:
            raise FlukeprintError(f"run {name} is finished: there is nothing to resume")
        if finished and not match[0].finished:
            if match[0].made_by == "pretrain":
                hint = f"it has a backbone alone: start with model.weights=run:{match[0].path}"
            elif match[0].resumable:
                hint = f"go on with: train.py --config ... --resume {name}"
            else:
                hint = "it has no checkpoint to resume from; train a new one"
            raise FlukeprintError(f"run {name} is not finished; {hint}")
        return match[0]
    # A run without a checkpoint cannot be resumed.
    fitting = [run for run in runs if run.finished == finished and (finished or run.resumable)]
    if not finished:  # a run of `pretrain` has no more to come
        fitting = [
            run for run in fitting if not (run.made_by == "pretrain" and run.pretrained.is_file())
        ]
    trained = [run for run in fitting if run.made_by == made_by]
    if not trained:
        kind = "finished" if finished else "unfinished"
        hint = "train one first"
        others = [run for run in fitting if run.made_by == "crossvalidate"]
        if others:
            known = f"{len(others)} of crossvalidate are there, such as {others[-1].name}"
            hint = f"{known}: name one, or train one"
        elif not finished:
            hint = "start a new one"
        command = "train.py" if made_by == "train" else made_by
        raise FlukeprintError(f"no {kind} run of {command} in {folder}; {hint}")
    return trained[-1]


def run_to_resume(config: Config, name: str, made_by: MadeBy = "train") -> Run:
    """Find the run to resume: the run `name`, or the newest unfinished one for `last`.

    made_by: `pretrain` for one of that command; the others resume each other's runs.

    Settings of where to compute and to write may differ from those that it was started with.

    Raises:
        FlukeprintError: there is none, it has finished or has no checkpoint, or it was started
            with another configuration.
    """
    run = find_run(config, None if name == "last" else name, finished=False, made_by=made_by)
    if (run.made_by == "pretrain") != (made_by == "pretrain"):
        command = f"flukeprint {run.made_by}"
        raise FlukeprintError(f"{run.path} was made by {command}; go on with it by that command")
    if made_by == "pretrain" and run.pretrained.is_file():
        raise FlukeprintError(f"run {run.name} is finished: there is nothing to resume")
    if not run.resumable:
        raise FlukeprintError(f"{run.path} has no checkpoint yet; start a new run")
    free = {
        "train.workers", "train.accelerator", "train.devices", "train.num_nodes", "train.report",
        "runs", "submissions", "image.cache", "image.cache_gb",
    }  # fmt: skip
    before, now = flat_settings(run.config()), flat_settings(config)
    other = [key for key in before if before[key] != now.get(key) and key not in free]
    other += [key for key in now if key not in before]
    if other:
        raise FlukeprintError(
            f"{run.path} was started with another configuration; it differs in {listed(other)}; "
            "resume with the old one or start a new run"
        )
    return run


def check_same_labels(run: Run, catalog: Catalog) -> None:
    """Refuse to use a run with other photographs or labels than it was started with."""
    kept = run.path / "catalog.json"
    if not kept.is_file() or _read_json(kept).get("digest") != catalog_digest(catalog):
        raise FlukeprintError(
            f"the labelled photographs are not those that {run.path} was started with; "
            "restore them or train a new run"
        )


def catalog_digest(catalog: Catalog) -> str:
    """SHA-256 of the photographs' names and identities, which decide the numbers of classes."""
    rows = json.dumps([catalog.images, catalog.identities])
    return hashlib.sha256(rows.encode()).hexdigest()


def data_digest(catalog: Catalog) -> str:
    """Digest of the photographs' names and identities, 12 hex digits, as in `catalog.json`."""
    return catalog_digest(catalog)[:12]


def _ago(file: Path) -> str:
    """How long ago a file was written, in words."""
    if not file.exists():
        return "at an unknown time"
    minutes = max(0.0, time.time() - file.stat().st_mtime) / 60
    if minutes < 60:
        return f"{counted(int(minutes), 'minute')} ago"
    if minutes < 48 * 60:
        return f"{counted(int(minutes / 60), 'hour')} ago"
    return f"{counted(int(minutes / 1440), 'day')} ago"


def flat_settings(config: Config) -> dict[str, object]:
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
