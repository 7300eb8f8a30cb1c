"""Answers a whole source, a Camtrap DP, COCO, MegaDetector's results or a folder, in its own form.

Nothing is enrolled, and the source stays as it is.  Whom a person named is not asked again.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flukeprint import __version__
from flukeprint.config.ranking import EngineName
from flukeprint.cpu import keep_memory
from flukeprint.data.exchange.answered import MAKER, RowAnswer, RowAnswers
from flukeprint.data.exchange.answers import source_form, usual_target, write_in_form
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.exchange.options import ReadOptions
from flukeprint.disks import full_disk_named
from flukeprint.embedding.engine_choice import WORTH_MEASURING
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.files import check_writable, only_run
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.sources.asking import CHUNK, ask_chunks
from flukeprint.identifier.sources.journal import Journal, journal_of
from flukeprint.output import Stage, say
from flukeprint.storage import is_file

_TABLES_VERSION = 1  # of the journal's lines


@dataclass(frozen=True)
class SourceAnswers:
    """What became of a source.

    files, boxes: how many photographs and boxes it tells of.
    given: rows that had an identity already.  absent: rows whose photograph has no file here.
    notes: lines for people.
    """

    target: Path
    observed: Observed
    answers: RowAnswers
    files: int
    boxes: int
    given: int
    absent: int
    notes: tuple[str, ...]

    def text(self) -> str:
        """Lines for people: how many of what, and where it is written."""
        kinds = [one.verdict for one in self.answers.of.values()]
        parts = [f"{kinds.count(kind):,} {kind}" for kind in ("known", "new", "outside")]
        parts.append(f"{len(self.answers.failed):,} failed")
        if self.given:
            parts.append(f"{self.given:,} named before")
        if self.absent:
            parts.append(f"{self.absent:,} without a file here")
        photographs = counted(self.files, "photograph")
        head = f"{photographs}, {counted(self.boxes, 'box', 'boxes')}: {', '.join(parts)}"
        return "\n".join([head, *self.notes, f"written: {self.target}"])

    def check_all_read(self) -> None:
        """Raise FlukeprintError, at the end of the command, if some photographs have no answer."""
        if failed := self.answers.failed:
            asked = len(failed) + len(self.answers.of)
            raise FlukeprintError(
                f"{len(failed)} of {counted(asked, 'photograph')} could not be read: "
                f"{listed(failed)}"
            )


def answer_source(
    identifier: Path,
    source: Path,
    *,
    root: Path | None = None,
    target: Path | None = None,
    again: bool = False,
    options: ReadOptions | None = None,
) -> SourceAnswers:
    """Answer all rows of `source` that nobody named, and write it with the answers to `target`.

    root: where relative names of photographs begin; the usual place of the form by default.
    target: beside the source by default.
    again: also ask about those that a machine named.
    options: how the source is read, where its form leaves something open.

    A run that was killed goes on with the next one of the same arguments, by its journal.

    Raises:
        FlukeprintError: the source cannot be read, the target is there or cannot be written, a
            journal of another run, or another process that writes the same target.
    """
    options = options or ReadOptions()
    key, form = source_form(source, options)
    target = usual_target(source, key) if target is None else target
    _check_target(source, target)
    with only_run(target):
        if target.exists():  # by a run that has ended meanwhile
            raise FlukeprintError(f"{target} is there already; name another with --out")
        observed = form.read_as(source, root, options)
        asked = [one for one in observed.photos if _is_asked(one, again) and one.path is not None]
        _check_asked(source, observed, asked)
        say(observed.text().splitlines()[0])
        keep_memory()
        known = Identifier.load(identifier)
        journal = journal_of(target)

        def kept() -> str:
            return f"make room and repeat the command; what is answered is kept in {journal}"

        with full_disk_named(target.parent, kept):
            answers = _answers(known, asked, observed, journal, again)
            lines = write_in_form(key, source, root, observed, answers, target)
            journal.unlink(missing_ok=True)
    unasked = sum(not _is_asked(one, again) for one in observed.photos)
    return SourceAnswers(
        target,
        observed,
        answers,
        len({one.path or one.image for one in observed.photos}),
        sum(one.box is not None for one in observed.photos),
        unasked,
        len(observed.photos) - unasked - len(asked),
        tuple(lines),
    )


def _check_target(source: Path, target: Path) -> None:
    """Refuse, before the long work, a target that cannot be written or is a part of the source."""
    if target.exists():
        raise FlukeprintError(f"{target} is there already; name another with --out")
    place, folder = target.resolve(), source.resolve()
    if place == folder or (folder.is_dir() and place.is_relative_to(folder)):
        raise FlukeprintError(
            f"{target} lies in {source}, which stays as it is; name another --out"
        )
    check_writable(target.parent)


def _check_asked(source: Path, observed: Observed, asked: Sequence[ObservedPhoto]) -> None:
    """Refuse a source of which nothing can be asked."""
    if not observed.photos:
        raise FlukeprintError(f"{source} tells of no photograph of an animal:\n{observed.text()}")
    if not asked and all(one.identity is not None for one in observed.photos):
        raise FlukeprintError(
            f"all photographs of {source} are named already; --again asks about those that a "
            "machine named"
        )
    if not any(is_file(one.path) for one in asked if one.path is not None):
        raise FlukeprintError(
            f"none of the photographs of {source} has a file here; say where they begin with --root"
        )


def _is_asked(photo: ObservedPhoto, again: bool) -> bool:
    return photo.identity is None or (again and photo.machine)


def _answers(
    known: Identifier,
    asked: Sequence[ObservedPhoto],
    observed: Observed,
    path: Path,
    again: bool,
) -> RowAnswers:
    """Answer the rows, those of the journal from there."""
    chunks = [
        (number, asked[start : start + CHUNK])
        for number, start in enumerate(range(0, len(asked), CHUNK))
    ]
    stamp = identifier_stamp(known)
    measured = len(asked) * known.card.recipe.variants >= WORTH_MEASURING
    same = {
        "source": _listing_digest(observed.photos),
        "identifier": stamp,
        "settings": {"again": again, "chunk": CHUNK, "version": _TABLES_VERSION},
    }
    moment = datetime.now(UTC).replace(microsecond=0)
    engine: EngineName = known.warm_up(say) if measured else "torch"
    journal = Journal.open(
        path, same=same, first={"engine": engine, "time": moment.isoformat(), "by": _by(stamp)}
    )
    try:
        if journal.results:
            done = sum(map(len, journal.results.values()))
            say(f"{done:,} of {len(asked):,} are answered already, by {path}")
        left = [chunk for chunk in chunks if chunk[0] not in journal.results]
        # What was just measured is built already; another engine is asked for by its name.
        used: EngineName = journal.head["engine"]
        if measured and used == engine:
            used = "auto"
        with Stage("photographs", sum(len(rows) for _, rows in left)) as stage:
            for number, results in ask_chunks(known, left, used):
                journal.add(number, results)
                stage.update(len(results))
    finally:
        journal.close()
    every = {name: one for n, _ in chunks for name, one in journal.results[n].items()}
    failed = {name: one for name, one in every.items() if isinstance(one, str)}
    for error in failed.values():
        say(error)
    return RowAnswers(
        {name: one for name, one in every.items() if isinstance(one, RowAnswer)},
        failed,
        journal.head["by"],
        datetime.fromisoformat(journal.head["time"]),
    )


def identifier_stamp(known: Identifier) -> str:
    """12 digits that change with the network, the gallery, its names and all settings."""
    digest = hashlib.sha256(known.card.model_dump_json().encode())
    gallery = known.gallery
    names = [gallery.stamp, gallery.images, gallery.identities]
    digest.update(json.dumps(names).encode())
    return digest.hexdigest()[:12]


def _by(stamp: str) -> str:
    return f"{MAKER}{__version__}, identifier {stamp}"


def _listing_digest(photos: Sequence[ObservedPhoto]) -> str:
    """Digest of which photographs and boxes a source has, and whom others have named."""
    digest = hashlib.sha256()
    for one in photos:
        path = None if one.path is None else str(one.path.absolute())
        digest.update(json.dumps([one.image, path, one.box, one.identity, one.machine]).encode())
    return digest.hexdigest()
