"""Calibration error of the probabilities that are shown, beside ways to make them fit the order.

    python -m benchmarks.accuracy.decision

Embeds spiders and nyala with an untrained ImageNet network, draws open-set folds with six seeds,
fits threshold and calibration on one half of each fold's queries and measures on the other half, of
other individuals; then the halves are exchanged.  Writes `benchmarks/reports/decision.md`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS
from flukeprint.config.load import load_config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import halves, split_for
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import Compute, EmbeddingRecipe
from flukeprint.evaluation.fitting import fit_calibration, fit_threshold, threshold_for_false_new
from flukeprint.evaluation.reliability import calibration_error, measure_reliability
from flukeprint.files import written_whole
from flukeprint.models.network import untrained_embedder
from flukeprint.ranking.calibration import Calibration, Posterior, features, in_order, posterior
from flukeprint.ranking.features import Features
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.ranking import Ranking, insert_new_individual
from flukeprint.ranking.rules import FittedRules

Values = npt.NDArray[np.float64]
FOLDS = {"spiders_open": 2, "nyala_open": 4}
SEEDS = 6
RULES = ("best_map5", "false_new 0.05", "false_new 0.3")
SMALL = (
    "image.width=128", "image.height=128", "image.cache=null", "infer.zooms=[1]",
    "infer.mirror=false", "model.beside=[]", "rank.head=0", "rank.local.candidates=0",
    "rank.within=0",
)  # fmt: skip
PAGE = REPORTS / "decision.md"


@dataclass(frozen=True)
class Answered:
    """Queries that report: probabilities in the order of their answers, before anything is done.

    chains: (q, n + 1), the new individual at `places` (q,); anchored: (q,) the first answer's, if
    the odds of known to new cross at the threshold.  right, new: whether the first answer was
    right, and whether the individual was new.
    """

    chains: Values
    places: npt.NDArray[np.int64]
    anchored: Values
    right: npt.NDArray[np.bool_]
    new: npt.NDArray[np.bool_]


def kept(answered: Answered) -> Values:
    """As they were calibrated, whatever the order."""
    return answered.chains


def capped(answered: Answered) -> Values:
    """As `in_order` makes them."""
    q, width = answered.chains.shape
    at_new = np.arange(width) == answered.places[:, None]
    likely = Posterior(answered.chains[~at_new].reshape(q, -1), answered.chains[at_new])
    found = in_order(likely, answered.places)
    chains = np.empty_like(answered.chains)
    chains[~at_new], chains[at_new] = found.identities.ravel(), found.new
    return chains


def pooled(answered: Answered) -> Values:
    """The nearest that do not rise: neighbours in the wrong order share their mean (isotonic)."""
    from sklearn.isotonic import isotonic_regression

    return np.stack([isotonic_regression(chain, increasing=False) for chain in answered.chains])


def anchored(answered: Answered) -> Values:
    """With odds of known to new that cross at the threshold; the others at most the first."""
    chains = pooled(answered)
    chains[:, 0] = answered.anchored
    return np.asarray(np.minimum.accumulate(chains, axis=1))


WAYS: dict[str, Callable[[Answered], Values]] = {
    "calibrated, as before": kept,
    "at most the one before (`in_order`)": capped,
    "pooled": pooled,
    "crossing at the threshold": anchored,
}


def main() -> None:
    options("accuracy.decision", __doc__).parse_args()
    lines = []
    for name in FOLDS:
        catalog, embeddings = _embedded(name)
        for rule in RULES:
            parts = list(_answered(name, rule, catalog, embeddings))
            lines += _lines(name, rule, parts)
    text = "\n".join([HEAD, *lines, ""])
    with written_whole(PAGE) as partial:
        partial.write_text(text)
    print(text)


HEAD = """# Probabilities that agree with the order

Made by `python -m benchmarks.accuracy.decision`: spiders and nyala, open set, embedded by an
untrained ImageNet network at 128 px; folds of six seeds. Threshold and calibration are fitted on
one half of a fold's queries and measured on the other. *In disorder*: queries with an answer among
the five that is more probable than one before it. ECE: expected calibration error in 15 bins of
equal mass, over all queries; in brackets what a faultless calibration would show. *New*: of the
probability that the individual is new, which is at most that of the first answer: a threshold that
was chosen against the odds (`false_new`) costs it its calibration, the first answer nothing.

| data | threshold | probabilities | queries | in disorder | ECE of the first | ECE of *new* |
|---|---|---|---|---|---|---|"""


def _embedded(name: str) -> tuple[Catalog, Embeddings]:
    config = load_config(f"{name}.yaml", SMALL)
    catalog = read_labelled(config.data)
    net = untrained_embedder(config.model, (config.image.height, config.image.width))
    recipe = EmbeddingRecipe.of(config).stamped(net)
    return catalog, embed(net, catalog, recipe, Compute.of(config), progress=name)


def _answered(name: str, rule: str, catalog: Catalog, embeddings: Embeddings) -> Iterator[Answered]:
    for seed in range(SEEDS):
        for fold in range(FOLDS[name]):
            at = (f"split.seed={seed}", f"split.folds={FOLDS[name]}", f"split.fold={fold}")
            config = load_config(f"{name}.yaml", [*SMALL, *at])
            split = split_for(config, catalog)
            every = Features(embeddings)
            ranker = QueryRanker(every.take(split.gallery), every.take(split.queries), config.rank)
            known = len(set(embeddings.take(split.gallery).identities))
            ranking = ranker.rank(FittedRules(rules=config.rank), top=known)
            side = halves(split.answers, embeddings.take(split.queries).identities, seed)
            for fit in (side, ~side):
                answers = [a for a, chosen in zip(split.answers, fit, strict=True) if chosen]
                others = [a for a, chosen in zip(split.answers, fit, strict=True) if not chosen]
                calibration = fit_calibration(ranking.take(fit), answers)
                if calibration is not None:
                    threshold = _threshold(rule, ranking.take(fit), answers)
                    yield _reported(ranking.take(~fit), others, threshold, calibration)


def _threshold(rule: str, ranking: Ranking, answers: Sequence[str | None]) -> float:
    if rule == "best_map5":
        return fit_threshold(ranking.first(5), answers)
    is_new = [answer is None for answer in answers]
    return threshold_for_false_new(ranking.best_known, is_new, float(rule.split()[1]))


def _reported(
    ranking: Ranking, answers: Sequence[str | None], threshold: float, calibration: Calibration
) -> Answered:
    likely = posterior(ranking, calibration)
    final = insert_new_individual(ranking, threshold)
    n = likely.identities.shape[1]
    places = np.array(
        [names.index(None) if None in names else n for names in final.identities], np.int64
    )
    chains = np.stack(
        [
            np.insert(row, place, new)
            for row, place, new in zip(likely.identities, places, likely.new, strict=True)
        ]
    )
    x = features(ranking)
    there = np.stack([np.full(len(x), threshold), x[:, 1]], axis=1)
    odds = np.exp(_log_odds(calibration, x) - _log_odds(calibration, there))
    right = calibration.right(x)
    new = 1 / (1 + odds / right)
    return Answered(
        chains=chains,
        places=places,
        anchored=np.where(places == 0, new, (1 - new) * right),
        right=np.array([f[0] == a for f, a in zip(final.identities, answers, strict=True)]),
        new=np.array([answer is None for answer in answers]),
    )


def _log_odds(calibration: Calibration, x: Values) -> Values:
    """Of the nearest animal to a new one."""
    assert calibration.known is not None  # the sets are open
    known = calibration.known(x)
    return np.asarray(np.log(known * calibration.right(x) / (1 - known)))


def _lines(name: str, rule: str, parts: Sequence[Answered]) -> list[str]:
    right = np.concatenate([part.right for part in parts])
    is_new = np.concatenate([part.new for part in parts])
    lines = []
    for way, change in WAYS.items():
        chains = [change(part) for part in parts]
        first = np.concatenate([chain[:, 0] for chain in chains])
        new = np.concatenate(
            [
                chain[np.arange(len(chain)), part.places]
                for chain, part in zip(chains, parts, strict=True)
            ]
        )
        disorder = np.concatenate([(np.diff(c[:, :5], axis=1) > 1e-12).any(axis=1) for c in chains])
        found = measure_reliability(first, right, seed=0)
        lines.append(
            f"| {name} | {rule} | {way} | {len(right):,} | {disorder.mean():.1%} | {found.ece:.4f} "
            f"({found.chance:.4f}) | {calibration_error(new, is_new):.4f} |"
        )
    return lines


if __name__ == "__main__":
    main()
