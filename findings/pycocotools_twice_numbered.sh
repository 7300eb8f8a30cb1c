#!/usr/bin/env bash
# Pycocotools gives the animal of another photograph where two annotations have one number.
#
# Packages: pycocotools==2.0.11, numpy==2.4.6
# Guess: a number that is there twice is refused, or each photograph keeps its own annotation.
# Behaviour: the annotations of a photograph are looked up by their numbers, and the last one of a
# number stands for all.
# Whom it hurts: two annotators' files that are put together both count from 1: half of the
# photographs get the other one's animals.
# Seen: names in the file: a.jpg ann, b.jpg bo; loaded: a.jpg ['bo'], b.jpg ['bo'].
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'pycocotools==2.0.11' 'numpy==2.4.6'
venv/bin/python - <<'PYTHON'
import contextlib, io, json
from pycocotools.coco import COCO
image = lambda i, name: {"id": i, "file_name": name, "width": 9, "height": 9}
animal = lambda photo, name: {"id": 1, "image_id": photo, "category_id": 1, "bbox": [0, 0, 5, 5],
                              "area": 25, "iscrowd": 0, "name": name}
tree = {"images": [image(1, "a.jpg"), image(2, "b.jpg")], "categories": [{"id": 1, "name": "zebra"}],
        "annotations": [animal(1, "ann"), animal(2, "bo")]}
with open("both.json", "w") as file:
    json.dump(tree, file)
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO("both.json")
loaded = {i: [one["name"] for one in coco.loadAnns(coco.getAnnIds(i))] for i in (1, 2)}
print(f"names in the file: a.jpg ann, b.jpg bo; loaded: a.jpg {loaded[1]}, b.jpg {loaded[2]}")
assert loaded == {1: ["bo"], 2: ["bo"]}
PYTHON
