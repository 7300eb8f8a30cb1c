"""Name what inference writes by the settings it was made with, so that other ones keep their own.

What was set otherwise than in training is in the name: `whales-20260131-120000.csv` has the
settings of the run, `whales-20260131-120000-share-0.1.csv` another threshold.
"""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from flukeprint.config.schema import Config

LONGEST = 48  # characters of all settings in a name; a digest stands for more
LONGEST_RUNS = 120  # the same of the names of all runs
# Settings that decide no answer: how to compute, and what is for training or the web page alone.
_NOT_OF_ANSWERS = {
    "infer": {"batch_size", "outside"},
    "data": {
        "labels", "train", "pattern", "bursts", "min_photos", "pair_with", "new_photos", "classes",
        "pseudo_labels", "pseudo_confidence", "competition", "skip_unreadable", "synthetic",
    },
    "rank": set(),
}  # fmt: skip
_OF_EACH_RUN = {"mirror", "zooms"}  # an ensemble embeds as each of its runs was trained to
# And of the others those that decide no test photograph.
_NOT_OF_PHOTOGRAPHS = {"sample_submission", "new_label", "closed_set"}


def submission_name(config: Config, trained: Config, run: str) -> str:
    """Name of a submission, `<config>-<run>[-<what differs>].csv`.

    trained: the configuration of the run.  run: its name.
    """
    changed = _changed(config, trained, "infer") | _changed(config, trained, "data")
    return f"{config.name}-{run}{_written(changed)}.csv"


def ensemble_name(
    config: Config,
    members: Sequence[tuple[Config, str]],
    weights: Sequence[float] | None = None,
) -> str:
    """Name of a submission of several runs, `<config>-<run>+<run>[-<what differs>].csv`.

    What differs is told from the first run.  A run of another configuration has its name before it.

    members: configuration and name of each run.  weights: of the runs; None: equal ones.
    """
    trained = members[0][0]
    runs = "+".join(
        name if one.name == config.name else f"{_plain(one.name)}-{name}" for one, name in members
    )
    if len(runs) > LONGEST_RUNS:
        runs = f"{len(members)}-runs-{_digest(runs)}"
    changed = _changed(config, trained, "infer", _OF_EACH_RUN)
    changed |= _changed(config, trained, "data") | _changed(config, trained, "rank")
    if weights is not None:
        changed["weights"] = "-".join(f"{weight:g}" for weight in weights)
    return f"{config.name}-{runs}{_written(changed)}.csv"


def embeddings_name(config: Config, trained: Config) -> str:
    """Name of the test embeddings in a run's folder: `test.npz` for its own test photographs."""
    changed = _changed(config, trained, "data", _NOT_OF_PHOTOGRAPHS)
    return f"test{_written(changed)}.npz"


def _changed(
    config: Config, trained: Config, section: str, without: Collection[str] = ()
) -> dict[str, object]:
    """The settings of a section that decide answers and differ from those of the run."""
    here, there = (_section(one, section) for one in (config, trained))
    left_out = _NOT_OF_ANSWERS[section] | set(without)
    return {
        key: value
        for key, value in here.items()
        if key not in left_out and value != there.get(key, value)
    }


def _section(config: Config, section: str) -> dict[str, object]:
    tree: dict[str, object] = getattr(config, section).model_dump(mode="json")
    if section == "data" and isinstance(config.data.root, Path):
        tree["root"] = str(config.data.root.absolute())  # one folder, however it is written
    return tree


def _written(changed: dict[str, object]) -> str:
    if not changed:
        return ""
    text = "".join(f"-{_setting(key, value)}" for key, value in sorted(changed.items()))
    return text if len(text) <= LONGEST else f"-{_digest(changed)}"


def _plain(name: str) -> str:
    return re.sub(r"[/\\]", "-", name)  # the name of a configuration may have folders


def _setting(key: str, value: object) -> str:
    if isinstance(value, dict) and len(value) == 1:  # such as {share: 0.1}
        ((key, value),) = value.items()
    plain = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    readable = re.fullmatch(r"[\w.+-]{1,20}", plain)
    return f"{key}-{plain if readable else _digest(value)}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
