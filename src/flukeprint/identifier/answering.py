"""Answer the photographs of a command: files and folders to rows of data for JSON and for people.

A photograph that cannot be read gets a row with its error and takes nothing from the others.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flukeprint.data.catalog import Box
from flukeprint.data.decoding import read_photo
from flukeprint.data.formats.photo_formats import SUFFIXES, UnusableError, named_like_photo
from flukeprint.data.readers.boxes import shares_in_pixels
from flukeprint.embedding.engine_choice import WORTH_MEASURING
from flukeprint.errors import FlukeprintError, counted, listed
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.photo_input import Prepared
from flukeprint.identifier.verdict import unread_row, verdict_row
from flukeprint.output import Stage
from flukeprint.storage import files_below

BLOCK = 64  # photographs that are in memory together


def photographs_at(places: Sequence[Path]) -> list[Path]:
    """The photographs that are meant by files and folders, each once: of a folder all below it.

    Files are not looked into, hidden ones of a folder are left out.

    Raises:
        FlukeprintError: a folder without photographs.
    """
    paths: list[Path] = []
    for place in places:
        if not place.is_dir():
            paths.append(place)
            continue
        inside = [place / name for name in files_below(place) if not _is_hidden(name)]
        found = [path for path in inside if named_like_photo(path)]
        if not found:
            raise FlukeprintError(f"folder {place} holds no photographs ({', '.join(SUFFIXES)})")
        paths += found
    return list(dict.fromkeys(paths))


def answer_each(
    known: Identifier,
    photos: Sequence[Path],
    *,
    log_weights: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Answer photographs one by one: a `verdict_row` each, an `unread_row` for a damaged one.

    log_weights: of a prior by time and place, by identity.
    """
    if len(photos) * known.card.recipe.variants >= WORTH_MEASURING:
        known.warm_up()
    rows = []
    with Stage("photographs", len(photos)) as stage:
        for start in range(0, len(photos), BLOCK):
            block = photos[start : start + BLOCK]
            ready, unread = _prepared(known, block)
            features = known.examine_prepared(list(ready.values())) if ready else None
            place = {photo: row for row, photo in enumerate(ready)}
            for photo in block:
                if photo in unread or features is None:
                    rows.append(unread_row(str(photo), unread[photo]))
                    continue
                one = features.take([place[photo]])
                verdict = known.judge_encounter(one, log_weights=log_weights)
                rows.append(verdict_row(str(photo), verdict, known.card.new_label))
            stage.update(len(block))
    return rows


def answer_boxes(
    known: Identifier,
    photo: Path,
    boxes: Mapping[str, Box],
    *,
    log_weights: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Answer each animal of a photograph: a `verdict_row` for each box, which it names.

    boxes: shares of the upright photograph, by how the row calls them.
    """
    try:
        data = read_photo(photo)
    except UnusableError as error:
        return [unread_row(str(photo), f"photograph {photo}: {error}")]
    rows = []
    for told, box in boxes.items():
        try:
            ready = known.prepare(data, str(photo), shares_in_pixels(box, data))
        except FlukeprintError as error:
            return [unread_row(str(photo), str(error))]
        verdict = known.judge_encounter(known.examine_prepared([ready]), log_weights=log_weights)
        row = verdict_row(str(photo), verdict, known.card.new_label)
        rows.append({**row, "box": told})
    return rows


def answer_encounter(
    known: Identifier,
    photos: Sequence[Path],
    *,
    log_weights: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Answer photographs of one animal together: one `verdict_row`, then the `unread_row`s.

    Those that cannot be read are left out of the answer.
    """
    ready, unread = _prepared(known, photos)
    rows = [unread_row(str(photo), error) for photo, error in unread.items()]
    if ready:
        verdict = known.judge_encounter(
            known.examine_prepared(list(ready.values())), log_weights=log_weights
        )
        rows.insert(0, verdict_row(", ".join(map(str, ready)), verdict, known.card.new_label))
    return rows


def check_all_read(rows: Sequence[dict[str, Any]], photos: int) -> None:
    """Raise FlukeprintError, at the end of a command, if some photographs have no answer."""
    unread = [row["photo"] for row in rows if "error" in row]
    if unread:
        raise FlukeprintError(
            f"{len(unread)} of {counted(photos, 'photograph')} could not be read: {listed(unread)}"
        )


def verify_pair(
    known: Identifier, first: Path, second: Path, false_accept: float
) -> dict[str, Any]:
    """Compare two photographs: data for JSON, with the threshold and its measured error rates.

    false_accept: most pairs of different animals that may be taken for one.

    Raises:
        FlukeprintError: no measured threshold, or a photograph that cannot be read.
    """
    point = known.pair_threshold(false_accept)
    score, _ = known.verify(known.examine([first, second]), false_accept)
    return {
        "photos": [str(first), str(second)],
        "same": score >= point.threshold,
        "score": score,
        "threshold": point.threshold,
        "false_accept_rate": point.false_accept,
        "false_reject_rate": point.false_reject,
        "pairs": point.pairs,
    }


def pair_text(row: dict[str, Any], asked: float) -> str:
    """Format what `verify_pair` found in plain words; asked: the false accept rate asked for."""
    same, often = row["same"], row["false_accept_rate"]
    lines = [
        f"{'the same animal' if same else 'different animals'}: score {row['score']:.3f}, "
        f"{'at or above' if same else 'below'} the threshold {row['threshold']:.3f}",
        f"that threshold took {often:.2%} of {row['pairs']:,} pairs of different animals for one, "
        f"and missed {row['false_reject_rate']:.1%} of the pairs of one animal",
    ]
    if often > asked:
        lines.append(
            f"a false accept rate of {asked:.2%} was asked for; the fold had too few pairs to tell "
            f"less than {often:.2%}"
        )
    return "\n".join(lines)


def _prepared(
    known: Identifier, photos: Sequence[Path]
) -> tuple[dict[Path, Prepared], dict[Path, str]]:
    """Those that can be read, ready for the network, and the errors of the others."""
    ready: dict[Path, Prepared] = {}
    unread: dict[Path, str] = {}
    for photo in photos:
        try:
            ready[photo] = known.prepare(photo, photo.name)
        except FlukeprintError as error:
            unread[photo] = str(error)
    return ready, unread


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
