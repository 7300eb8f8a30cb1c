"""Write `docs/configuration.md` from the schema of the configuration and the table of losses.

python docs/write_configuration.py
"""

import inspect
from pathlib import Path

from flukeprint.config.reference import reference
from flukeprint.models.losses import LOSSES

PAGE = Path(__file__).parent / "configuration.md"
INTRODUCTION = """\
# Configuration

Every key, with its default. `python docs/write_configuration.py` writes this page from
the sections in `src/flukeprint/config/`.

A configuration is a YAML file that holds only what differs from these defaults. After a command the
same keys are written `section.key=value`, the value as in YAML: `train.epochs=30`,
`losses.0.weight=2`, `train.clip=null`. `extends: other.yaml` builds on another file of the same
folder: sections are merged key by key, lists and other values are replaced. An unknown key or value
is refused with the nearest known one. The ready-made files are listed in
[configs/README.md](../configs/README.md).

"""
LOSS_TABLE = """\
The default is `[{name: arcface}]`. Formulas and papers stand with the functions of these names in
`src/flukeprint/models/losses.py` and `src/flukeprint/models/pair_losses.py`.

| name | `params` with their defaults |
|---|---|
"""
PRETRAIN = """\
`pretrain: simclr` is short for `pretrain: {method: simclr}`. Precision, devices, workers, weight
decay, warm-up, clipping and seed are those of `train`. All stages of the backbone learn, whatever
`model.freeze_stages` says. More in [pretraining.md](pretraining.md).
"""


def page() -> str:
    """The whole page in Markdown."""
    rows = [f"| `{name}` | {parameters(name)} |" for name in LOSSES]
    notes = {"losses": LOSS_TABLE + "\n".join(rows), "pretrain": PRETRAIN}
    return INTRODUCTION + reference(notes)


def parameters(loss: str) -> str:
    """The parameters of a loss, as `name: default`."""
    found = inspect.signature(LOSSES[loss]).parameters.values()
    return ", ".join(f"`{one.name}: {one.default}`" for one in found if one.name != "task")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
