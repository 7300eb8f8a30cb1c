"""Options that scripts share."""

import pytest

from benchmarks.harness.arguments import options
from benchmarks.harness.places import ROOT, module_command


def test_help_has_the_first_paragraph_and_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = options("speed.search", "Recall of\nindexes.\n\nMore of it.", ["quick"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = capsys.readouterr().out
    assert "python -m benchmarks.speed.search" in text
    assert "Recall of indexes." in text
    assert "More of it" not in text
    assert parser.parse_args(["--quick"]).quick
    assert not parser.parse_args([]).quick
    with pytest.raises(SystemExit):
        parser.parse_args(["--render"])


def test_a_module_is_run_from_the_repository() -> None:
    assert module_command("speed.search", "--quick")[1:] == [
        "-m",
        "benchmarks.speed.search",
        "--quick",
    ]
    assert (ROOT / "benchmarks" / "speed" / "search.py").is_file()
