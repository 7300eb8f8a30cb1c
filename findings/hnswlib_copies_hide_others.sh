#!/usr/bin/env bash
# Some hundred copies of one frame make other photographs unfindable in HNSW.
#
# Packages: hnswlib==0.8.0, numpy==2.4.6
# Guess: a photograph that is in the index is found by its own embedding, however many copies of
# another one there are.
# Behaviour: with 300 equal vectors, added first, a fifth of 400 other vectors are no longer found
# by themselves; without the copies all are.
# Whom it hurts: a burst or a stuck camera trap gives hundreds of nearly equal embeddings; animals
# that have nothing to do with it vanish from the answers.
# Seen: found by themselves: 1 copy 1.00, 300 copies 0.78.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'hnswlib==0.8.0' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import hnswlib, numpy as np
rng = np.random.default_rng(0)
x = rng.normal(size=(1000, 64)).astype("float32")
x /= np.linalg.norm(x, axis=1, keepdims=True)
def found(copies):
    index = hnswlib.Index("cosine", 64)
    index.init_index(3000, M=16, ef_construction=200, random_seed=1)
    index.set_ef(50)
    index.add_items(np.concatenate([np.repeat(x[:1], copies, 0), x[1:]]), num_threads=1)
    labels, _ = index.knn_query(x[500:900], k=1)
    return float((labels.ravel() == np.arange(copies - 1 + 500, copies - 1 + 900)).mean())
alone, burst = found(1), found(300)
print(f"found by themselves: 1 copy {alone:.2f}, 300 copies {burst:.2f}")
assert alone == 1.0
assert burst < 0.9
PYTHON
