"""The stage of a training that comes before labels: pretrain the backbone and keep its weights.

In the run's folder `pretrain/`: `last.ckpt` while it goes on, then `backbone.safetensors`; `log/`
with loss and spread by epoch; `minutes.json`.
"""

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from flukeprint.config.schema import Config
from flukeprint.embedding.embed import pick_device
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.identifier.runs import Run
from flukeprint.models.network import FlukeNet, untrained_embedder
from flukeprint.models.run_weights import read_backbone
from flukeprint.output import on_terminal
from flukeprint.training.callbacks import AtomicCheckpointIO, Stopwatch, progress_callback
from flukeprint.training.pretraining.simclr import SimCLRModule
from flukeprint.training.pretraining.views import UnlabelledData
from flukeprint.training.trainer import fit, lightning_precision

FIGURES = (("loss", "pretrain/loss"),)


def check_pretrain(config: Config) -> None:
    """Refuse batches of a pretraining that its processes cannot share."""
    world = config.train.devices * config.train.num_nodes
    if config.pretrain is None:
        return
    size = config.pretrain.batch_size
    if size % world or size // world < 2:
        raise FlukeprintError(
            f"pretrain.batch_size={size} cannot be shared out among {world} processes, two "
            f"photographs or more each; set it to a multiple of {world} from {2 * world} on"
        )


def pretrain_backbone(config: Config, run: Run, data: UnlabelledData | None) -> dict[str, Tensor]:
    """Pretrain the backbone of `config`, or go on with it, unless the run has done so.

    data: None for a run that has done it.

    Returns:
        The backbone's tensors, which are in the run's `pretrain/backbone.safetensors` as well.

    Raises:
        FlukeprintError: a checkpoint of another architecture or of other photographs, or a loss
            that is no number.
        KeyboardInterrupt: it was interrupted; the run can be resumed.
    """
    if data is None:
        return read_backbone(run.pretrained)
    L.seed_everything(config.train.seed, verbose=False)
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    module = SimCLRModule(config, net, data)
    trainer = _trainer(config, run)
    checkpoint = run.pretraining if run.pretraining.is_file() else None
    fit(trainer, module, data, checkpoint, config.model.backbone)
    state = {name: t.detach().cpu().contiguous() for name, t in net.backbone.state_dict().items()}
    if trainer.is_global_zero:
        _save(state, net, run)
        run.pretraining.unlink(missing_ok=True)
    trainer.strategy.barrier()
    # The training draws as it would without this stage.
    L.seed_everything(config.train.seed, verbose=False)
    return state


def _save(state: dict[str, Tensor], net: FlukeNet, run: Run) -> None:
    """Write the backbone's tensors under timm's names, with the normalisation they expect."""
    facts = {
        name: ",".join(f"{value:.9g}" for value in (numbers.flatten() / 255).tolist())
        for name, numbers in (("mean", net.mean), ("std", net.std))
    }
    with written_whole(run.pretrained) as partial:
        try:
            save_file(state, partial, metadata={"backbone": net.config.backbone, **facts})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _trainer(config: Config, run: Run) -> L.Trainer:
    """Lightning's trainer of the stage; a resumed one begins a further log."""
    assert config.pretrain is not None
    train, folder = config.train, run.pretrained.parent
    last = ModelCheckpoint(
        run.pretraining.parent, filename=run.pretraining.stem, save_top_k=1,
        enable_version_counter=False, every_n_epochs=1, save_on_train_epoch_end=True,
    )  # fmt: skip
    callbacks: list[Callback] = [
        progress_callback("pretraining: epoch", FIGURES),
        Stopwatch(folder / "minutes.json"),
        last,
    ]
    several = train.devices * train.num_nodes > 1
    part = len(list((folder / "log").glob("csv-*")))
    return L.Trainer(
        accelerator=train.accelerator,
        devices=train.devices,
        num_nodes=train.num_nodes,
        strategy="ddp" if several else "auto",
        precision=lightning_precision(config),
        max_epochs=config.pretrain.epochs,
        max_steps=train.max_steps or -1,
        gradient_clip_val=train.clip,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=callbacks,
        logger=[
            CSVLogger(folder, name="log", version=f"csv-{part}"),
            TensorBoardLogger(folder, name="log", version="tensorboard"),
        ],
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=on_terminal(),
        benchmark=False,
        deterministic="warn",
        sync_batchnorm=several and pick_device(train.accelerator).type == "cuda",
    )
