#!/usr/bin/env bash
# Pytorch-metric-learning's accuracy leaves out the queries of animals that the gallery lacks.
#
# Packages: pytorch-metric-learning==2.9.0, torch==2.14.1, faiss-cpu==1.15.1, numpy==2.4.6
# Guess: a query without a right answer counts as wrong, so that accuracy falls with the share of
# new animals.
# Behaviour: AccuracyCalculator drops queries whose label the references do not have; half of four
# queries are new and precision is 1.0.
# Whom it hurts: an open set is reported as if it were closed: the score does not change however
# many strangers are asked about.
# Seen: four queries, two of new animals: precision_at_1 1.0, mean_average_precision 1.0.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'pytorch-metric-learning==2.9.0' 'torch==2.14.1' 'faiss-cpu==1.15.1' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
gallery, names = torch.eye(4), torch.tensor([0, 1, 2, 3])
queries = torch.cat([torch.eye(4)[:2], torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.3, 0.3]])])
labels = torch.tensor([0, 1, 8, 9])
measure = AccuracyCalculator(include=("precision_at_1", "mean_average_precision"), k=1)
found = measure.get_accuracy(queries, labels, gallery, names)
print({name: float(value) for name, value in found.items()})
assert found["precision_at_1"] == found["mean_average_precision"] == 1.0
PYTHON
