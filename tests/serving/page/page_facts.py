"""A small made-up collection for tests of the page, and the HTML that its views make, parsed."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder

import htpy
import numpy as np

from flukeprint.serving.api.schemas import (
    About,
    Accuracy,
    Answer,
    ClassCard,
    ClassInfo,
    Identification,
    NearPhoto,
    Placement,
    VerifyPoint,
    Words,
)
from flukeprint.serving.page.context import PageContext, kind_of
from flukeprint.serving.page.i18n import Language
from flukeprint.serving.page.map_points import MapPoints
from flukeprint.serving.page.names import NameIndex

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
            "advice": Words(en="wash it", es="lave") if medical == "yes" else None,
            "call": "600 360" if medical == "yes" else None,
            "source": "the ministry" if medical == "yes" else None,
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


def map_points(identities: int = 3, each: int = 2) -> MapPoints:
    """Photographs in a row, some of each class."""
    n = identities * each
    return MapPoints(
        np.array([[i, 0] for i in range(n)], np.float32).reshape(n, 2), np.arange(n),
        np.repeat(np.arange(identities), each),
        tuple(f"class_{i}" for i in range(identities)),
    )  # fmt: skip


def context_of(
    known: dict[str, ClassInfo],
    language: Language = "en",
    points: MapPoints | None = None,
    **changed: Any,
) -> PageContext:
    """Some classes as a collection; `changed` are fields of About."""
    return PageContext(
        about(**changed), known, points, kind_of(known), language, NameIndex.of(known)
    )


def context(language: Language = "en", *, cards: bool = True, **changed: Any) -> PageContext:
    """The collection, with or without cards."""
    return context_of(classes(cards), language, map_points(), **changed)


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


class _Parser(HTMLParser):
    """HTML as a tree; fails where an element is not closed."""

    VOID = frozenset({"img", "input", "meta", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.builder, self.open = TreeBuilder(), ["root"]
        self.builder.start("root", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in self.VOID:
            self.builder.end(tag)
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        self.builder.data(data)


def parsed(content: object) -> Element:
    """The tree of HTML text, or of what a view made."""
    text = content if isinstance(content, str) else str(htpy.fragment[content])
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.open == ["root"]
    parser.builder.end("root")
    return parser.builder.close()


def elements(content: object, tag: str | None = None, **attributes: str) -> Iterator[Element]:
    """All elements of a tree or view, of a tag, with these attributes (class_ for class)."""
    tree = content if isinstance(content, Element) else parsed(content)
    wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    for one in tree.iter(tag):
        if one is not tree and all(one.get(name) == value for name, value in wanted.items()):
            yield one


def with_class(content: object, name: str) -> list[Element]:
    """All elements of a class."""
    return [one for one in elements(content) if name in one.get("class", "").split()]


def text_of(content: object) -> str:
    """The text that a visitor sees, with blanks between elements."""
    tree = content if isinstance(content, Element) else parsed(content)
    return " ".join(tree.itertext())


def read(content: object) -> str:
    """The same with single spaces."""
    return " ".join(text_of(content).split())
