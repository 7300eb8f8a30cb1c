#!/usr/bin/env bash
# ArcFaceLoss(margin=0.5) of pytorch-metric-learning has next to no margin: it is read in degrees.
#
# Packages: pytorch-metric-learning==2.9.0, torch==2.14.1, numpy==2.4.6
# Guess: the margin is in radians, as in the paper, whose 0.5 everybody copies.
# Behaviour: the number is taken for degrees, without a check of its size: 0.5 becomes 0.0087
# radians.
# Whom it hurts: a training that should have a margin is a plain softmax on cosines, and the
# recipe that was copied seems not to work.
# Seen: margin=0.5 is 0.0087 rad; the default 28.6 is 0.4992 rad.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'pytorch-metric-learning==2.9.0' 'torch==2.14.1' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
from pytorch_metric_learning.losses import ArcFaceLoss
copied = ArcFaceLoss(num_classes=3, embedding_size=8, margin=0.5).margin
default = ArcFaceLoss(num_classes=3, embedding_size=8).margin
print(f"margin=0.5 is {copied:.4f} rad; the default 28.6 is {default:.4f} rad")
assert abs(copied - 0.0087) < 1e-4
assert abs(default - 0.4992) < 1e-4
PYTHON
