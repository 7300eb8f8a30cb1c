"""An index some of whose photographs are hidden finds the nearest of the others."""

import numpy as np
import pytest

from flukeprint.data.embeddings import unit_rows
from flukeprint.search.faiss_kinds import FaissFlat
from flukeprint.search.index import PresentRows
from tests.search.animals import built, drawn


def test_hidden_rows_are_never_found() -> None:
    photos = drawn(200)
    rng = np.random.default_rng(3)
    index = built(FaissFlat, photos)
    for hidden in (1, 50, 195, 199):
        rows = np.sort(rng.permutation(200)[hidden:])
        present = PresentRows(index, rows, 200)
        queries = unit_rows(rng.normal(size=(7, 24)))
        found = present.search(queries, 8)
        scores = queries @ photos.vectors[rows].T
        width = min(8, len(rows))
        np.testing.assert_array_equal(found.rows, np.argsort(-scores, axis=1)[:, :width])
        np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :width], atol=1e-6)
        assert len(present) == len(rows)
    more = built(FaissFlat, drawn(210))  # it holds photographs that do not count yet
    found = PresentRows(more, np.arange(1, 200), 200).search(drawn(210).vectors[205:], 4)
    assert found.rows.max() < 199
    for refused in (lambda: present.add(photos, rows), lambda: present.remove(rows)):
        with pytest.raises(ValueError, match="hidden"):
            refused()
