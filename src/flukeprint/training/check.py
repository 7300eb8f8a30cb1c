"""Refuse, before anything is trained or written, whatever training or its results would refuse.

`check` is the one place that gathers these refusals; a new one belongs here.
"""

from dataclasses import dataclass

import lightning as L

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import Split, split_for
from flukeprint.errors import FlukeprintError, listed, nearest
from flukeprint.evaluation.validation import check_fittable
from flukeprint.identifier.showcase import knowledge
from flukeprint.models.network import build_model
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.scoring import looks_at_all
from flukeprint.search.backends import choose
from flukeprint.training.callbacks import check_averaging
from flukeprint.training.datamodule import FoldData
from flukeprint.training.module import MetricLearningModule, class_centers
from flukeprint.training.optimizer import build_optimizer
from flukeprint.training.progressive_resizing import check_sizes


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a training starts from, checked."""

    catalog: Catalog
    split: Split
    data: FoldData
    module: MetricLearningModule


def check(config: Config) -> TrainingSetup:
    """Read the data, build the network, and refuse what cannot be trained, ranked or kept.

    What is known from the configuration alone is refused first, before photographs are read.

    Raises:
        FlukeprintError: wrong data or configuration, in one line.
    """
    check_averaging(config.train)
    if config.rank.local.candidates:
        keypoint_backend(config.rank.local)  # names the package or weights that are missing
    catalog, split = read_fold(config)
    check_views(config, catalog)
    vocabulary = catalog.vocabulary()
    knowledge(config, vocabulary)
    L.seed_everything(config.train.seed, verbose=False)
    net = build_model(config.model, (config.image.height, config.image.width))
    check_sizes(net, config.train)
    choose(len(catalog), net.dim, config.gallery, looks_at_all=looks_at_all(config.rank))
    data = FoldData(config, catalog, split)
    module = MetricLearningModule(config, net, data)
    data.steps(config.train.devices * config.train.num_nodes)  # the sampler's refusals
    build_optimizer(net, module.losses, config.train)
    if config.rank.head and class_centers(module, "") is None:
        raise FlukeprintError(
            f"rank.head={config.rank.head:g} needs class centers, and losses and infer.mirror "
            "leave none; add a loss such as arcface, turn the mirror off or set rank.head=0"
        )
    return TrainingSetup(catalog, split, data, module)


def read_fold(config: Config) -> tuple[Catalog, Split]:
    """The labelled photographs that can be read, and the fold of `config` among them."""
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    return catalog, split_of(config, catalog)


def split_of(config: Config, catalog: Catalog) -> Split:
    """The fold of `config`: rows to train on, the gallery, the queries and their right answers."""
    split = split_for(config, catalog)
    check_fittable(catalog.identities, split, config)
    return split


def check_views(config: Config, catalog: Catalog) -> None:
    """Refuse `image.mirror_views` that no photograph has."""
    views = {view for view in catalog.views or () if view is not None}
    missing = sorted(set(config.image.mirror_views) - views)
    if missing:
        raise FlukeprintError(
            f"image.mirror_views: no photograph has the view {listed(missing)}; "
            + (nearest(missing[0], views) if views else "set data.views")
        )
