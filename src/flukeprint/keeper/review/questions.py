"""What there is to decide in a review: photographs with their likeliest animals, unsure ones first.

They are files and folders that the identifier answers, or the rows of a submission, whose answers
are kept and completed by what the identifier finds of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Box, Catalog
from flukeprint.data.decoding import decode, read_photo
from flukeprint.data.formats.photo_formats import UnusableError
from flukeprint.data.names import written_label
from flukeprint.data.readers.read import read_test
from flukeprint.data.tables import check_filled, check_once, read_header, read_table
from flukeprint.embedding.engine_choice import WORTH_MEASURING
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.identifier.answering import BLOCK, photographs_at
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.integrity import bytes_digest
from flukeprint.identifier.photo_input import Prepared
from flukeprint.identifier.verdict import Near, Verdict, nearest_photos
from flukeprint.output import Stage
from flukeprint.ranking.features import Features

ANSWERS = 5  # candidates of a photograph


@dataclass(frozen=True)
class AskedPhoto:
    """A photograph to review.

    name: what people call it; path: its file; box: the part of it that shows the animal.
    answers: animals that a submission names for it, None for a new one; empty without one.
    """

    name: str
    path: Path
    box: Box | None = None
    answers: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class ProposedAnimal:
    """One answer: None is an individual that is not in the gallery; nearest: photos that say so."""

    identity: str | None
    probability: float | None
    score: float | None
    nearest: tuple[Near, ...]


@dataclass(frozen=True)
class ReviewQuestion:
    """A photograph with its answers, or with the error for which it has none.

    digest: of the file's bytes; "" where they cannot be read.
    outside: whether it seems to show something else than the collection.
    """

    asked: AskedPhoto
    digest: str
    answers: tuple[ProposedAnimal, ...] = ()
    outside: bool = False
    error: str | None = None

    @property
    def probability(self) -> float | None:
        """Probability that the first answer is right; None where it is not known."""
        return self.answers[0].probability if self.answers else None

    @property
    def lead(self) -> float:
        """By how much the first answer's score is above the second's; 0 where there is no such."""
        scores = [answer.score for answer in self.answers[:2] if answer.score is not None]
        return scores[0] - scores[1] if len(scores) == 2 else 0.0


def unsure_first(questions: Sequence[ReviewQuestion]) -> tuple[ReviewQuestion, ...]:
    """Order questions: unknown probabilities by lead, then the others, then unreadable ones."""

    def sureness(question: ReviewQuestion) -> tuple[bool, bool, float]:
        chance = question.probability
        return (
            question.error is not None, chance is not None,
            question.lead if chance is None else chance,
        )  # fmt: skip

    return tuple(sorted(questions, key=sureness))


def photographs_asked(places: Sequence[Path]) -> tuple[AskedPhoto, ...]:
    """The photographs of files and folders; those of a folder are named by their place in it.

    Raises:
        FlukeprintError: a folder without photographs.
    """
    found: dict[Path, AskedPhoto] = {}
    for place in places:
        for path in photographs_at([place]):
            name = path.relative_to(place).as_posix() if place.is_dir() else path.name
            found.setdefault(path.absolute(), AskedPhoto(name, path.absolute()))
    return tuple(found.values())


def submission_asked(
    submission: Path, config: Config, known: Identifier, labelled: Catalog
) -> tuple[AskedPhoto, ...]:
    """The photographs of a submission, with the animals that it names.

    labelled: photographs of `config` that are labelled, whose animals it may name as well.

    Raises:
        FlukeprintError: a table of another form, photographs that the configuration does not have
            to identify, or animals that nobody knows.
    """
    names = read_header(submission)
    if len(names) != 2:
        raise FlukeprintError(f"{submission}: a submission has two columns, found {listed(names)}")
    table = read_table(submission, names)
    check_filled(table, names[:1], submission)
    check_once(table, names[0], None, submission)
    test = read_test(config.data)
    if test.paths is None:
        raise FlukeprintError(
            f"the photographs of data.reader={config.data.reader} are no files; a review shows "
            "photographs that are"
        )
    places = {image: place for place, image in enumerate(test.images)}
    strange = [image for image in table[names[0]] if image not in places]
    if strange:
        raise FlukeprintError(
            f"{submission}: {counted(len(strange), 'photograph')} that {config.name} does not have "
            f"to identify: {listed(strange, 5)}; give the configuration that it was made with"
        )
    everybody = {*known.identities, *labelled.vocabulary()}
    animals: dict[str, str | None] = {written_label(name): name for name in everybody}
    animals[known.card.new_label] = None
    rows = {
        image: list(dict.fromkeys(cell.split()))[:ANSWERS]
        for image, cell in zip(table[names[0]], table[names[1]], strict=True)
    }
    nobody = sorted({label for labels in rows.values() for label in labels} - set(animals))
    if nobody:
        raise FlukeprintError(
            f"{submission}: {counted(len(nobody), 'animal')} that neither the identifier nor "
            f"{config.name} knows: {listed(nobody, 5)}"
        )
    return tuple(
        AskedPhoto(
            image, test.paths[places[image]].absolute(),
            None if test.boxes is None else test.boxes[places[image]],
            tuple(animals[label] for label in labels),
        )
        for image, labels in rows.items()
    )  # fmt: skip


def judge_questions(known: Identifier, asked: Sequence[AskedPhoto]) -> tuple[ReviewQuestion, ...]:
    """Answer each photograph; one that cannot be read takes nothing from the others."""
    if len(asked) * known.card.recipe.variants >= WORTH_MEASURING:
        known.warm_up()
    questions: list[ReviewQuestion] = []
    with Stage("photographs", len(asked)) as stage:
        for start in range(0, len(asked), BLOCK):
            block = asked[start : start + BLOCK]
            read = [_read(known, photo) for photo in block]
            ready = [one for one, _ in read if isinstance(one, Prepared)]
            features = known.examine_prepared(ready) if ready else None
            place = 0
            for photo, (one, digest) in zip(block, read, strict=True):
                if features is None or not isinstance(one, Prepared):
                    questions.append(ReviewQuestion(photo, digest, error=str(one)))
                    continue
                questions.append(_judged(known, photo, digest, features.take([place])))
                place += 1
            stage.update(len(block))
    return tuple(questions)


def _judged(known: Identifier, photo: AskedPhoto, digest: str, query: Features) -> ReviewQuestion:
    """The question of a photograph: the answers of its submission, or the identifier's own."""
    verdict = known.judge_encounter(query)
    names = photo.answers or verdict.answers[:ANSWERS]
    answers = tuple(_proposed(name, verdict, known, query) for name in names)
    return ReviewQuestion(photo, digest, answers, outside=verdict.outside)


def _proposed(
    name: str | None, verdict: Verdict, known: Identifier, query: Features
) -> ProposedAnimal:
    """An answer with what the verdict knows of it; of one that it does not give, the photos."""
    if name not in verdict.answers:
        gallery = known.prepared.gallery
        found = name is not None and name in gallery.number
        near = nearest_photos(str(name), gallery, query.embeddings) if found else ()
        return ProposedAnimal(name, None, None, near)
    place = verdict.answers.index(name)
    score = float(verdict.ranking.scores[0, place])
    return ProposedAnimal(
        name,
        None if verdict.probabilities is None else verdict.probabilities[place],
        score if np.isfinite(score) else None,
        verdict.nearest[place],
    )


def _read(known: Identifier, photo: AskedPhoto) -> tuple[Prepared | str, str]:
    """A photograph ready for the network, or why it cannot be read; and its file's digest."""
    digest = ""
    try:
        digest = bytes_digest(read_photo(photo.path))
        whole = photo.path if photo.box is None else decode(photo.path, box=photo.box)
        return known.prepare(whole, photo.name), digest
    except UnusableError as error:
        return f"photograph {photo.path}: {error}", digest
    except FlukeprintError as error:
        return str(error), digest
