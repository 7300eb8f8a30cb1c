"""Train on all labelled photographs, the fold's queries too, once the fold has been measured.

The fold's network and losses are trained further, with a schedule of their own; individuals that
the fold held out get classes.  In the run's folder `all_photos/`: `last.ckpt` while it goes on,
`log/` with the loss by epoch, and `minutes.json`.
"""

from functools import partial

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Ints
from flukeprint.data.splits import Split
from flukeprint.embedding.embed import pick_device
from flukeprint.errors import FlukeprintError, counted
from flukeprint.identifier.runs import Run
from flukeprint.models.grown_losses import grow_losses
from flukeprint.models.network import FlukeNet
from flukeprint.output import say
from flukeprint.training.callbacks import AtomicCheckpointIO, averaging, progress_callback
from flukeprint.training.datamodule import FoldData
from flukeprint.training.dataset import PhotoDataset
from flukeprint.training.module import MetricLearningModule
from flukeprint.training.trainer import fit, make_stage_trainer

WARMUP = 0.1  # share of the steps with a rising rate: the optimiser starts anew
FIGURES = (("loss", "train/loss"),)


def check_all_photos(config: Config) -> None:
    """Refuse `train.all_epochs` in several processes."""
    world = config.train.devices * config.train.num_nodes
    if config.train.all_epochs and world > 1:
        raise FlukeprintError(
            f"train.all_epochs={config.train.all_epochs} needs one process, not {world}; set "
            "train.devices=1 and train.num_nodes=1, or train.all_epochs=0"
        )


def all_photos_data(config: Config, catalog: Catalog, split: Split) -> FoldData | None:
    """The data of the stage, or None where the configuration has no such stage.

    They are the photographs of the identifier's gallery and, with `data.new_photos: negatives`,
    all those of new individuals.  None is held out.

    Raises:
        FlukeprintError: as for the fold's data.
    """
    if not config.train.all_epochs:
        return None
    gallery = catalog.rows_with_identity(config.data.min_photos)
    new = np.empty(0, dtype=np.int64)
    if config.data.new_photos == "negatives":
        new = np.flatnonzero(~catalog.known)
    rows = np.union1d(np.union1d(gallery, new), split.train)
    everything = Split(rows, gallery, np.empty(0, dtype=np.int64), ())
    return FoldData(all_photos_config(config), catalog, everything)


def all_photos_config(config: Config) -> Config:
    """The configuration of the stage: its epochs and rate, at full size, for all identities.

    `train.ema` averages here too; `train.swa` and `train.patience` are of the fold's training.
    """
    train = config.train.model_copy(
        update={
            "epochs": config.train.all_epochs,
            "lr": config.train.lr * config.train.all_lr_factor,
            "warmup": WARMUP,
            "freeze_epochs": 0,
            "sizes": (),
            "swa": None,
            "patience": None,
        }
    )
    sampler = config.sampler.model_copy(update={"first_epochs": 0})
    return config.model_copy(update={"train": train, "sampler": sampler})


def train_on_all(
    config: Config, run: Run, fold: MetricLearningModule, data: FoldData
) -> MetricLearningModule:
    """Train the fold's network further on `data`, or go on with that.

    fold: the module that was measured, with its weights.  Its network is trained in place.

    Raises:
        FlukeprintError: a checkpoint of other photographs, or a loss that is no number.
        KeyboardInterrupt: it was interrupted; the run can be resumed.
    """
    L.seed_everything(config.train.seed, verbose=False)
    stage, checkpoint = data.config, run.all_photos
    module = MetricLearningModule(stage, fold.net, data)
    resumed = checkpoint if checkpoint.is_file() else None
    if resumed is None:
        _start_losses(module, fold)
    module.train()  # Lightning does not set the mode
    say(_announced(fold.data, data, stage.train.epochs))
    progress = progress_callback("all photographs: epoch", FIGURES)
    trainer = make_stage_trainer(
        stage, checkpoint, stage.train.epochs, [progress, *averaging(stage.train)],
        stage.train.accumulate,
    )  # fmt: skip
    fit(trainer, module, data, resumed, config.model.backbone)
    # It holds the averaged weights, where weights are averaged.
    module.load_state_dict(AtomicCheckpointIO().load_checkpoint(checkpoint)["state_dict"])
    return module


def _announced(fold: FoldData, data: FoldData, epochs: int) -> str:
    photos = len(data.train_catalog)
    held_out = photos - len(fold.train_catalog)
    classes = counted(len(data.classes) - len(fold.classes), "new class", "new classes")
    return (
        f"training on all {counted(photos, 'photograph')} for {counted(epochs, 'epoch')}: "
        f"{held_out:,} that the fold held out, {classes}"
    )


def _start_losses(module: MetricLearningModule, fold: MetricLearningModule) -> None:
    """Start the losses from the fold's; new classes where the fold's network sees them."""
    data, before = module.data, fold.data
    place = {one: label for label, one in enumerate(before.classes)}
    places = np.array([place.get(one, -1) for one in data.classes], dtype=np.int64)
    starts = partial(_starts, module.net, data, np.flatnonzero(places < 0))
    vectors = starts(mirrored=False)
    if module.config.image.mirrored_is_new:
        mirrors = np.where(places < 0, -1, places + len(before.classes))
        places = np.concatenate([places, mirrors])
        vectors = torch.cat([vectors, starts(mirrored=True)])
    grow_losses(module.losses, fold.losses, torch.from_numpy(places), vectors)


@torch.no_grad()
def _starts(net: FlukeNet, data: FoldData, new: Ints, *, mirrored: bool) -> Tensor:
    """Directions (classes, dim) of the mean embedding of each class in `new`; zeros for others."""
    config = data.config
    device = pick_device(config.train.accelerator)
    net.eval().to(device)
    sums = torch.zeros(len(data.classes), net.dim)
    rows = np.flatnonzero(np.isin(data.labels, new))
    photos = PhotoDataset(data.train_catalog, config.image, augment=False, mirrored=mirrored)
    for start in range(0, len(rows), config.infer.batch_size):
        block = rows[start : start + config.infer.batch_size]
        images = torch.stack([photos[int(row)].image for row in block])
        sums.index_add_(
            0, torch.from_numpy(data.labels[block]), net.embed(images.to(device)).float().cpu()
        )
    net.cpu()
    return F.normalize(sums)
