"""One, two and three photographs of one animal answered together, on the folds of finished runs.

    python -m benchmarks.accuracy.encounters --run RUN [--run RUN ...]
    python -m benchmarks.accuracy.encounters --untrained lions --set data.root=LIONS split.folds=2

RUN is the folder of a finished run; runs of one configuration are folds of one data set and are
pooled.  Nothing is trained: the fold's queries are ranked against its gallery as the run's
identifier ranks them, and groups of queries of one animal are drawn.  Where the runs' folds have
too few queries of an animal, `--untrained` measures all folds of a configuration with the untrained
backbone and the configuration's rules of ranking.  Writes `benchmarks/results/encounters.csv`,
where the rows of other data sets are kept, and from it alone (`--render`)
`benchmarks/reports/encounters.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from benchmarks.harness.rows import read_rows, save_rows
from flukeprint.config.load import load_config
from flukeprint.config.ranking import EncounterRule
from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import halves, split_for
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.fitting import fit_calibration, fit_rules
from flukeprint.evaluation.reliability import calibration_error
from flukeprint.evaluation.studies.encounters import (
    SIZES,
    DrawnGroup,
    GroupAnswers,
    draw_groups,
    fit_exponent,
)
from flukeprint.evaluation.studies.individuals import (
    draw_individuals,
    resampled_interval,
    resampled_means,
    share_interval,
)
from flukeprint.files import written_whole
from flukeprint.identifier.card import read_card
from flukeprint.identifier.runs import Run, check_same_labels
from flukeprint.models.network import untrained_embedder
from flukeprint.output import say
from flukeprint.ranking.calibration import Calibration
from flukeprint.ranking.encounters.combine import COMBINATIONS
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking
from flukeprint.ranking.rules import FittedRules

RESULT, PAGE = RESULTS / "encounters.csv", REPORTS / "encounters.md"
DRAWS = 20  # groups of each animal that report
FIT_DRAWS = 10  # and that fit the exponent
LEASTS = (2, 3)
FEWEST_ANIMALS = 10  # of a row
SEED = 0
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answered:
    """A fold's queries, ranked with all identities.

    animals, views: of each query; an animal that the gallery lacks is None.
    """

    data: str
    fold: int
    ranking: Ranking
    animals: tuple[str | None, ...]
    individuals: tuple[str | None, ...]
    views: tuple[str | None, ...] | None


@dataclass(frozen=True)
class Row:
    """Figures of one rule on groups of `size` queries.

    photographs: `any`, or `one view` where a group is of one view.  least: queries that an animal
    has at least, so that rows of one `least` are of the same animals.  gain: of top-1 over `mean`.
    ece_one: calibration error with the probabilities of one photograph; ece: with the exponent.
    """

    data: str
    folds: str
    photographs: str
    least: int
    size: int
    rule: str
    animals: int
    groups: int
    top1: float
    top1_low: float
    top1_high: float
    map5: float
    map5_low: float
    map5_high: float
    gain: float
    gain_low: float
    gain_high: float
    exponent: float
    loss_one: float
    loss: float
    ece_one: float
    ece: float


def read_run(folder: Path) -> Answered:
    """Rank the queries of a finished run's fold.

    Raises FlukeprintError for a run that is not finished, or whose photographs have changed.
    """
    run = Run(folder)
    if not run.finished:
        raise FlukeprintError(f"{folder} is no finished run; name the folder of one")
    config = run.config()
    catalog = read_labelled(config.data)
    embeddings = Embeddings.load(run.path / "embeddings.npz")
    if config.data.skip_unreadable:
        kept = set(embeddings.images)
        catalog = catalog.take([row for row, name in enumerate(catalog.images) if name in kept])
    check_same_labels(run, catalog)
    card = read_card(run.measured if run.measured.is_dir() else run.identifier)
    rules = card.method.rules
    features = extract_features(embeddings, catalog, config.image, rules, progress="keypoints")
    file = run.path / "centers.npz"
    centers = Embeddings.load(file) if rules.head else None
    return _answered(config, config.name, catalog, features, card.method, centers)


def read_untrained(name: str, more: Sequence[str]) -> list[Answered]:
    """Rank the queries of all folds of a configuration, embedded by its untrained backbone."""
    config = load_config(f"{name}.yaml", ["rank.head=0", *more])
    catalog = read_labelled(config.data)
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    recipe = EmbeddingRecipe.of(config).stamped(net)
    embeddings = embed(net, catalog, recipe, Compute.of(config), progress=name)
    features = extract_features(
        embeddings, catalog, config.image, config.rank, progress="keypoints"
    )
    found = []
    for fold in range(config.split.folds):
        split = config.split.model_copy(update={"fold": fold})
        one = config.model_copy(update={"split": split})
        found.append(_answered(one, f"{config.name}, untrained", catalog, features))
    return found


def _answered(
    config: Config,
    data: str,
    catalog: Catalog,
    features: Features,
    method: FittedRules | None = None,
    centers: Embeddings | None = None,
) -> Answered:
    """Rank the fold's queries; without a method, the rules are fitted on them."""
    split = split_for(config, catalog)
    ranker = QueryRanker(
        features.take(split.gallery), features.take(split.queries),
        config.rank if method is None else method.rules, centers=centers, progress="matching",
    )  # fmt: skip
    known = len(ranker.scorer.gallery.vocabulary)
    return Answered(
        data=data,
        fold=config.split.fold,
        ranking=ranker.rank(method or fit_rules(ranker, split.answers), top=max(3, known)),
        animals=split.answers,
        individuals=tuple(catalog.identities[row] for row in split.queries),
        views=None if catalog.views is None else tuple(catalog.views[row] for row in split.queries),
    )


@dataclass(frozen=True)
class Outcome:
    """Groups that report: place of the right animal, from 1, and probabilities.

    owners: whose each group is.  first, right: probability of the first and of the right answer
    with the fitted exponent; first_one, right_one: with that of one photograph.
    """

    owners: tuple[str, ...]
    places: npt.NDArray[np.int64]
    first: Values
    right: Values
    first_one: Values
    right_one: Values
    exponent: float


@dataclass(frozen=True)
class Learned:
    """What one half of a fold's animals taught; `report` (q,) marks the queries of the other."""

    report: npt.NDArray[np.bool_]
    calibration: Calibration
    exponent: float


def learn(found: Answered, rule: EncounterRule, one_view: bool) -> tuple[Learned, ...]:
    """Fit calibration and exponent on each half of the animals."""
    side = halves(found.animals, found.individuals, SEED)
    learned = []
    for fit in (side, ~side):
        answers = [a for a, chosen in zip(found.animals, fit, strict=True) if chosen]
        calibration = fit_calibration(found.ranking.take(fit), answers)
        if calibration is None:
            raise FlukeprintError(f"{found.data}, fold {found.fold}: too few queries to calibrate")
        groups = [
            group for size in SIZES for group in _groups(found, fit, size, FIT_DRAWS, one_view)
        ]
        exponent = 0.0
        if groups:
            exponent = fit_exponent(GroupAnswers.of(found.ranking, groups, rule, calibration))
        learned.append(Learned(~fit, calibration, exponent))
    return tuple(learned)


def measure(
    found: Answered,
    learned: Sequence[Learned],
    rule: EncounterRule,
    size: int,
    least: int,
    one_view: bool,
) -> list[Outcome]:
    """Answer drawn groups of the animals that taught nothing."""
    outcomes = []
    for half in learned:
        groups = _groups(found, half.report, size, DRAWS, one_view, least)
        if not groups:
            continue
        joint = GroupAnswers.of(found.ranking, groups, rule, half.calibration)
        owners = tuple(group.animal for group in groups)
        one, fitted = joint.at(0.0), joint.at(half.exponent)
        outcomes.append(Outcome(owners, joint.truth + 1, *fitted, *one, half.exponent))
    return outcomes


def _groups(
    found: Answered,
    chosen: npt.NDArray[np.bool_],
    size: int,
    draws: int,
    one_view: bool,
    least: int = 1,
) -> list[DrawnGroup]:
    animals = [a if here else None for a, here in zip(found.animals, chosen, strict=True)]
    kinds = found.views if one_view else None
    return draw_groups(animals, size, draws=draws, seed=SEED, least=least, kinds=kinds)


Taught = dict[EncounterRule, list[tuple[Learned, ...]]]  # of each fold


def rows_of(
    folds: Sequence[Answered], taught: Taught, size: int, least: int, one_view: bool
) -> list[Row]:
    """A row for each rule, on the same groups."""
    found = {
        rule: [
            part
            for fold, learned in zip(folds, taught[rule], strict=True)
            for part in measure(fold, learned, rule, size, least, one_view)
        ]
        for rule in COMBINATIONS
    }
    owners = [name for part in found["mean"] for name in part.owners]
    names = sorted(set(owners))
    if len(names) < FEWEST_ANIMALS:
        return []
    number = {name: place for place, name in enumerate(names)}
    owner = np.array([number[name] for name in owners])
    times = draw_individuals(len(names), seed=SEED)

    def joined(rule: EncounterRule, what: str) -> Values:
        return np.concatenate([getattr(part, what) for part in found[rule]])

    plain = (joined("mean", "places") == 1).astype(float)
    rows = []
    for rule, parts in found.items():
        places = joined(rule, "places")
        hit = (places == 1).astype(float)
        ap = np.where(places <= 5, 1 / places, 0.0)
        top1, map5 = share_interval(hit, owner, times), share_interval(ap, owner, times)
        more = hit - plain
        gain = resampled_interval(resampled_means(more, owner, times), float(more.mean()))
        rows.append(
            Row(
                folds[0].data,
                " ".join(str(fold.fold) for fold in folds),
                "one view" if one_view else "any",
                least,
                size,
                rule,
                len(names),
                len(owners),
                top1.mean,
                top1.low,
                top1.high,
                map5.mean,
                map5.low,
                map5.high,
                gain.mean,
                gain.low,
                gain.high,
                float(np.mean([part.exponent for part in parts])),
                _loss(joined(rule, "right_one")),
                _loss(joined(rule, "right")),
                calibration_error(joined(rule, "first_one"), hit == 1),
                calibration_error(joined(rule, "first"), hit == 1),
            )
        )
    return rows


def _loss(right: Values) -> float:
    return -float(np.log(np.maximum(right, 1e-6)).mean())


def main() -> None:
    """Measure the runs and write result and page."""
    parser = options("accuracy.encounters", __doc__, ["render"])
    parser.add_argument("--run", action="append", type=Path, default=[], help="a finished run")
    parser.add_argument("--untrained", metavar="NAME", help="a configuration, not trained")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="its settings")
    given = parser.parse_args()
    if not given.render:
        if not given.run and given.untrained is None:
            parser.error("name the folders of finished runs with --run")
        folds: dict[str, list[Answered]] = {}
        if given.untrained is not None:
            several = read_untrained(given.untrained, given.set)
            folds[several[0].data] = several
        for folder in given.run:
            say(str(folder))
            found = read_run(folder)
            folds.setdefault(found.data, []).append(found)
        rows = [row for row in read_rows(RESULT, Row) if row.data not in folds]
        for several in folds.values():
            several.sort(key=lambda each: each.fold)
            for one_view in (False, True) if several[0].views else (False,):
                taught: Taught = {
                    rule: [learn(fold, rule, one_view) for fold in several] for rule in COMBINATIONS
                }
                for least in LEASTS:
                    for size in range(1, least + 1):
                        rows += rows_of(several, taught, size, least, one_view)
            save_rows(RESULT, Row, rows)
    text = page(read_rows(RESULT, Row))
    with written_whole(PAGE) as partial:
        partial.write_text(text)
    print(text)


HEAD = """# Several photographs of one animal, answered together

Made by `python -m benchmarks.accuracy.encounters --run RUN [--run RUN ...]` from finished runs,
whose rules of ranking (embedding, and keypoints where the run matches them) are used as they are.

**What a group is.** These data do not tell when a photograph was taken, so these are not proven
bursts: a group is one, two or three of the fold's queries of one animal, drawn at random, 20 groups
for each animal and size. Photographs of a true burst are more alike, and will gain less. In the
rows *one view*, all photographs of a group show one view, as those of a burst mostly do. All rows
under one heading are of the same animals, so that they compare. Intervals are of 95 % and resample
animals.

**The rules** (`rank.encounters`): `mean` of the scores of an animal, the `best` of them, and
`probabilities`: their mean, weighted so that its order is that of the product of the photographs'
probabilities.

**Probabilities.** Several photographs say more than one. Calibration and exponent (m photographs
count for m to that power, `encounter_weight`) are fitted on one half of the animals and measured on
the other, then the other way round. *ECE*: expected calibration error of the first answer in 15
bins; *as one*: with the probabilities that one photograph with the same scores would have. *Log
loss*: of the right answer; less is better.

Rows of fewer than 10 animals are left out: the queries of a fold of five have no lion three times.
"""
UNTRAINED = """
*Untrained*: all folds of a configuration with the backbone as it was before any training, so that
no photograph was trained on, and with the configuration's keypoints.
"""


def page(rows: Sequence[Row]) -> str:
    """The page in Markdown."""
    untrained = any("untrained" in row.data for row in rows)
    lines = [HEAD + (UNTRAINED if untrained else ""), *_verdict(rows)]
    for data, folds, photographs, least in dict.fromkeys(
        (row.data, row.folds, row.photographs, row.least) for row in rows
    ):
        inside = [
            row for row in rows
            if (row.data, row.photographs, row.least) == (data, photographs, least)
        ]  # fmt: skip
        shown = "groups of one view" if photographs == "one view" else "groups of any views"
        lines += [
            f"## {data}, {shown}, animals with {least} queries or more\n",
            f"Folds {folds.replace(' ', ', ')}; {inside[0].animals} animals.\n",
            "| photographs | rule | top-1 | MAP@5 | top-1 - mean | exponent | ECE as one | ECE "
            "| log loss as one | log loss |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in inside if row.size > 1 or row.rule == "mean"]
        lines.append("")
    return "\n".join(lines)


def _line(row: Row) -> str:
    alone = row.size == 1
    gain = f"{row.gain:+.3f} [{row.gain_low:+.3f}, {row.gain_high:+.3f}]"
    cells = [
        str(row.size),
        "any" if alone else row.rule,
        f"{row.top1:.3f} [{row.top1_low:.3f}, {row.top1_high:.3f}]",
        f"{row.map5:.3f} [{row.map5_low:.3f}, {row.map5_high:.3f}]",
        "" if alone or row.rule == "mean" else gain,
        "" if alone else f"{row.exponent:.2f}",
        f"{row.ece_one:.3f}",
        "" if alone else f"{row.ece:.3f}",
        f"{row.loss_one:.2f}",
        "" if alone else f"{row.loss:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _verdict(rows: Sequence[Row]) -> list[str]:
    """For each rule beside the mean, how often its top-1 differs beyond noise."""
    lines = ["## What it says\n"]
    several = [row for row in rows if row.size > 1]
    for rule in COMBINATIONS:
        if rule == "mean":
            continue
        own = [row for row in several if row.rule == rule]
        better = sum(row.gain_low > 0 for row in own)
        worse = sum(row.gain_high < 0 for row in own)
        lines.append(
            f"- `{rule}` against `mean`: better beyond noise in {better}, worse in {worse} of "
            f"{len(own)} rows."
        )
    for data in dict.fromkeys(row.data for row in rows):
        own = [
            row for row in rows
            if row.data == data and row.rule == "mean" and row.photographs == "any"
        ]  # fmt: skip
        own = [row for row in own if row.least == max(each.least for each in own)]
        told = ", ".join(f"{row.top1:.3f} with {row.size}" for row in own)
        lines.append(f"- {data}: top-1 by `mean` is {told} ({own[0].animals} animals).")
    return [*lines, ""]


if __name__ == "__main__":
    main()
