"""Keep results of endurance as lines of JSON, so that a run that was cut off goes on."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """One trial.

    part: kills, inputs, memory or enrolling.  kind: its area or sort of input.  number: with the
    seed it gives the trial again.  outcome: where the kill fell, or what became of the input.
    faults: what went wrong; empty where all was right.  seconds: of the whole trial.
    """

    part: str
    kind: str
    number: int
    seed: int
    outcome: str
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.part, self.kind, self.number, self.seed


class Journal:
    """The results of one file; `add` appends one and flushes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[tuple[str, str, int, int], Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        for line in text.split("\n"):
            try:
                result = Result(**json.loads(line))
            except (ValueError, TypeError):  # the last line of a run that was cut off
                continue
            self.results[result.key] = result
        self._file = path.open("a")
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def __contains__(self, key: object) -> bool:
        return key in self.results

    def add(self, result: Result) -> None:
        self.results[result.key] = result
        self._file.write(json.dumps(asdict(result)) + "\n")
        self._file.flush()
        for fault in result.faults:
            print(f"\n  FAULT {result.part} {result.kind} {result.number}: {fault}", flush=True)

    def of(self, part: str, kind: str, seed: int) -> list[Result]:
        return [
            result
            for result in self.results.values()
            if (result.part, result.kind, result.seed) == (part, kind, seed)
        ]


def summary(results: Iterable[Result]) -> str:
    """A table in Markdown: trials and faults of each kind, and what the trials came to."""
    kinds: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        kinds[result.part, result.kind].append(result)
    lines = ["| part | kind | trials | faults | minutes | outcomes |", "|---|---|---|---|---|---|"]
    for (part, kind), trials in kinds.items():
        outcomes = Counter(trial.outcome for trial in trials)
        told = ", ".join(f"{name} {count:,}" for name, count in outcomes.most_common())
        wrong = sum(bool(trial.faults) for trial in trials)
        minutes = sum(trial.seconds for trial in trials) / 60
        lines.append(f"| {part} | {kind} | {len(trials):,} | {wrong:,} | {minutes:.1f} | {told} |")
    return "\n".join(lines)


def fault_lines(results: Iterable[Result], *, brief: bool = False) -> list[str]:
    """Each sort of fault once, with its number and the first trial that shows it.

    brief: without the rest of its message, which may hold paths of this machine.
    """
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    examples: dict[tuple[str, str, str], str] = {}
    for result in results:
        for fault in result.faults:
            key = result.part, result.kind, fault.partition(": ")[0][:100]
            found[key].append(result.number)
            examples.setdefault(key, fault[:300])
    return [
        f"{part} {kind}: {len(numbers)} times, first --only {part}/{kind}/{numbers[0]}: "
        f"{fault if brief else examples[part, kind, fault]}"
        for (part, kind, fault), numbers in found.items()
    ]
