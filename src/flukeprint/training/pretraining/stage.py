"""The stage of a training that comes before labels: pretrain the backbone and keep its weights.

In the run's folder `pretrain/`: `last.ckpt` while it goes on, then `backbone.safetensors`; `log/`
with loss and spread by epoch; `minutes.json`.
"""

import lightning as L
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError
from flukeprint.files import written_whole
from flukeprint.identifier.runs import Run
from flukeprint.models.network import FlukeNet, untrained_embedder
from flukeprint.models.run_weights import read_backbone
from flukeprint.training.callbacks import progress_callback
from flukeprint.training.pretraining.simclr import SimCLRModule
from flukeprint.training.pretraining.views import UnlabelledData
from flukeprint.training.trainer import fit, make_stage_trainer

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
    assert config.pretrain is not None
    progress = progress_callback("pretraining: epoch", FIGURES)
    trainer = make_stage_trainer(config, run.pretraining, config.pretrain.epochs, [progress])
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
