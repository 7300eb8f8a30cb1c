"""On Ray the same files are made, also where a node of the cluster is killed meanwhile."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flukeprint.bulk.embed_all import EmbedAllOptions, Work, embed_all
from flukeprint.bulk.partitions import EmbeddedPartition
from flukeprint.bulk.ray_engine import RayEngine, RaySettings
from flukeprint.bulk.tables import Partition
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.runs import Run
from tests.bulk.test_embed_all import files
from tests.says import Says
from tests.tiny import TinyConfig

OPTIONS = EmbedAllOptions(
    partition_rows=2, batch_size=2, readers=1, accelerator="cpu", engine="torch"
)


class KillsNode(RayEngine):
    """Kills a node of the cluster when two partitions are made."""

    def __init__(self, cluster: Any, node: Any, settings: RaySettings) -> None:
        super().__init__("cpu", settings)
        self._cluster, self._node = cluster, node

    def embed(self, work: Work, partitions: Sequence[Partition]) -> Iterator[EmbeddedPartition]:
        for number, made in enumerate(super().embed(work, partitions)):
            if number == 2:
                self._cluster.remove_node(self._node, allow_graceful=False)
            yield made


def test_a_node_that_is_killed_changes_nothing(
    tiny_run: Run, tiny_config: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.data")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # other tests would never let it work
    shapes = tiny_config.data / "shapes"
    options = replace(OPTIONS, photos=shapes / "train")
    embed_all(shapes / "train.csv", tiny_run.identifier, tmp_path / "whole", options)
    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    # A node that refuses a connection is dead at the third time, a slow one no sooner than before.
    quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "_system_config": quick})
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        engine = KillsNode(cluster, second, RaySettings(cluster.address, (2, 2)))
        result = embed_all(
            shapes / "train.csv", tiny_run.identifier, tmp_path / "killed", options, engine
        )
    finally:
        cluster.shutdown()
    assert result.photographs == 33
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_what_is_of_ray_is_refused_without_it(
    says: Says, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = ("embed-all", "t.csv", "--identifier", tmp_path, "--to", tmp_path / "to")
    assert "add --engine ray" in str(says(*command, "--actors", "2")[1])
    assert "LEAST..MOST" in str(says(*command, "--engine", "ray", "--actors", "3..2")[1])
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'flukeprint[ray]'" in str(says(*command, "--engine", "ray")[1])


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_where_no_cluster_answers_a_missing_token_is_thought_of(
    mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**_: object) -> None:
        raise ConnectionError("no way in")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    advice = "" if mode else "; if the cluster asks for a token, set RAY_AUTH_MODE=token"
    wanted = f"no cluster of Ray answers at 10.0.0.1:1: ConnectionError: no way in{advice}"
    engine = RayEngine("cpu", RaySettings("10.0.0.1:1"))
    with pytest.raises(FlukeprintError, match=f"^{re.escape(wanted)}$"), engine.running():
        pass
