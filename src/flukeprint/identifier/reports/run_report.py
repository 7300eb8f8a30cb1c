"""Write the report of a run: `report.html` in its folder, and its charts in `report/`.

A section is a function from what the run holds to a `Part`, None where it does not apply; SECTIONS
lists them in the order of the page.
"""

from collections.abc import Callable

from flukeprint.data.embeddings import Embeddings
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.splits import split_for
from flukeprint.errors import FlukeprintError, counted
from flukeprint.evaluation.report.charts import Part
from flukeprint.evaluation.report.lab_sections.class_matrix import class_matrix
from flukeprint.evaluation.report.lab_sections.pair_lab import pair_lab
from flukeprint.evaluation.report.material import RunMaterial
from flukeprint.evaluation.report.page import ReportPage
from flukeprint.evaluation.report.sections.answers import answers
from flukeprint.evaluation.report.sections.confusions import confusions
from flukeprint.evaluation.report.sections.curves import curves
from flukeprint.evaluation.report.sections.embedding import embedding
from flukeprint.evaluation.report.sections.open_set import open_set
from flukeprint.evaluation.report.sections.overview import making, overview
from flukeprint.evaluation.report.sections.pairs import pairs
from flukeprint.evaluation.report.sections.pretraining import pretraining
from flukeprint.evaluation.report.sections.probabilities import probabilities
from flukeprint.evaluation.report.sections.quality import quality
from flukeprint.evaluation.report.sections.recognition import recognition
from flukeprint.evaluation.report.sections.sizes import sizes
from flukeprint.evaluation.report.sections.triplets import hardest_triplets
from flukeprint.evaluation.report.sections.views import views
from flukeprint.evaluation.report.study_sections.distractors import distractors_section
from flukeprint.evaluation.report.study_sections.few_shots import few_shot_section
from flukeprint.evaluation.report.study_sections.metrics import metrics_section
from flukeprint.evaluation.report.study_sections.verification import verification_section
from flukeprint.evaluation.report.written import write_page
from flukeprint.evaluation.studies.triplets import TRIPLETS
from flukeprint.evaluation.validation import validate_rankings
from flukeprint.evaluation.validation_queries import QUERIES_FILE, ValidationQueries
from flukeprint.files import check_writable
from flukeprint.identifier.reports.looked_at import looked_at
from flukeprint.identifier.runs import Run, check_same_labels
from flukeprint.output import say

Section = Callable[[RunMaterial], Part | None]

SECTIONS: dict[str, Section] = {
    "overview": overview,
    "recognition": recognition,
    "answers": answers,
    "looked_at": looked_at,
    "pairs": pairs,
    "pair_lab": pair_lab,
    "class_matrix": class_matrix,
    "open_set": open_set,
    "probabilities": probabilities,
    "sizes": sizes,
    "views": views,
    "quality": quality,
    "confusions": confusions,
    "embedding": embedding,
    "triplets": hardest_triplets,
    "verification": verification_section,
    "distractors": distractors_section,
    "metrics": metrics_section,
    "few_shots": few_shot_section,
    "curves": curves,
    "pretraining": pretraining,
    "making": making,
}


def gather(run: Run) -> RunMaterial:
    """Read what a finished run's report is made from; photographs are not decoded.

    Raises:
        FlukeprintError: no run, an unfinished one, damaged files, or other photographs or labels
            than it was trained on.
    """
    config = run.config()
    if not run.finished:
        raise FlukeprintError(
            f"run {run.path} is not finished, so there is nothing to report; go on with: train.py "
            f"--config ... --resume {run.name}"
        )
    check_writable(run.path)
    asked = ValidationQueries.load(run.path / QUERIES_FILE)
    embeddings = Embeddings.load(run.path / "embeddings.npz")
    catalog = read_labelled(config.data)
    if config.data.skip_unreadable:  # those that the run left out, it has no embeddings of
        kept = set(embeddings.images)
        catalog = catalog.take([row for row, name in enumerate(catalog.images) if name in kept])
    check_same_labels(run, catalog)
    split = split_for(config, catalog)
    if tuple(catalog.images[row] for row in split.queries) != asked.ranking.images:
        raise FlukeprintError(
            f"the photographs give other queries than {run.path} was validated on: photographs "
            "changed that count as copies or bursts; restore them or train a new run"
        )
    return RunMaterial(
        run.path, config, catalog, split, embeddings, validate_rankings(asked, config)
    )


def write_report(run: Run, material: RunMaterial | None = None) -> None:
    """Write the report of a finished run into its folder; an older one is replaced.

    A section that fails is left out, and said on the page and on standard error.  The hardest
    triplets are written beside it, for `sampler.triplets`.

    material: where it is in memory already.

    Raises:
        FlukeprintError: as `gather`; or the page cannot be written, which leaves the older one.
    """
    material = gather(run) if material is None else material
    parts, notes = make_parts(material)
    config = material.config
    page = ReportPage(
        title=f"{config.name}, fold {config.split.fold} of {config.split.folds}",
        lead=(
            f"Report of the run {run.name}: {config.model.backbone}, "
            f"{counted(config.train.epochs, 'epoch')}, seed {config.train.seed}.",
        ),
        parts=parts,
        notes=notes,
    )
    write_page(page, run.report)
    if len(material.triplets):
        material.triplets.save(run.path / TRIPLETS, material.catalog.images)


def report_on(run: Run, material: RunMaterial) -> None:
    """Write the report at the end of a training, which does not fail where that fails."""
    try:
        write_report(run, material)
    except Exception as error:  # the identifier is saved, and that is what counts
        say(f"{run.report} could not be written: {' '.join(str(error).split())}")


def make_parts(material: RunMaterial) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The sections that apply, and a line for each that failed."""
    parts: list[Part] = []
    notes: list[str] = []
    for name, section in SECTIONS.items():
        try:
            part = section(material)
            if part is None:
                continue
            taken = {known for made in parts for known in made.names()}
            if twice := taken & set(part.names()):
                raise ValueError(f"a chart of another section has the name {min(twice)}")
        except Exception as error:  # the other sections are worth having
            reason = " ".join(str(error).split()) or type(error).__name__
            notes.append(f"The section {name} could not be made: {reason}")
            say(f"{material.folder / 'report.html'}: {notes[-1]}")
        else:
            parts.append(part)
    return tuple(parts), tuple(notes)
