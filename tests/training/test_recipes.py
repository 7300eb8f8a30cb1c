"""Every recipe of configs/ trains for two steps."""

import numpy as np
import pytest

from flukeprint.config.load import load_config
from flukeprint.training.train import train
from tests.tiny import SYNTHETIC, TinyConfig

RECIPES = ["whales", "whales_resnet50", "whales_playground", "lions", "nyala", "spiders", "demo"]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.usefixtures("at_repository")
def test_every_recipe_runs_one_tiny_epoch(tiny: TinyConfig, name: str) -> None:
    """The recipe's own losses, sampler, neck and schedule; two steps on small shapes."""
    small = {
        "whales": "tf_efficientnet_b0",
        "whales_playground": "vgg11",
        "whales_resnet50": "resnet18",
    }
    config = load_config(
        f"{name}.yaml",
        [
            "data.reader=synthetic",
            f"data.root={tiny.data}/shapes",
            "data.new_label=new_whale",
            "data.views=null",
            f"data.synthetic={SYNTHETIC}",
            "image.height=64",
            "image.width=64",
            f"image.cache={tiny.data}/cache",
            f"model.backbone={small.get(name, 'tf_efficientnet_lite0')}",
            "model.weights=none",
            "split.folds=2",
            "sampler.batch_size=8",
            "train.epochs=1",
            "train.sizes=[]",
            "train.max_steps=2",
            "train.report=false",
            "train.workers=0",
            "train.accelerator=cpu",
            "cards=null",  # of other classes than these shapes
            "taxonomy=null",
            f"runs={tiny.folder}/runs",
        ],
    )
    run = train(config)
    assert run.finished
    assert np.isfinite(run.figures()["map5"]["mean"])
