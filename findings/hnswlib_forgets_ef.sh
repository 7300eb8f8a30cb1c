#!/usr/bin/env bash
# Hnswlib does not save ef: a gallery that is loaded again finds far less.
#
# Packages: hnswlib==0.8.0, numpy==2.4.6
# Guess: an index that is saved and loaded answers as it did before.
# Behaviour: load_index sets ef, the breadth of each search, back to 10, whatever it was when the
# index was saved.
# Whom it hurts: validation measures the index in memory; the service that loads it from disk
# names other animals, without an error.
# Seen: recall@5 before 0.9, after loading 0.1 to 0.2; ef 400, then 10.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'hnswlib==0.8.0' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import hnswlib, numpy as np, os
rng = np.random.default_rng(0)
def unit(n):
    x = rng.normal(size=(n, 64)).astype("float32")
    return x / np.linalg.norm(x, axis=1, keepdims=True)
gallery, queries = unit(20_000), unit(200)
exact = np.argsort(-queries @ gallery.T, axis=1)[:, :5]
def recall(index):
    labels, _ = index.knn_query(queries, k=5)
    return float(np.mean([len(set(a) & set(b)) / 5 for a, b in zip(labels, exact)]))
index = hnswlib.Index("cosine", 64)
index.init_index(20_000, ef_construction=100, M=8)
index.set_ef(400)
index.add_items(gallery)
index.save_index("gallery.bin")
again = hnswlib.Index("cosine", 64)
again.load_index("gallery.bin")
before, after = recall(index), recall(again)
print(f"recall@5 before {before:.2f}, after loading {after:.2f}; ef {index.ef}, then {again.ef}")
assert (index.ef, again.ef) == (400, 10)
assert before > 0.8 and after < 0.4
again.set_ef(400)
assert abs(recall(again) - before) < 0.05
PYTHON
