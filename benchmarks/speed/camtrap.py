"""What reading a Camtrap DP of 100,000 photographs costs, as a folder and as a ZIP file.

    python -m benchmarks.speed.camtrap [--quick]

The package is drawn: 200 deployments, 120,000 observations of which four in five are of one
photograph and have a box, the others of events.  Each reading has a process of its own, whose peak
memory includes the imported packages.
"""

import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT, module_command
from benchmarks.harness.timing import peak_mb, save
from flukeprint.data.exchange.camtrap.reading import TABLES, read_camtrap_dp

ROUNDS = 3
DEPLOYMENTS = 200
PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/camtrap-dp-profile.json"


def draw(folder: Path, photos: int) -> None:
    """Write a package of so many photographs."""
    rng = random.Random(0)
    begin = datetime(2024, 1, 1)
    stamps = [(begin + timedelta(minutes=i)).isoformat() + "+02:00" for i in range(photos)]
    places = [f"place {i % DEPLOYMENTS}" for i in range(photos)]
    whole = range(photos * 4 // 5)
    boxed = [*whole, *range(photos // 5)]  # a fifth of the photographs has two boxes
    rows: dict[str, list[dict[str, Any]]] = {
        "deployments": [
            {
                "deploymentID": f"place {i}", "locationName": f"Stream {i}",
                "latitude": rng.uniform(-60, 60), "longitude": rng.uniform(-60, 60),
                "coordinateUncertainty": 50,
            }
            for i in range(DEPLOYMENTS)
        ],
        "media": [
            {
                "mediaID": f"{i:08x}", "deploymentID": places[i], "timestamp": stamps[i],
                "filePath": f"media/{places[i]}/IMG_{i}.JPG", "filePublic": "true",
                "fileMediatype": "image/jpeg",
            }
            for i in range(photos)
        ],
        "observations": [
            {
                "observationID": f"o{number}", "deploymentID": places[i], "mediaID": f"{i:08x}",
                "eventID": f"e{i // 5}", "eventStart": stamps[i], "eventEnd": stamps[i],
                "observationLevel": "media", "observationType": "animal",
                "scientificName": "Panthera leo", "individualID": f"lion {i % 200}",
                "bboxX": rng.uniform(0, 0.5), "bboxY": rng.uniform(0, 0.5), "bboxWidth": 0.3,
                "bboxHeight": 0.3, "classificationMethod": "human", "classifiedBy": "Ann",
            }
            for number, i in enumerate(boxed)
        ] + [
            {
                "observationID": f"v{i}", "deploymentID": places[i], "eventStart": stamps[i],
                "eventEnd": stamps[i], "observationLevel": "event", "observationType": "animal",
                "scientificName": "Panthera leo", "individualID": "lion 3",
            }
            for i in range(len(whole), photos)
        ],
    }  # fmt: skip
    for name, table in rows.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    resources = [{"name": name, "path": f"{name}.csv"} for name in TABLES]
    description = {"profile": PROFILE, "resources": resources}
    (folder / "datapackage.json").write_text(json.dumps(description))


def read_once(path: Path) -> dict[str, float]:
    """Seconds, peak memory and number of records of one reading, in this process."""
    begin = time.perf_counter()
    observed = read_camtrap_dp(path)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak_mb": peak_mb(), "records": len(observed.photos)}


def measure(quick: bool) -> dict[str, Any]:
    """Read the package as a folder and as a ZIP file, some times each."""
    photos = 10_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name) / "package", Path(name) / "package.zip"
        folder.mkdir()
        draw(folder, photos)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(folder.iterdir()):
                packed.write(file, file.name)
        result: dict[str, Any] = {"photographs": photos}
        for kind, path in (("folder", folder), ("zip", archive)):
            runs = []
            for _ in range(ROUNDS):
                command = module_command("speed.camtrap", "--read", str(path))
                done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
                runs.append(json.loads(done.stdout))
                print(f"  {kind}: {runs[-1]}", flush=True)
            result[kind] = {
                "seconds": [run["seconds"] for run in runs],
                "median_seconds": statistics.median(run["seconds"] for run in runs),
                "peak_mb": max(run["peak_mb"] for run in runs),
                "records": runs[0]["records"],
            }
    return result


def main() -> None:
    """Measure and save, or, in a process of its own, read once."""
    parser = options("speed.camtrap", __doc__, ["quick"])
    parser.add_argument("--read", type=Path, help="read this package once and print what it cost")
    arguments = parser.parse_args()
    if arguments.read is not None:
        json.dump(read_once(arguments.read), sys.stdout)
        return
    save("camtrap", measure(arguments.quick), arguments.quick)


if __name__ == "__main__":
    main()
