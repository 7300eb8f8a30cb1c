"""From a finished run to a submission: test photographs enter, a checked CSV leaves."""

from dataclasses import dataclass
from pathlib import Path

from flukeprint.catalog import Catalog
from flukeprint.config import Config
from flukeprint.doctor import check_readable
from flukeprint.embedding import pick_device
from flukeprint.errors import FlukeprintError, listed
from flukeprint.identify import Identifier
from flukeprint.ranking import Ranking
from flukeprint.readers import read_test
from flukeprint.runs import Run
from flukeprint.submission import write_submission


@dataclass(frozen=True)
class Answers:
    """A submission, and what it was made of."""

    submission: Path
    identifier: Identifier
    test: Catalog
    ranking: Ranking


def infer(config: Config, run: Run) -> Answers:
    """Identify the test photographs of `config` with the identifier of `run`.

    Test embeddings are kept in the run as `test.npz`, stamped.  The submission is
    `<submissions>/<config>-<run>.csv`.

    Raises:
        FlukeprintError: no test photographs, an unfinished run, settings that the run was not
            trained with, or a submission that would not hold exactly the sample's rows.
    """
    identifier = _as_asked(Identifier.load(run.identifier), config, run)
    test = read_test(config.data)
    if not len(test):
        raise FlukeprintError(f"no test photographs in {config.data.root}; set data.test")
    asked = test.images
    test = check_readable(test, config.data.skip_unreadable)
    identifier.net.to(pick_device(config.train.accelerator))
    queries = identifier.embed(
        test,
        batch_size=config.infer.batch_size,
        workers=config.train.workers,
        progress="test photographs",
    )
    queries.save(run.path / "test.npz")
    ranking = identifier.rank(queries)
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
    return Answers(target, identifier, test, ranking)


def _as_asked(identifier: Identifier, config: Config, run: Run) -> Identifier:
    """With the threshold that was asked for; what training decided cannot be asked otherwise."""
    card = identifier.card
    image = config.image.model_copy(update={"cache": card.image.cache})
    other = [
        name
        for name, here, there in (
            ("model", config.model, card.model),
            ("image", image, card.image),
            ("infer.mirror", config.infer.mirror, card.mirror),
        )
        if here != there
    ]
    if other:
        raise FlukeprintError(
            f"run {run.name} was trained with another {listed(other)} than asked for now; "
            "leave that as it was or train again"
        )
    if config.infer.threshold == "fit":
        return identifier
    asked = config.infer.threshold
    return identifier.with_threshold(None if asked == "none" else float(asked))
