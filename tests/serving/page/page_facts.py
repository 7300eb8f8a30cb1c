"""A small made-up collection for tests of the page, and the text that components show."""

from collections.abc import Iterator
from typing import Any

from dash.development.base_component import Component

from flukeprint.serving.api.schemas import (
    About,
    Accuracy,
    Answer,
    ClassCard,
    ClassInfo,
    GalleryMap,
    Identification,
    NearPhoto,
    Placement,
    VerifyPoint,
    Words,
)
from flukeprint.serving.page.context import PageContext, kind_of
from flukeprint.serving.page.i18n import Language

SPECIES = ("Steatoda nobilis", "Steatoda grossa", "Lycosa sp.")


def about(**changed: Any) -> About:
    """A service of three classes and six photos, with everything that there can be."""
    facts: dict[str, Any] = {
        "name": "spiders",
        "title": "House spiders",
        "version": "1.2.3",
        "backbone": "tf_efficientnet_lite0",
        "parameters": 4_100_000,
        "model": "0123abcd",
        "embedding_dim": 256,
        "classes": 3,
        "photos": 12_345,
        "thumbnails": True,
        "examples": 2,
        "new_label": "new_spider",
        "threshold": 0.52,
        "outside": 0.31,
        "confidence": 0.8,
        "ranks": ["genus", "family"],
        "calibrated": True,
        "accuracy": Accuracy(
            text="",
            map5=0.662,
            map5_low=0.621,
            map5_high=0.704,
            top1=0.573,
            top5=0.791,
            queries=389,
            new_queries=40,
        ),
        "verify": VerifyPoint(
            threshold=0.58, false_accept_rate=0.0098, false_reject_rate=0.231, pairs=20_000
        ),
        "enroll": True,
        "max_bytes": 20 << 20,
        "max_pixels": 60_000_000,
        "max_photos": 8,
        "max_request_bytes": 64 << 20,
        "formats": ["JPEG", "PNG"],
    }
    return About(**{**facts, **changed})


def card(name: str, medical: str | None) -> ClassCard:
    """A card with all its fields."""
    genus = name.split()[0]
    return ClassCard.model_validate(
        {
            "name": name,
            "rank": "genus" if name.endswith("sp.") else "species",
            "common_name": Words(en=f"common {genus}", es=f"común {genus}"),
            "lineage": {"genus": genus, "family": "Lycosidae" if genus == "Lycosa" else "Other"},
            "where": Words(en="in houses", es="en casas"),
            "medically_important": medical,
            "note": Words(en="a note", es="una nota"),
            "credit": "a catalogue",
        }
    )


def classes(cards: bool = True) -> dict[str, ClassInfo]:
    """Three classes of two photos; one is important to medicine, one is not, one unknown."""
    return {
        f"class_{i}": ClassInfo(
            identity=f"class_{i}",
            photos=2,
            photo=2 * i,
            card=card(name, ("yes", "no", "unknown")[i]) if cards else None,
        )
        for i, name in enumerate(SPECIES)
    }


def gallery_map() -> GalleryMap:
    """Six photos in a row."""
    return GalleryMap(
        photos=list(range(6)),
        x=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        y=[0.0] * 6,
        identities=[f"class_{i // 2}" for i in range(6)],
    )


def context(language: Language = "en", *, cards: bool = True, **changed: Any) -> PageContext:
    """The collection, with or without cards; `changed` are fields of About."""
    known = classes(cards)
    return PageContext(about(**changed), known, gallery_map(), kind_of(known), language)


def identification(**changed: Any) -> Identification:
    """A first answer that is rather sure."""
    answers = [
        Answer(
            identity=f"class_{i}",
            label=f"class_{i}",
            score=0.9 - 0.2 * i,
            probability=(0.83, 0.09, 0.004)[i],
            photos=[NearPhoto(photo=2 * i, score=0.9), NearPhoto(photo=2 * i + 1, score=0.8)],
        )
        for i in range(3)
    ]
    facts: dict[str, Any] = {
        "photos": 1,
        "unknown": False,
        "verdict": "known",
        "answers": answers,
        "probability_unknown": 0.06,
        "closeness": 0.74,
        "placement": Placement(rank="class", name="class_0", probability=0.83),
    }
    return Identification(**{**facts, **changed})


def new_answer() -> Answer:
    """The answer of an individual that is not in the gallery."""
    return Answer(identity=None, label="new_spider", score=0.52, probability=0.78, photos=[])


def components(content: object) -> Iterator[Component]:
    """All components in `content`, however deep."""
    if isinstance(content, Component):
        yield content
        yield from components(getattr(content, "children", None))
    elif isinstance(content, list | tuple):
        for part in content:
            yield from components(part)


def text_of(content: object) -> str:
    """The text that a visitor sees."""
    if isinstance(content, Component):
        return text_of(getattr(content, "children", None))
    if isinstance(content, list | tuple):
        return "".join(
            text_of(part) + (" " if isinstance(part, Component) else "") for part in content
        )
    return "" if content is None else str(content)


def read(content: object) -> str:
    """The same with single spaces."""
    return " ".join(text_of(content).split())
