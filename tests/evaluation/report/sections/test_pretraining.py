"""The section on a pretraining, from its logs."""

from pathlib import Path

from flukeprint.evaluation.report.charts import Chart
from flukeprint.evaluation.report.sections.pretraining import pretraining
from tests.evaluation.report.drawn_run import drawn_run, write_log

HEADER = (
    "epoch,pretrain/features_cosine,pretrain/features_rank,pretrain/loss,"
    "pretrain/projections_cosine,pretrain/projections_rank,step\n"
)


def test_loss_and_spread_of_a_resumed_pretraining(tmp_path: Path) -> None:
    (tmp_path / "pretrain").mkdir()
    write_log(tmp_path / "pretrain", "csv-0", f"{HEADER}0,0.5,9,4,0.3,20,9\n1,0.6,8,5,0.2,22,19\n")
    write_log(
        tmp_path / "pretrain", "csv-1", f"{HEADER}1,0.6,8,3,0.2,22,19\n2,0.7,7,2.5,0.1,24,29\n"
    )
    options = ("pretrain=simclr", "pretrain.batch_size=10", "pretrain.queue=5")
    part = pretraining(drawn_run(tmp_path, *options, animals=12))
    assert part is not None
    loss, cosine, rank = part.blocks
    assert isinstance(loss, Chart)
    assert isinstance(cosine, Chart)
    assert isinstance(rank, Chart)
    assert loss.layers[0].y.tolist() == [4, 3, 2.5]
    assert "from 4 to 2.5" in loss.caption
    assert "about 3.18" in loss.caption  # log(2 * 10 - 1 + 5)
    assert {line.name: line.y.tolist() for line in cosine.layers} == {
        "projections": [0.3, 0.2, 0.1], "features": [0.5, 0.6, 0.7],
    }  # fmt: skip
    assert "24.00 for the projections" in rank.caption
    assert "the fold's queries among them" in part.lines[0]
    blind = pretraining(drawn_run(tmp_path, *options, "pretrain.photos=train", animals=12))
    assert blind is not None
    assert "that the fold trains on" in blind.lines[0]


def test_a_run_without_a_pretraining_has_no_such_section(tmp_path: Path) -> None:
    assert pretraining(drawn_run(tmp_path, animals=12)) is None
