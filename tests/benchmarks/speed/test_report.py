"""The page of speed says on which machine each of its parts was measured."""

import pytest

from benchmarks.speed.report import SCRIPTS, Result, machines, result, targets


def of(cpu: str, *instructions: str) -> Result:
    return {"machine": {"cpu": cpu, "cores": 2, "instructions": list(instructions)}, "rows": []}


def test_parts_of_other_machines_are_named() -> None:
    main, others = machines(
        {
            "startup": of("B", "avx2"),
            "decoding": of("A", "avx2"),
            "memory": of("A", "avx2", "amx"),
            "search": of("A", "avx2"),
            "scale": None,
        }
    )
    assert main["cpu"] == "A"
    assert main["instructions"] == ["avx2"]
    assert others == ["startup on B, 2 cores (avx2)", "memory on A, 2 cores (avx2, amx)"]
    assert machines({"search": of("A")})[1] == []
    with pytest.raises(SystemExit, match="nothing has been measured"):
        machines({"search": None})


@pytest.mark.parametrize(
    "name",
    ["embedding", "training_step", "exact_search", "search", "memory", "competition", "startup"],
)
def test_what_was_measured_is_held_against_its_aim(name: str) -> None:
    def rows(found: Result | None) -> int:
        return len(targets({**dict.fromkeys(SCRIPTS), name: found}))

    assert rows(result(name, quick=False)) > rows(None)
