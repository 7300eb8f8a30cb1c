"""Learning rates and weight decay of each parameter."""

from types import SimpleNamespace

import pytest

from flukeprint.training.optimizer import build_optimizer
from tests.tiny import TinyConfig
from tests.training.learner import learner_of


def test_parameters_are_learnt_at_their_own_rates(tiny: TinyConfig) -> None:
    config = tiny("model.freeze_stages=1", "losses=[{name: arcface}, {name: proxy_anchor}]")
    learner = learner_of(config)

    class Alone:
        world_size = 1
        precision = "32-true"

    learner._trainer = Alone()  # type: ignore[assignment]
    optimizer = learner.configure_optimizers()["optimizer"]
    rate = {
        id(p): (group["initial_lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    for name, p in learner.named_parameters():
        if not p.requires_grad:
            assert id(p) not in rate
            continue
        lr, decay = rate[id(p)]
        assert lr == pytest.approx(0.002 if name.startswith("net.backbone") else 0.02), name
        assert decay == (config.train.weight_decay if p.ndim > 1 else 0.0), name


def test_scaled_gradients_are_not_left_to_a_fused_step(tiny: TinyConfig) -> None:
    """Else they would be clipped before they are of their own length."""
    learner = learner_of(tiny())
    for precision, fused in (("32-true", True), ("bf16-mixed", True), ("16-mixed", False)):
        learner._trainer = SimpleNamespace(world_size=1, precision=precision)  # type: ignore[assignment]
        assert learner.configure_optimizers()["optimizer"].defaults["fused"] is fused


def test_earlier_stages_learn_more_slowly(tiny: TinyConfig) -> None:
    learner = learner_of(tiny("train.layer_decay=0.5"))
    optimizer = build_optimizer(learner.net, learner.losses, learner.config.train)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    stages = ["conv1.", "layer1.", "layer2.", "layer3.", "layer4."]
    for name, p in learner.named_parameters():
        expected = 0.02
        if name.startswith("net.backbone."):
            key = name.removeprefix("net.backbone.").replace("bn1.", "conv1.", 1)
            (stage,) = [i for i, start in enumerate(stages) if key.startswith(start)]
            expected = 0.002 * 0.5 ** (4 - stage)
        assert rate[id(p)] == pytest.approx(expected), name
