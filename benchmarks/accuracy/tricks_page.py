"""What `benchmarks.accuracy.tricks` compares, its rows, and the page made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from benchmarks.harness import rows as row_files
from benchmarks.harness.places import REPORTS, RESULTS
from benchmarks.harness.rows import ap_of
from flukeprint.errors import listed
from flukeprint.evaluation.comparison import Difference, paired_bootstrap
from flukeprint.files import written_whole

RESULT, PAGE = RESULTS / "tricks.csv", REPORTS / "tricks.md"
FOLDS, EPOCHS, BATCH = 3, 6, 32
SEEDS = tuple(range(FOLDS))  # fold f is trained with seed f
MEMORY, CONFIDENCE = 512, 0.3
LEVEL = 0.95
DATA = {
    "nyala": "Nyala, real: animals with at least 8 photographs, 96 x 128 px",
    "whales": "Whales, drawn: animals with at least 2 photographs, 48 x 96 px",
}
BASE, SECOND, THIRD = "base", "base, a second seed", "base, a third seed"
MIRRORED = "mirrored identities"
BOTH_SIDES = ", both sides embedded"
PAYS, HARMS, UNSURE = "pays", "harms", "cannot be told"

_SOFTMAX = "losses=[{name: softmax}]"
_AND = "losses=[{{name: softmax}}, {{name: {}}}]"


@dataclass(frozen=True)
class Arm:
    """A training: the settings in which it differs from the base.

    of_data: further settings on one data set.
    needs: arms whose runs on the same fold it learns from, trained before it.
    seed: added to the fold's number.
    both_sides: whether its network is also asked with photograph and mirror image side by side.
    longer: whether its epochs are shorter than the base's, so that it needs more of them for as
        many steps.
    """

    settings: tuple[str, ...] = ()
    of_data: tuple[tuple[str, tuple[str, ...]], ...] = ()
    needs: tuple[str, ...] = ()
    seed: int = 0
    both_sides: bool = False
    longer: bool = False


ARMS = {
    BASE: Arm((_SOFTMAX,), both_sides=True),
    SECOND: Arm((_SOFTMAX,), seed=10),
    THIRD: Arm((_SOFTMAX,), seed=20),
    "SupCon": Arm((_AND.format("supcon"),)),
    "SupCon, PK": Arm((_AND.format("supcon"), "sampler.name=pk"), longer=True),
    "multi-similarity": Arm((_AND.format("multi_similarity"),)),
    "multi-similarity, memory": Arm(
        (_AND.format("multi_similarity"), f"train.memory={MEMORY}")
    ),
    "EMA": Arm((_SOFTMAX, "train.ema=0.99")),
    "SWA": Arm((_SOFTMAX, "train.swa=0.3")),
    "label smoothing": Arm(("losses=[{name: softmax, params: {label_smoothing: 0.1}}]",)),
    "layer decay": Arm((_SOFTMAX, "train.layer_decay=0.8")),
    "frequent animals first": Arm(
        (_SOFTMAX, "sampler.first_epochs=2"),
        of_data=(
            ("nyala", ("sampler.first_photos=10",)),
            ("whales", ("sampler.first_photos=3",)),
        ),
        longer=True,
    ),
    "neck first": Arm((_SOFTMAX, "train.freeze_epochs=1")),
    "random crops": Arm((_SOFTMAX, "image.reserve=1.25", "image.crop=0.5")),
    MIRRORED: Arm((_SOFTMAX, "image.flip=new_identity"), both_sides=True),
    "distillation": Arm((_SOFTMAX,), needs=(SECOND, THIRD)),
    "pseudo-labels": Arm((_SOFTMAX,), needs=(BASE,)),
}  # fmt: skip


@dataclass(frozen=True)
class Trick:
    """A comparison: the arm with the trick, the one without, and the key that turns it on."""

    arm: str
    key: str
    against: str = BASE


TRICKS = {
    "PK batches, softmax + SupCon": Trick("SupCon, PK", "`sampler.name: pk`", "SupCon"),
    "cross-batch memory, softmax + multi-similarity": Trick(
        "multi-similarity, memory", f"`train.memory: {MEMORY}`", "multi-similarity"
    ),
    "EMA of the weights": Trick("EMA", "`train.ema: 0.99`"),
    "SWA": Trick("SWA", "`train.swa: 0.3`"),
    "label smoothing": Trick("label smoothing", "`label_smoothing: 0.1`"),
    "layer decay": Trick("layer decay", "`train.layer_decay: 0.8`"),
    "two stages: frequent animals first": Trick(
        "frequent animals first", "`sampler.first_epochs: 2`"
    ),
    "two stages: neck first": Trick("neck first", "`train.freeze_epochs: 1`"),
    "random crops": Trick("random crops", "`image.reserve: 1.25`, `image.crop: 0.5`"),
    "mirrored identities": Trick(MIRRORED, "`image.flip: new_identity`"),
    "mirrored identities, both asked with `infer.mirror`": Trick(
        MIRRORED + BOTH_SIDES, "`image.flip: new_identity`", BASE + BOTH_SIDES
    ),
    "pseudo-labels": Trick("pseudo-labels", "`data.pseudo_labels`"),
    "distillation of two runs": Trick("distillation", "`train.teachers`"),
}
OTHERS = {
    "nothing: a second seed": Trick(SECOND, "`train.seed`"),
    "nothing: a third seed": Trick(THIRD, "`train.seed`"),
    "SupCon beside softmax": Trick("SupCon", "`losses`"),
    "SupCon beside softmax, in PK batches": Trick("SupCon, PK", "`losses`, `sampler.name: pk`"),
    "multi-similarity beside softmax": Trick("multi-similarity", "`losses`"),
    "multi-similarity beside softmax, with memory": Trick(
        "multi-similarity, memory", "`losses`, `train.memory`"
    ),
    "`infer.mirror` alone": Trick(BASE + BOTH_SIDES, "`infer.mirror: true`"),
}


@dataclass(frozen=True)
class Row:
    """One network's answers to a fold's queries.

    seed: the number of the fold, and of the seed but for arms with another.
    photos: training photographs, `added` of them with a pseudo-label.
    cpu_seconds: of the training.
    of_queries: digest of the queries and their right answers.
    ranks: for each query the place of the right animal among its five answers, 0 where it is none.
    """

    data: str
    arm: str
    seed: int
    photos: int
    added: int
    queries: int
    of_queries: str
    steps: int
    cpu_seconds: float
    ranks: str


def read_rows() -> list[Row]:
    """All rows that are measured."""
    return row_files.read_rows(RESULT, Row)


def save_rows(rows: Sequence[Row]) -> None:
    """Write all rows."""
    row_files.save_rows(RESULT, Row, rows)


@dataclass(frozen=True)
class Compared:
    """A trick on one data set: rows with and without it, by fold, which were asked the same."""

    with_it: tuple[Row, ...]
    without: tuple[Row, ...]
    cost: float  # seconds with it, and of what it needs, over seconds without

    @property
    def ap(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """AP@5 of all queries, without and with it."""
        without, with_it = (
            np.concatenate([ap_of(row.ranks) for row in rows])
            for rows in (self.without, self.with_it)
        )
        return without, with_it

    @cached_property
    def difference(self) -> Difference:
        """MAP@5 without and with it, and the gain with its interval."""
        return paired_bootstrap(*self.ap)

    @property
    def of_folds(self) -> list[float]:
        """The gain in MAP@5 on each fold."""
        return [
            float(ap_of(a.ranks).mean() - ap_of(b.ranks).mean())
            for a, b in zip(self.with_it, self.without, strict=True)
        ]


def verdict(difference: Difference) -> str:
    """What the interval of a gain says."""
    if difference.gain.low > 0:
        return PAYS
    return HARMS if difference.gain.high < 0 else UNSURE


def compared(rows: Sequence[Row], data: str, trick: Trick) -> Compared | None:
    """A trick on the folds of one data set that were trained with and without it.

    Raises:
        ValueError: folds whose queries differ, which do not compare.
    """
    found = {(row.arm, row.seed): row for row in rows if row.data == data}
    both = [
        (found[trick.arm, seed], found[trick.against, seed])
        for seed in SEEDS
        if (trick.arm, seed) in found and (trick.against, seed) in found
    ]
    if not both:
        return None
    ratios = []
    for a, b in both:
        if a.of_queries != b.of_queries:
            raise ValueError(f"{data}: {a.arm} and {b.arm} were asked other queries, fold {a.seed}")
        needs = ARMS[trick.arm.removesuffix(BOTH_SIDES)].needs
        before = sum(found[need, a.seed].cpu_seconds for need in needs if (need, a.seed) in found)
        ratios.append((a.cpu_seconds + before) / b.cpu_seconds)
    return Compared(
        tuple(a for a, _ in both), tuple(b for _, b in both), float(np.median(ratios))
    )  # fmt: skip


def together(each: Sequence[Compared]) -> Difference:
    """The gain over the queries of all data sets at once."""
    without, with_it = (
        np.concatenate([one.ap[side] for one in each]) for side in (0, 1)
    )  # fmt: skip
    return paired_bootstrap(without, with_it)


def _gain(difference: Difference) -> str:
    gain = difference.gain
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _said(word: str) -> str:
    return word if word == UNSURE else f"**{word}**"


def table(rows: Sequence[Row], data: str, tricks: dict[str, Trick]) -> list[str]:
    """One line a trick on one data set, in Markdown."""
    lines = [
        "| trick | key | MAP@5 without | with | gain | of each fold | cost | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, trick in tricks.items():
        one = compared(rows, data, trick)
        if one is None:
            continue
        folds = ", ".join(f"{gain:+.3f}" for gain in one.of_folds)
        found = one.difference
        lines.append(
            f"| {name} | {trick.key} | {found.a:.3f} | {found.b:.3f} | {_gain(found)} | {folds} | "
            f"{one.cost:.2f} x | {_said(verdict(found))} |"
        )
    return lines


def summary(rows: Sequence[Row]) -> list[str]:
    """One line a trick: its verdict on each data set and on both together."""
    lines = [
        f"| trick | {' | '.join(DATA)} | gain on all queries | together |",
        f"|---|{'---|' * len(DATA)}---|---|",
    ]
    for name, trick in TRICKS.items():
        each = [compared(rows, data, trick) for data in DATA]
        known = [one for one in each if one is not None]
        if not known:
            continue
        words = ["-" if one is None else _said(verdict(one.difference)) for one in each]
        whole = together(known)
        lines.append(f"| {name} | {' | '.join(words)} | {_gain(whole)} | {_said(verdict(whole))} |")
    return lines


def sentences(rows: Sequence[Row]) -> list[str]:
    """What the verdicts say, in sentences."""
    found: dict[str, list[str]] = {PAYS: [], HARMS: [], UNSURE: []}
    made = 0
    for name, trick in TRICKS.items():
        words = {
            data: verdict(one.difference)
            for data in DATA
            if (one := compared(rows, data, trick)) is not None
        }
        made += len(words)
        for word in (PAYS, HARMS):
            if where := [data for data, heard in words.items() if heard == word]:
                found[word].append(f"{name} ({listed(where)})")
        if set(words.values()) == {UNSURE}:
            found[UNSURE].append(name)
    by_chance = made * (1 - LEVEL) / 2
    return [
        *(
            f"- {title}: {listed(found[word], len(TRICKS)) or 'none'}."
            for word, title in (
                (PAYS, "Pays"), (HARMS, "Harms"), (UNSURE, "Cannot be told on any data set"),
            )
        ),
        f"- Of {made} comparisons about {by_chance:.1f} would be said to pay, and as many to harm, "
        "by chance alone if no trick did anything.",
    ]  # fmt: skip


def pseudo_labels(rows: Sequence[Row]) -> list[str]:
    """How many photographs got a pseudo-label."""
    lines = []
    for data in DATA:
        added = [row.added for row in rows if row.data == data and row.arm == "pseudo-labels"]
        if added:
            lines.append(
                f"{data.capitalize()}: {listed([str(count) for count in added])} photographs added "
                "in the folds."
            )
    return lines


def complete(rows: Sequence[Row]) -> bool:
    """Whether every arm is measured on every fold."""
    have = {(row.data, row.arm, row.seed) for row in rows}
    return have >= {(data, arm, seed) for data in DATA for arm in ARMS for seed in SEEDS}


def render(rows: Sequence[Row]) -> str:
    """The page."""
    lines = [
        "# Which training tricks pay?",
        "",
        "Written by `python -m benchmarks.accuracy.tricks`: each trick alone, against the same "
        "training without it, on the same folds with the same seeds. EfficientNet-Lite0 from "
        "ImageNet's weights, its first stages frozen, learns small photographs for "
        f"{EPOCHS} epochs with softmax, the best loss of [losses.md](../losses.md), to 128 "
        f"dimensions. All {FOLDS} folds are trained, so each photograph is asked once. With and "
        "without a trick there are as many steps of as many photographs; where an epoch is "
        "shorter or longer for it, there are more or fewer epochs. Answers are the nearest "
        "photographs by cosine, closed set.",
        "",
        f"Brackets hold the {LEVEL:.0%} interval of the gain by a paired bootstrap over the "
        f"queries. A trick **{PAYS}** where the whole interval is above 0, **{HARMS}** where it is "
        "below, and else it cannot be told. The interval does not hold the chance of another seed "
        "of the training: the rows `nothing` compare the base with itself under other seeds, and "
        "a gain of their size means nothing. Cost is the CPU time of the training over that "
        "without the trick, that of runs which it learns from included, the median of the folds "
        "on a busy machine. Constants are the usual ones; **none was tuned**, and a training of "
        f"{EPOCHS} epochs says little about tricks that need long ones (EMA, SWA) or about "
        "classes twice as many (mirrored identities) learnt to the end.",
        "",
        "## In short",
        "",
        *summary(rows),
        "",
        *sentences(rows),
    ]
    for data, title in DATA.items():
        of = [row for row in rows if row.data == data and row.arm == BASE]
        if not of:
            continue
        lines += [
            "", f"## {title}", "",
            f"{of[0].photos} training photographs a fold, {of[0].steps} steps of {BATCH}; "
            f"{sum(row.queries for row in of)} queries in all.",
            "", *table(rows, data, TRICKS),
            "", "Beside them, to read them by:", "", *table(rows, data, OTHERS),
        ]  # fmt: skip
    lines += [
        "", "## Notes", "",
        "- Pseudo-labels: the data set's test photographs, some of them of animals that are not in "
        "the gallery, named by the base's run of the same fold (`flukeprint pseudo-label`), those "
        f"whose first answer is right with a probability of at least {CONFIDENCE} by its "
        f"calibration. {' '.join(pseudo_labels(rows))}",
        "- Distillation: two runs of the base with other seeds on the same fold are the teachers; "
        "the cost is that of all three trainings.",
        "- Frequent animals first: those with at least 10 training photographs (nyala) or 3 "
        "(whales), for two epochs.",
        "- `infer.mirror` embeds photograph and mirror image side by side, twice as long.",
    ]  # fmt: skip
    if not complete(rows):
        lines += ["", "Not complete: some rows are not measured yet."]
    trained = [row for row in rows if not row.arm.endswith(BOTH_SIDES)]
    minutes = sum(row.cpu_seconds for row in trained) / 60
    lines += ["", f"All trainings together took {minutes:.0f} minutes of one core.", ""]
    return "\n".join(lines)


def write_page(rows: Sequence[Row]) -> None:
    """Write the page."""
    with written_whole(PAGE) as partial:
        partial.write_text(render(rows))
