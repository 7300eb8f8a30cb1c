"""A figure of docs/scale.md is found, or not measured; never lost by another name."""

import json
from pathlib import Path

import pytest

from benchmarks.speed import scale_page
from benchmarks.speed.scale_page import Figures


def test_a_row_by_another_name_is_an_error_and_a_script_not_run_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_page, "RESULTS", tmp_path)
    rows = [{"what": "ours", "backbone": "tf_efficientnet_lite0", "median": 3.0}]
    (tmp_path / "training_step.json").write_text(json.dumps({"rows": rows}))
    figures = Figures(quick=False)
    assert figures.value("training_step", what="ours") == 3.0
    assert figures.value("embedding", what="ours") is None
    with pytest.raises(LookupError, match=r"training_step\.json has no row with .*Lite0"):
        figures.value("training_step", what="ours", backbone="EfficientNet-Lite0")


def test_all_figures_of_the_page_were_measured() -> None:
    known = scale_page.constants(Figures(quick=False))
    assert not [name for name, value in known.items() if value is None]
