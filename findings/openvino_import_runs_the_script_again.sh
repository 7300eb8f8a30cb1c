#!/usr/bin/env bash
# Importing OpenVINO runs the importing script a second time where processes are not forked.
#
# Packages: openvino==2026.4.1, openvino-telemetry==2025.2.0
# Guess: an import of an engine for networks defines names, and that is all.
# Behaviour: the import reports its use from a process of multiprocessing's, which starts as the
# script has set it.  With "spawn" or "forkserver", the default on Linux from Python 3.14 on, such a
# process imports the script as `__mp_main__`: all that is not below `if __name__ == "__main__":` is
# done twice, although the script itself starts no process.  With "fork" it is done once.  Nothing is
# said.  Without the package openvino-telemetry, and where CI=true is set, it is done once.
# Whom it hurts: scripts that set "spawn" for CUDA, or are run by a newer Python: rows of a submission
# are appended twice, and animals are enrolled twice.
# Seen: rows written: fork 1, forkserver 2, spawn 2; with CI=true: 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'openvino==2026.4.1' 'openvino-telemetry==2025.2.0'
cat > identify.py <<'PYTHON'
import multiprocessing
import sys
import time

multiprocessing.set_start_method(sys.argv[1], force=True)

import openvino

with open("submission.csv", "a") as rows:
    rows.write("photograph.jpg,w_1\n")
time.sleep(1)  # identifies the next photographs
PYTHON
export HOME="$folder"                      # where the package keeps a number of its own
export https_proxy=http://127.0.0.1:9      # nobody listens there: nothing is reported
unset CI TF_BUILD JENKINS_URL
rows() {
  rm -f submission.csv
  venv/bin/python identify.py "$1"
  grep -c . submission.csv
}
fork="$(rows fork)" forkserver="$(rows forkserver)" spawn="$(rows spawn)"
in_ci="$(CI=true rows spawn)"
echo "rows written: fork $fork, forkserver $forkserver, spawn $spawn; with CI=true: $in_ci"
venv/bin/python - "$fork" "$forkserver" "$spawn" "$in_ci" <<'PYTHON'
import sys

assert sys.argv[1:] == ["1", "2", "2", "1"]
PYTHON
