"""Score by identity size, view and quality: against sums by hand."""

import numpy as np
import pytest

from flukeprint.evaluation.report.photographs import measure
from flukeprint.evaluation.report.sections.quality import quality, quarters
from flukeprint.evaluation.report.sections.sizes import sizes
from flukeprint.evaluation.report.sections.views import view_matrix, views
from tests.evaluation.report.drawn_run import drawn_run


def test_sizes_are_means_of_their_queries(run):
    part = sizes(run)
    assert part is not None
    map5, top1 = part.blocks[0].layers
    gallery = [run.catalog.identities[row] for row in run.split.gallery]
    ap: dict[str, list[float]] = {}
    for names, truth in zip(run.validation.ranking.identities, run.truths, strict=True):
        photos = gallery.count(truth) if truth is not None else 0
        bounds = (("new", 0), ("1", 1), ("2", 2), ("3-4", 4), ("5-9", 9), ("10+", 10**9))
        size = next(name for name, most in bounds if photos <= most)
        place = names.index(truth) + 1 if truth in names else 0
        ap.setdefault(size, []).append(1 / place if place else 0.0)
    assert set(map5.labels) == set(ap)
    for label, value, first, note in zip(
        map5.labels, map5.values, top1.values, map5.notes, strict=True
    ):
        assert value == pytest.approx(np.mean(ap[label]))
        assert first == pytest.approx(np.mean(np.array(ap[label]) == 1))
        assert note.split()[0] == str(len(ap[label]))
    assert (map5.low <= map5.values).all()
    assert (map5.values <= map5.high).all()


def test_the_view_matrix_by_hand(run):
    found = view_matrix(run)
    assert found is not None
    assert set(found.views) == {"left", "right"}
    right = np.zeros((2, 2), int)
    count = np.zeros((2, 2), int)
    for row, truth in zip(run.queries, run.truths, strict=True):
        if truth is None or run.catalog.views[row] is None:
            continue
        for column, view in enumerate(found.views):
            there = [g for g in run.split.gallery if run.catalog.views[g] == view]
            if truth not in [run.catalog.identities[g] for g in there]:
                continue
            line = found.views.index(run.catalog.views[row])
            near = max(there, key=lambda g: run.embeddings.vectors[row] @ run.embeddings.vectors[g])
            count[line, column] += 1
            right[line, column] += run.catalog.identities[near] == truth
    assert count.min() > 0
    np.testing.assert_array_equal(found.queries, count)
    np.testing.assert_array_equal(found.right, right)
    assert len(found.same) == count[0, 0] + count[1, 1]
    assert found.cross.sum() == right[0, 1] + right[1, 0]
    part = views(run)
    assert part is not None
    np.testing.assert_allclose(part.blocks[0].layers[0].values, right / count)


def test_photographs_without_views_have_no_matrix(tmp_path):
    assert views(drawn_run(tmp_path, views=False, animals=12)) is None


def test_quality_in_closed_form():
    flat = measure(np.full((256, 128, 3), 77, np.uint8), (1000.0, 2000.0))
    assert (flat.sharpness, flat.brightness, flat.contrast, flat.megapixels) == (0, 77, 0, 2)
    board = np.zeros((256, 256, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    found = measure(board, (256.0, 256.0))
    # The kernel 0 1 0, 1 -4 1, 0 1 0 gives -1020 on white and 1020 on black.
    assert found.sharpness == pytest.approx(1020.0**2)
    assert (found.brightness, found.contrast) == (127.5, 127.5)


def test_blur_lowers_sharpness_and_a_larger_copy_keeps_it():
    rng = np.random.default_rng(0)
    import cv2

    sharp = cv2.resize(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), (256, 256))
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    assert measure(blurred, (1, 1)).sharpness < 0.2 * measure(sharp, (1, 1)).sharpness
    larger = cv2.resize(sharp, (1024, 1024), interpolation=cv2.INTER_NEAREST)
    assert measure(larger, (1, 1)).sharpness == pytest.approx(
        measure(sharp, (1, 1)).sharpness, rel=0.05
    )


def test_quarters_hold_about_equally_many():
    values = np.arange(100.0)[::-1]
    found = quarters(values, values > 50)
    assert np.bincount(found.quarter).tolist() == [25, 25, 25, 25]
    assert found.of(3).all()
    assert not found.of(0).any()
    assert quarters(np.ones(8), np.ones(8, bool)).quarter.tolist() == [0] * 8


def test_photographs_that_fail_when_dark_are_found_out(tmp_path):
    run = drawn_run(tmp_path, "data.closed_set=true", animals=40)
    plain = run.validation.queries.ranking.take(run.validation.report)
    for place, row in enumerate(run.queries):
        right = plain.identities[place][0] == run.truths[place]
        run.catalog.pixels[row] //= 1 if right else 3
    part = quality(run)
    assert part is not None
    (said,) = [line for line in part.lines if line.startswith("Brightness")]
    assert said.endswith("higher is better, beyond chance.")
    (table,) = [block for block in part.blocks if hasattr(block, "rows")]
    counts = [int(row[2]) for row in table.rows if row[0].startswith("brightness")]
    assert sum(counts) == len(run.queries)
    # All are of one size, which tells nothing.
    assert not any(line.startswith("Megapixels") for line in part.lines)


def test_photographs_that_are_gone_are_left_out(tmp_path):
    from dataclasses import replace

    run = drawn_run(tmp_path, animals=12)
    gone = replace(
        run.catalog, pixels=None, paths=tuple(tmp_path / image for image in run.catalog.images)
    )
    bare = replace(run, catalog=gone)
    assert bare.photographs.thumbnail(0) is None
    assert quality(bare) is None
