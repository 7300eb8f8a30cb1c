"""Measure a trained network on its fold, write what that gives, and keep the identifier."""

import json
from dataclasses import asdict, dataclass

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_test
from flukeprint.data.thumbnails import Thumbnails
from flukeprint.embedding.embed import embed, pick_device
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import Ceiling, fold_table
from flukeprint.evaluation.fold_calibration import calibrate_fold
from flukeprint.evaluation.validation import (
    Validation,
    validate,
    validate_rankings,
    view_ceiling,
)
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.files import written_whole
from flukeprint.identifier.build import assemble_identifier, make_card
from flukeprint.identifier.card import IdentifierCard, read_card
from flukeprint.identifier.runs import CENTERS, PREDICTIONS, Run
from flukeprint.identifier.showcase import build_showcase, pick_examples
from flukeprint.models.network import FlukeNet
from flukeprint.output import say
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.rules import FittedRules
from flukeprint.training.check import TrainingSetup
from flukeprint.training.module import MetricLearningModule, class_centers


@dataclass(frozen=True)
class MeasuredFold:
    """What the fold's network gives: features of all labelled photographs, figures, fitted rules.

    card: of an identifier with that network.
    """

    features: Features
    centers: Embeddings | None
    validation: Validation
    card: IdentifierCard


def measure_fold(config: Config, run: Run, setup: TrainingSetup) -> MeasuredFold:
    """Validate the network on its fold; embeddings, figures and predictions go into the run."""
    catalog, split, module = setup.catalog, setup.split, setup.module
    features, centers = embed_labelled(config, setup.module, catalog)
    features.embeddings.save(run.path / "embeddings.npz")
    if centers is not None:
        centers.save(run.path / CENTERS)
    validation, fitted = validate(
        features, split, config, centers=centers, progress="matching keypoints"
    )
    ceiling = None if catalog.views is None else view_ceiling(features.embeddings, split)
    _save_validation(run, setup, validation, fitted, ceiling)
    card = make_card(
        config, module.net, validation.deployed, validation.calibration, fitted=fitted,
        fold_calibration=calibrate_fold(features, split, config, validation, fitted, centers),
    )  # fmt: skip
    return MeasuredFold(features, centers, validation, card)


def measured_before(config: Config, run: Run, catalog: Catalog) -> MeasuredFold:
    """Read what an interrupted run has measured already."""
    embeddings = Embeddings.load(run.path / "embeddings.npz")
    file = run.path / CENTERS
    asked = ValidationQueries.load(run.path / QUERIES_FILE)
    return MeasuredFold(
        Features(embeddings),
        Embeddings.load(file) if file.is_file() else None,
        validate_rankings(asked, config),
        read_card(run.measured),
    )


def embed_labelled(
    config: Config, module: MetricLearningModule, catalog: Catalog
) -> tuple[Features, Embeddings | None]:
    """The features of all labelled photographs, and the class centres where there are some."""
    embeddings = embed_stamped(config, module.net, catalog, "embedding")
    centers = class_centers(module, embeddings.stamp)
    features = extract_features(
        embeddings, catalog, config.image, config.rank, progress="keypoints"
    )
    return features, centers


def embed_stamped(config: Config, net: FlukeNet, catalog: Catalog, progress: str) -> Embeddings:
    """Embed a catalogue as at test time, stamped with the network's digest."""
    return embed(
        net, catalog, EmbeddingRecipe.of(config).stamped(net), Compute.of(config),
        device=pick_device(config.train.accelerator), progress=progress,
    )  # fmt: skip


def keep_identifier(
    config: Config,
    run: Run,
    catalog: Catalog,
    card: IdentifierCard,
    net: FlukeNet,
    features: Features,
    centers: Embeddings | None,
) -> None:
    """Write the identifier; its gallery holds all known photographs, the fold's queries too.

    features, centers: made by `net`, of all of `catalog`.
    """
    rows = catalog.rows_with_identity(config.data.min_photos)
    gallery = features.take(rows)
    assemble_identifier(
        config, card, net, gallery, centers=centers,
        showcase=build_showcase(
            config, gallery.embeddings, catalog.take(rows), _examples(config),
            catalog.vocabulary(),
        ),
    ).save(run.identifier)  # fmt: skip


def _save_validation(
    run: Run,
    setup: TrainingSetup,
    validation: Validation,
    fitted: FittedRules,
    ceiling: Ceiling | None,
) -> None:
    """Write the figures, the ranked queries and the predictions into the run.

    ceiling: upper bound on recall where only gallery photographs of the query's view can match;
        None for photographs without views.
    """
    summary = validation.summary()
    if fitted.fusion is not None:
        summary["lines"].insert(0, fitted.fusion.text())
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


def _examples(config: Config) -> Thumbnails:
    """Photographs to try: some of the test photographs, where they can be read."""
    try:
        return pick_examples(read_test(config.data))
    except FlukeprintError as error:  # nothing that a finished training should fail for
        say(f"no photographs to try on the web page: {error}")
        return Thumbnails.none(0)
