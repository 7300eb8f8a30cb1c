#!/usr/bin/env bash
# An individual called NA has no name in Camtrap DP 1.0.2, and frictionless calls the package
# valid.
#
# Packages: frictionless==5.21.0
# Guess: individualID is a text, so that NA is one as well.
# Behaviour: since 1.0.2 the tables of the standard say missingValues "", NA, NaN, nan, which hold
# for texts too.
# Whom it hurts: animals named by initials, or by a survey's code NA for Namibia, lose their
# sightings when the package is read.
# Seen: valid True; individuals [None, 'Ann'].
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'frictionless==5.21.0'
venv/bin/python - <<'PYTHON'
import json
from frictionless import Package
with open("observations.csv", "w") as file:
    file.write("observationID,individualID\no1,NA\no2,Ann\n")
names = ("observationID", "individualID")
schema = {"fields": [{"name": name, "type": "string"} for name in names],
          "missingValues": ["", "NA", "NaN", "nan"]}  # as the schema of Camtrap DP 1.0.2 has it
with open("datapackage.json", "w") as file:
    json.dump({"name": "survey", "resources": [{"name": "observations", "path": "observations.csv",
               "profile": "tabular-data-resource", "schema": schema}]}, file)
package = Package("datapackage.json")
valid = package.validate().valid
found = [row["individualID"] for row in package.get_resource("observations").read_rows()]
print(f"valid {valid}; individuals {found}")
assert valid
assert found == [None, "Ann"]
PYTHON
