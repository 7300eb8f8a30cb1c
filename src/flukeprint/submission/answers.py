"""What every submission takes: a machine that can, test photographs, and a file for the answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flukeprint.config.ranking import NewShare
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.doctor import check_readable
from flukeprint.data.readers.read import read_test
from flukeprint.disks import full_disk_named
from flukeprint.embedding.embed import check_devices, device_type
from flukeprint.embedding.engine_choice import check_engine
from flukeprint.errors import FlukeprintError, counted
from flukeprint.files import check_writable
from flukeprint.ranking.ranking import Ranking
from flukeprint.ranking.threshold import threshold_for_share
from flukeprint.submission.csv_file import plan_submission, write_submission

AS_BEFORE = "the run is as it was; make room and repeat the command"  # of a disk that is full
Found = TypeVar("Found")


@dataclass(frozen=True)
class Answers:
    """A submission, with the ranking that it was made of.

    new_label: label of a new individual.
    notes: lines about what is to be expected, about a threshold that is not the one saved with the
        identifier, and about a submission that was replaced.
    """

    submission: Path
    new_label: str
    test: Catalog
    ranking: Ranking
    notes: tuple[str, ...]

    def text(self) -> str:
        """Lines that summarise the answers."""
        new = sum(names[:1] == (None,) for names in self.ranking.identities)
        photographs = counted(len(self.ranking), "photograph")
        return "\n".join(
            (
                *self.notes,
                f"{photographs}, {new:,} of them first answered {self.new_label}",
                f"submission: {self.submission}",
            )
        )


def check_machine(config: Config) -> str:
    """Refuse what this machine cannot do or write; returns the type of device to embed on.

    Raises:
        FlukeprintError: so.
    """
    device = device_type(config.train.accelerator)
    check_devices(config.train.accelerator, 1, "devices")
    check_engine(config.infer.engine, config.infer.precision, device)
    check_writable(config.submissions)
    return device


def read_questions(config: Config, known: Iterable[str]) -> Catalog:
    """Read the test photographs, of which a submission can be written.

    known: all known labels.

    Raises:
        FlukeprintError: there are none, or a submission would not have the sample's rows.
    """
    test = read_test(config.data)
    if not len(test):
        raise FlukeprintError(f"no test photographs in {config.data.root}; set data.test")
    plan_submission(
        test.images, new_label=config.data.new_label, sample=_sample(config), known=known
    )
    return test


def of_readable(
    test: Catalog, config: Config, examine: Callable[[Catalog], Found]
) -> tuple[Catalog, Found]:
    """Examine the test photographs, without unreadable ones where these are to be skipped.

    Damaged photographs are rare, so all are decoded a second time only after an error.

    Raises:
        FlukeprintError: damaged photographs, all of them named; or another error of `examine`.
    """
    try:
        return test, examine(test)
    except FlukeprintError:
        readable = check_readable(test, config.data.skip_unreadable)  # names all damaged ones
        if len(readable) == len(test):  # another error
            raise
        return readable, examine(readable)


def share_threshold(plain: Ranking, setting: NewShare, config: Config) -> tuple[float, str]:
    """The threshold of a share of these photographs, and how it was chosen."""
    threshold = threshold_for_share(plain.best_known, setting.share)
    note = (
        f"threshold {threshold:.4f}, chosen on these {counted(len(plain), 'photograph')}: at most "
        f"{setting.share:.1%} of them are first answered {config.data.new_label}"
    )
    return threshold, note


def write_answers(
    config: Config, images: Sequence[str], ranking: Ranking, target: Path, known: Iterable[str]
) -> tuple[str, ...]:
    """Write the submission `target`; returns a line where it replaces other answers.

    images: all test photographs, in order.  known: all known labels.
    """
    before = target.read_bytes() if target.is_file() else None
    answered = dict(zip(ranking.images, ranking.identities, strict=True))
    # A photograph that was skipped still needs its row: it is answered with a new individual.
    answers = [answered.get(image, (None,))[: config.infer.answers] for image in images]
    with full_disk_named(config.submissions, lambda: AS_BEFORE):
        write_submission(
            images, answers, target, new_label=config.data.new_label, top=config.infer.answers,
            sample=_sample(config), known=known,
        )  # fmt: skip
    if before is not None and before != target.read_bytes():
        return (f"{target} had other answers of the same settings; they were replaced",)
    return ()


def _sample(config: Config) -> Path | None:
    name = config.data.sample_submission
    return config.data.root / name if name else None
