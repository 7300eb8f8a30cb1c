"""Whales: five answers, a threshold for new ones, and enrolling without training.

`python -m benchmarks.learn.whales` asks the newest run of `demo.yaml`, which `flukeprint demo`
trains, about its test photographs, and enrols whales drawn anew from one photograph each.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.harness.arguments import options
from benchmarks.learn.output import OTHER, SAME, Words, draw, keep_figures
from flukeprint.config.load import load_config
from flukeprint.data.decoding import Pixels, decode
from flukeprint.data.embeddings import Values
from flukeprint.data.readers.read import read_test
from flukeprint.data.synthetic.fluke import draw_fluke
from flukeprint.evaluation.metrics import map_at_5
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import find_run
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.submission.csv_file import read_answers

WHALES, ASKED, SIDE, FIRST_SEED = 8, 2, 320, 90_000  # whales drawn anew, photographs asked of each
WORDS: dict[str, Words] = {
    "en": {
        "photograph": "photograph", "new": "new whale", "known": "in the gallery",
        "absent": "not in the gallery", "score": "score of the nearest whale",
        "threshold": "threshold", "photographs": "photographs",
    },
    "es": {
        "photograph": "foto", "new": "ballena nueva", "known": "en la galería",
        "absent": "fuera de la galería", "score": "puntuación de la ballena más cercana",
        "threshold": "umbral", "photographs": "fotos",
    },
}  # fmt: skip


def tally(ranking: Ranking, truth: list[str | None], threshold: float) -> dict[str, Any]:
    """Count what the threshold decides, and what the five answers are worth."""
    known = np.array([answer is not None for answer in truth])
    below = ranking.best_known < threshold
    first = [answers[0] for answers in ranking.identities]
    right = np.array([answer == true for answer, true in zip(first, truth, strict=True)])
    among = [true in answers for answers, true in zip(ranking.identities, truth, strict=True)]
    return {
        "photographs": len(truth), "known": int(known.sum()), "new": int((~known).sum()),
        "map5": map_at_5(ranking.identities, truth),
        "first_right": int(right.sum()), "among_five": int(np.sum(among)),
        "known_called_new": int((known & below).sum()),
        "new_called_known": int((~known & ~below).sum()),
    }  # fmt: skip


def enrolment(identifier: Identifier) -> dict[str, Any]:
    """Enrol WHALES whales from one photograph each: answers to others before and after."""
    names = [f"n_{number}" for number in range(WHALES)]
    photos = [
        [draw_fluke(FIRST_SEED + whale, 100 * whale + photo, SIDE) for photo in range(1 + ASKED)]
        for whale in range(WHALES)
    ]
    asked: list[Pixels] = [photo for whale in photos for photo in whale[1:]]
    truth = [name for name in names for _ in range(ASKED)]
    before = identifier.identify(asked)
    grown = identifier
    for name, whale in zip(names, photos, strict=True):
        grown = grown.enroll(name, [whale[0]], thumbnails=False)
    after = grown.identify(asked)
    pairs = list(zip(after.identities, truth, strict=True))
    return {
        "whales": WHALES, "asked": len(asked),
        "new_before": sum(answers[0] is None for answers in before.identities),
        "right_after": sum(answers[0] == name for answers, name in pairs),
        "among_five_after": sum(name in answers for answers, name in pairs),
    }  # fmt: skip


def chosen(ranking: Ranking, truth: list[str | None]) -> list[int]:
    """A known whale that is right, a new one that is right, and a photograph that is wrong."""
    right = [answers[0] == true for answers, true in zip(ranking.identities, truth, strict=True)]
    known = next(i for i, true in enumerate(truth) if right[i] and true is not None)
    new = next(i for i, true in enumerate(truth) if right[i] and true is None)
    return [known, new, right.index(False)]


def draw_answers(
    rows: list[int], ranking: Ranking, truth: list[str | None], photos: dict[str, Path],
    images: tuple[str, ...], words: Words,
) -> Figure:  # fmt: skip
    """Three photographs, each with its five answers and their scores; the right one in green."""
    figure, axes = plt.subplots(len(rows), 6, figsize=(9.6, 3.3), layout="constrained")
    for line, row in zip(axes, rows, strict=True):
        line[0].imshow(_small(photos[ranking.images[row]]))
        line[0].set_title(truth[row] or words["new"], fontsize=8.5, fontweight="bold")
        for axis, answer, score, place in zip(
            line[1:], ranking.identities[row], ranking.scores[row], ranking.rows[row], strict=True
        ):
            if place >= 0:
                axis.imshow(_small(photos[images[place]]))
            else:
                axis.text(
                    0.5, 0.5, "?", transform=axis.transAxes, ha="center", va="center", size=22
                )
            colour = "#1a9850" if answer == truth[row] else "#444444"
            axis.set_title(f"{answer or words['new']}  {score:.2f}", fontsize=8, color=colour)
            for spine in axis.spines.values():
                spine.set(visible=answer == truth[row], color=colour, linewidth=2.5)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.set_box_aspect(0.5)
        for spine in line[0].spines.values():
            spine.set_visible(False)
    return figure


def _small(path: Path) -> Pixels:
    pixels = decode(path)
    step = max(1, pixels.shape[1] // 160)
    return np.ascontiguousarray(pixels[::step, ::step])


def draw_threshold(scores: Values, known: Values, threshold: float, words: Words) -> Figure:
    """Scores of the nearest whale, for photographs of known and of new whales."""
    figure, axis = plt.subplots(figsize=(7, 2.8), layout="constrained")
    edges = np.linspace(float(scores.min()) - 0.02, float(scores.max()) + 0.02, 32)
    for chosen_ones, colour, name in ((known, SAME, "known"), (~known, OTHER, "absent")):
        axis.hist(scores[chosen_ones], edges, color=colour, alpha=0.75, label=words[name])
    axis.axvline(threshold, color="black", linewidth=1.2, label=words["threshold"])
    axis.set(xlabel=words["score"], ylabel=words["photographs"])
    axis.legend(fontsize=9)
    return figure


def main() -> None:
    options("learn.whales", __doc__).parse_args()
    torch.set_num_threads(1)
    config = load_config("demo.yaml")
    run = find_run(config, None, finished=True)
    identifier = Identifier.load(run.identifier)
    test = read_test(config.data)
    answers = dict(read_answers(config.data.root / "test_truth.csv", new_label="new_whale"))
    truth = [answers[image] for image in test.images]
    threshold = identifier.card.threshold
    assert threshold is not None
    plain = identifier.with_threshold(None).identify(test)
    ranking = insert_new_individual(plain, threshold)
    photos = {
        path.name: path
        for folder in ("train", "test")
        for path in (config.data.root / folder).iterdir()
    }
    rows = chosen(ranking, truth)
    draw(
        "whales", WORDS,
        lambda words: draw_answers(rows, ranking, truth, photos, identifier.gallery.images, words),
    )  # fmt: skip
    known = np.array([true is not None for true in truth])
    draw(
        "new_whales", WORDS,
        lambda words: draw_threshold(ranking.best_known, known, threshold, words),
    )  # fmt: skip
    keep_figures(
        "whales",
        {
            "gallery": len(identifier.gallery), "whales": len(identifier.identities),
            "of_one_photograph": sum(
                photos == 1 for photos in Counter(identifier.gallery.identities).values()
            ),
            "threshold": threshold, "test": tally(ranking, truth, threshold),
            "never_new": map_at_5(plain.identities, truth),
            "enrolment": enrolment(identifier),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
