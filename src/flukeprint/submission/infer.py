"""Identify the test photographs with a finished run and write a submission."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from flukeprint.config.ranking import NewShare
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.readers.read import read_test
from flukeprint.disks import full_disk_named
from flukeprint.embedding.embed import check_devices, pick_device
from flukeprint.embedding.engine_choice import check_engine
from flukeprint.embedding.recipe import Compute
from flukeprint.embedding.sharding import embed_sharded
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.files import check_writable
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.threshold import threshold_for_share
from flukeprint.submission.csv_file import plan_submission, write_submission
from flukeprint.submission.naming import embeddings_name, submission_name

PARTS = "parts"  # folder of a run, for parts of the test embeddings


@dataclass(frozen=True)
class Answers:
    """A submission, with the ranking and the identifier that it was made with.

    notes: lines about a threshold that is not the one saved with the identifier, and about a
        submission that was replaced.
    """

    submission: Path
    identifier: Identifier
    test: Catalog
    ranking: Ranking
    notes: tuple[str, ...]

    def text(self) -> str:
        """Lines that summarise the answers."""
        new = sum(names[:1] == (None,) for names in self.ranking.identities)
        label = self.identifier.card.new_label
        photographs = counted(len(self.ranking), "photograph")
        return "\n".join(
            (
                *self.notes,
                f"{photographs}, {new:,} of them first answered {label}",
                f"submission: {self.submission}",
            )
        )


def infer(config: Config, run: Run) -> Answers | None:
    """Identify the test photographs of `config` with the identifier of `run`.

    The test embeddings are saved in the run as `test.npz`, stamped.  The submission is
    `<submissions>/<config>-<run>.csv`.  Both names end in what was set otherwise than in training,
    so that only the same settings replace a file.

    Returns:
        None in a further process of infer.devices and infer.num_nodes, which only embeds.

    Raises:
        FlukeprintError: no test photographs, an unfinished run, settings that the run was not
            trained with or that this machine cannot do, or a submission that would not have
            exactly the sample's rows.
    """
    keep_memory()  # decoding and the network ask for the same blocks again and again
    device = pick_device(config.train.accelerator)
    check_devices(config.train.accelerator, config.infer.devices, "infer.devices")
    check_engine(config.infer.engine, config.infer.precision, device.type)
    check_writable(config.submissions)
    identifier, notes = _configured(Identifier.load(run.identifier), config, run)
    test = read_test(config.data)
    if not len(test):
        raise FlukeprintError(f"no test photographs in {config.data.root}; set data.test")
    images = test.images
    name = config.data.sample_submission
    sample = config.data.root / name if name else None
    label, known = config.data.new_label, identifier.identities
    plan_submission(images, new_label=label, sample=sample, known=known)
    identifier.net.to(device)
    try:
        queries = _examined(identifier, test, config, run)
    except FlukeprintError:
        # Damaged photographs are rare, so all are decoded a second time only after an error.
        readable = check_readable(test, config.data.skip_unreadable)  # names all damaged ones
        if len(readable) == len(test):  # another error
            raise
        test = readable
        queries = _examined(identifier, test, config, run)
    if queries is None:
        return None
    trained = run.config()
    as_before = "the run is as it was; make room and repeat the command"
    with full_disk_named(run.path, lambda: as_before):
        queries.embeddings.save(run.path / embeddings_name(config, trained))
    shutil.rmtree(run.path / PARTS, ignore_errors=True)  # written by further processes
    ranking = identifier.rank(queries, progress=True)
    setting = config.infer.threshold
    if isinstance(setting, NewShare):
        threshold, note = _share_threshold(ranking, setting, config)
        identifier, notes = identifier.with_threshold(threshold), (note,)
        ranking = insert_new_individual(ranking, threshold)
    target = config.submissions / submission_name(config, trained, run.name)
    before = target.read_bytes() if target.is_file() else None
    answered = dict(zip(ranking.images, ranking.identities, strict=True))
    # A photograph that was skipped still needs its row: it is answered with a new individual.
    answers = [answered.get(image, (None,))[: config.infer.answers] for image in images]
    with full_disk_named(config.submissions, lambda: as_before):
        write_submission(
            images, answers, target, new_label=label, top=config.infer.answers, sample=sample,
            known=known,
        )  # fmt: skip
    if before is not None and before != target.read_bytes():
        notes = (*notes, f"{target} had other answers of the same settings; they were replaced")
    return Answers(target, identifier, test, ranking, notes)


def _examined(identifier: Identifier, test: Catalog, config: Config, run: Run) -> Features | None:
    """Embeddings and keypoints of the test photographs; None in a further process."""
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


def _share_threshold(plain: Ranking, setting: NewShare, config: Config) -> tuple[float, str]:
    """The threshold of a share of these photographs, and how it was chosen."""
    threshold = threshold_for_share(plain.best_known, setting.share)
    note = (
        f"threshold {threshold:.4f}, chosen on these {counted(len(plain), 'photograph')}: at most "
        f"{setting.share:.1%} of them are first answered {config.data.new_label}"
    )
    return threshold, note
