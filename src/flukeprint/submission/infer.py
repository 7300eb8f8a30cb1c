"""Identify the test photographs with a finished run and write a submission."""

from dataclasses import dataclass

from flukeprint.config.ranking import NewShare
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.disks import full_disk_named
from flukeprint.embedding.recipe import Compute
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.ranking import insert_new_individual
from flukeprint.submission.answers import (
    AS_BEFORE,
    Answers,
    check_machine,
    of_readable,
    read_questions,
    share_threshold,
    write_answers,
)
from flukeprint.submission.naming import embeddings_name, submission_name


@dataclass(frozen=True)
class RunAnswers(Answers):
    """A submission, with the identifier of the run that answered."""

    identifier: Identifier


def infer(config: Config, run: Run) -> RunAnswers:
    """Identify the test photographs of `config` with the identifier of `run`.

    The test embeddings are saved in the run as `test.npz`, stamped.  The submission is
    `<submissions>/<config>-<run>.csv`.  Both names end in what was set otherwise than in training,
    so that only the same settings replace a file.

    Raises:
        FlukeprintError: no test photographs, an unfinished run, settings that the run was not
            trained with or that this machine cannot do, or a submission that would not have
            exactly the sample's rows.
    """
    keep_memory()  # decoding and the network ask for the same blocks again and again
    device = check_machine(config)
    identifier, notes = _configured(Identifier.load(run.identifier), config, run)
    known = identifier.identities
    asked = read_questions(config, known)
    if device != "cpu":
        identifier.net.to(device)
    compute = Compute.of(config)
    test, queries = of_readable(
        asked, config, lambda photos: identifier.examine(photos, compute=compute, progress=True)
    )
    trained = run.config()
    with full_disk_named(run.path, lambda: AS_BEFORE):
        queries.embeddings.save(run.path / embeddings_name(config, trained))
    ranking = identifier.rank(queries, progress=True)
    setting = config.infer.threshold
    answerer = identifier
    if isinstance(setting, NewShare):
        threshold, note = share_threshold(ranking, setting, config)
        answerer, notes = identifier.with_threshold(threshold), (note,)
        ranking = insert_new_individual(ranking, threshold)
    target = config.submissions / submission_name(config, trained, run.name)
    notes = (*notes, *write_answers(config, asked.images, ranking, target, known))
    return RunAnswers(target, identifier.card.new_label, test, ranking, notes, answerer)


def _configured(
    identifier: Identifier, config: Config, run: Run
) -> tuple[Identifier, tuple[str, ...]]:
    """The identifier with the configured threshold, and lines about that.

    Raises:
        FlukeprintError: other settings that training has fixed.
    """
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
    threshold, notes = _threshold(identifier, config, run)
    return identifier.with_threshold(threshold), notes


def _threshold(
    identifier: Identifier, config: Config, run: Run
) -> tuple[float | None, tuple[str, ...]]:
    """The threshold of `infer.threshold`, and lines on how it was chosen."""
    setting = config.infer.threshold
    if setting == "none":
        return None, ()
    if isinstance(setting, float):
        return setting, ()
    trained = run.config()
    closed = config.data.closed_set
    same = (trained.infer.threshold, trained.infer.fallback, trained.data.closed_set)
    if (setting, config.infer.fallback, closed) == same:
        doubt = run.figures().get("doubt")
        return identifier.card.threshold, () if doubt is None else (str(doubt),)
    update = {
        "infer": trained.infer.model_copy(
            update={"threshold": setting, "fallback": config.infer.fallback}
        ),
        "data": trained.data.model_copy(update={"closed_set": closed}),
    }
    validation = validate_rankings(
        ValidationQueries.load(run.path / QUERIES_FILE), trained.model_copy(update=update)
    )
    doubt = () if validation.doubt is None else (validation.doubt,)
    if validation.threshold is None or validation.expectation is None:
        return None, doubt
    queries = counted(validation.fitted_on, "query", "queries")
    note = f"threshold {validation.threshold:.4f}, chosen on {queries} of the fold"
    return validation.threshold, (*(doubt or (note,)), *validation.expectation.text().splitlines())
