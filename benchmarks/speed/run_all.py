"""Run all speed benchmarks one after the other, and write the page of their results.

python -m benchmarks.speed.run_all             all, about 40 minutes; reports/speed.md, plots/
python -m benchmarks.speed.run_all --quick     4 minutes; results/speed-quick.md
python -m benchmarks.speed.run_all --render    the page from the results that are there
"""

import subprocess
import time
from collections.abc import Sequence

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT, module_command
from benchmarks.speed.report import QUICK, SCRIPTS, render


def run(scripts: Sequence[str], quick: bool) -> None:
    """Run scripts one after the other; raises SystemExit with the name of one that fails."""
    begin = time.perf_counter()
    for number, name in enumerate(scripts, 1):
        minutes = (time.perf_counter() - begin) / 60
        print(f"[{number}/{len(scripts)}, {minutes:.1f} min] {name}", flush=True)
        command = module_command(f"speed.{name}", *(["--quick"] if quick else []))
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise SystemExit(f"benchmarks/speed/{name}.py failed")
    print(f"all in {(time.perf_counter() - begin) / 60:.1f} minutes")


def main() -> None:
    """Run the scripts, except with --render, and write the page."""
    given = options("speed.run_all", __doc__, ["quick", "render"]).parse_args()
    if not given.render:
        run(QUICK if given.quick else SCRIPTS, given.quick)
    render(given.quick)


if __name__ == "__main__":
    main()
