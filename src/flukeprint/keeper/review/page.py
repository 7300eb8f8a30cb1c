"""The page of a review: one HTML file that works offline and asks nothing of any other site."""

import re
from html import escape
from pathlib import Path
from typing import Any

from flukeprint.evaluation.report.charts import plain
from flukeprint.evaluation.report.self_contained import base64_text, script_json, source_digest
from flukeprint.keeper.review.queue import MatchedPoints, ReviewCandidate, ReviewEntry, ReviewQueue
from flukeprint.keeper.review.table import COLUMNS

ASSETS = Path(__file__).parent / "assets"


def render_review(queue: ReviewQueue) -> bytes:
    """The whole page as HTML: its markup, style, script and the queue as JSON."""
    style, script = _asset("review.css"), _asset("keeping.js") + _asset("review.js")
    policy = (
        f"default-src 'none'; script-src {source_digest(script.encode())}; "
        f"style-src {source_digest(style.encode())}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": escape(plain(queue.title)),
        "style": style,
        "script": script,
        "queue": script_json(_queue(queue)),
    }
    # In one pass: nothing that is put in is looked at again.
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("review.html"))
    return page.encode("utf-8")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _queue(queue: ReviewQueue) -> dict[str, Any]:
    return {
        "id": queue.id,
        "title": queue.title,
        "stamp": queue.stamp,
        "newLabel": queue.new_label,
        "names": queue.names,
        "event": queue.event,
        "suggested": queue.suggested,
        "columns": COLUMNS,
        "entries": [_entry(entry) for entry in queue.entries],
        "pictures": [base64_text(picture) for picture in queue.pictures],
    }


def _entry(entry: ReviewEntry) -> dict[str, Any]:
    return {
        "photo": entry.photo,
        "path": entry.path,
        "digest": entry.digest,
        "picture": entry.picture,
        "error": entry.error,
        "outside": entry.outside,
        "candidates": [_candidate(candidate) for candidate in entry.candidates],
    }


def _candidate(candidate: ReviewCandidate) -> dict[str, Any]:
    return {
        "identity": candidate.identity,
        "probability": _rounded(candidate.probability),
        "photos": [
            {"name": one.name, "similarity": _rounded(one.similarity), "picture": one.picture}
            for one in candidate.photos
        ],
        "matched": _matched(candidate.matched),
    }


def _matched(matched: MatchedPoints | None) -> dict[str, Any] | None:
    return None if matched is None else {"count": matched.count, "lines": matched.lines}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
