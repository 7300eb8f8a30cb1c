"""Train a network, validate it on its fold and keep it as an identifier: the method, top to bottom.

catalogue -> split -> batches of drawn photographs -> network -> losses
-> validation on held-out queries -> identifier (network + gallery + threshold)
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import lightning as L
import numpy as np
import torch

from flukeprint.config.schema import Config, RankConfig
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_test
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.embedding.embed import embed, pick_device
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.embedding.sharding import first_process
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fold_calibration import calibrate_fold
from flukeprint.evaluation.metrics import Scores
from flukeprint.evaluation.plots import draw_reliability
from flukeprint.evaluation.validation import (
    Validation,
    commonest_baseline,
    validate,
    view_ceiling,
)
from flukeprint.evaluation.validation_queries import QUERIES_FILE
from flukeprint.files import written_whole
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.runs import CENTERS, Run, check_same_recipe, find_run, new_run
from flukeprint.identifier.showcase import build_showcase, pick_examples
from flukeprint.models.network import FlukeNet, untrained_embedder
from flukeprint.ranking.features import Features, extract_features
from flukeprint.training.callbacks import AtomicCheckpointIO
from flukeprint.training.check import TrainingSetup, check, read_fold
from flukeprint.training.module import class_centers
from flukeprint.training.trainer import make_trainer, quieten_lightning, stopped_early


def train(config: Config, *, resume: str | None = None) -> Run:
    """Train the network of `config` on its fold, validate it and keep it as an identifier.

    Args:
        resume: a run's name, or `last` for the newest unfinished one.  An epoch that was cut off is
            begun again; the result is that of an unbroken run.

    Returns:
        The finished run; its `validation.json` holds the figures.

    Raises:
        FlukeprintError: wrong data or configuration; or a loss that is no number.
    """
    quieten_lightning()
    keep_memory()
    # Deterministic mode would fill every new tensor with NaN, which costs a CPU much of its speed.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    setup = check(config)
    run = _run_of(config, resume, setup.catalog)  # nothing is written before this line
    trainer = make_trainer(config, run)
    checkpoint = run.last if resume is not None else None
    try:
        if checkpoint is None or not stopped_early(config, checkpoint):
            trainer.fit(setup.module, setup.data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        raise FlukeprintError(
            f"{checkpoint} is a checkpoint of another architecture than {config.model.backbone}"
        ) from None
    if trainer.is_global_zero:
        finish(config, run, setup)
    return run


def _run_of(config: Config, resume: str | None, catalog: Catalog) -> Run:
    """A fresh run, the one to resume, or in a further process of a training its first one's."""
    first = "FLUKEPRINT_RUN"
    if not first_process() and first in os.environ:
        return Run(Path(os.environ[first]))
    if resume is None:
        if not first_process():  # of another node: only the first process of all writes
            return Run(config.runs / config.name / "of-the-first-process")
        run = new_run(config, catalog)
    else:
        run = find_run(config, None if resume == "last" else resume, finished=False)
        check_same_recipe(run, config, catalog)
    os.environ[first] = str(run.path.resolve())  # Lightning's further processes inherit it
    return run


def finish(config: Config, run: Run, setup: TrainingSetup) -> Validation:
    """Validate the trained network on its fold and keep it as an identifier.

    The identifier's gallery holds all known photographs, the fold's queries among them.
    """
    catalog, split, module = setup.catalog, setup.split, setup.module
    best = run.checkpoints / "best.ckpt"
    chosen = best if config.train.patience is not None and best.is_file() else run.last
    if chosen.is_file():  # it holds the averaged weights, where weights are averaged
        module.load_state_dict(AtomicCheckpointIO().load_checkpoint(chosen)["state_dict"])
    embeddings = _embedded(config, module.net, catalog, "embedding")
    embeddings.save(run.path / "embeddings.npz")
    centers = class_centers(module, embeddings.stamp)
    if centers is not None:
        centers.save(run.path / CENTERS)
    evidence = extract_features(
        embeddings, catalog, config.image, config.rank, progress="keypoints"
    )
    result, method = validate(
        evidence, split, config, centers=centers, progress="matching keypoints"
    )
    summary = result.summary()
    if catalog.views is not None:
        most = view_ceiling(embeddings, split)
        summary["view_ceiling"] = asdict(most)
        if most.overall is not None:
            summary["lines"].append(
                f"{most.overall:.1%} of the queries have a photo of the same view and animal in "
                "the gallery"
            )
    with written_whole(run.validation) as path:
        path.write_text(json.dumps(summary, indent=2) + "\n")
    result.queries.save(run.path / QUERIES_FILE)
    if result.reliability is not None:
        draw_reliability(result.reliability, run.path / "reliability.png")
    counts = catalog.counts()
    kept = [
        row for row, name in enumerate(catalog.identities)
        if name is not None and counts[name] >= config.data.min_photos
    ]  # fmt: skip
    gallery = evidence.take(np.array(kept))
    build_identifier(
        config, module.net, gallery, result.threshold, result.calibration,
        method=method, centers=centers,
        facts=calibrate_fold(evidence, split, config, result, method, centers),
        showcase=build_showcase(
            config, gallery.embeddings, catalog.take(np.array(kept)), _examples(config),
            catalog.vocabulary(),
        ),
    ).save(run.identifier)  # fmt: skip
    return result


def _examples(config: Config) -> Thumbnails:
    """Photographs to try: some of those that are to be identified, where they can be read."""
    try:
        return pick_examples(read_test(config.data))
    except FlukeprintError as error:  # nothing that a finished training should fail for
        print(f"no photographs to try on the web page: {error}")
        return Thumbnails.none(0)


def baselines(config: Config) -> dict[str, Scores]:
    """The fold's figures without training: the untrained network, and always the commonest five."""
    keep_memory()
    catalog, split = read_fold(config)
    L.seed_everything(config.train.seed, verbose=False)  # without weights the network is drawn
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    embeddings = _embedded(config, net, catalog, "untrained network")
    plain = config.model_copy(update={"rank": RankConfig()})
    return {
        "untrained network": validate(Features(embeddings), split, plain)[0].scores,
        "five commonest labels": commonest_baseline(catalog, split, config),
    }


def _embedded(config: Config, net: FlukeNet, catalog: Catalog, progress: str) -> Embeddings:
    """The catalogue as the network sees it at test time, stamped with the network's digest."""
    return embed(
        net, catalog, EmbeddingRecipe.of(config).stamped(net), Compute.of(config),
        device=pick_device(config.train.accelerator), progress=progress,
    )  # fmt: skip
