"""Accuracy at the narrowest taxonomic rank that is sure enough, and rejection of other animals.

    python -m benchmarks.accuracy.taxonomy --others input/lions/test input/nyala/test

Needs the runs of `flukeprint crossvalidate --config spiders.yaml` (all folds), reads their
embeddings and writes `benchmarks/reports/taxonomy.md`.  In each fold one half of the queries fits
the calibration and the other half, of other individuals where individuals are known, is reported;
then the halves are exchanged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.doctor import check_readable
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.formats.photo_formats import named_like_photo
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import halves
from flukeprint.embedding.recipe import Compute
from flukeprint.evaluation.fitting import fit_calibration
from flukeprint.evaluation.metrics import bootstrap_interval
from flukeprint.evaluation.reliability import measure_reliability
from flukeprint.files import written_whole
from flukeprint.identifier.build import measured_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from flukeprint.identifier.taxonomy import RankPlacement, Taxonomy, is_right, place
from flukeprint.ranking.calibration import Calibration, posterior
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.threshold import OutOfDistribution, nearest_cosine
from flukeprint.search.gallery import Gallery
from flukeprint.training.check import split_of
from flukeprint.training.cross_validation import finished_run

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9)
SHARES = (0.0, 0.01, 0.02, 0.05)
PAGE = REPORTS / "taxonomy.md"


@dataclass(frozen=True)
class Half:
    """One half of a fold's queries, with the calibration that was fitted on the other half.

    ranking: of all classes; truths: the right class of each query.
    """

    ranking: Ranking
    truths: tuple[str, ...]
    calibration: Calibration


@dataclass(frozen=True)
class Fold:
    """A fold's queries, and photographs of other animals.

    near: cosine of each query to its nearest gallery photograph; others: the same of photographs
        of something else, by folder.
    """

    halves: tuple[Half, Half]
    near: npt.NDArray[np.float64]
    others: dict[str, npt.NDArray[np.float64]]


def read_folds(config: Config, folders: Sequence[Path], most: int) -> Iterator[Fold]:
    """Load every fold of `config`, with at most `most` photographs of each other folder."""
    catalog = check_readable(read_labelled(config.data), config.data.skip_unreadable)
    strangers = {folder: _some(folder, most) for folder in folders}
    for fold in range(config.split.folds):
        setting = config.model_copy(
            update={"split": config.split.model_copy(update={"fold": fold})}
        )
        run = finished_run(setting, catalog)
        split = split_of(setting, catalog)
        known = Embeddings.load(run.path / "embeddings.npz")
        gallery, queries = known.take(split.gallery), known.take(split.queries)
        identifier = measured_identifier(run)
        index = Gallery(gallery)
        near = nearest_cosine(index, queries)
        others = {
            str(folder): nearest_cosine(index, _seen(run, identifier, folder, paths))
            for folder, paths in strangers.items()
        }
        ranker = QueryRanker(Features(gallery), Features(queries), setting.rank)
        ranking = ranker.rank(FittedRules(rules=setting.rank), top=len(index.vocabulary))
        answers = split.answers
        side = halves(answers, tuple(known.identities[row] for row in split.queries), 0)
        parts = []
        for reported in (side, ~side):
            learn, rows = np.flatnonzero(~reported), np.flatnonzero(reported)
            calibration = fit_calibration(ranking.take(learn), [answers[i] for i in learn])
            if calibration is None:
                raise SystemExit(f"fold {fold} has too few queries to calibrate on")
            truths = tuple(str(answers[i]) for i in rows)
            parts.append(Half(ranking.take(rows), truths, calibration))
        yield Fold((parts[0], parts[1]), near, others)


def _seen(run: Run, identifier: Identifier, folder: Path, paths: list[Path]) -> Embeddings:
    """Embeddings of a folder's photographs, cached in the run so that a new start is quick."""
    kept = run.path / f"others-{folder.parent.name}-{folder.name}-{len(paths)}.npz"
    if not kept.is_file():
        identifier.examine(paths, compute=Compute(8), progress=True).embeddings.save(kept)
    return Embeddings.load(kept)


def _some(folder: Path, most: int) -> list[Path]:
    """At most `most` photographs of a folder, evenly spaced in the order of their names."""
    paths = sorted(path for path in folder.iterdir() if named_like_photo(path))
    if not paths:
        raise SystemExit(f"{folder} holds no photographs")
    return [paths[i] for i in np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int)]


def placements(half: Half, taxonomy: Taxonomy, confidence: float) -> list[RankPlacement]:
    """The rank and name that is answered to each query of the half."""
    likely = posterior(half.ranking, half.calibration).identities
    found: list[RankPlacement] = []
    for row, names in enumerate(half.ranking.identities):
        known = [str(name) for name in names]
        found += place(taxonomy, likely[row : row + 1], known, confidence)
    return found


def rank_table(parts: Sequence[Half], taxonomy: Taxonomy, chosen: float) -> list[str]:
    """Tables of right answers for several confidences, and by rank for the chosen one."""
    first = np.array(
        [
            names[0] == truth
            for half in parts
            for names, truth in zip(half.ranking.identities, half.truths, strict=True)
        ]
    )
    lines = [
        f"| answer | right | answered | narrower than {taxonomy.ranks[-1]} | of these right |",
        "|---|---|---|---|---|",
        f"| always the class | {_share(first)} | 100.0% | 100.0% | {_share(first)} |",
    ]
    by_rank: dict[str, list[bool]] = {}
    for confidence in CONFIDENCES:
        right: list[bool] = []
        narrow: list[bool] = []  # right, of those narrower than the widest rank
        queries = 0
        for half in parts:
            for found, truth in zip(
                placements(half, taxonomy, confidence), half.truths, strict=True
            ):
                queries += 1
                verdict = is_right(taxonomy, found, truth)
                if verdict is not None:
                    right.append(verdict)
                    if found.rank != taxonomy.ranks[-1]:
                        narrow.append(verdict)
                    if confidence == chosen:
                        by_rank.setdefault(str(found.rank), []).append(verdict)
        name = f"narrowest rank with probability {confidence:g} or more"
        bold = "**" if confidence == chosen else ""
        lines.append(
            f"| {bold}{name}{bold} | {_share(np.array(right))} | {len(right) / queries:.1%} | "
            f"{len(narrow) / queries:.1%} | {_share(np.array(narrow))} |"
        )
    lines += ["", f"With {chosen:g}, by the rank that was answered:", ""]
    lines += ["| rank | answers | right |", "|---|---|---|"]
    for rank in ("class", *taxonomy.ranks):
        if rank in by_rank:
            lines.append(f"| {rank} | {len(by_rank[rank])} | {_share(np.array(by_rank[rank]))} |")
    return lines


def outside_table(folds: Sequence[Fold], folders: Sequence[Path]) -> list[str]:
    """Table of the shares of other photographs accepted and of spiders refused.

    Each fold's floor is applied to the next fold.
    """
    heads = [f"{folder.parent.name} taken for a spider" for folder in folders]
    lines = [
        f"| infer.outside | spiders refused | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(folders)}",
    ]
    for share in SHARES:
        refused: list[bool] = []
        taken: dict[str, list[bool]] = {str(folder): [] for folder in folders}
        for fitted, tested in zip(folds, [*folds[1:], folds[0]], strict=True):
            gate = OutOfDistribution.fit(fitted.near, share)
            refused += gate(tested.near).tolist()
            for name, near in tested.others.items():
                taken[name] += (~gate(near)).tolist()
        cells = [f"{np.mean(taken[str(folder)]):.1%}" for folder in folders]
        lines.append(f"| {share:g} | {_share(np.array(refused))} | {' | '.join(cells)} |")
    return lines


def reliability_line(parts: Sequence[Half]) -> str:
    """Calibration error of the first answers' probabilities, as text."""
    chances: list[float] = []
    right: list[bool] = []
    for half in parts:
        likely = posterior(half.ranking, half.calibration).identities
        chances += likely[:, 0].tolist()
        firsts = zip(half.ranking.identities, half.truths, strict=True)
        right += [names[0] == truth for names, truth in firsts]
    return measure_reliability(chances, right, seed=0).text()


def _share(happened: npt.NDArray[np.bool_]) -> str:
    found = bootstrap_interval(happened, seed=0)
    return f"{found.mean:.1%} [{found.low:.1%}, {found.high:.1%}]"


def main() -> None:
    """Measure and write the page."""
    parser = options("accuracy.taxonomy", __doc__)
    parser.add_argument("--config", default="spiders.yaml", help="configuration with a taxonomy")
    parser.add_argument(
        "--others", nargs="+", type=Path, required=True, help="folders of other animals"
    )
    parser.add_argument("--most", type=int, default=150, help="photographs of each folder, at most")
    given = parser.parse_args()
    keep_memory()
    config = load_config(given.config)
    if config.taxonomy is None:
        raise SystemExit(f"{given.config} names no taxonomy")
    taxonomy = Taxonomy.read(config.taxonomy.table)
    folds = list(read_folds(config, given.others, given.most))
    parts = [half for fold in folds for half in fold.halves]
    queries = sum(len(half.truths) for half in parts)
    folders = " ".join(map(str, given.others))
    page = [
        "# Answers at the narrowest sure rank, and photographs of something else",
        "",
        f"{queries} queries of {config.split.folds} folds of {config.name}. The numbers that an "
        "answer needs were fitted on one half of a fold's queries and are reported on the other, "
        "both ways round. Brackets hold 95 % bootstrap intervals over queries. An answer is right "
        "when it names what stands above the true class at that rank. The widest rank says little: "
        "nearly all of these are spiders (Araneae), so the last two columns leave it out.",
        "",
        *rank_table(parts, taxonomy, config.taxonomy.confidence),
        "",
        f"{reliability_line(parts)}.",
        "",
        "## What passes for one of the collection",
        "",
        "A photograph is refused when its plain cosine to the nearest photo of the gallery lies "
        "below a floor, fitted so that at most `infer.outside` of the queries that teach it lie "
        "there (0.02 is the default). Each fold's floor is tried on the next fold. Of each folder "
        f"{given.most} photographs were tried.",
        "",
        *outside_table(folds, given.others),
        "",
        "Made by `flukeprint crossvalidate --config spiders.yaml` and then "
        f"`python -m benchmarks.accuracy.taxonomy --others {folders}`.",
    ]
    with written_whole(PAGE) as partial:
        partial.write_text("\n".join(page) + "\n")
    print("\n".join(page))


if __name__ == "__main__":
    main()
