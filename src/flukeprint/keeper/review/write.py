"""Make a review: the page on which a person decides whom photographs show, unsure ones first."""

from collections.abc import Sequence
from pathlib import Path

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError
from flukeprint.files import check_writable, written_whole
from flukeprint.identifier.identifier import Identifier
from flukeprint.keeper.review.page import render_review
from flukeprint.keeper.review.questions import (
    judge_questions,
    photographs_asked,
    submission_asked,
    unsure_first,
)
from flukeprint.keeper.review.queue import ReviewQueue, make_queue


def write_review(
    known: Identifier,
    sources: Sequence[Path],
    out: Path,
    *,
    config: Config | None = None,
    most: int | None = None,
    photos: int = 3,
    event: int = 0,
    suggested: str = "",
) -> ReviewQueue:
    """Write the page `out` for photographs and folders, or for one submission.

    Args:
        config: of the submission, for its photographs; also for pictures of animals of which the
            identifier keeps none.
        most: number of photographs to ask for, the most unsure; None for all.
        photos: most photographs of a candidate.
        event: number of the last event of the catalogue that the identifier belongs to, 0 without.
        suggested: name for the first animal that turns out to be new; "" for none.

    Raises:
        FlukeprintError: no photographs, a submission without its configuration, one that does not
            fit it, or a page that cannot be written.
    """
    check_writable(out.absolute().parent)
    if out.is_dir():
        raise FlukeprintError(f"{out} is a folder; name a file for the page, such as queue.html")
    labelled = Catalog(images=()) if config is None else read_labelled(config.data)
    if len(sources) == 1 and is_submission(sources[0]):
        if config is None:
            raise FlukeprintError(
                f"{sources[0]} is a submission: add --config with the configuration that it was "
                "made with, which says where its photographs are"
            )
        asked = submission_asked(sources[0], config, known, labelled)
        if any(one.box is not None for one in asked):  # a decision is kept for a file
            raise FlukeprintError(
                f"{sources[0]} answers boxes of photographs, and a review is of whole photographs; "
                "cut the boxes out into files of their own"
            )
    else:
        asked = photographs_asked(sources)
    if not asked:
        raise FlukeprintError("no photograph was given")
    questions = unsure_first(judge_questions(known, asked))
    queue = make_queue(
        known, questions[:most], labelled, title=sources[0].name or str(sources[0]),
        photos=photos, event=event, suggested=suggested,
    )  # fmt: skip
    page = render_review(queue)
    with written_whole(out) as partial:
        partial.write_bytes(page)
    return queue


def is_submission(source: Path) -> bool:
    """Whether what is to be reviewed is a table of answers, not photographs."""
    return source.suffix.lower() == ".csv"
