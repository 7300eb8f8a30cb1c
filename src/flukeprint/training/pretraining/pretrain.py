"""Pretrain a backbone without labels, as a run that later trainings start from."""

from functools import partial

from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.readers.read import read_labelled
from flukeprint.disks import full_disk_named
from flukeprint.embedding.embed import check_devices
from flukeprint.errors import FlukeprintError
from flukeprint.files import check_writable
from flukeprint.identifier.runs import Run, check_same_labels, run_to_resume
from flukeprint.models.network import untrained_embedder
from flukeprint.training.check import split_of
from flukeprint.training.pretraining.photos import unlabelled_photos
from flukeprint.training.pretraining.stage import check_pretrain, pretrain_backbone
from flukeprint.training.pretraining.start import check_start
from flukeprint.training.pretraining.views import UnlabelledData
from flukeprint.training.train import kept_text, run_of, stopped_with_advice
from flukeprint.training.trainer import quieten_lightning


def pretrain(config: Config, *, resume: str | None = None) -> Run:
    """Pretrain the backbone of `config`; `model.weights=run:RUN` starts a training from it.

    Args:
        resume: a run's name, or `last` for the newest unfinished one of this command.

    Raises:
        FlukeprintError: wrong data or configuration; or a loss that is no number.
        KeyboardInterrupt: it was stopped; once there is a run its message says how to go on.
    """
    quieten_lightning()
    keep_memory()
    catalog, data, resumed = _check(config, resume)
    with full_disk_named(config.runs, lambda: "nothing was trained; make room and try again"):
        run = run_of(config, catalog, resumed, "pretrain")
    with full_disk_named(run.path, partial(kept_text, config, run)), stopped_with_advice(run):
        pretrain_backbone(config, run, data)
    return run


def _check(config: Config, resume: str | None) -> tuple[Catalog, UnlabelledData, Run | None]:
    """Refuse what cannot be pretrained, before anything is written."""
    if config.pretrain is None:
        raise FlukeprintError("pretrain is not set; add pretrain=simclr")
    check_pretrain(config)
    check_devices(config.train.accelerator, config.train.devices, "train.devices")
    check_writable(config.runs / config.name)
    resumed = None if resume is None else run_to_resume(config, resume, "pretrain")
    catalog = read_labelled(config.data)
    if config.data.skip_unreadable:
        catalog = check_readable(catalog, True)
    if resumed is not None:
        check_same_labels(resumed, catalog)
    check_start(config, catalog)
    split = split_of(config, catalog) if config.pretrain.photos == "train" else None
    photos = unlabelled_photos(config, catalog, split)
    untrained_embedder(config.model, (config.image.height, config.image.width))
    if not config.data.skip_unreadable:
        check_readable(catalog)
        photos.check_readable()
    return catalog, UnlabelledData(config, photos), resumed
