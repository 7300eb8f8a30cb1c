"""The drawn shapes: how many of each, and the same photographs by colour and by shape."""

from collections import Counter

import numpy as np
import pytest

from flukeprint.config.data import DataConfig, ShapesConfig
from flukeprint.config.load import load_config
from flukeprint.data.readers.read import read_labelled, read_test
from flukeprint.data.readers.shapes import answers_of_test_shapes
from flukeprint.data.splits import split_for
from tests.refusals import refused


def shapes(**keys) -> DataConfig:
    return DataConfig(reader="shapes", shapes=ShapesConfig(**keys))


def test_names_say_colour_and_shape():
    for label, place in (("colour", 2), ("shape", 3)):
        catalog = read_labelled(shapes(label=label))
        assert catalog.identities == tuple(name.split("_")[place] for name in catalog.images)
        assert set(Counter(catalog.identities).values()) == {25}
        assert len(set(catalog.images)) == len(catalog) == 75


def test_by_colour_and_by_shape_they_are_the_same_photographs():
    for read in (read_labelled, read_test):
        one, other = (read(shapes(label=label)) for label in ("colour", "shape"))
        assert one.images == other.images
        assert one.pixels is not None
        np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.identities == (None,) * len(one)


def test_test_photographs_are_others():
    labelled, test = read_labelled(shapes()), read_test(shapes())
    assert labelled.pixels is not None
    assert test.pixels is not None
    seen = {pixels.tobytes() for pixels in labelled.pixels}
    assert not seen & {pixels.tobytes() for pixels in test.pixels}
    assert answers_of_test_shapes(shapes()) == tuple(name.split("_")[2] for name in test.images)
    by_shape = answers_of_test_shapes(shapes(label="shape"))
    assert by_shape == tuple(name.split("_")[3] for name in test.images)


def test_a_seed_draws_the_same_again_and_another_one_others():
    one, again, other = (read_labelled(shapes(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert one.images == again.images
    assert not np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("name", ["shapes", "shapes_by_shape"])
def test_the_configurations_train_on_twenty_of_a_class(name):
    config = load_config(f"{name}.yaml")
    catalog = read_labelled(config.data)
    split = split_for(config, catalog)
    counts = Counter(catalog.identities[row] for row in split.train)
    assert sorted(counts.values()) == [20, 20, 20]
    assert len(split.queries) == 15
    assert catalog.pixels is not None
    assert catalog.pixels.shape == (75, 28, 28, 3)


def test_too_few_photographs():
    config = load_config("shapes.yaml", ["data.shapes.photos=2"])
    catalog = read_labelled(config.data)
    refused(lambda: split_for(config, catalog), "too few for 5 folds", "lower split.folds")
    refused(lambda: load_config("shapes.yaml", ["data.shapes.photos=1"]), "data.shapes.photos=1")
