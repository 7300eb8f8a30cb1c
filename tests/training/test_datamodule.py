"""The classes that training learns."""

from tests.tiny import TinyConfig
from tests.training.learner import fold_data


def test_new_individuals_are_no_class(tiny: TinyConfig) -> None:
    data = fold_data(tiny())
    for label, identity in zip(data.labels, data.train_catalog.identities, strict=True):
        assert (label == -1) == (identity is None)
        if identity is not None:
            assert data.classes[label] == (identity, None)
