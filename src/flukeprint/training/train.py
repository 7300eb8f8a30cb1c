"""Train a network, validate it on its fold and keep it as an identifier: the method, top to bottom.

catalogue -> split -> batches of sampled photographs -> network -> losses
-> validation on held-out queries -> identifier (network + gallery + threshold)
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import lightning as L
import torch

from flukeprint.config.ranking import RankConfig
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_test
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.disks import full_disk_named
from flukeprint.drafts import clear_drafts
from flukeprint.embedding.embed import embed, pick_device
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.embedding.sharding import first_process
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import Ceiling, fold_table
from flukeprint.evaluation.fold_calibration import calibrate_fold
from flukeprint.evaluation.fold_pictures import draw_fold
from flukeprint.evaluation.metrics import Scores
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.validation import (
    Validation,
    commonest_baseline,
    validate,
    view_ceiling,
)
from flukeprint.evaluation.validation_queries import QUERIES_FILE
from flukeprint.files import written_whole
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.reports.run_report import report_on
from flukeprint.identifier.runs import CENTERS, PREDICTIONS, MadeBy, Run, new_run
from flukeprint.identifier.showcase import build_showcase, pick_examples
from flukeprint.models.network import FlukeNet, untrained_embedder
from flukeprint.output import say
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.rules import FittedRules
from flukeprint.training.callbacks import AtomicCheckpointIO
from flukeprint.training.check import TrainingSetup, check, read_fold
from flukeprint.training.module import class_centers
from flukeprint.training.pretraining.stage import pretrain_backbone
from flukeprint.training.trainer import fit, make_trainer, quieten_lightning, stopped_early

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
    if checkpoint is not None and stopped_early(config, checkpoint):
        return
    fit(trainer, setup.module, setup.data, checkpoint, config.model.backbone)


def finish(config: Config, run: Run, setup: TrainingSetup) -> Validation:
    """Validate the trained network on its fold and keep it as an identifier."""
    catalog, split, module = setup.catalog, setup.split, setup.module
    _load_chosen_weights(config, run, setup)

    embeddings = _embedded(config, module.net, catalog, "embedding")
    embeddings.save(run.path / "embeddings.npz")
    centers = class_centers(module, embeddings.stamp)
    if centers is not None:
        centers.save(run.path / CENTERS)
    features = extract_features(
        embeddings, catalog, config.image, config.rank, progress="keypoints"
    )

    validation, fitted = validate(
        features, split, config, centers=centers, progress="matching keypoints"
    )
    ceiling = None if catalog.views is None else view_ceiling(embeddings, split)
    _save_validation(run, setup, validation, ceiling)
    _keep_identifier(config, run, setup, features, centers, validation, fitted)
    draw_fold(run.path, config, features, catalog, split, validation)
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


def _embedded(config: Config, net: FlukeNet, catalog: Catalog, progress: str) -> Embeddings:
    """Embed a catalogue as at test time, stamped with the network's digest."""
    return embed(
        net, catalog, EmbeddingRecipe.of(config).stamped(net), Compute.of(config),
        device=pick_device(config.train.accelerator), progress=progress,
    )  # fmt: skip


def _save_validation(
    run: Run, setup: TrainingSetup, validation: Validation, ceiling: Ceiling | None
) -> None:
    """Write the figures, the ranked queries and the predictions into the run.

    ceiling: upper bound on recall where only gallery photographs of the query's view can match;
        None for photographs without views.
    """
    summary = validation.summary()
    if ceiling is not None:
        summary["view_ceiling"] = asdict(ceiling)
        if ceiling.overall is not None:
            summary["lines"].append(
                f"{ceiling.overall:.1%} of the queries have a photo of the same view and animal in "
                "the gallery"
            )
    with written_whole(run.validation) as path:
        path.write_text(json.dumps(summary, indent=2) + "\n")
    validation.queries.save(run.path / QUERIES_FILE)
    answered = fold_table(validation.ranking, validation.report, setup.catalog, setup.split)
    answered.save(run.path / PREDICTIONS)


def _keep_identifier(
    config: Config,
    run: Run,
    setup: TrainingSetup,
    features: Features,
    centers: Embeddings | None,
    validation: Validation,
    fitted: FittedRules,
) -> None:
    """Write the identifier; its gallery holds all known photographs, the fold's queries too."""
    rows = setup.catalog.rows_with_identity(config.data.min_photos)
    gallery = features.take(rows)
    build_identifier(
        config, setup.module.net, gallery, validation.threshold, validation.calibration,
        fitted=fitted, centers=centers,
        fold_calibration=calibrate_fold(
            features, setup.split, config, validation.scores, fitted, centers
        ),
        showcase=build_showcase(
            config, gallery.embeddings, setup.catalog.take(rows), _examples(config),
            setup.catalog.vocabulary(),
        ),
    ).save(run.identifier)  # fmt: skip


def _examples(config: Config) -> Thumbnails:
    """Photographs to try: some of the test photographs, where they can be read."""
    try:
        return pick_examples(read_test(config.data))
    except FlukeprintError as error:  # nothing that a finished training should fail for
        say(f"no photographs to try on the web page: {error}")
        return Thumbnails.none(0)


def baselines(config: Config) -> dict[str, Scores]:
    """Measure the fold without training: the untrained network, and the commonest five labels."""
    keep_memory()
    catalog, split = read_fold(config)
    L.seed_everything(config.train.seed, verbose=False)  # without weights the network is random
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    embeddings = _embedded(config, net, catalog, "untrained network")
    plain = config.model_copy(update={"rank": RankConfig()})
    return {
        "untrained network": validate(Features(embeddings), split, plain)[0].scores,
        "five commonest labels": commonest_baseline(catalog, split, config),
    }
