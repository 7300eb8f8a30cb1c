"""Train a network, validate it on its fold and keep it as an identifier: the method, top to bottom.

catalogue -> split -> batches of sampled photographs -> network -> losses
-> validation on held-out queries (-> further epochs on all labelled photographs)
-> identifier (network + gallery + threshold)
"""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lightning as L
import torch

from flukeprint.config.ranking import RankConfig
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory, return_memory
from flukeprint.data.catalog import Catalog
from flukeprint.disks import full_disk_named
from flukeprint.drafts import clear_drafts
from flukeprint.embedding.engine_choice import forget_engines
from flukeprint.evaluation.fold_pictures import draw_fold
from flukeprint.evaluation.metrics import Scores
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.validation import (
    Validation,
    commonest_baseline,
    validate,
)
from flukeprint.identifier.build import keep_measured
from flukeprint.identifier.reports.run_report import report_on
from flukeprint.identifier.runs import MadeBy, Run, new_run
from flukeprint.models.network import untrained_embedder
from flukeprint.output import say
from flukeprint.ranking.features import Features
from flukeprint.training.callbacks import AtomicCheckpointIO
from flukeprint.training.check import TrainingSetup, check, read_fold
from flukeprint.training.finishing.all_photos import train_on_all
from flukeprint.training.finishing.fold import (
    embed_labelled,
    embed_stamped,
    keep_identifier,
    measure_fold,
    measured_before,
)
from flukeprint.training.pretraining.stage import pretrain_backbone
from flukeprint.training.trainer import (
    first_process,
    fit,
    make_trainer,
    quieten_lightning,
    stopped_early,
)

RUN_VARIABLE = "FLUKEPRINT_RUN"  # names the run's folder to further processes of a training


def train(config: Config, *, resume: str | None = None, made_by: MadeBy = "train") -> Run:
    """Train the network of `config` on its fold, validate it and keep it as an identifier.

    Args:
        resume: a run's name, or `last` for the newest unfinished one.  An epoch that was cut off is
            begun again; the result is that of an unbroken run.
        made_by: the command that asks for it, which the run remembers.

    Returns:
        The finished run; its `validation.json` holds the figures.

    Raises:
        FlukeprintError: wrong data or configuration; or a loss that is no number.
        KeyboardInterrupt: it was stopped; once there is a run its message says how to go on.
    """
    quieten_lightning()
    keep_memory()
    # Deterministic mode would fill every new tensor with NaN, which costs a CPU much of its speed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    setup = check(config, resume=resume)
    with full_disk_named(config.runs, lambda: "nothing was trained; make room and try again"):
        # Nothing is written before this line.
        run = run_of(config, setup.catalog, setup.resumed, made_by)
    with full_disk_named(run.path, partial(kept_text, config, run)), stopped_with_advice(run):
        if config.pretrain is not None:
            backbone = pretrain_backbone(config, run, setup.pretraining)
            setup.module.net.backbone.load_state_dict(backbone)
        trainer = make_trainer(config, run)
        fit_network(trainer, config, run, setup)
        if trainer.is_global_zero:
            finish(config, run, setup)
    return run


def _how_to_go_on(run: Run) -> str:
    """What to tell whoever stopped a training."""
    if run.resumable:
        return f"stopped; the same command with --resume {run.name} goes on from the last epoch"
    return f"stopped before the end of an epoch: {run.path} has nothing to resume, start again"


def fit_network(trainer: L.Trainer, config: Config, run: Run, setup: TrainingSetup) -> None:
    """Train until the last epoch, from the checkpoint of a resumed run.

    Raises:
        FlukeprintError: a checkpoint of another architecture, or a loss that is no number.
        KeyboardInterrupt: training was interrupted; the run can be resumed.
    """
    checkpoint = run.last if setup.resumed is not None and run.last.is_file() else None
    if checkpoint is not None and (run.measured.is_dir() or stopped_early(config, checkpoint)):
        return
    fit(trainer, setup.module, setup.data, checkpoint, config.model.backbone)
    return_memory()


def finish(config: Config, run: Run, setup: TrainingSetup) -> Validation:
    """Validate the trained network on its fold and keep it as an identifier.

    With `train.all_epochs` the identifier gets a network that was trained further, on all labelled
    photographs; a fold of cross-validation is only measured.
    """
    catalog, split, module = setup.catalog, setup.split, setup.module
    further = setup.all_photos if run.made_by == "train" else None
    _load_chosen_weights(config, run, setup)
    if further is not None and run.measured.is_dir():  # it was stopped after this
        fold = measured_before(config, run, catalog)
    else:
        fold = measure_fold(config, run, setup)
    features, centers = fold.features, fold.centers
    embeddings, validation, card = features.embeddings, fold.validation, fold.card
    draw = partial(draw_fold, run.path, config, catalog=catalog, split=split, validation=validation)
    if further is None:
        keep_identifier(config, run, catalog, card, module.net, features, centers)
        draw(features)
    else:
        if not run.measured.is_dir():
            draw(features)
            keep_measured(run, card, module.net)
        del fold, features  # those that follow are made anew
        forget_engines(module.net)
        return_memory()
        module = train_on_all(config, run, module, further)
        return_memory()
        features, centers = embed_labelled(config, module, catalog)
        keep_identifier(config, run, catalog, card, module.net, features, centers)
    run.all_photos.unlink(missing_ok=True)
    # Of cross-validation each fold has its row in a table; flukeprint report writes its page.
    if config.train.report and run.made_by == "train":
        material = RunMaterial(run.path, config, catalog, split, embeddings, validation)
        report_on(run, material)
    return validation


def kept_text(config: Config, run: Run) -> str:
    """What a training that was cut off has kept, and how to go on: the end of a message."""
    if not run.resumable:
        return f"no epoch was kept in {run.path}; make room and start a new run"
    what, checkpoint, of = "network", run.last, config.train.epochs
    if not checkpoint.is_file() and config.pretrain is not None:
        what, checkpoint, of = "pretraining", run.pretraining, config.pretrain.epochs
    if run.all_photos.is_file():
        what = "training on all photographs"
        checkpoint, of = run.all_photos, config.train.all_epochs
    done = of
    if checkpoint.is_file():  # else the pretraining is complete
        done = int(AtomicCheckpointIO().load_checkpoint(checkpoint)["epoch"]) + 1
    command = "flukeprint pretrain" if run.made_by == "pretrain" else "train.py"
    return (
        f"kept: the {what} after {done} of {of} epochs in {run.path}; make room and go on with: "
        f"{command} --config ... --resume {run.name}"
    )


@contextlib.contextmanager
def stopped_with_advice(run: Run) -> Iterator[None]:
    """Say to who stops a training how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_how_to_go_on(run)) from None


def run_of(config: Config, catalog: Catalog, resumed: Run | None, made_by: MadeBy) -> Run:
    """A new run, the one to resume, or in a further process of a training its first one's."""
    if not first_process() and RUN_VARIABLE in os.environ:
        return Run(Path(os.environ[RUN_VARIABLE]))
    if resumed is not None:
        run = resumed
        if first_process():
            say(f"going on with {run.description()}")
    elif not first_process():  # of another node: only the first process of all writes
        return Run(config.runs / config.name / "of-the-first-process")
    else:
        for folder in (config.runs / config.name).glob("*/"):
            # Of trainings that were killed before there was anything to resume.
            clear_drafts(folder)
            clear_drafts(Run(folder).checkpoints)
            clear_drafts(Run(folder).pretrained.parent)
            clear_drafts(Run(folder).all_photos.parent)
        run = new_run(config, catalog, made_by)
    os.environ[RUN_VARIABLE] = str(run.path.resolve())  # Lightning's further processes inherit it
    return run


def _load_chosen_weights(config: Config, run: Run, setup: TrainingSetup) -> None:
    """Load the best checkpoint with early stopping, else the last one.

    It holds the averaged weights, where weights are averaged.
    """
    best = run.checkpoints / "best.ckpt"
    chosen = best if config.train.patience is not None and best.is_file() else run.last
    if chosen.is_file():
        setup.module.load_state_dict(AtomicCheckpointIO().load_checkpoint(chosen)["state_dict"])


def baselines(config: Config) -> dict[str, Scores]:
    """Measure the fold without training: the untrained network, and the commonest five labels."""
    keep_memory()
    catalog, split = read_fold(config)
    L.seed_everything(config.train.seed, verbose=False)  # without weights the network is random
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    embeddings = embed_stamped(config, net, catalog, "untrained network")
    plain = config.model_copy(update={"rank": RankConfig()})
    return {
        "untrained network": validate(Features(embeddings), split, plain)[0].scores,
        "five commonest labels": commonest_baseline(catalog, split, config),
    }
