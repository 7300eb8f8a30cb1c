"""Section: what a run came to, beside answers that need no network, and how it was made."""

import json
from typing import Any

import yaml

from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.metrics import Scores
from flukeprint.evaluation.report.charts import Listing, Part, Table
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.validation import commonest_baseline


def overview(run: RunMaterial) -> Part:
    """The headline, with answers that are always the same beside it."""
    scores = run.validation.scores
    baselines = {**run.validation.constants}
    baselines["five commonest labels"] = commonest_baseline(run.catalog, run.split, run.config)
    rows = [_row("this network", scores)]
    rows += [_row(name, baseline) for name, baseline in baselines.items()]
    table = Table(
        caption="Figures on the same queries; the answers below the first line look at no "
        "photograph or at no threshold",
        header=("answers", "MAP@5 [95 % interval]", "top-1", "top-5", "AUROC of new animals"),
        rows=tuple(rows),
    )
    return Part("overview", "What it came to", _headline(run), (table,))


def making(run: RunMaterial) -> Part:
    """How the run was made: settings, versions, and the whole configuration."""
    lines = ("The same configuration, photographs and seed give the same run again.",)
    return Part(
        "making", "How it was made", lines,
        (_settings(run.config), _made_with(run), _listing(run.config)),
    )  # fmt: skip


def _headline(run: RunMaterial) -> tuple[str, ...]:
    scores, validation = run.validation.scores, run.validation
    animals = len({name for name in run.catalog.identities if name is not None})
    lines = [
        f"Of {counted(scores.queries, 'photograph')} that training never saw, "
        f"{scores.top1:.1%} got the right first answer and {scores.top5:.1%} had it among the "
        f"first five: MAP@5 {scores.map5.text()}.",
        f"The catalogue has {counted(len(run.catalog), 'photograph')} of "
        f"{counted(animals, 'animal')}; {counted(len(run.split.gallery), 'photograph')} stood in "
        f"the gallery, and {scores.new_queries} of the "
        f"{counted(scores.queries, 'query', 'queries')} show an animal that is not in it.",
    ]
    if validation.expectation is None:  # which tells the gains with their intervals
        lines += [_gain(name, scores, constant) for name, constant in validation.constants.items()]
    if validation.threshold is not None:
        fitted = (
            f", fitted on {counted(validation.fitted_on, 'query', 'queries')} of other animals"
            if validation.fitted_on
            else ""
        )
        lines.append(
            f"An animal counts as new where no known one is at least {validation.threshold:.3f} "
            f"alike{fitted}."
        )
    lines += [f"{line[:1].upper()}{line[1:]}." for line in validation.lines()]
    if (run.folder / "measured").is_dir():
        further = counted(run.config.train.all_epochs, "further epoch")
        lines.append(
            "All figures and pictures here are of the network that never saw the queries. The "
            f"identifier's was trained from it for {further} on all labelled photographs, the "
            "queries among them, so that nothing here can measure it."
        )
    return tuple(lines)


def _gain(name: str, scores: Scores, constant: Scores) -> str:
    gain = scores.map5.mean - constant.map5.mean
    return (
        f"Answering {name!r} throughout would give MAP@5 {constant.map5.mean:.3f}: "
        f"{gain:+.3f} for this network."
    )


def _row(name: str, scores: Scores) -> tuple[str, ...]:
    auroc = "" if scores.auroc is None else f"{scores.auroc:.3f}"
    return name, scores.map5.text(), f"{scores.top1:.3f}", f"{scores.top5:.3f}", auroc


def _settings(config: Config) -> Table:
    """The settings that are not the defaults."""
    rows = [
        (key, _short(value))
        for key, value in _flat(config.model_dump(mode="json", exclude_defaults=True))
    ]
    return Table(
        "Settings that differ from the defaults", ("setting", "value"), tuple(sorted(rows))
    )


def _flat(tree: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{above}{key}.")
        else:
            found.append((above + key, value))
    return found


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:280]} ..."


def _made_with(run: RunMaterial) -> Table:
    rows = [*_facts(run, "run.json").get("environment", {}).items()]
    spent = _facts(run, "minutes.json")
    if "minutes" in spent:
        rows.append(("training", f"{spent['minutes']:.1f} minutes"))
    if "peak_mb" in spent:
        rows.append(("peak memory", f"{spent['peak_mb']:,.0f} MB"))
    if not rows:
        rows = [("unknown", "the run is of a version that did not note it")]
    return Table(
        "What it was trained with", ("what", "version or amount"),
        tuple((str(name), str(value)) for name, value in rows),
    )  # fmt: skip


def _facts(run: RunMaterial, name: str) -> dict[str, Any]:
    """What a file of the run tells; nothing where there is none."""
    file = run.folder / name
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise FlukeprintError(f"{file} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _listing(config: Config) -> Listing:
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return Listing("The whole configuration, as resolved", text)
