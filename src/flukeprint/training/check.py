"""Refuse, before anything is trained or written, whatever training or its results would refuse.

`check` is the one place that gathers these refusals; a new one belongs here.
"""

from dataclasses import dataclass

import lightning as L
import torch

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.names import check_names
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import Split, split_for
from flukeprint.embedding.embed import check_devices, pick_device
from flukeprint.embedding.engine_choice import check_engine
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.errors import FlukeprintError, listed, nearest
from flukeprint.evaluation.validation import check_fittable
from flukeprint.files import check_writable
from flukeprint.identifier.runs import Run, check_same_labels, run_to_resume
from flukeprint.identifier.showcase import read_class_tables
from flukeprint.models.losses import SummedLoss, check_losses
from flukeprint.models.miners import drawn_pairs, pair_masks
from flukeprint.models.network import FlukeNet, build_model
from flukeprint.models.pair_losses import PairLoss
from flukeprint.output import say
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.rules import looks_at_all
from flukeprint.search.backends import check_backend, check_server, choose
from flukeprint.training.callbacks import check_averaging
from flukeprint.training.datamodule import FoldData
from flukeprint.training.finishing.all_photos import all_photos_data, check_all_photos
from flukeprint.training.module import MetricLearningModule, class_centers
from flukeprint.training.optimizer import build_optimizer
from flukeprint.training.pretraining.photos import unlabelled_photos
from flukeprint.training.pretraining.stage import check_pretrain
from flukeprint.training.pretraining.start import check_start
from flukeprint.training.pretraining.views import UnlabelledData
from flukeprint.training.progressive_resizing import check_number_of_sizes, check_sizes
from flukeprint.training.sampling.samplers import check_batches


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a training starts from, checked.

    resumed: the run to resume; None for a new one.
    pretraining: the photographs of the stage before labels; None where there is none to do.
    all_photos: the data of the stage after the fold was measured; None where there is none.
    """

    catalog: Catalog
    split: Split
    data: FoldData
    module: MetricLearningModule
    resumed: Run | None = None
    pretraining: UnlabelledData | None = None
    all_photos: FoldData | None = None


def check(config: Config, *, resume: str | None = None) -> TrainingSetup:
    """Read the data, build the network, and refuse what cannot be trained, ranked or kept.

    In the order of what a refusal needs: the configuration, then tables of labels, and photographs
    last.  Only where unreadable photographs are skipped, they are looked for before the labels are
    judged, because those that are left decide.

    Args:
        resume: as in `train`.

    Raises:
        FlukeprintError: wrong data or configuration, in one line.
    """
    resumed = check_config(config, resume)
    if config.data.skip_unreadable:
        return set_up(config, check_readable(read_labelled(config.data), True), resumed)
    setup = set_up(config, read_labelled(config.data), resumed)
    check_photographs(setup)
    return setup


def check_photographs(setup: TrainingSetup) -> None:
    """Refuse photographs that cannot be read: labelled ones, and those that are added to them."""
    check_readable(setup.catalog)
    for data in (setup.data, setup.all_photos):
        if data is not None and len(data.train_catalog) > (own := len(data.split.train)):
            check_readable(data.train_catalog.take(range(own, len(data.train_catalog))))
    if setup.pretraining is not None:
        setup.pretraining.photos.check_readable()


def set_up(config: Config, catalog: Catalog, resumed: Run | None = None) -> TrainingSetup:
    """Split the labelled photographs and build all that a training starts from.

    Photographs are not decoded.

    Raises:
        FlukeprintError: labels that do not fit the configuration, or a network that cannot be
            built.
    """
    if resumed is not None:
        check_same_labels(resumed, catalog)
    check_names(catalog, config.data.new_label)
    check_views(config, catalog)
    read_class_tables(config, catalog.vocabulary())
    split = split_of(config, catalog)
    check_start(config, catalog)
    pretraining = None
    if config.pretrain is not None and not (resumed is not None and resumed.pretrained.is_file()):
        pretraining = UnlabelledData(config, unlabelled_photos(config, catalog, split))
    L.seed_everything(config.train.seed, verbose=False)
    net = build_model(config.model, (config.image.height, config.image.width))
    check_sizes(net, config.train)
    check_gallery(config, net, catalog)
    data = FoldData(config, catalog, split)
    module = MetricLearningModule(config, net, data)
    data.steps(config.train.devices * config.train.num_nodes)  # the sampler's refusals
    check_triplets(config, data)
    check_pairs(config, data, module.losses)
    build_optimizer(net, module.losses, config.train)
    if config.rank.head and class_centers(module, "") is None:
        raise FlukeprintError(
            f"rank.head={config.rank.head:g} needs class centers, and losses and infer.mirror "
            "leave none; add a loss such as arcface, turn the mirror off or set rank.head=0"
        )
    all_photos = all_photos_data(config, catalog, split)
    if all_photos is not None:
        all_photos.steps(1)
    return TrainingSetup(catalog, split, data, module, resumed, pretraining, all_photos)


def check_config(config: Config, resume: str | None = None) -> Run | None:
    """Refuse settings that do not go together or that this machine cannot do.

    Returns:
        The run to resume, or None.

    Raises:
        FlukeprintError: so, or a run that cannot be resumed with this configuration.
    """
    check_averaging(config.train)
    check_number_of_sizes(config.train)
    check_pretrain(config)
    check_all_photos(config)
    check_losses(config.losses, mirrored=config.image.mirrored_is_new, memory=config.train.memory)
    check_batches(config.sampler, config.train.devices * config.train.num_nodes)
    check_devices(config.train.accelerator, config.train.devices, "train.devices")
    device = pick_device(config.train.accelerator)
    check_engine(config.infer.engine, config.infer.precision, device.type)
    if config.gallery.backend != "auto":
        check_backend(config.gallery.backend)
        check_server(config.gallery)
    if config.rank.local.candidates:
        keypoint_backend(config.rank.local)  # names the package or weights that are missing
    check_writable(config.runs / config.name)
    return None if resume is None else run_to_resume(config, resume)


def check_gallery(config: Config, net: FlukeNet, catalog: Catalog) -> None:
    """Refuse a back end that cannot search the gallery, or that is not installed."""
    photographs = len(catalog.rows_with_identity(config.data.min_photos))
    dim = EmbeddingRecipe.of(config).dim(net)
    looks = looks_at_all(config.rank)
    check_backend(choose(photographs, dim, config.gallery, looks_at_all=looks).backend)


def read_fold(config: Config) -> tuple[Catalog, Split]:
    """Read the labelled photographs, unreadable ones refused or left out, and split them."""
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    return catalog, split_of(config, catalog)


def split_of(config: Config, catalog: Catalog) -> Split:
    """Split a catalogue by the fold of `config`: training rows, gallery, queries with answers.

    Raises:
        FlukeprintError: too few queries to fit what `infer` and `rank` ask for.
    """
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


def check_triplets(config: Config, data: FoldData) -> None:
    """Refuse triplets of a file that no batch has room for, and say where few find their place."""
    if config.sampler.triplets is None:
        return
    drawn, places = data.triplets_drawn(config.train.devices * config.train.num_nodes)
    if drawn == 0:
        raise FlukeprintError(
            f"no batch can show a triplet of {config.sampler.triplets}, as each shares a "
            "photograph with the rest of every batch; lower sampler.batch_size or unset "
            "sampler.triplets"
        )
    if 2 * drawn < places:
        say(
            f"note: only {drawn:,} of an epoch's {places:,} places for triplets of "
            f"{config.sampler.triplets} are filled, as no photograph is in a batch twice; the "
            "batches are smaller by that"
        )


def check_pairs(config: Config, data: FoldData, losses: SummedLoss) -> None:
    """Refuse a training whose loss is 0 by construction, and say where a term of it is.

    A loss on pairs needs a batch in which some photograph has both another one of its animal and
    one of another animal; a loss on classes needs two classes.  `train.memory` adds the photographs
    of past batches.
    """
    named = zip(losses.names, losses.terms, strict=True)
    of_pairs = {name: term for name, term in named if isinstance(term, PairLoss)}
    pairs = list(of_pairs)
    for name, term in of_pairs.items():
        if term.drawn_only and config.sampler.name != "pairs":
            raise FlukeprintError(
                f"losses: {name}: pairs is drawn, but sampler.name {config.sampler.name} draws "
                "none; set sampler.name=pairs, or pairs to all"
            )
    learns_classes = len(pairs) < len(losses.names) and losses.classes > 1
    if not pairs and learns_classes:
        return
    animals, new = len(set(data.labels[data.labels >= 0].tolist())), bool((data.labels < 0).any())
    if losses.classes < 2 and not (pairs and new):
        raise FlukeprintError(
            f"the training photographs show {animals} animal, so there is nothing to tell apart; "
            "add photographs of other animals"
        )
    without, lacking = _batches_without_pairs(config, data, losses)
    if not without:
        return
    sampler, terms = config.sampler, listed(pairs)
    if lacking == "negative":
        reason = "shows another animal beside a pair of photographs of one"
        groups = {"positive_available": 2, "pk": sampler.photos_per_identity}
        group = groups.get(sampler.name)
        shared = "" if group is None else f" ({sampler.name} takes {group} of each)"
        remedy = f"raise sampler.batch_size from {sampler.batch_size}{shared}"
    else:
        reason = "shows an animal twice"
        remedy = "set sampler.name=positive_available or pk"
    if without == 1:
        said = f"no batch {reason}, so {terms} cannot tell animals apart"
        if not learns_classes and data.teachers is None:
            raise FlukeprintError(f"{said} and nothing is learned; {remedy}")
        say(f"note: {said} and adds nothing; {remedy}")
    elif without > 0.5:
        say(
            f"note: {without:.0%} of the batches teach {terms} nothing, as none of them {reason}; "
            f"{remedy}"
        )


def _batches_without_pairs(config: Config, data: FoldData, losses: SummedLoss) -> tuple[float, str]:
    """Share of the batches without a photograph that has both kinds of pairs, and what they lack.

    Where losses see drawn pairs alone, it is the batch that has both kinds of them.  Of epochs that
    differ in what is drawn: the first two, and the first that draws all identities.
    """
    world = config.train.devices * config.train.num_nodes
    individuals = len(data.classes) if config.image.mirrored_is_new else None
    size = config.train.memory
    past = torch.empty(0, dtype=torch.int64)
    drawn = all(term.drawn_only for term in losses.terms if isinstance(term, PairLoss))
    useful, batches, without_positive = 0, 0, 0
    for epoch in sorted({0, 1, config.sampler.first_epochs} & set(range(config.train.epochs))):
        for labels in map(torch.from_numpy, data.batch_labels(epoch, world)):
            seen = past if epoch > 0 or (size and len(past) == size) else past[:0]
            positive, negative = pair_masks(labels, individuals, seen)
            if drawn:
                first, _, second, _ = drawn_pairs(positive, positive, negative)
                both, same = bool(len(first) and len(second)), bool(len(first))
            else:
                both, same = bool((positive.any(1) & negative.any(1)).any()), bool(positive.any())
            useful += both
            without_positive += not same
            batches += 1
            past = torch.cat([past, labels])[-size:] if size else past
    lacking = "positive" if 2 * without_positive > batches - useful else "negative"
    return 1 - useful / max(batches, 1), lacking
