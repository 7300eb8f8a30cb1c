#!/usr/bin/env bash
# Scikit-learn's k nearest neighbours answer with the first name of the alphabet where every
# animal has one photograph.
#
# Packages: scikit-learn==1.9.1, numpy==2.4.6
# Guess: with three neighbours of three animals the nearest one decides.
# Behaviour: each has one vote, and a tie goes to the lowest class, however much nearer another
# photograph is.
# Whom it hurts: half of the whales have one photograph: from k = 2 on the answer is who sorts
# first, not who looks alike.
# Seen: k=1 zoe, k=3 ann, k=3 weighted by distance zoe.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'scikit-learn==1.9.1' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.neighbors import KNeighborsClassifier
gallery, names = np.eye(4)[:3] + 0.01, ["zoe", "bo", "ann"]
query = [[1.0, 0.3, 0.2, 0.0]]  # nearest to zoe by far
def answer(k, weights="uniform"):
    return str(KNeighborsClassifier(k, metric="cosine", weights=weights).fit(gallery, names).predict(query)[0])
one, three, weighted = answer(1), answer(3), answer(3, "distance")
print(f"k=1 {one}, k=3 {three}, k=3 weighted by distance {weighted}")
assert (one, three, weighted) == ("zoe", "ann", "zoe")
PYTHON
