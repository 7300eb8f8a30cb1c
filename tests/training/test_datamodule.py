"""The classes that training learns."""

from flukeprint.data.readers.read import read_labelled
from flukeprint.training.check import split_of
from flukeprint.training.datamodule import FoldData
from tests.tiny import TinyConfig


def test_new_individuals_are_no_class(tiny: TinyConfig) -> None:
    config = tiny()
    catalog = read_labelled(config.data)
    data = FoldData(config, catalog, split_of(config, catalog))
    for label, identity in zip(data.labels, data.train_catalog.identities, strict=True):
        assert (label == -1) == (identity is None)
        if identity is not None:
            assert data.classes[label] == (identity, None)
