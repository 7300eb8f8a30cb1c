"""The digits of scikit-learn."""

import numpy as np

from flukeprint.config.data import DataConfig
from flukeprint.data.readers.read import read_labelled, read_test


def test_scikit_learn_digits_are_parted_and_whole() -> None:
    from sklearn.datasets import load_digits

    config = DataConfig(reader="digits", test=None)
    train, test = read_labelled(config), read_test(config)
    assert len(train) + len(test) == 1797
    assert not set(train.images) & set(test.images)
    assert train.pixels is not None
    assert train.pixels.dtype == np.uint8
    assert train.pixels.shape == (1438, 8, 8)
    assert train.vocabulary() == tuple("0123456789")
    assert test.identities == (None,) * 359
    data = load_digits()
    row = int(train.images[100][1:])
    np.testing.assert_allclose(train.pixels[100], data.images[row] * 255 / 16, atol=0.5)
    assert train.identities[100] == str(data.target[row])
    assert read_labelled(config).images == train.images
