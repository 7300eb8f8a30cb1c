"""The shell's doors, as a user meets them: right answers, and one clear line for wrong input."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run
from tests.processes import ROOT, call
from tests.says import Says
from tests.serving.served import served
from tests.tiny import SYNTHETIC, written

Runner = Callable[..., subprocess.CompletedProcess[str]]


def fresh(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as the shell does, imports and all."""
    words = [str(word) for word in command]
    if words[0] == "flukeprint":
        words = [sys.executable, "-m", *words]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def succeed(*command: str | Path, run: Runner = call) -> str:
    done = run(*command)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


def fail(*command: str | Path, run: Runner = call) -> str:
    """The one line of a refusal."""
    done = run(*command)
    assert done.returncode not in (0, 1), f"{command}\n{done.stdout}\n{done.stderr[-3000:]}"
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set with a finished run and its submission."""
    root = tmp_path_factory.mktemp("cli")
    tiny = written(root, root).path
    succeed("flukeprint", "synthesize", "-c", tiny)
    said = succeed("python", "train.py", "--config", tiny, run=fresh)
    assert "untrained network:" in said
    assert "five commonest labels:" in said
    assert "trained network:" in said
    return root


@pytest.fixture(scope="module")
def identifier(root: Path) -> Path:
    return next(root.glob("runs/tiny/*/identifier"))


@pytest.fixture(scope="module")
def submission(root: Path) -> Path:
    succeed("python", "infer.py", "--config", root / "tiny.yaml", run=fresh)
    return next(root.glob("submissions/tiny-*.csv"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_ends_by_choosing_the_engine_of_its_identifier(
    tmp_path: Path, tiny_run: Run, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flukeprint.training.train.train", lambda *_, **__: tiny_run)
    monkeypatch.setattr(Identifier, "keep_engine", lambda known, _: print(known.card.stamp))
    path = written(tmp_path, tmp_path).path
    out, error = says("train", "-c", path, "--no-untrained")
    assert error is None
    *_, before, last = out.splitlines()
    assert before.startswith("next: python infer.py")
    assert last == Identifier.load(tiny_run.identifier).card.stamp
    out, _ = says("train", "-c", path, "--no-untrained", "infer.engine=torch")
    assert out.splitlines()[-1].startswith("next: python infer.py")


def test_a_submission_has_the_samples_rows_and_five_answers(root: Path, submission: Path) -> None:
    sample = rows(root / "shapes" / "sample_submission.csv")
    answers = rows(submission)
    assert [row["Image"] for row in answers] == [row["Image"] for row in sample]
    known = {row["Id"] for row in rows(root / "shapes" / "train.csv")}
    for row in answers:
        names = row["Id"].split(" ")
        assert len(names) == len(set(names)) == 5
        assert set(names) <= known | {"new_whale"}


def test_score_is_kaggles(root: Path, submission: Path) -> None:
    truth_file = root / "shapes" / "test_truth.csv"
    truth = {row["Image"]: row["Id"] for row in rows(truth_file)}
    points = []
    for row in rows(submission):
        names = row["Id"].split(" ")
        right = truth[row["Image"]]
        points.append(1 / (names.index(right) + 1) if right in names else 0.0)
    said = succeed("flukeprint", "score", submission, truth_file)
    assert float(said.split()[-1]) == pytest.approx(sum(points) / len(points), abs=5e-5)


def test_identify_speaks_to_people_and_to_programs(root: Path, identifier: Path) -> None:
    photo = sorted((root / "shapes" / "test").iterdir())[0]
    table = succeed("flukeprint", "identify", identifier, photo)
    told = json.loads(succeed("flukeprint", "identify", identifier, photo, "--json"))
    assert told[0]["photo"] == str(photo)
    assert len(told[0]["answers"]) == 5
    for answer in told[0]["answers"]:
        assert answer["identity"] in table
        assert f"{answer['score']:.3f}" in table


def test_an_animal_is_enrolled_from_one_photo(root: Path, identifier: Path, tmp_path: Path) -> None:
    mine = tmp_path / "identifier"
    shutil.copytree(identifier, mine)
    photo = tmp_path / "stranger.png"
    Image.fromarray(draw_shape(40, 3, 64)).save(photo)
    said = succeed("flukeprint", "enroll", mine, photo, "--identity", "w_123")
    assert "w_123" in said
    told = json.loads(succeed("flukeprint", "identify", mine, photo, "--json"))
    assert told[0]["answers"][0]["identity"] == "w_123"
    assert "gallery already" in fail("flukeprint", "enroll", mine, photo, "--identity", "w_9")
    Image.fromarray(draw_shape(41, 3, 64)).save(photo)
    near = ("flukeprint", "enroll", mine, photo, "--identity", "W-123")
    assert "knows this name as w_123" in fail(*near)
    assert "W-123: new, 1 photograph" in succeed(*near, "--force")


def test_infer_takes_no_fold_and_says_which_run_it_takes(
    root: Path, identifier: Path, tmp_path: Path
) -> None:
    """The newest run of the configuration is a fold of a cross-validation."""
    run = identifier.parent
    for name, made_by in ((run.name, "train"), ("29991231-235959", "crossvalidate")):
        shutil.copytree(run, tmp_path / "runs" / "tiny" / name)
        (tmp_path / "runs" / "tiny" / name / "run.json").write_text(f'{{"made_by": "{made_by}"}}')
    options = [f"runs={tmp_path}/runs", f"submissions={tmp_path}/submissions"]
    done = call("python", "infer.py", "--config", root / "tiny.yaml", *options)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("run: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"run: {tmp_path}/runs/tiny/{run.name} (trained ")
    assert "3 epochs, MAP@5 0." in lines[0]
    assert [path.name for path in (tmp_path / "submissions").iterdir()] == [f"tiny-{run.name}.csv"]
    said = fail("flukeprint", "pseudo-label", "--config", root / "tiny.yaml", *options[:1])
    assert run.name in said  # and not the fold


def test_matches_are_drawn_in_the_format_of_the_suffix(root: Path, tmp_path: Path) -> None:
    one, two = sorted((root / "shapes" / "test").iterdir())[:2]
    succeed("flukeprint", "matches", one, two, "--out", tmp_path / "pair.jpg")
    with Image.open(tmp_path / "pair.jpg") as picture:
        assert picture.format == "JPEG"
    out = tmp_path / "pair.jgp"
    assert "did you mean jpg" in fail("flukeprint", "matches", one, two, "--out", out)
    tiny = root / "tiny.yaml"
    assert "did you mean jpg" in fail("flukeprint", "explore", "-c", tiny, "--plot", out)
    assert [path.name for path in tmp_path.iterdir()] == ["pair.jpg"]


def test_explore_counts_what_the_table_says(root: Path, tmp_path: Path) -> None:
    labels = [row["Id"] for row in rows(root / "shapes" / "train.csv")]
    picture = tmp_path / "tail.png"
    said = succeed("flukeprint", "explore", "-c", root / "tiny.yaml", "--plot", picture)
    assert re.search(rf"\b{len(labels)} photos", said.replace(",", ""))
    assert Image.open(picture).size[0] > 300


def test_the_doctor_is_content_with_drawn_photos(root: Path) -> None:
    succeed("flukeprint", "doctor", "-c", root / "tiny.yaml")


def test_what_a_stranger_gets_wrong_is_said_in_one_line(root: Path, identifier: Path) -> None:
    tiny = root / "tiny.yaml"
    assert "did you mean nyala" in fail("python", "train.py", "--config", "nyalla.yaml")
    assert "did you mean epochs" in fail("python", "train.py", "--config", tiny, "train.epoch=3")
    assert "arcface" in fail("python", "train.py", "--config", tiny, "losses=[{name: arcfase}]")
    assert "flukeprint download" in fail("python", "train.py", "-c", "whales", "data.root=/nowhere")
    assert "synthesize" in fail("python", "train.py", "-c", tiny, "data.root=/nowhere/x")
    assert "no finished run" in fail("python", "infer.py", "--config", tiny, "name=untrained")
    assert "runs there" in fail("python", "infer.py", "--config", tiny, "--run", "never")
    assert "nothing.jpg" in fail("flukeprint", "identify", identifier, "nothing.jpg")
    assert "is no identifier" in fail("flukeprint", "identify", root, "nothing.jpg", run=fresh)
    assert "folds" in fail("python", "train.py", "-c", tiny, "split.folds=400")


def broken_copy(root: Path, target: Path) -> Path:
    shutil.copytree(root / "shapes", target)
    (target / "synthetic.json").unlink()
    first, second = sorted((target / "train").iterdir())[:2]
    first.write_bytes(first.read_bytes()[:200])
    second.write_bytes(b"")
    return target


def test_unreadable_photos_are_all_named_or_skipped(root: Path, tmp_path: Path) -> None:
    folder = broken_copy(root, tmp_path / "broken")
    bad = [path.name for path in sorted((folder / "train").iterdir())[:2]]
    options = [f"data.root={folder}", f"runs={tmp_path}/runs", "data.reader=kaggle_csv"]
    said = fail("python", "train.py", "--config", root / "tiny.yaml", *options)
    assert all(name in said for name in bad)
    assert not (tmp_path / "runs").exists()
    succeed(
        "python", "train.py", "--config", root / "tiny.yaml", *options, "data.skip_unreadable=true"
    )
    assert list((tmp_path / "runs").glob("tiny/*/identifier"))


def test_a_submission_that_misses_a_row_is_refused(submission: Path, tmp_path: Path) -> None:
    lines = submission.read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]) + "\n")
    (tmp_path / "twice.csv").write_text("\n".join([*lines, lines[-1]]) + "\n")
    for name in ("short.csv", "twice.csv"):
        fail(
            "flukeprint", "score", tmp_path / name, submission.parents[1] / "shapes/test_truth.csv"
        )


def test_a_folder_that_cannot_be_written_is_said(root: Path, tmp_path: Path) -> None:
    (tmp_path / "submissions").write_text("a file where the folder should be")
    said = fail(
        "python", "infer.py", "-c", root / "tiny.yaml", f"submissions={tmp_path}/submissions"
    )
    assert "submissions" in said


def test_a_bare_photo_folder_with_digits_needs_nothing() -> None:
    said = succeed("flukeprint", "explore", "-c", "digits.yaml")
    assert "10" in said


def readme_commands() -> list[str]:
    """Every command line of the shell blocks of README and of the guides that follow it."""
    pages = ("README.md", "docs/your_animals.md", "docs/kaggle.md", "docs/web_and_api.md")
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in pages)
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for line in lines]
    kinds = ("python train.py", "python infer.py", "flukeprint ", "make ")
    return list(dict.fromkeys(line for line in lines if line.startswith(kinds)))


def test_readme_shows_commands() -> None:
    commands = readme_commands()
    assert "make demo" in commands
    assert "make test" in commands
    assert any(line.startswith("python train.py --config") for line in commands)


@pytest.mark.parametrize("line", readme_commands())
def test_readmes_commands_work(
    line: str, root: Path, identifier: Path, submission: Path, tmp_path: Path
) -> None:
    """Each on tiny stand-ins for the photographs it names."""
    words = shlex.split(line)
    if words[0] == "make":
        succeed("make", "--dry-run", *words[1:], run=fresh)
        return
    # Kaggle's, or what needs more queries or another command before it.
    if words[1] in ("demo", "download", "submit", "pseudo-label", "compare"):
        assert "Usage" in succeed("flukeprint", words[1], "--help")
        return
    if words.count("--run") > 1 or "--with" in words:  # several runs of one fold, or recipes
        command = words[1].removesuffix(".py")
        assert "Usage" in succeed("flukeprint", command, "--help")
        return
    # What needs more photographs with dates than the stand-ins are.
    if words[1] == "refit" or "--date" in words:
        assert "Usage" in succeed("flukeprint", words[1], "--help")
        return
    mine = tmp_path / "identifier"
    shutil.copytree(identifier, mine)
    known = json.loads(succeed("flukeprint", "individuals", mine, "--json"))
    animals = iter([one["name"] for one in known])
    if words[1] == "serve":  # until it is told to stop
        assert words[2] == "--identifier"
        with served(mine, *words[4:]) as running, urlopen(f"{running.url}/v1/about") as answer:
            assert json.load(answer)["name"] == "tiny"
        return
    photos = sorted((root / "shapes" / "test").iterdir())
    tiny = [  # what the recipe says but the data and the size
        "data.reader=synthetic", f"data.root={root}/shapes", "data.new_label=new_whale",
        "data.views=null",
        f"data.synthetic={SYNTHETIC}",
        "image.height=32", "image.width=32", "split.folds=2", "model.backbone=test_resnet",
        "model.weights=none", "model.freeze_stages=0", "sampler.batch_size=8", "train.workers=0",
        "train.max_steps=1", "train.epochs=1", "train.sizes=[]", "train.report=false",
        f"runs={root}/runs", f"submissions={tmp_path}",
        f"image.cache={root}/cache",
    ]  # fmt: skip
    if "mine.yaml" in words:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        found = re.search(r"```yaml\n# configs/mine.yaml\n(.*?)```", text, flags=re.DOTALL)
        assert found is not None
        recipe = found[1].replace("extends: ", f"extends: {ROOT / 'configs'}/")
        (tmp_path / "mine.yaml").write_text(recipe)
        words[words.index("mine.yaml")] = str(tmp_path / "mine.yaml")
    changed: list[str] = []
    for word in words:
        if word.startswith("data.pseudo_labels="):
            identity = next(iter(rows(root / "shapes" / "train.csv")))["Id"]
            table = tmp_path / "pseudo_labels.csv"
            table.write_text(
                f"Image,Id,confidence,run\n{photos[0].name},{identity},0.9,{identifier.parent}\n"
            )
            word = f"data.pseudo_labels={table}"
            tiny.append("data.new_photos=negatives")  # as the run that the table names
        if word.endswith((".jpg", ".JPG", ".png")):
            word = str(photos[len(changed) % len(photos)])
        elif word == "$ID" or "/identifier" in word:
            word = str(mine)
        elif word.startswith("submissions/"):
            word = str(submission)
        elif word == "input/mine/test" or word == "photos/":
            word = str(root / "shapes" / "test")
        elif word in ("n_043", "stray_1"):
            word = next(animals)
        elif word == "survey.csv":
            table = tmp_path / word
            table.write_text(f"image,identity,date\n{photos[0]},Ada,2026-05-03\n")
            word = str(table)
        elif word.endswith(".html") or word == "accuracy.csv":
            word = str(tmp_path / word)
        elif word.endswith("truth.csv"):
            word = str(root / "shapes" / "test_truth.csv")
        elif word.startswith("data.root="):
            word = ""
        elif word.endswith(".png"):
            word = str(tmp_path / "plot.png")
        changed.append(word)
    changed = [word for word in changed if word]
    if {"--config", "-c"} & set(words):
        changed += tiny
    if "--run" in changed:
        at = changed.index("--run")
        changed[at + 1] = identifier.parent.name
    if "--resume" in changed:
        at = changed.index("--resume")
        del changed[at : at + 2]
    succeed(*changed)
