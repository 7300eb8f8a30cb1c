"""Contestants of exact search."""

import pytest

from benchmarks.speed import exact_search
from benchmarks.speed.exact_search import K, contestants, pair
from benchmarks.speed.report import SCRIPTS, targets


@pytest.mark.parametrize("able", [True, False])
def test_bf16_is_timed_only_where_the_processor_multiplies_it(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_search, "has_bf16", lambda: able)
    gallery, queries = pair(60, 8)
    taking = contestants(gallery, queries)
    assert len([what for what in taking if "bf16" in what]) == (3 if able else 0)
    for search in taking.values():
        search()
    for what in (exact_search.OURS, exact_search.OURS_BF16):
        if what in taking:
            assert taking[what]().rows.shape == (8, K)  # type: ignore[attr-defined]


@pytest.mark.parametrize("able", [True, False])
def test_the_page_is_written_without_bf16(able: bool) -> None:
    found = {
        "rows": [], "growth": [],
        "ratios": {
            "scikit-learn, cosine / flukeprint, float32": 4.0,
            "flukeprint, float32 / bare product, float32": 1.0,
            **({"scikit-learn, cosine / flukeprint, bf16 shortlist": 8.0} if able else {}),
        },
    }  # fmt: skip
    lines = targets({name: found if name == "exact_search" else None for name in SCRIPTS})
    assert len([line for line in lines if "bf16" in line]) == able
