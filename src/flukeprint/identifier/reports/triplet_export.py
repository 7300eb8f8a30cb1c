"""Write the hardest triplets of a run's training photographs, for another training."""

from pathlib import Path

from flukeprint.errors import FlukeprintError
from flukeprint.evaluation.studies.triplets import MOST, TRIPLETS, HardTriplets, training_triplets
from flukeprint.files import check_writable
from flukeprint.identifier.reports.run_report import gather
from flukeprint.identifier.runs import Run


def export_triplets(
    run: Run, out: Path | None = None, *, most: int = MOST, margin: float | None = None
) -> tuple[Path, HardTriplets]:
    """Write the worst triplets that violate the margin, at most `most`, as CSV.

    They are of the training photographs of the run's fold alone, so a training of the same fold can
    draw them (`sampler.triplets`) without seeing its queries.

    Args:
        out: None writes `triplets.csv` into the run's folder.
        margin: None takes that of the run's triplet loss.

    Returns:
        The file, and all triplets that violate the margin.

    Raises:
        FlukeprintError: the run is not finished, its photographs have changed, or no triplet
            violates the margin.
    """
    material = gather(run)
    file = run.path / TRIPLETS if out is None else out
    if file.is_dir():
        raise FlukeprintError(f"{file} is a folder; name a file for the triplets")
    check_writable(file.parent)
    found = material.triplets
    if margin is not None:
        found = training_triplets(
            material.embeddings, material.catalog, material.split, material.config, margin=margin
        )
    if not len(found):
        raise FlukeprintError(
            f"no triplet of the training photographs of {run.path} violates the margin "
            f"{found.margin:g}, so there is nothing to export; a larger --margin finds some"
        )
    found.save(file, material.catalog.images, most=most)
    return file, found
