#!/usr/bin/env bash
# A FAISS IVF index answers -1 although it holds far more photographs than were asked for, and
# numpy takes -1 for the last animal.
#
# Packages: faiss-cpu==1.15.1, numpy==2.4.6
# Guess: -1 stands only where the index holds fewer than k vectors.
# Behaviour: with nprobe at its default of 1 the nearest cell often holds fewer than k vectors,
# and the rest of the row is -1.
# Whom it hurts: names[indices] puts the name of the gallery's last animal into the top five.
# Seen: queries with -1 among five of 400 photographs: 0.6 to 0.7; names of such a row end in the
# gallery's last name.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'faiss-cpu==1.15.1' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import faiss, numpy as np
rng = np.random.default_rng(0)
def unit(n):
    x = rng.normal(size=(n, 32)).astype("float32")
    return x / np.linalg.norm(x, axis=1, keepdims=True)
gallery = unit(400)
names = np.array([f"animal {i:03d}" for i in range(400)])
index = faiss.IndexIVFFlat(faiss.IndexFlatIP(32), 32, 100, faiss.METRIC_INNER_PRODUCT)
index.train(gallery)
index.add(gallery)
_, rows = index.search(unit(50), 5)
short = (rows == -1).any(axis=1)
wrong = names[rows[short][0]]
print(f"queries with -1 among five of {index.ntotal}: {short.mean():.2f}; {[str(name) for name in wrong]}")
assert short.mean() > 0.3
assert wrong[-1] == "animal 399"
PYTHON
