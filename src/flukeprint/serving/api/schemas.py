"""The bodies of all answers of the API; names and docstrings are part of the OpenAPI schema.

The score of an answer or of a pair is what the ranking rules make of cosines and keypoints; higher
is nearer, and it has no upper end.  The score of a photo of the gallery is its plain cosine.
Probabilities lie in 0..1 and never rise from one answer to the next; they are null where the
identifier has no calibration and where the photographs show something else.  A photo's id is its
row in the gallery; its thumbnail is at `/v1/photos/{id}`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]

Share = Annotated[float, Field(ge=0, le=1)]


def told(text: str, *examples: Any) -> Any:
    """What a field of a body is, for the OpenAPI schema, with examples of it."""
    return Field(description=text, examples=list(examples))


class Body(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Body):
    """Why a request was refused (RFC 9457); served as application/problem+json."""

    type: Annotated[
        str,
        told("urn:flukeprint:problem: and the kind, for programs", "urn:flukeprint:problem:busy"),
    ]
    title: Annotated[str, told("Of the kind, for people", "Busy")]
    status: Annotated[int, told("HTTP status", 503)]
    detail: Annotated[
        str,
        told(
            "Of this case: what, where and what to do",
            "32 requests are under way, no more are taken; try again soon",
        ),
    ]


class Status(Body):
    """Whether the process lives, or takes requests."""

    status: Annotated[
        Literal["ok", "ready"], told("ok: it lives; ready: it takes requests", "ready")
    ]


class Words(Body):
    """One text in the page's languages."""

    en: Annotated[str, told("In English", "Chilean recluse")]
    es: Annotated[str, told("In Spanish", "Araña de rincón")]


_WORDS = {"en": "in houses, behind furniture", "es": "en casas, tras los muebles"}


class ClassCard(Body):
    """What is told of a class."""

    name: Annotated[str, told("Scientific name, as it should be written", "Loxosceles laeta")]
    rank: Annotated[str, told("Of the class: species, genus, family ...", "species")]
    common_name: Annotated[
        Words | None, told("Common name", {"en": "Chilean recluse", "es": "Araña de rincón"})
    ]
    lineage: Annotated[
        dict[str, str],
        told("Name at each rank that is known, narrow to wide", {"genus": "Loxosceles"}),
    ]
    where: Annotated[Words | None, told("Where it is found", _WORDS)]
    medically_important: Annotated[
        Literal["yes", "no", "unknown"] | None,
        told("Whether its bite is a matter for a doctor; null where nothing is told", "yes"),
    ]
    note: Annotated[Words | None, told("Anything else", _WORDS)]
    advice: Annotated[
        Words | None, told("What to do after a bite", {"en": "Wash it.", "es": "Lave la zona."})
    ]
    call: Annotated[str | None, told("Whom to call", "+56 2 2635 3800")]
    source: Annotated[str | None, told("Whose advice it is", "a public health service")]
    credit: Annotated[str | None, told("Whose work the card is", "A. Person, CC BY 4.0")]


class ClassInfo(Body):
    """A class (an individual, or a species) of the gallery."""

    identity: Annotated[str, told("Its name in the gallery", "w_012")]
    photos: Annotated[int, told("Photographs of it in the gallery", 7)]
    photo: Annotated[int, told("Id of one of them", 31)]
    card: Annotated[ClassCard | None, told("What is told of it; null where nothing is known", None)]


class Classes(Body):
    """A page of the gallery's classes, by name."""

    total: Annotated[int, told("Classes of the gallery", 229)]
    offset: Annotated[int, told("Place of the first one here among all", 0)]
    classes: Annotated[
        list[ClassInfo],
        told("By name", [{"identity": "w_012", "photos": 7, "photo": 31, "card": None}]),
    ]


class Accuracy(Body):
    """What local validation measured, on photographs that training never saw."""

    text: Annotated[str, told("All figures in one line", "MAP@5 0.874 [0.861, 0.886]")]
    map5: Annotated[float, told("Mean average precision of five answers", 0.874)]
    map5_low: Annotated[float, told("Lower end of its 95 % interval", 0.861)]
    map5_high: Annotated[float, told("Upper end of its 95 % interval", 0.886)]
    top1: Annotated[float, told("Share of photographs whose first answer is right", 0.85)]
    top5: Annotated[float, told("Share of photographs with the right one among five", 0.91)]
    queries: Annotated[int, told("Photographs that were asked for", 2100)]
    new_queries: Annotated[int, told("Those of individuals outside the gallery", 420)]


class VerifyPoint(Body):
    """A decision of `verify`: two photographs are of one individual from this score on."""

    threshold: Annotated[float, told("Score from which a pair is one individual", 0.61)]
    false_accept_rate: Annotated[
        float, told("Share of pairs of different individuals taken for one, measured", 0.01)
    ]
    false_reject_rate: Annotated[
        float, told("Share of pairs of one individual taken for two, measured", 0.12)
    ]
    pairs: Annotated[int, told("Pairs of different individuals that it was measured on", 50000)]


class About(Body):
    """What answers here."""

    name: Annotated[str, told("Of the identifier", "whales")]
    title: Annotated[str, told("Of the page", "Whales of the bay")]
    version: Annotated[str, told("Of flukeprint", "0.4.0")]
    backbone: Annotated[str, told("Of the network", "tf_efficientnet_b0")]
    parameters: Annotated[int, told("Numbers in the network", 4700000)]
    model: Annotated[
        str, told("The network's digest: embeddings of another do not compare", "5d41402abc4b2a76")
    ]
    embedding_dim: Annotated[int, told("Length of an embedding", 512)]
    classes: Annotated[int, told("Classes of the gallery", 229)]
    photos: Annotated[int, told("Photographs of the gallery", 1328)]
    thumbnails: Annotated[bool, told("Whether photographs of the gallery can be shown", True)]
    examples: Annotated[int, told("Photographs to try", 6)]
    new_label: Annotated[
        str, told("Label of an individual that is not in the gallery", "new_whale")
    ]
    threshold: Annotated[float | None, told("Score below which an individual is new", 0.38)]
    outside: Annotated[
        float | None, told("Closeness below which the photograph shows something else", 0.2)
    ]
    confidence: Annotated[
        float | None, told("Probability from which a rank of the taxonomy is answered", 0.8)
    ]
    ranks: Annotated[list[str], told("Of the taxonomy, narrow to wide", ["genus", "family"])]
    calibrated: Annotated[bool, told("Whether answers have probabilities", True)]
    accuracy: Annotated[Accuracy | None, told("What was measured; null where nothing was", None)]
    measured_by: Annotated[
        str | None,
        told("Digest of the network that was measured, where this one learned on", None),
    ] = None
    verify: Annotated[
        VerifyPoint | None, told("Where `verify` decides; null where it does not", None)
    ]
    enroll: Annotated[bool, told("Whether photographs can be enrolled", False)]
    catalogue: Annotated[
        bool, told("Whether the routes of the catalogue answer: there is one", True)
    ] = False
    people: Annotated[
        bool, told("Whether all but `about`, `health` and `ready` needs a person's token", False)
    ] = False
    max_bytes: Annotated[int, told("Of a photograph", 20971520)]
    max_pixels: Annotated[int, told("Of a photograph", 60000000)]
    max_photos: Annotated[int, told("Of a request", 8)]
    max_request_bytes: Annotated[int, told("Of all photographs of a request together", 67108864)]
    formats: Annotated[list[str], told("That are read", ["JPEG", "PNG", "WEBP"])]


class NearPhoto(Body):
    """A photo of the gallery and how near it is."""

    photo: Annotated[int, told("Its id: see `/v1/photos/{photo}`", 31)]
    score: Annotated[float, told("Plain cosine to the photograph asked for", 0.83)]


class Answer(Body):
    """One of the five answers."""

    identity: Annotated[
        str | None, told("Name; null: an individual that is not in the gallery", "w_012")
    ]
    label: Annotated[str, told("The identity, or the label of a new individual", "w_012")]
    score: Annotated[
        float,
        told("By the ranking rules, not a similarity; for a new individual the threshold", 1.59),
    ]
    probability: Annotated[
        Probability | None,
        told("That it is right, at most that of the answer before it; null: unknown", 0.93),
    ]
    photos: Annotated[
        list[NearPhoto],
        told("Of this identity, nearest first, at most three", [{"photo": 31, "score": 0.83}]),
    ]


class Placement(Body):
    """The narrowest rank that is sure, by the probabilities added up the tree."""

    rank: Annotated[
        str | None,
        told("class, genus, family, ...; null: not even the widest is sure", "genus"),
    ]
    name: Annotated[str | None, told("Name at that rank", "Loxosceles")]
    probability: Annotated[Probability | None, told("That it is right", 0.97)]


class Identification(Body):
    """The answer to one photograph, or to several of one encounter."""

    photos: Annotated[int, told("In the query", 1)]
    unknown: Annotated[
        bool,
        told("The first answer is a new individual, or the photographs show something else", False),
    ]
    verdict: Annotated[
        Literal["known", "new", "outside"],
        told("Of the first answer; outside: the photographs show something else", "known"),
    ]
    answers: Annotated[
        list[Answer],
        told(
            "Best first",
            [{"identity": "w_012", "label": "w_012", "score": 1.59, "probability": 0.93,
              "photos": [{"photo": 31, "score": 0.83}]}],
        ),
    ]  # fmt: skip
    probability_unknown: Annotated[
        Probability | None,
        told(
            "That the individual is not in the gallery: its answer's, or at most that of the "
            "first answer",
            0.04,
        ),
    ]
    closeness: Annotated[
        float, told("Plain cosine to the nearest photo of the gallery, against `outside`", 0.83)
    ]
    placement: Annotated[
        Placement | None,
        told(
            "In the taxonomy; null without one",
            {"rank": "genus", "name": "Loxosceles", "probability": 0.97},
        ),
    ]


class EmbeddingBody(Body):
    """Unit vectors of the photographs, in their order."""

    model: Annotated[
        str, told("The network's digest: embeddings of another do not compare", "5d41402abc4b2a76")
    ]
    embeddings: Annotated[list[list[float]], told("One a photograph", [[0.6, -0.8]])]


class Verification(Body):
    """Whether two photographs show one individual."""

    same: Annotated[bool, told("Whether the score reaches the threshold", True)]
    score: Annotated[float, told("Of the pair; higher is more alike", 0.74)]
    threshold: Annotated[float, told("Score from which a pair is one individual", 0.61)]
    false_accept_rate: Annotated[
        float, told("Share of pairs of different individuals taken for one, measured", 0.01)
    ]
    false_reject_rate: Annotated[
        float, told("Share of pairs of one individual taken for two, measured", 0.12)
    ]


class MatchedPair(Body):
    """A keypoint of the photograph and the one of the candidate that agrees with it.

    Places are shares of the width, from the left, and of the height, from the top.
    """

    x: Annotated[Share, told("In the photograph, upright as it was sent", 0.31)]
    y: Annotated[Share, told("In the photograph", 0.52)]
    candidate_x: Annotated[Share, told("In the picture of the candidate", 0.47)]
    candidate_y: Annotated[Share, told("In the picture of the candidate", 0.5)]
    weight: Annotated[Share, told("How distinct the pair is", 0.4)]


class PointMatches(Body):
    """Keypoints that agree in a photograph and in one of the gallery.

    They are places that look alike and lie alike, of the animal or of what is around it: many in
    one scene, often none in two photographs of one animal.  They prove nothing alone.
    """

    candidate: Annotated[int, told("Id of the photo of the gallery", 31)]
    size: Annotated[
        Literal["thumbnail", "full"], told("Of the candidate's picture that was looked at", "full")
    ]
    mirrored: Annotated[bool, told("Whether the mirror image of the photograph was matched", False)]
    points: Annotated[int, told("Keypoints of the photograph", 600)]
    candidate_points: Annotated[int, told("Keypoints of the candidate", 580)]
    paired: Annotated[int, told("Pairs of them that look alike", 41)]
    agreed: Annotated[int, told("Those of these pairs that one change of view explains", 12)]
    pairs: Annotated[
        list[MatchedPair],
        told(
            "Of those that agree the most distinct, at most 40, best first",
            [{"x": 0.31, "y": 0.52, "candidate_x": 0.47, "candidate_y": 0.5, "weight": 0.4}],
        ),
    ]  # fmt: skip


class SimilarPhoto(NearPhoto):
    """A photo of the gallery beside another one."""

    identity: Annotated[str, told("Whom it shows", "w_012")]


class Similar(Body):
    """The photos of the gallery that are nearest to one of them."""

    photo: Annotated[int, told("The one asked for", 31)]
    identity: Annotated[str, told("Whom it shows", "w_012")]
    similar: Annotated[
        list[SimilarPhoto],
        told("Nearest first", [{"photo": 40, "score": 0.8, "identity": "w_012"}]),
    ]


class GalleryMap(Body):
    """The gallery in two dimensions: neighbours tend to stand together; axes mean nothing."""

    photos: Annotated[list[int], told("Ids", [31, 40])]
    x: Annotated[list[float], told("Place of each, to the right", [0.12, 0.14])]
    y: Annotated[list[float], told("Place of each, upwards", [-0.4, -0.38])]
    identities: Annotated[list[str], told("Whom each shows", ["w_012", "w_012"])]


class Examples(Body):
    """Photographs to try; number n is at /v1/examples/{n}."""

    count: Annotated[int, told("How many there are; the first is number 0", 6)]


class Enrolled(Body):
    """The gallery after an enrolment."""

    identity: Annotated[str, told("As the gallery writes it", "w_300")]
    photos: Annotated[int, told("Photographs of this identity now", 1)]
    classes: Annotated[int, told("Classes of the gallery now", 230)]
    gallery: Annotated[int, told("Photographs of the gallery now", 1329)]
    event: Annotated[int, told("Number of the event; `/v1/events/{event}/undo` takes it back", 9)]
