#!/usr/bin/env bash
# Usearch keeps unit vectors as int8 correctly, but its inner-product distances are then of whole
# numbers, in the thousands.
#
# Packages: usearch==2.26.6, numpy==2.4.6
# Guess: the distance of dtype="i8" is 1 - cosine, like that of float32, a little rounded.
# Behaviour: with metric="ip" the distance is 1 minus the product of the int8 codes; with
# metric="cos" it is on the usual scale.
# Whom it hurts: a threshold for new animals that was chosen on cosines calls everything known.
# Seen: nearest distance: f32 -0.0, i8 ip about -16000, i8 cos 0.0.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'usearch==2.26.6' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import numpy as np
from usearch.index import Index
rng = np.random.default_rng(0)
x = rng.normal(size=(1000, 64)).astype("float32")
x /= np.linalg.norm(x, axis=1, keepdims=True)
def nearest(metric, dtype):
    index = Index(ndim=64, metric=metric, dtype=dtype)
    index.add(np.arange(1000), x)
    return float(index.search(x[:1], 1).distances.ravel()[0])
plain, coded, cosine = nearest("ip", "f32"), nearest("ip", "i8"), nearest("cos", "i8")
print(f"nearest distance: f32 {plain:.2f}, i8 ip {coded:.0f}, i8 cos {cosine:.2f}")
assert abs(plain) < 1e-3
assert coded < -1000
assert abs(cosine) < 0.02
PYTHON
