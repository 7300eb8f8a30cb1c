"""Read what the studies are made on: the fold of a finished run, or a catalogue embedded anew."""

from collections.abc import Callable
from pathlib import Path

import lightning as L
import numpy as np

from flukeprint.config.schema import Config
from flukeprint.data.doctor import check_readable
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import Split, split_for
from flukeprint.embedding.embed import embed, pick_device
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.studies.fold import Fold, fold_of_run
from flukeprint.identifier.runs import Run, check_same_labels
from flukeprint.models.network import untrained_embedder

EMBEDDINGS = "embeddings.npz"


def read_run_fold(folder: Path) -> Fold:
    """Read the embeddings of a trained run with the split of its fold.

    Raises FlukeprintError where the folder is no run, its training has not ended, or its
    photographs have changed.
    """
    run = Run(folder)
    config = run.config()
    file = run.path / EMBEDDINGS
    if not file.is_file():  # written when training ends, before anything is ranked
        raise FlukeprintError(
            f"{folder} has no embeddings yet: finish its training with --resume {run.name}"
        )
    embeddings = Embeddings.load(file)
    catalog = read_labelled(config.data)
    if config.data.skip_unreadable:  # those that the run left out, it has no embeddings of
        kept = set(embeddings.images)
        catalog = catalog.take([row for row, name in enumerate(catalog.images) if name in kept])
    check_same_labels(run, catalog)
    return fold_of_run(config, run.name, catalog, split_for(config, catalog), embeddings)


def untrained_fold(
    config: Config, *, split: bool, check: Callable[[Fold], None] = lambda fold: None
) -> Fold:
    """Embed the labelled photographs with the untrained backbone.

    Args:
        split: take the queries and the gallery of the configuration's fold.  Otherwise every
            photograph with a name is in the gallery, and there are no queries.
        check: called before anything is embedded, with the fold and vectors of zeros.
    """
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    everything = np.flatnonzero(catalog.known)
    whole = Split(everything, everything, np.empty(0, np.int64), ())
    parts = split_for(config, catalog) if split else whole

    def fold_of(embeddings: Embeddings) -> Fold:
        return Fold.of(
            embeddings, catalog, parts, name=f"{config.name}, untrained network",
            number=config.split.fold, seed=config.split.seed, trained=False,
        )  # fmt: skip

    nothing = Embeddings.trusted(
        np.zeros((len(catalog), 1), np.float32), catalog.images, catalog.identities,
        catalog.views, "", "fp32",
    )  # fmt: skip
    check(fold_of(nothing))
    L.seed_everything(config.train.seed, verbose=False)  # without weights the network is random
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    embeddings = embed(
        net, catalog, EmbeddingRecipe.of(config).stamped(net), Compute.of(config),
        device=pick_device(config.train.accelerator), progress="untrained network",
    )  # fmt: skip
    return fold_of(embeddings)
