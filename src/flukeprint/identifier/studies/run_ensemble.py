"""Measure finished runs that answer together: their embeddings side by side on their one fold.

The runs may differ in backbone, image size and losses.  The network that was judged on the fold
made a run's `embeddings.npz` and `centers.npz`; ranking rules, threshold and calibration are fitted
on these anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import Split, split_for
from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.breakdown import fold_table
from flukeprint.evaluation.comparison import Judged, compare_answers
from flukeprint.evaluation.validation import (
    Validation,
    check_fittable,
    validate,
    validate_rankings,
)
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.identifier.runs import CENTERS, Run, data_digest, flat_settings
from flukeprint.identifier.studies.run_fold import EMBEDDINGS
from flukeprint.ranking.ensemble import ensemble, ensemble_centers, shares_of
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.rules import FittedRules

# Settings that decide which photographs are queries and gallery of a fold, and their answers.
_OF_DATA = (
    "data.new_label", "data.closed_set", "data.min_photos", "data.new_photos", "data.same_day",
    "data.bursts",
)  # fmt: skip
OF_THE_FOLD = ("split.seed", "split.folds", "split.fold", "split.unseen_share", *_OF_DATA)


@dataclass(frozen=True)
class JointFold:
    """The one fold of several runs, with their embeddings combined.

    config: the given one, with the runs' fold.
    centers: class centres, for rank.head; else None.
    """

    config: Config
    runs: tuple[Run, ...]
    catalog: Catalog
    split: Split
    embeddings: Embeddings
    centers: Embeddings | None

    @classmethod
    def read(
        cls, config: Config, runs: Sequence[Run], weights: Sequence[float] | None = None
    ) -> "JointFold":
        """Read the runs' embeddings of the labelled photographs of `config`.

        Raises:
            FlukeprintError: weights that do not fit, runs of other photographs or folds, or without
                the class centres that rank.head needs.
        """
        shares_of(weights, len(runs))
        config = _with_fold_of(config, runs)
        catalog = read_labelled(config.data)
        if config.data.skip_unreadable:  # those that the runs left out, they have no embeddings of
            kept = set(Embeddings.load(runs[0].path / EMBEDDINGS).images)
            catalog = catalog.take([row for row, name in enumerate(catalog.images) if name in kept])
        split = split_for(config, catalog)
        check_fittable(catalog.identities, split, config)
        return cls.of(config, runs, catalog, split, weights)

    @classmethod
    def of(
        cls,
        config: Config,
        runs: Sequence[Run],
        catalog: Catalog,
        split: Split,
        weights: Sequence[float] | None = None,
    ) -> "JointFold":
        """The same for a catalogue and split at hand.

        Raises:
            FlukeprintError: runs of other photographs or folds, or without class centres.
        """
        config = _with_fold_of(config, runs)
        _check_photographs(runs, catalog)
        parts = []
        for run in runs:
            part = Embeddings.load(run.path / EMBEDDINGS)
            if part.images != catalog.images:
                raise FlukeprintError(
                    f"{run.path}: its embeddings are of other photographs; train again"
                )
            parts.append(replace(part, identities=catalog.identities, views=catalog.views))
        centers = None
        if config.rank.head:
            each = [centers_in(run.path / CENTERS, config) for run in runs]
            centers = ensemble_centers(each, weights)
        return cls(config, tuple(runs), catalog, split, ensemble(parts, weights), centers)

    def features(self) -> Features:
        """The combined embeddings, with the photographs' keypoints if rank.local matches them."""
        return extract_features(
            self.embeddings, self.catalog, self.config.image, self.config.rank, progress="keypoints"
        )

    def validate(self, features: Features) -> tuple[Validation, FittedRules]:
        """Fit rules, threshold and calibration on the fold's queries, and measure them."""
        return validate(
            features, self.split, self.config, centers=self.centers, progress="matching keypoints"
        )

    def lines(self, together: Validation) -> tuple[str, ...]:
        """What to expect of the runs together, beside each alone on the same queries.

        A run alone has its own ranking rules, and the threshold that the configuration asks for.
        """
        alone = [self._alone(run) for run in self.runs]
        names = [str(run.path) for run in self.runs]
        width = max(map(len, [*names, "together"])) + 1
        lines = [
            f"{name + ':':{width}} {run.figures()['text'] if one is None else one.text()}"
            for name, run, one in zip(names, self.runs, alone, strict=True)
        ]
        lines.append(f"{'together:':{width}} {together.text()}")
        judged = [
            (one.scores.map5.mean, name, one)
            for name, one in zip(names, alone, strict=True)
            if one is not None
        ]
        if judged:
            _, name, best = max(judged, key=lambda each: each[0])
            gain = compare_answers(self._judged(name, best), self._judged("", together)).map5.gain
            lines.append(
                f"gain over the best of them, {name}: MAP@5 {gain.mean:+.3f} "
                f"[{gain.low:+.3f}, {gain.high:+.3f}]"
            )
        return (*lines, *together.lines())

    def _alone(self, run: Run) -> Validation | None:
        """A run's own rankings, judged again; None where an older version did not keep them."""
        file = run.path / QUERIES_FILE
        if not file.is_file():
            return None
        return validate_rankings(ValidationQueries.load(file), self.config)

    def _judged(self, name: str, found: Validation) -> Judged:
        table = fold_table(found.ranking, found.report, self.catalog, self.split)
        return Judged(name, data_digest(self.catalog), (self.config.split.fold,), (table,))


def centers_in(file: Path, config: Config) -> Embeddings:
    """Read a run's class centres.

    Raises:
        FlukeprintError: its network has none.
    """
    if not file.is_file():
        raise no_centers(file.parent, config)
    return Embeddings.load(file)


def no_centers(where: Path, config: Config) -> FlukeprintError:
    """The refusal of a network without class centres."""
    return FlukeprintError(
        f"rank.head={config.rank.head:g} needs the class centers of every run, and {where} has "
        "none; leave that run out or set rank.head=0"
    )


def check_one_fold(named: Sequence[tuple[str, Config]], keys: Sequence[str] = OF_THE_FOLD) -> None:
    """Refuse configurations with other values of `keys`; `named` says whose each is.

    Raises:
        FlukeprintError: so, naming the two and what differs.
    """
    (first, config), *others = named
    mine = flat_settings(config)
    for name, other in others:
        theirs = flat_settings(other)
        differ = [
            f"{key} is {mine.get(key)} and {theirs.get(key)}"
            for key in keys
            if mine.get(key) != theirs.get(key)
        ]
        if differ:
            raise FlukeprintError(
                f"{first} and {name} are of other folds: {', '.join(differ)}; an ensemble needs "
                "one fold of the same photographs"
            )


def _with_fold_of(config: Config, runs: Sequence[Run]) -> Config:
    """The configuration with the one fold of the runs.

    Where one of them was stopped early, it has the half of the queries that chose its weights, so
    that the other half reports.
    """
    trained = [run.config() for run in runs]
    names = [str(run.path) for run in runs]
    check_one_fold(list(zip(names, trained, strict=True)))
    check_one_fold([(names[0], trained[0]), (f"the configuration {config.name}", config)], _OF_DATA)
    patience = next((one.train.patience for one in trained if one.train.patience is not None), None)
    return config.model_copy(
        update={
            "split": trained[0].split,
            "train": config.train.model_copy(update={"patience": patience}),
        }
    )


def _check_photographs(runs: Sequence[Run], catalog: Catalog) -> None:
    """Refuse runs that were started with other photographs or labels.

    Raises:
        FlukeprintError: so.
    """
    now = data_digest(catalog)
    for run in runs:
        then = run.data_digest() or "unknown"
        if then != now:
            raise FlukeprintError(
                f"{run.path} was trained on other photographs or labels (data {then}) than the "
                f"configuration has now (data {now}); name runs of these"
            )
