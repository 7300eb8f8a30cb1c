"""Take labelled photographs through formats of the field and back, and train on what came back.

    python -m benchmarks.accuracy.round_trips --photos input

Lions and nyala, below --photos: their records are written in each format, read again, and compared
with the original ones, record by record; then a small recipe is trained on both.  The seeds are the
same, so that one photograph lost, doubled or named otherwise shows in the figures.  Results:
`benchmarks/results/round_trips.json`; a finished run in the working folder is not trained again.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.harness.arguments import options
from benchmarks.harness.places import RESULTS
from flukeprint.config.load import load_config
from flukeprint.cpu import keep_memory
from flukeprint.data.catalog import Catalog
from flukeprint.data.exchange.forms import write_observed
from flukeprint.data.exchange.observed import Observed, ObservedPhoto
from flukeprint.data.readers.read import read_labelled
from flukeprint.files import written_whole
from flukeprint.identifier.runs import Run
from flukeprint.training.train import train

ANIMALS = ("lions", "nyala")
# Format -> what is written below its folder; the folder itself for a package.
FORMS = {
    "camtrap-dp": ".",
    "coco": "animals.json",
    "darwin-core": ".",
    "table": "animals.xlsx",
}
SMALL = (
    "image.height=96", "image.width=96", "train.epochs=2", "train.validate_every=2",
    "train.sizes=[1]", "train.all_epochs=0", "train.report=false", "rank.local.candidates=0",
    "rank.fuse=false",
)  # fmt: skip


def observed_of(catalog: Catalog) -> Observed:
    """What a catalogue of whole photographs tells."""
    assert catalog.paths is not None
    views = catalog.views or (None,) * len(catalog)
    return Observed(
        "catalogue",
        "",
        tuple(
            ObservedPhoto(image=image, path=path.absolute(), identity=identity, view=view)
            for image, path, identity, view in zip(
                catalog.images, catalog.paths, catalog.identities, views, strict=True
            )
        ),
    )


def records_of(catalog: Catalog) -> list[tuple[Path, str | None, str | None, bool]]:
    """File, identity, view and whether there is a box, of each photograph in order."""
    assert catalog.paths is not None
    views = catalog.views or (None,) * len(catalog)
    boxes = catalog.boxes or (None,) * len(catalog)
    return [
        (path.resolve(), identity, view, box is not None)
        for path, identity, view, box in zip(
            catalog.paths, catalog.identities, views, boxes, strict=True
        )
    ]


def figures(animal: str, runs: Path, *overrides: str) -> tuple[Catalog, dict[str, Any]]:
    """The labelled photographs of a configuration, and what validation measured after training.

    A finished run in `runs` is not trained again.
    """
    config = load_config(f"{animal}.yaml", [*SMALL, f"runs={runs}", *overrides])
    finished = [Run(path) for path in sorted((runs / animal).glob("*")) if Run(path).finished]
    run = finished[-1] if finished else train(config)
    found = json.loads((run.path / "validation.json").read_text())
    return read_labelled(config.data), {
        "queries": found["queries"], "top1": found["top1"], "map5": found["map5"]["mean"]
    }  # fmt: skip


def measure(animal: str, photos: Path, work: Path) -> dict[str, Any]:
    """The figures of the original data and of each format."""
    catalog, of_original = figures(animal, work / "original", f"data.root={photos / animal}")
    result: dict[str, Any] = {"photographs": len(catalog), "original": of_original}
    for form, name in FORMS.items():
        folder = work / form
        shutil.rmtree(folder / "data", ignore_errors=True)
        (folder / "data" if name != "." else folder).mkdir(parents=True, exist_ok=True)
        write_observed(observed_of(catalog), folder / "data" / name, form)
        back, of_form = figures(
            animal, folder, f"data.root={folder / 'data'}", "data.reader=imported",
            f"data.labels={name}", "data.views=null", "data.test=null",
            "data.sample_submission=null",
            f"data.photo_root={(photos / animal / 'train').absolute()}",
        )  # fmt: skip
        result[form] = {"records_equal": records_of(back) == records_of(catalog), **of_form}
        print(f"  {animal}, {form}: {result[form]}", flush=True)
    return result


def main() -> None:
    """Measure and save."""
    parser = options("accuracy.round_trips", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="the folder of lions and nyala")
    parser.add_argument("--work", type=Path, default=Path("runs/round_trips"))
    arguments = parser.parse_args()
    keep_memory()
    found = {
        animal: measure(animal, arguments.photos, arguments.work / animal) for animal in ANIMALS
    }
    with written_whole(RESULTS / "round_trips.json") as path:
        path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
