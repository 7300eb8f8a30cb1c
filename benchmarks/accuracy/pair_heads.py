"""Pair heads side by side on the same digits and drawn pairs, and the lab's classics, five seeds.

    python -m benchmarks.accuracy.pair_heads

Trains one network with each way to judge a pair: equal numbers of steps, and in every seed the same
start of the network and the same drawn pairs.  Measures accuracy on pairs of held-out digits at the
threshold that the loss itself draws and at one fitted on training pairs, and retrieval.  Then the
classics as they are: `shapes.yaml`, `shapes_by_shape.yaml` and `siamese_digits.yaml`.  A row is
written as soon as it is measured, and not measured again.  Writes
`benchmarks/results/pair_heads.json` and `benchmarks/reports/pair_heads.md`.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from benchmarks.harness.arguments import options
from benchmarks.harness.places import REPORTS, RESULTS
from flukeprint.config.load import load_config
from flukeprint.config.schema import Config
from flukeprint.cpu import keep_memory
from flukeprint.data.embeddings import Embeddings, Floats, Ints
from flukeprint.data.readers.read import read_test
from flukeprint.data.readers.shapes import answers_of_test_shapes
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import EmbeddingRecipe
from flukeprint.evaluation.metrics import Interval
from flukeprint.evaluation.report.lab_sections.pair_lab import LOSSES_ON_PAIRS, decide
from flukeprint.evaluation.studies.pair_accuracy import (
    Mask,
    PhotoPairs,
    accuracy_of,
    best_distance,
    labelled_pairs,
    some,
)
from flukeprint.files import written_whole
from flukeprint.identifier.runs import new_run
from flukeprint.models.pair_costs import PairHead
from flukeprint.training.check import TrainingSetup, check
from flukeprint.training.sampling.samplers import build_sampler
from flukeprint.training.train import finish, fit_network
from flukeprint.training.trainer import make_trainer, quieten_lightning

RESULT, PAGE = RESULTS / "pair_heads.json", REPORTS / "pair_heads.md"
SEEDS = (0, 1, 2, 3, 4)
EMBEDDING = 32
HEADS: dict[str, tuple[str, str]] = {  # arm: (name, loss)
    "contrastive": (
        "distance, contrastive loss",
        "{name: contrastive, params: {squared: true, neg_margin: 1.0, pairs: drawn}}",
    ),
    "difference": (
        "abs(a - b) to a binary classifier", "{name: difference_head, params: {pairs: drawn}}"
    ),
    "concatenation": (
        "[a, b] to a binary classifier", "{name: concatenation_head, params: {pairs: drawn}}"
    ),
    "cosine": ("cosine, regression", "{name: pair_regression, params: {pairs: drawn}}"),
    "hinge": ("cosine, hinge loss", "{name: hinge, params: {pairs: drawn}}"),
    "margin": ("distance, margin loss", "{name: margin, params: {pairs: drawn}}"),
}  # fmt: skip
UNTRAINED = "untrained"
BASELINE = "contrastive"
CLASSICS = {
    "shapes": "`shapes.yaml`: by colour", "shapes_by_shape": "`shapes_by_shape.yaml`: by shape",
    "siamese_digits": "`siamese_digits.yaml`",
}  # fmt: skip
QUIETLY = (
    "train.report=false", "train.accelerator=cpu", "infer.engine=torch", "train.validate_every=1000"
)  # fmt: skip


def head_config(arm: str, seed: int, work: Path) -> Config:
    """The digits with the loss of an arm; all else is alike."""
    loss = HEADS[BASELINE if arm == UNTRAINED else arm][1]
    return load_config(
        "siamese_digits.yaml",
        [
            f"name=head_{arm}", f"runs={work}", f"train.seed={seed}", *QUIETLY,
            # Its numbers may be negative, so that two embeddings may point any way.
            "model.neck=true", f"model.embedding_dim={EMBEDDING}", f"losses=[{loss}]",
        ],
    )  # fmt: skip


def classic_config(name: str, seed: int, work: Path) -> Config:
    """A classic with the seed of its training and of the drawing of shapes."""
    drawn = [] if name == "siamese_digits" else [f"data.shapes.seed={seed}"]
    return load_config(
        f"{name}.yaml", [f"runs={work}", f"train.seed={seed}", *drawn, *QUIETLY]
    )  # fmt: skip


def drawn_pairs_digest(setup: TrainingSetup, config: Config) -> str:
    """Names the pairs of the whole training, in their order."""
    sampler = build_sampler(
        config.sampler, setup.data.labels, flip=config.image.flip,
        pair_with=config.data.pair_with, seed=config.train.seed,
    )  # fmt: skip
    digest = hashlib.sha256()
    for epoch in range(config.train.epochs):
        sampler.set_epoch(epoch)
        for batch in sampler:
            digest.update(np.array([draw.row for draw in batch]).tobytes())
    return digest.hexdigest()[:12]


def embedded(setup: TrainingSetup, config: Config) -> Embeddings:
    """The labelled photographs, embedded by the network as it is."""
    net = setup.module.net
    return embed(net, setup.catalog, EmbeddingRecipe.of(config).stamped(net))


def pairs_of(found: Embeddings, rows: Ints) -> PhotoPairs:
    """All pairs of some photographs."""
    return labelled_pairs(found.vectors[rows], [found.identities[row] for row in rows])


@torch.no_grad()
def judged(head: PairHead, vectors: Floats, pairs: PhotoPairs) -> PhotoPairs:
    """The pairs with 1 - p in the place of distances, p the head's probability of a same pair."""
    every = torch.from_numpy(vectors).double()
    logits = head.double().judge(every[pairs.first], every[pairs.second])
    return replace(pairs, distances=(1 - logits.sigmoid()).numpy())


def swapped(pairs: PhotoPairs) -> PhotoPairs:
    """The same pairs, the other photograph first."""
    return replace(pairs, first=pairs.second, second=pairs.first)


def told(pairs: PhotoPairs, at: float) -> dict[str, float]:
    """How often pairs are judged right that are `same` below `at`; both kinds weigh the same."""
    found = accuracy_of(pairs, pairs.distances < at, seed=0)
    return {
        "accuracy": found.accuracy.mean, "same": found.same_right,
        "different": found.different_right,
    }  # fmt: skip


def at_thresholds(training: PhotoPairs, held_out: PhotoPairs, own: float | None) -> dict[str, Any]:
    """Accuracies at the loss's own threshold, where it has one, and at the fitted one."""
    fitted = best_distance(training)
    return {
        kind: None if at is None else {
            "at": at, "training": told(training, at), "held_out": told(held_out, at)
        }
        for kind, at in (("own", own), ("fitted", fitted))
    }  # fmt: skip


def asymmetry(one: PhotoPairs, other: PhotoPairs) -> dict[str, float]:
    """How far f(a, b) is from f(b, a), of pairs judged in either order."""
    apart = np.abs(one.distances - other.distances)
    turned = (one.distances < 0.5) != (other.distances < 0.5)
    both = replace(one, distances=(one.distances + other.distances) / 2)
    return {
        "differing": float((apart > 1e-6).mean()), "mean": float(apart.mean()),
        "more_than_0.1": float((apart > 0.1).mean()), "largest": float(apart.max()),
        "judged_otherwise": float(turned.mean()), "accuracy_of_other": told(other, 0.5)["accuracy"],
        "accuracy_of_mean": told(both, 0.5)["accuracy"],
    }  # fmt: skip


@torch.no_grad()
def first_answers(head: PairHead, gallery: Floats, queries: Floats) -> Ints:
    """(q,) the gallery row that the head thinks likeliest to show a query's individual."""
    rows = torch.from_numpy(gallery).double()
    head = head.double()
    return np.array(
        [
            int(head.judge(query.expand_as(rows), rows).argmax())
            for query in torch.from_numpy(queries).double()
        ]
    )


def measure_head(arm: str, seed: int, work: Path) -> dict[str, Any]:
    """Train an arm with a seed, and measure it."""
    config = head_config(arm, seed, work)
    setup = check(config)
    begun = time.process_time()
    row: dict[str, Any] = {
        "part": "heads", "arm": arm, "seed": seed, "steps": 0,
        "pairs": drawn_pairs_digest(setup, config),
    }  # fmt: skip
    run = new_run(config, setup.catalog)
    if arm != UNTRAINED:
        trainer = make_trainer(config, run)
        fit_network(trainer, config, run, setup)
        row["steps"] = trainer.global_step
    row["cpu_seconds"] = time.process_time() - begun
    validation = finish(config, run, setup)
    row |= {"map5": validation.scores.map5.mean, "top1": validation.scores.top1}
    found = embedded(setup, config)
    split = setup.split
    sides = [some(split.gallery, seed=0), some(split.queries, seed=0)]
    training, held_out = (pairs_of(found, rows) for rows in sides)
    row |= {"training_pairs": len(training.same), "held_out_pairs": len(held_out.same)}
    (term,) = setup.module.losses.terms
    head = term.loss
    if not isinstance(head, PairHead):
        own = None if arm == UNTRAINED else decide(config.losses[0], training).distance
        return row | at_thresholds(training, held_out, own)
    head.eval()
    judgements = [
        judged(head, found.vectors[rows], pairs)
        for rows, pairs in zip(sides, (training, held_out), strict=True)
    ]
    row |= at_thresholds(*judgements, 0.5)
    row["asymmetry"] = asymmetry(
        judgements[1], judged(head, found.vectors[sides[1]], swapped(held_out))
    )
    names = np.array(found.identities)
    best = first_answers(head, found.vectors[split.gallery], found.vectors[split.queries])
    row["top1_by_head"] = float((names[split.gallery][best] == names[split.queries]).mean())
    return row


def measure_classic(name: str, seed: int, work: Path) -> dict[str, Any]:
    """Train a classic with a seed, and measure its pairs, and of shapes its test pairs."""
    config = classic_config(name, seed, work)
    setup = check(config)
    begun = time.process_time()
    run = new_run(config, setup.catalog)
    trainer = make_trainer(config, run)
    fit_network(trainer, config, run, setup)
    row: dict[str, Any] = {
        "part": "classics", "arm": name, "seed": seed, "steps": trainer.global_step,
        "cpu_seconds": time.process_time() - begun,
    }  # fmt: skip
    validation = finish(config, run, setup)
    row |= {"map5": validation.scores.map5.mean, "top1": validation.scores.top1}
    found, split = embedded(setup, config), setup.split
    training = pairs_of(found, some(split.gallery, seed=0))
    loss = next(one for one in config.losses if one.name in LOSSES_ON_PAIRS)
    own = decide(loss, training).distance
    row["training"] = told(training, own)
    row["validation"] = told(pairs_of(found, some(split.queries, seed=0)), own)
    row["at"] = own
    if config.data.reader == "shapes":
        net = setup.module.net
        test = embed(net, read_test(config.data), EmbeddingRecipe.of(config).stamped(net))
        right = answers_of_test_shapes(config.data)
        pairs = labelled_pairs(test.vectors, right)
        row["test"] = told(pairs, own)
        row["test_pairs"], row["wrong_test_pairs"] = len(pairs.same), _wrong(pairs, own)
        gallery = found.vectors[split.gallery]
        names = np.array(found.identities)[split.gallery]
        answers = names[(test.vectors @ gallery.T).argmax(axis=1)]
        classes = sorted(set(right))
        row["classes"] = classes
        row["confusion"] = [
            [
                int(((np.array(right) == truth) & (answers == answer)).sum())
                for answer in classes
            ]
            for truth in classes
        ]  # fmt: skip
    return row


def _wrong(pairs: PhotoPairs, at: float) -> int:
    wrong: Mask = (pairs.distances < at) != pairs.same
    return int(wrong.sum())


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean with its 95 % interval over seeds: Student's t, as the seeds are few."""
    found = np.array(values, dtype=np.float64)
    half = float(student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)))
    mean = float(found.mean())
    return Interval(mean - half, mean, mean + half)


def share_over_seeds(values: Sequence[float]) -> Interval:
    """The same of shares, which are from 0 to 1."""
    found = over_seeds(values)
    return Interval(max(0.0, found.low), found.mean, min(1.0, found.high))


def render(rows: list[dict[str, Any]]) -> str:
    """The page."""
    heads = {
        arm: [row for row in rows if row["part"] == "heads" and row["arm"] == arm]
        for arm in (*HEADS, UNTRAINED)
    }
    classics = {
        arm: [row for row in rows if row["part"] == "classics" and row["arm"] == arm]
        for arm in CLASSICS
    }
    every = [row for arm in HEADS for row in heads[arm]]
    for seed in SEEDS:
        drawn = {row["pairs"] for row in every if row["seed"] == seed}
        assert len(drawn) == 1, f"seed {seed}: other pairs in some arms"
    (steps,) = {row["steps"] for row in every}
    return "\n".join([
        *_introduction(every[0], steps), *_accuracies(heads), *_differences(heads),
        *_asymmetry(heads), *_retrieval(heads), *_classics(classics),
    ])  # fmt: skip


def _introduction(row: dict[str, Any], steps: int) -> list[str]:
    config = head_config(BASELINE, 0, Path("runs"))
    return [
        "# Pair heads side by side",
        "",
        "Written by `python -m benchmarks.accuracy.pair_heads`. Scikit-learn's digits of fold 0 of "
        f"`siamese_digits.yaml`, its dense network with a linear layer to {EMBEDDING} numbers, "
        f"{steps} steps of {config.sampler.batch_size // 2} drawn pairs, at least "
        f"{config.sampler.equal_share:.0%} of them of one digit. In each of the {len(SEEDS)} seeds "
        "every head begins with the same network and sees the same pairs in the same order. "
        f"Judged are all {row['training_pairs']:,} pairs of 400 training digits and all "
        f"{row['held_out_pairs']:,} of the held-out ones; accuracy is the mean of that on pairs of "
        "one digit and of two, so that guessing is right for half. Brackets hold 95 % intervals "
        "over seeds (Student's t); the digits are the same in all, so the chance of other digits "
        "is not in them.",
        "",
    ]


def _accuracies(heads: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [
        "## Accuracy on pairs",
        "",
        "The own threshold is the one that the loss draws between same and different: half of the "
        "margin of the contrastive loss, probability 0.5 of a classifier, dot product 0.5 of "
        "regression and hinge (a distance of 1), beta of the margin loss. The fitted one is the "
        "best on training pairs; classifiers are judged by 1 - p in the place of a distance.",
        "",
        "| head | own threshold | held-out pairs | of one digit | of two | fitted threshold | "
        "held-out pairs | training pairs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, rows in heads.items():
        cells = [_name(arm)]
        if rows[0]["own"] is None:
            cells += ["none", "-", "-", "-"]
        else:
            cells.append(f"{rows[0]['own']['at']:.3g}")
            cells += [
                share_over_seeds([row["own"]["held_out"][key] for row in rows]).text()
                for key in ("accuracy", "same", "different")
            ]
        cells.append(f"{np.mean([row['fitted']['at'] for row in rows]):.3f}")
        cells += [
            share_over_seeds([row["fitted"][side]["accuracy"] for row in rows]).text()
            for side in ("held_out", "training")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _differences(heads: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Each head against the contrastive loss, seed by seed."""
    lines = [
        f"Differences to {HEADS[BASELINE][0]}, paired by seed, at the fitted threshold; in bold "
        "where the interval leaves out 0:",
        "",
        "| head | accuracy on held-out pairs | top-1 |",
        "|---|---|---|",
    ]
    base = heads[BASELINE]
    for arm, rows in heads.items():
        if arm == BASELINE:
            continue
        accuracy = [
            row["fitted"]["held_out"]["accuracy"] - plain["fitted"]["held_out"]["accuracy"]
            for row, plain in zip(rows, base, strict=True)
        ]
        top1 = [row["top1"] - plain["top1"] for row, plain in zip(rows, base, strict=True)]
        lines.append(f"| {_name(arm)} | {_gain(accuracy)} | {_gain(top1)} |")
    return [*lines, ""]


def _gain(values: Sequence[float]) -> str:
    found = over_seeds(values)
    text = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text


def _asymmetry(heads: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [
        "## Does the order of a pair matter?",
        "",
        "abs(a - b) is the same either way; a classifier on [a, b] may answer otherwise for "
        "[b, a]. On the held-out pairs, p the probability of a same pair; distances and cosines "
        "are the same either way by construction.",
        "",
        "| head | pairs with another p | mean difference of p | more than 0.1 apart | largest | "
        "judged otherwise | accuracy of (a, b) | of (b, a) | of the mean of both |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in ("difference", "concatenation"):
        rows = heads[arm]
        found = {
            key: share_over_seeds([row["asymmetry"][key] for row in rows])
            for key in rows[0]["asymmetry"]
        }  # fmt: skip
        own = share_over_seeds([row["own"]["held_out"]["accuracy"] for row in rows])
        lines.append(
            f"| {_name(arm)} | {found['differing'].mean:.1%} | {found['mean'].text()} | "
            f"{found['more_than_0.1'].mean:.2%} | {found['largest'].mean:.3f} | "
            f"{found['judged_otherwise'].mean:.2%} "
            f"[{found['judged_otherwise'].low:.2%}, {found['judged_otherwise'].high:.2%}] | "
            f"{own.text()} | {found['accuracy_of_other'].text()} | "
            f"{found['accuracy_of_mean'].text()} |"
        )
    return [*lines, ""]


def _retrieval(heads: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [
        "## Retrieval",
        "",
        "Held-out digits among the training ones. All heads leave an embedding that can be "
        "searched by cosine; the classifiers were not trained for that, and can also be asked "
        "about each photograph of the gallery in turn, which no index makes faster.",
        "",
        "| head | MAP@5 by cosine | top-1 by cosine | top-1 by the classifier |",
        "|---|---|---|---|",
    ]
    for arm, rows in heads.items():
        by_head = (
            share_over_seeds([row["top1_by_head"] for row in rows]).text()
            if "top1_by_head" in rows[0]
            else "-"
        )
        lines.append(
            f"| {_name(arm)} | {share_over_seeds([row['map5'] for row in rows]).text()} | "
            f"{share_over_seeds([row['top1'] for row in rows]).text()} | {by_head} |"
        )
    return [*lines, ""]


def _classics(classics: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [
        "## The classics",
        "",
        f"As they are, {len(SEEDS)} seeds each; of the shapes the seed is that of the drawing, "
        "too. Accuracy at the threshold that the loss draws. Where all seeds agree, the interval "
        "has no width.",
        "",
        "| configuration | distance | training pairs | validation pairs | test pairs | "
        "test pairs judged wrong | MAP@5 |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, rows in classics.items():
        test, wrong = "-", "-"
        if "test" in rows[0]:
            test = share_over_seeds([row["test"]["accuracy"] for row in rows]).text()
            wrong = (
                f"{sum(row['wrong_test_pairs'] for row in rows):,} of "
                f"{sum(row['test_pairs'] for row in rows):,}"
            )
        training, validation = (
            share_over_seeds([row[side]["accuracy"] for row in rows]).text()
            for side in ("training", "validation")
        )
        lines.append(
            f"| {CLASSICS[arm]} | {rows[0]['at']:.3g} | {training} | {validation} | {test} | "
            f"{wrong} | {share_over_seeds([row['map5'] for row in rows]).text()} |"
        )
    for arm, rows in classics.items():
        if "confusion" not in rows[0]:
            continue
        classes, counts = rows[0]["classes"], np.sum([row["confusion"] for row in rows], axis=0)
        lines += [
            "",
            f"First answers to the test photographs of {CLASSICS[arm]}, all seeds together, right "
            "class by row:",
            "",
            f"| | {' | '.join(classes)} |",
            "|---|" + "---|" * len(classes),
        ]
        lines += [
            f"| {name} | {' | '.join(map(str, row))} |"
            for name, row in zip(classes, counts.tolist(), strict=True)
        ]
    return [*lines, ""]


def _name(arm: str) -> str:
    return "the network before training" if arm == UNTRAINED else HEADS[arm][0]


def save(rows: list[dict[str, Any]]) -> None:
    """Write what is measured so far, a row a line."""
    text = ",\n".join(json.dumps(row) for row in rows)
    with written_whole(RESULT) as partial:
        partial.write_text(f"[\n{text}\n]\n")


def main() -> None:
    """Measure what is missing, and write result and page."""
    parser = options("accuracy.pair_heads", __doc__, ["render"])
    parser.add_argument("--work", type=Path, default=Path("runs/pair_heads"))
    given = parser.parse_args()
    rows = json.loads(RESULT.read_text()) if RESULT.is_file() else []
    if not given.render:
        quieten_lightning()
        keep_memory()
        done = {(row["part"], row["arm"], row["seed"]) for row in rows}
        for seed in SEEDS:
            for part, arms, measure in (
                ("heads", (*HEADS, UNTRAINED), measure_head),
                ("classics", CLASSICS, measure_classic),
            ):
                for arm in arms:
                    if (part, arm, seed) in done:
                        continue
                    rows.append(measure(arm, seed, given.work))
                    save(rows)
                    print(f"{arm}, seed {seed}: {rows[-1]['cpu_seconds']:.0f} s", flush=True)
    with written_whole(PAGE) as partial:
        partial.write_text(render(rows))


if __name__ == "__main__":
    main()
