"""Demonstration on synthetic whales, from drawing to submission, without any download."""

import time
from pathlib import Path

from flukeprint.config.load import load_config
from flukeprint.data.readers.read import read_labelled
from flukeprint.data.synthetic.dataset import write_synthetic
from flukeprint.evaluation.plots import draw_answers
from flukeprint.files import written_whole
from flukeprint.submission.csv_file import read_answers, score
from flukeprint.submission.infer import RunAnswers, infer
from flukeprint.training.train import baselines, train


def run_demo() -> None:
    """Draw, train, identify and score; prints the figures and the paths of the results."""
    start = time.monotonic()
    config = load_config("demo.yaml")
    root = config.data.root
    print(f"1/4  drawing whales in {root}")
    write_synthetic(config.data.synthetic, root, progress=True)
    print("2/4  measuring the baselines")
    figures = {name: scores.text() for name, scores in baselines(config).items()}
    print(f"3/4  training {config.model.backbone} for {config.train.epochs} epochs")
    run = train(config)
    trained = run.figures()
    figures |= {name: scores["text"] for name, scores in trained["constants"].items()}
    figures["trained network"] = trained["text"]
    print("4/4  identifying the test photographs")
    answers = infer(config, run)
    submission = config.submissions / "demo.csv"
    with written_whole(submission) as path:
        path.write_bytes(answers.submission.read_bytes())
    picture = run.path / "test_answers.png"
    _draw(answers, root, picture)

    print("\nLocal validation, MAP@5 with its 95 % interval:")
    for name in (
        "five commonest labels", "never new", "always new first", "untrained network",
        "trained network",
    ):  # fmt: skip
        print(f"  {name:22} {figures[name]}")
    if trained["doubt"] is not None:
        print(f"  {trained['doubt']}")
    map5 = score(submission, root / "test_truth.csv")
    print(f"Test photographs, whose right answers are known: MAP@5 {map5:.3f}")
    print(f"submission  {submission}")
    print(f"figures     {run.validation}")
    print(f"pictures    {', '.join(map(str, (picture, *run.pictures())))}")
    if run.report.is_file():
        print(f"report      {run.report}")
    print(f"identifier  {run.identifier}")
    print(f"minutes     {(time.monotonic() - start) / 60:.1f}")


def _draw(answers: RunAnswers, root: Path, target: Path) -> None:
    """Draw the first test photographs with their five answers."""
    identifier = answers.identifier
    labelled = read_labelled(load_config("demo.yaml").data)
    place = {image: row for row, image in enumerate(labelled.images)}
    gallery = labelled.take([place[image] for image in identifier.gallery.images])
    truth = dict(read_answers(root / "test_truth.csv", new_label=identifier.card.new_label))
    draw_answers(
        answers.test, answers.ranking, gallery, target,
        new_label=identifier.card.new_label,
        truth=[truth[image] for image in answers.test.images],
        title="Test photographs and their five likeliest whales",
    )  # fmt: skip
