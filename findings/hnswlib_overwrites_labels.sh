#!/usr/bin/env bash
# Hnswlib replaces a photograph whose number is given twice, without a word.
#
# Packages: hnswlib==0.8.0, numpy==2.4.6
# Guess: adding a vector under a number that is there already is refused, as other engines do.
# Behaviour: the second vector takes the place of the first; the count stays one.
# Whom it hurts: who numbers the photographs of each survey from 0 loses the first survey from the
# gallery, survey by survey.
# Seen: photographs added 200, kept 100; number 7 is the second survey's.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'hnswlib==0.8.0' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import hnswlib, numpy as np
rng = np.random.default_rng(0)
surveys = rng.normal(size=(2, 100, 16)).astype("float32")
surveys /= np.linalg.norm(surveys, axis=2, keepdims=True)
index = hnswlib.Index("cosine", 16)
index.init_index(1000)
for survey in surveys:
    index.add_items(survey, np.arange(100))
second = bool(np.allclose(index.get_items([7])[0], surveys[1, 7], atol=1e-5))
print(f"photographs added 200, kept {index.element_count}; number 7 is the second survey's: {second}")
assert index.element_count == 100
assert second
PYTHON
