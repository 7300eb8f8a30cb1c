"""From a finished run to a submission: test photographs enter, a checked CSV leaves."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from flukeprint.config.schema import Config, NewShare
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.readers.read import read_test
from flukeprint.embedding.embed import pick_device
from flukeprint.embedding.recipe import Compute
from flukeprint.embedding.sharding import embed_sharded
from flukeprint.errors import FlukeprintError, listed
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.threshold import threshold_for_share
from flukeprint.submission.csv_file import write_submission

PARTS = "parts"  # of the test embeddings, below a run


@dataclass(frozen=True)
class Answers:
    """A submission, and what it was made of."""

    submission: Path
    identifier: Identifier
    test: Catalog
    ranking: Ranking
    said: tuple[str, ...]  # lines about a threshold that is not the one kept with the identifier


def infer(config: Config, run: Run) -> Answers | None:
    """Identify the test photographs of `config` with the identifier of `run`.

    Test embeddings are kept in the run as `test.npz`, stamped.  The submission is
    `<submissions>/<config>-<run>.csv`.

    Returns:
        None in a further process of infer.devices and infer.num_nodes, which has nothing to say.

    Raises:
        FlukeprintError: no test photographs, an unfinished run, settings that the run was not
            trained with, or a submission that would not hold exactly the sample's rows.
    """
    keep_memory()  # decoding and the network ask for the same blocks again and again
    identifier, said = _as_asked(Identifier.load(run.identifier), config, run)
    test = read_test(config.data)
    if not len(test):
        raise FlukeprintError(f"no test photographs in {config.data.root}; set data.test")
    asked = test.images
    identifier.net.to(pick_device(config.train.accelerator))
    try:
        queries = _examined(identifier, test, config, run)
    except FlukeprintError:
        # Rarely is a photograph damaged, so they are not all decoded twice for it.
        readable = check_readable(test, config.data.skip_unreadable)  # names all of them at once
        if len(readable) == len(test):  # it was something else
            raise
        test = readable
        queries = _examined(identifier, test, config, run)
    if queries is None:
        return None
    queries.embeddings.save(run.path / "test.npz")
    shutil.rmtree(run.path / PARTS, ignore_errors=True)  # what further processes left
    ranking = identifier.rank(queries, progress=True)
    wish = config.infer.threshold
    if isinstance(wish, NewShare):
        threshold, how = _share_threshold(ranking, wish, config)
        identifier, said = identifier.with_threshold(threshold), (how,)
        ranking = insert_new_individual(ranking, threshold)
    sample = config.data.sample_submission
    target = config.submissions / f"{config.name}-{run.name}.csv"
    answered = dict(zip(ranking.images, ranking.identities, strict=True))
    # A photograph that was skipped still needs its row: nobody is known on it.
    answers = [answered.get(image, (None,))[: config.infer.answers] for image in asked]
    write_submission(
        asked,
        answers,
        target,
        new_label=config.data.new_label,
        top=config.infer.answers,
        sample=config.data.root / sample if sample else None,
        known=identifier.identities,
    )
    return Answers(target, identifier, test, ranking, said)


def _examined(identifier: Identifier, test: Catalog, config: Config, run: Run) -> Features | None:
    """What was seen on the test photographs; None in a process that helps another one."""
    card, compute = identifier.card, Compute.of(config)
    if config.infer.devices * config.infer.num_nodes == 1:
        return identifier.examine(test, compute=compute, progress=True)
    embeddings = embed_sharded(
        identifier.net, test, card.recipe, run.path / PARTS, compute,
        accelerator=config.train.accelerator, devices=config.infer.devices,
        num_nodes=config.infer.num_nodes, progress="photographs",
    )  # fmt: skip
    if embeddings is None:
        return None
    return extract_features(embeddings, test, card.image, card.method.rules, progress="keypoints")


def _as_asked(
    identifier: Identifier, config: Config, run: Run
) -> tuple[Identifier, tuple[str, ...]]:
    """With the threshold that was asked for; what training decided cannot be asked otherwise."""
    card = identifier.card
    image = config.image.model_copy(update={"cache": card.image.cache})
    other = [
        name
        for name, here, there in (
            ("model", config.model, card.model),
            ("image", image, card.image),
            ("infer.mirror", config.infer.mirror, card.mirror),
            ("infer.zooms", config.infer.zooms, card.zooms),
            ("rank", config.rank, card.method.rules),
        )
        if here != there
    ]
    if other:
        raise FlukeprintError(
            f"run {run.name} was trained with another {listed(other)} than asked for now; "
            "leave that as it was or train again"
        )
    if isinstance(config.infer.threshold, NewShare):  # of the test photographs, not of the fold's
        return identifier.with_threshold(None), ()
    threshold, said = _threshold(identifier, config, run)
    return identifier.with_threshold(threshold), said


def _threshold(
    identifier: Identifier, config: Config, run: Run
) -> tuple[float | None, tuple[str, ...]]:
    """The threshold that was wished for, and where it comes from."""
    wish = config.infer.threshold
    if wish == "none":
        return None, ()
    if isinstance(wish, float):
        return wish, ()
    trained = run.config()
    closed = config.data.closed_set
    if (wish, closed) == (trained.infer.threshold, trained.data.closed_set):
        return identifier.card.threshold, ()
    update = {
        "infer": trained.infer.model_copy(update={"threshold": wish}),
        "data": trained.data.model_copy(update={"closed_set": closed}),
    }
    judged = validate_rankings(
        ValidationQueries.load(run.path / QUERIES_FILE), trained.model_copy(update=update)
    )
    if judged.threshold is None or judged.expectation is None:
        return None, ()
    where = f"threshold {judged.threshold:.4f}, chosen on {judged.fitted_on} queries of the fold"
    return judged.threshold, (where, *judged.expectation.text().splitlines())


def _share_threshold(plain: Ranking, wish: NewShare, config: Config) -> tuple[float, str]:
    """The threshold of a share of these photographs, and how it was chosen."""
    threshold = threshold_for_share(plain.best_known, wish.share)
    said = (
        f"threshold {threshold:.4f}, chosen on these {len(plain)} photographs: at most "
        f"{wish.share:.1%} of them are first answered {config.data.new_label}"
    )
    return threshold, said
