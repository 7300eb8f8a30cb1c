"""Find the cells of a large index of descriptors in two steps, groups of cells first.

Comparing every descriptor with every cell costs the square of a gallery, as there are as many cells
as the descriptors need.  With groups, which hold the root of their number each, it does not.
"""

from typing import Any

import numpy as np

from flukeprint.data.embeddings import Floats, Ints

_GROUPS_VISITED = 8  # to find the nearest cells
_ROUNDS = 10  # of k-means, as FAISS's indexes take


def two_level_index(faiss: Any, sample: Floats, kept: int, cells: int, probes: int) -> Any:
    """A trained index like FAISS's `PCA{kept},IVF{cells},SQ4`, whose cells are found by groups.

    sample: (m, d) descriptors to be trained on, more than cells.
    probes: cells that a search visits; with many of them, more groups are visited too.
    """
    projection = faiss.PCAMatrix(sample.shape[1], kept)
    projection.train(sample)
    vectors = projection.apply(sample)
    groups = faiss.IndexFlatL2(kept)
    groups.add(_centres(faiss, vectors, max(1, round(cells**0.5))))
    owners = groups.search(vectors, 1)[1][:, 0]
    centres = [
        _centres(faiss, vectors[owners == group], wanted)
        for group, wanted in enumerate(_shares(np.bincount(owners, minlength=groups.ntotal), cells))
        if wanted
    ]
    quantizer = faiss.IndexIVFFlat(groups, kept, groups.ntotal)
    quantizer.add(np.concatenate(centres))
    quantizer.make_direct_map()  # codes are of what is left of a descriptor beside its cell
    share = probes * groups.ntotal // cells  # groups that hold as many cells
    quantizer.nprobe = min(_GROUPS_VISITED * max(1, share), groups.ntotal)
    lists = faiss.IndexIVFScalarQuantizer(
        quantizer, kept, quantizer.ntotal, faiss.ScalarQuantizer.QT_4bit
    )
    lists.train(vectors)
    return faiss.IndexPreTransform(projection, lists)


def _centres(faiss: Any, vectors: Floats, count: int) -> Floats:
    means = faiss.Kmeans(
        vectors.shape[1], count, niter=_ROUNDS, min_points_per_centroid=1, seed=count
    )
    means.train(vectors)
    return np.asarray(means.centroids, dtype=np.float32)


def _shares(counts: Ints, cells: int) -> list[int]:
    """How many of the cells each group is given: by its vectors, none where it has none."""
    exact = counts * cells / counts.sum()
    return [int(share) for share in np.clip(np.rint(exact), 1, counts)]
