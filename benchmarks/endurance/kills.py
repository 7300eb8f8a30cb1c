"""Kill commands at random moments, run the next command, and compare with unbroken results.

Some kills are spread evenly over the command's duration; the others wait until a file that the
command writes appears, so that the short stages of writing are met as well.
"""

import itertools
import random
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.endurance import serving
from benchmarks.endurance.ground import (
    Ground,
    emptied,
    expect,
    generator,
    left_overs,
    run_digest,
)
from benchmarks.endurance.journal import Result
from benchmarks.endurance.processes import Started, command, finished
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.identifier import Identifier
from flukeprint.identifier.runs import Run

ENDED = "ended before"  # the command was faster than the kill
TRAINED = ("plain", "ema", "stateful", "early", "keypoints")  # recipes that are killed
AIMED = 0.6  # share of the kills that wait for a file


@dataclass
class Victim:
    """A command that is killed.

    words: its command line.  watched: globs below `folder`; some kills wait for one of them.
    seconds: how long it takes when nothing disturbs it.  linger: seconds, at most, from the sight
    of a file to the kill.
    """

    words: Sequence[str | Path]
    folder: Path
    watched: Sequence[str]
    seconds: float
    linger: float
    begin: Callable[[Started], object] = lambda started: None
    said: str = ""
    killed: bool = False
    aim: str = ""

    def die(self, rng: random.Random, *, true: bool = False) -> None:
        """Start it and kill it; `killed` tells whether it had not ended before."""
        share = rng.random()
        self.aim = rng.choice(self.watched) if self.watched and rng.random() < AIMED else ""
        seen = set(self.folder.glob(self.aim)) if self.aim else set()
        with command(*self.words, true=true) as started:
            self.begin(started)
            start = time.monotonic()
            extra = 6.0 if true else 0.0  # a new Python imports for some seconds
            end = start + share * (self.seconds + extra)
            if self.aim:
                end = start + 2 * self.seconds + extra
                while time.monotonic() < end and started.code() is None:
                    if set(self.folder.glob(self.aim)) - seen:
                        end = time.monotonic() + share * self.linger
                        break
                    time.sleep(0.0005)
            while time.monotonic() < end and started.code() is None:
                time.sleep(0.001)
            self.killed = started.code() is None
            started.kill()
            self.said = started.said()
            code = started.code()
        if not self.killed and code != 0:
            raise FlukeprintError(f"it failed by itself ({code}): {self.said[-400:]}")


@dataclass
class Trial:
    """What one kill came to."""

    outcome: str
    faults: list[str] = field(default_factory=list)

    def next_command(self, *words: str | Path, true: bool = False) -> str:
        """Run what has to work now; its output."""
        code, said = finished(*words, true=true)
        if code != 0:
            self.faults.append(f"the next command failed ({code}): {last_line(said)}")
        return said


class Area(ABC):
    """One sort of command that is killed; `trial` kills one and judges what followed."""

    name: str
    linger = 0.03

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground, self.seed = ground, seed

    @abstractmethod
    def trial(self, number: int, rng: random.Random, *, true: bool) -> Trial:
        """Kill one command, and judge what followed."""


class Training(Area):
    """`train.py`: resumed, or begun anew where no epoch was kept, it ends as an unbroken one."""

    name = "training"
    watched = (
        "*/*/config.yaml", "*/*/checkpoints/.*", "*/*/checkpoints/last.ckpt",
        "*/*/checkpoints/best.ckpt", "*/*/.*", "*/*/embeddings.npz", "*/*/validation.json",
        "*/*/.identifier*", "*/*/.identifier*/gallery", "*/*/identifier",
    )  # fmt: skip

    def __init__(self, ground: Ground, seed: int) -> None:
        super().__init__(ground, seed)
        self.took: dict[str, float] = {}
        self.wanted: dict[str, str] = {}

    def trial(self, number: int, rng: random.Random, *, true: bool) -> Trial:
        recipe = TRAINED[number % len(TRAINED)]
        runs = emptied(self.ground.root / "killed" / "training")
        base = ["python", "train.py", *self.ground.arguments(recipe), f"runs={runs}"]
        words = [*base, "--no-untrained"]
        if recipe not in self.took:
            self.wanted[recipe] = run_digest(self.ground.unbroken(recipe))
            start = time.monotonic()
            expect(finished(*words))
            self.took[recipe] = time.monotonic() - start
            emptied(runs)
        victim = Victim(words, runs, self.watched, self.took[recipe], self.linger)
        victim.die(rng, true=true)
        trial = Trial(self._stage(runs) if victim.killed else ENDED)
        told = re.search(r"^run: (\S+)$", victim.said, re.MULTILINE)
        if told and not Run(Path(told[1])).finished:
            trial.faults.append("it had told of a finished run that is none")
        resumable = list(runs.glob("*/*/checkpoints/last.ckpt"))
        done = list(runs.glob("*/*/identifier"))
        if resumable and not done:
            if rng.random() < 0.3:  # it is killed again while it resumes
                again = Victim(
                    [*words, "--resume", "last"], runs, self.watched, victim.seconds, self.linger
                )
                again.die(rng)
            if not list(runs.glob("*/*/identifier")):
                trial.next_command(*words, "--resume", "last", true=true)
        elif not done:
            trial.next_command(*words, true=true)
        finished_runs = list(runs.glob("*/*/identifier"))
        if len(finished_runs) != 1:
            trial.faults.append(f"{len(finished_runs)} finished runs instead of one")
        else:
            run = Run(finished_runs[0].parent)
            if run_digest(run) != self.wanted[recipe]:
                trial.faults.append(f"{recipe}: another result than an unbroken run")
            if done:
                overrides = self.ground.arguments(recipe)
                submissions = f"submissions={runs / 'submissions'}"
                trial.next_command("python", "infer.py", *overrides, f"runs={runs}", submissions)
        trial.faults += left_overs(runs)
        return trial

    @staticmethod
    def _stage(runs: Path) -> str:
        found = list(runs.glob("*/*"))
        if not found:
            return "before its folder"
        run = Run(found[0])
        for name, there in (
            ("finished", run.finished),
            ("identifier half written", any(run.path.glob(".identifier*"))),
            ("figures written", run.validation.exists()),
            ("embeddings written", (run.path / "embeddings.npz").exists()),
            ("trained", (run.path / "minutes.json").exists()),
            ("checkpoint half written", any(run.checkpoints.glob(".*"))),
            ("between epochs", run.last.exists()),
        ):
            if there:
                return name
        return "before the first checkpoint"


class Inference(Area):
    """`infer.py` with what it writes: the same submission and embeddings in the end."""

    watched: tuple[str, ...] = ()
    recipe = "plain"

    def __init__(self, ground: Ground, seed: int) -> None:
        super().__init__(ground, seed)
        self.folder = self.ground.root / "killed" / self.name
        self.known: dict[str, bytes] = {}  # threshold -> submission of an unbroken command
        self.took = 0.0

    def trial(self, number: int, rng: random.Random, *, true: bool) -> Trial:
        run = self._prepare(number)
        if not self.known:
            for threshold in ("none", "0.97"):
                start = time.monotonic()
                said = expect(finished(*self._words(threshold)))
                self.known[threshold] = self._submission(said)
                self.took = time.monotonic() - start
            run = self._prepare(0)
        threshold = ("none", "0.97")[number % 2]
        victim = Victim(self._words(threshold), self.folder, self.watched, self.took, self.linger)
        victim.die(rng, true=true)
        trial = Trial(self._stage(run) if victim.killed else ENDED)
        for path in (self.folder / "submissions").glob("[!.]*"):
            if path.read_bytes() not in self.known.values():
                trial.faults.append("a submission is half written")
        if "submission:" in victim.said and not list((self.folder / "submissions").glob("[!.]*")):
            trial.faults.append("it had told of a submission that is missing")
        said = trial.next_command(*self._words(threshold), true=true)
        if not trial.faults and self._submission(said) != self.known[threshold]:
            trial.faults.append("another submission than an unbroken command's")
        trial.faults += left_overs(self.folder)
        return trial

    @abstractmethod
    def _prepare(self, number: int) -> Run:
        """Make the folder in which trial `number` runs; the run that it uses."""

    def _stage(self, run: Run) -> str:
        for name, there in (
            ("submission half written", any(self.folder.glob("submissions/.*"))),
            ("submission written", any(self.folder.glob("submissions/*.csv"))),
            ("embeddings half written", any(run.path.glob(".test.npz*"))),
            ("embeddings written", (run.path / "test.npz").exists()),
        ):
            if there:
                return name
        return "before it writes"

    def _words(self, threshold: str) -> list[str]:
        return [
            "python", "infer.py", *self.ground.arguments(self.recipe), f"runs={self.folder}/runs",
            f"submissions={self.folder}/submissions", f"infer.threshold={threshold}",
        ]  # fmt: skip

    def _copied_run(self) -> Run:
        source = self.ground.unbroken(self.recipe)
        target = self.folder / "runs" / self.recipe / source.name
        if not target.exists():
            shutil.copytree(source.path, target)
        (target / "test.npz").unlink(missing_ok=True)
        return Run(target)

    def _submission(self, said: str) -> bytes:
        told = re.search(r"^submission: (\S+)$", said, re.MULTILINE)
        return Path(told[1]).read_bytes() if told else b"none was told of"


class Caching(Area):
    """The caches of pixels and keypoints are filled, and used by the training that follows."""

    name = "caching"
    linger = 0.05
    watched = (
        "cache", "cache/*/photos-*.bin", "cache/*/*/.*", "cache/*/??/*", "runs/*/*/minutes.json",
    )  # fmt: skip

    def __init__(self, ground: Ground, seed: int) -> None:
        super().__init__(ground, seed)
        self.folder = ground.root / "killed" / self.name
        self.took = 0.0

    def trial(self, number: int, rng: random.Random, *, true: bool) -> Trial:
        wanted = run_digest(self.ground.unbroken("cached"))
        cache, runs = self.folder / "cache", emptied(self.folder / "runs")
        words = [
            "python", "train.py", *self.ground.arguments("cached"), "--no-untrained",
            f"runs={runs}", f"image.cache={cache}",
        ]  # fmt: skip
        if not self.took:
            start = time.monotonic()
            expect(finished(*words))
            self.took = time.monotonic() - start
            emptied(runs)
        if number % 2:  # the half-filled cache of the kill before lacks more of its entries
            for path in list(cache.glob("*/??/*"))[:: 2 + number % 3]:
                path.unlink()
        else:
            shutil.rmtree(cache, ignore_errors=True)
        victim = Victim(words, self.folder, self.watched, self.took, self.linger)
        victim.die(rng, true=true)
        trial = Trial(self._stage() if victim.killed else ENDED)
        shutil.rmtree(runs)
        trial.next_command(*words, true=true)
        done = list(runs.glob("*/*/identifier"))
        if done and run_digest(Run(done[0].parent)) != wanted:
            trial.faults.append("another result than without a killed command")
        trial.faults += left_overs(self.folder)
        return trial

    def _stage(self) -> str:
        for name, pattern in (
            ("validated", "runs/*/*/validation.json"),
            ("keypoints half written", "cache/*/??/.*"),
            ("keypoints written", "cache/*/??/*"),
            ("pixels begun", "cache/*/photos-*.bin"),
        ):
            if any(self.folder.glob(pattern)):
                return name
        return "before it writes"


class Submitting(Inference):
    """The submission is written, beside or over an older one."""

    name = "submitting"
    linger = 0.004
    watched = ("runs/*/*/.*", "runs/*/*/test.npz", "submissions/.*", "submissions/*.csv")

    def _prepare(self, number: int) -> Run:
        if number % 4 == 0:
            shutil.rmtree(self.folder / "submissions", ignore_errors=True)
        return self._copied_run()


class Enrolling(Area):
    """`flukeprint enroll`: what was confirmed stays, what was killed is there whole or not."""

    name = "enrolling"
    linger = 0.02
    watched: tuple[str, ...] = (".*", ".*/gallery", ".*/network*", ".*/identifier.json", ".*.old*")
    fresh_after = 25  # kills, after which the identifier is a new copy

    def __init__(self, ground: Ground, seed: int) -> None:
        super().__init__(ground, seed)
        self.folder = ground.root / "killed" / self.name
        self.photographs = ground.photographs(seed)
        self.took = 0.0
        self.kept: dict[str, int] = {}  # name -> confirmed photographs
        self.perhaps: dict[str, int] = {}  # what was killed

    @property
    def identifier(self) -> Path:
        return self.folder / "identifier"

    def _prepare(self, number: int) -> None:
        if number % self.fresh_after and self.identifier.exists() and self.kept:
            return
        emptied(self.folder)
        shutil.copytree(self.ground.unbroken("plain").identifier, self.identifier)
        known = Identifier.load(self.identifier)
        self.kept = {name: known.gallery.identities.count(name) for name in known.identities}
        self.perhaps = {}

    def _enroll(self, name: str, count: int) -> list[str | Path]:
        photos = itertools.islice(self.photographs, count)
        return ["flukeprint", "enroll", self.identifier, *photos, "--identity", name]

    def trial(self, number: int, rng: random.Random, *, true: bool) -> Trial:
        self._prepare(number)
        if not self.took:
            start = time.monotonic()
            expect(finished(*self._enroll("the first", 3)))
            self.took = time.monotonic() - start
            self.kept["the first"] = 3
        name, count = f"killed {number}", 1 + number % 5
        victim = Victim(
            self._enroll(name, count), self.folder, self.watched, self.took, self.linger
        )
        victim.die(rng, true=true)
        drafts = any(self.folder.glob(".*"))
        there = "identifier absent, " if not self.identifier.exists() else ""
        trial = Trial(
            f"{there}{'half written' if drafts else 'before or after writing'}"
            if victim.killed
            else ENDED
        )
        # A line that begins with the name confirms it.
        confirmed = not victim.killed or re.search(rf"^{name}\b", victim.said, re.MULTILINE)
        (self.kept if confirmed else self.perhaps)[name] = count
        after = f"after {number}"
        trial.next_command(*self._enroll(after, 2), true=true)
        self.kept[after] = 2
        judge(trial, self.identifier, self.kept, self.perhaps)
        trial.faults += left_overs(self.folder)
        if trial.faults:
            self.kept = {}  # the next trial begins anew
        return trial


class Serving(Enrolling):
    """A server that enrolls: what it answered 201 for is there after it was killed."""

    name = "serving"
    fresh_after = 10

    def trial(self, number: int, rng: random.Random, *, true: bool) -> Trial:
        self._prepare(number)
        client = serving.Client(self.photographs, f"served {number}")
        words = serving.words(self.identifier)
        victim = Victim(words, self.folder, self.watched, 1.5, self.linger, begin=client.start)
        try:
            with serving.token_set():
                victim.die(rng, true=true)
        finally:
            client.stop()
        outcome = f"{'while' if client.pending else 'between'} enrolments"
        trial = Trial(outcome if victim.killed else ENDED)
        trial.faults += client.faults
        self.kept.update(dict.fromkeys(client.confirmed, 1))
        self.perhaps.update(dict.fromkeys(client.pending, 1))
        after = f"after {number}"
        if number % 4:
            trial.next_command(*self._enroll(after, 2), true=true)
            self.kept[after] = 2
        else:
            again = serving.Client(self.photographs, after)
            with serving.token_set(), command(*words, true=true) as started:
                again.start(started)
                again.wait_for_one()
                started.kill()
                again.stop()
            trial.faults += again.faults
            if not again.confirmed:
                trial.faults.append("the next server enrolled nothing")
            self.kept.update(dict.fromkeys(again.confirmed, 1))
            self.perhaps.update(dict.fromkeys(again.pending, 1))
            # The draft that this kill may have left is cleared by the next writer.
            trial.next_command(*self._enroll(f"{after} again", 1))
            self.kept[f"{after} again"] = 1
        judge(trial, self.identifier, self.kept, self.perhaps)
        trial.faults += left_overs(self.folder)
        if trial.faults:
            self.kept = {}
        return trial


AREAS: dict[str, type[Area]] = {
    area.name: area for area in (Training, Caching, Submitting, Enrolling, Serving)
}


def judge(trial: Trial, folder: Path, kept: dict[str, int], perhaps: dict[str, int]) -> None:
    """Faults: what the identifier lacks or has too much."""
    try:
        identities = Identifier.load(folder).gallery.identities
    except FlukeprintError as error:
        trial.faults.append(f"the identifier cannot be loaded: {str(error)[:200]}")
        return
    for name, count in kept.items():
        found = identities.count(name)
        if found != count:
            trial.faults.append(f"{found} of {count} confirmed photographs of an animal are there")
    for name, count in perhaps.items():
        if identities.count(name) not in (0, count):
            trial.faults.append("half of a killed enrolment is there")
    for name in set(identities) - set(kept) - set(perhaps):
        trial.faults.append(f"an animal that nobody enrolled: {name}")


def run_kills(
    ground: Ground, name: str, seed: int, numbers: Iterable[int], *, true_every: int
) -> Iterator[Result]:
    """The trials of one area with these numbers, one by one: the caller stops when it has enough.

    true_every: each so many trials a new Python is started instead of a forked one; 0: never.
    """
    area = AREAS[name](ground, seed)
    for number in numbers:
        true = bool(true_every) and number % true_every == true_every - 1
        start = time.monotonic()
        try:
            trial = area.trial(number, generator(seed, name, number), true=true)
        except FlukeprintError as error:
            trial = Trial("failed by itself", [str(error)])
        seconds = round(time.monotonic() - start, 2)
        facts = {"new_python": True} if true else {}
        yield Result("kills", name, number, seed, trial.outcome, trial.faults, seconds, facts)


def last_line(said: str) -> str:
    """The last line of an output, without what a progress bar left."""
    lines = [line.strip() for line in said.replace("\r", "\n").split("\n") if line.strip()]
    return lines[-1][:300] if lines else "it printed nothing"
