"""Draw what a training came to, as pictures in the folder of its run.

answers.png (queries with their answers), curves.png, reliability.png where probabilities could be
measured, and matches.png where keypoints are matched.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.decoding import decode_row
from flukeprint.data.splits import Split
from flukeprint.errors import counted
from flukeprint.evaluation.plots import (
    ROWS,
    draw_answers,
    draw_curves,
    draw_matches,
    draw_reliability,
)
from flukeprint.evaluation.validation import Validation
from flukeprint.output import say
from flukeprint.pictures import shortened
from flukeprint.ranking.features import Features
from flukeprint.ranking.local.lightglue import keypoint_backend
from flukeprint.ranking.ranking import Ranking

TRIED = 100  # most pairs that are matched in search of the one with most keypoints


def draw_fold(
    folder: Path, config: Config, features: Features, catalog: Catalog, split: Split,
    validation: Validation,
) -> tuple[Path, ...]:  # fmt: skip
    """Draw the pictures of a validated fold into the run's folder; returns those drawn.

    One that cannot be drawn is said on standard error: no reason for a finished training to fail.

    features: of the whole `catalog`, whose rows `split` names.
    """
    truths = [split.answers[place] for place in validation.report]
    queries = catalog.take(split.queries[validation.report])
    gallery = catalog.take(split.gallery)
    scores, logs = validation.scores, sorted(folder.glob("log/csv-*/metrics.csv"))
    measured = f"{counted(scores.queries, 'query', 'queries')}, MAP@5 {scores.map5.mean:.3f}"
    fold = f"{shortened(config.name, 40)}, fold {config.split.fold}"

    def answers(target: Path) -> None:
        draw_answers(
            queries, validation.ranking, gallery, target, new_label=config.data.new_label,
            truth=truths, rows=pick_queries(validation.ranking, truths),
            title=f"{fold}: {min(ROWS, len(queries))} of {measured}, top-1 {scores.top1:.0%}",
        )  # fmt: skip

    def curves(target: Path) -> None:
        epochs = counted(config.train.epochs, "epoch")
        draw_curves(logs, target, title=f"{fold}: training of {epochs}")

    def reliability(target: Path) -> None:
        assert validation.reliability is not None
        title = f"{fold}: are the probabilities right?"
        draw_reliability(validation.reliability, target, title=title)

    def matches(target: Path) -> None:
        draw_best_pair(
            features.take(split.queries[validation.report]), queries,
            features.take(split.gallery), gallery, validation.ranking, truths, config, target,
        )  # fmt: skip

    wanted: dict[str, Callable[[Path], None]] = {"answers.png": answers, "curves.png": curves}
    if validation.reliability is not None:
        wanted["reliability.png"] = reliability
    if features.keypoints is not None:
        wanted["matches.png"] = matches
    drawn = []
    for name, draw in wanted.items():
        try:
            draw(folder / name)
        except Exception as error:  # the identifier is saved, and that is what counts
            say(f"{folder / name} could not be drawn: {' '.join(str(error).split())}")
        else:
            drawn.append(folder / name)
    return tuple(drawn)


def pick_queries(ranking: Ranking, truths: Sequence[str | None], most: int = ROWS) -> list[int]:
    """Pick queries that are right as often as all are: evenly spread from right to wrong answers.

    truths: (q) right answers, None for a new individual.
    """
    places = [
        names.index(truth) if truth in names else len(names)
        for names, truth in zip(ranking.identities, truths, strict=True)
    ]
    order = np.argsort(places, kind="stable")
    spread = (np.arange(min(most, len(order))) + 0.5) / min(most, len(order)) * len(order)
    return [int(order[int(place)]) for place in spread]


def draw_best_pair(
    queries: Features,
    query_photos: Catalog,
    gallery: Features,
    gallery_photos: Catalog,
    ranking: Ranking,
    truths: Sequence[str | None],
    config: Config,
    target: Path,
) -> None:
    """Draw the query with the strongest keypoint match to its first answer, a right one if any.

    ranking: of the queries; its rows are those of the gallery.  truths: right answers.
    """
    assert queries.keypoints is not None
    assert gallery.keypoints is not None
    backend = keypoint_backend(config.rank.local)
    pairs = [
        (query, int(ranking.rows[query, place]), name == truth)
        for query, (names, truth) in enumerate(zip(ranking.identities, truths, strict=True))
        for place, name in list(enumerate(names))[:2]
        if ranking.rows[query, place] >= 0 and name is not None
    ]
    pairs.sort(key=lambda pair: not pair[2])
    best = max(
        pairs[:TRIED],
        key=lambda pair: (
            pair[2],
            backend.match(queries.keypoints[pair[0]], gallery.keypoints[pair[1]]).strength,  # type: ignore[index]
        ),
    )
    photos, keypoints = [], []
    for catalog, row in ((query_photos, best[0]), (gallery_photos, best[1])):
        pixels = decode_row(catalog, row)
        if catalog.in_views(config.image.mirror_views)[row]:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        photos.append(pixels)
        keypoints.append(backend.extract(pixels))
    draw_matches(
        (photos[0], photos[1]),
        (keypoints[0], keypoints[1]),
        backend.match(*keypoints),
        (query_photos.images[best[0]], gallery_photos.images[best[1]]),
        target,
        title=f"{shortened(config.name, 40)}: the keypoints of a query and of its "
        f"{'right' if best[2] else 'wrong'} answer "
        f"{shortened(str(gallery_photos.identities[best[1]]), 40)}",
    )
