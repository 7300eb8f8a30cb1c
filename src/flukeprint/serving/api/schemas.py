"""The bodies of all answers of the API; names and docstrings are part of the OpenAPI schema.

The score of an answer or of a pair is what the ranking rules make of cosines and keypoints; higher
is nearer, and it has no upper end.  The score of a photo of the gallery is its plain cosine.
Probabilities lie in 0..1 and never rise from one answer to the next; they are null where the
identifier has no calibration and where the photographs show something else.  A photo's id is its
row in the gallery; its thumbnail is at `/v1/photos/{id}`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class Body(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Body):
    """Why a request was refused (RFC 9457); served as application/problem+json."""

    type: str  # urn:flukeprint:problem:<kind>, the kind stable for programs
    title: str  # of the kind
    status: int
    detail: str  # of this case: what, where and what to do


class Status(Body):
    """Whether the process lives, or takes requests."""

    status: Literal["ok", "ready"]


class Words(Body):
    """One text in the page's languages."""

    en: str
    es: str


class ClassCard(Body):
    """What is told of a class."""

    name: str  # scientific name, as it should be written
    rank: str  # of the class: species, genus, family ...
    common_name: Words | None
    lineage: dict[str, str]  # rank to name, narrow to wide, of ranks that are known
    where: Words | None  # where it is found
    medically_important: Literal["yes", "no", "unknown"] | None
    note: Words | None
    advice: Words | None  # what to do after a bite
    call: str | None  # whom to call
    source: str | None  # whose advice it is
    credit: str | None


class ClassInfo(Body):
    """A class (an individual, or a species) of the gallery."""

    identity: str
    photos: int  # in the gallery
    photo: int  # id of one of them
    card: ClassCard | None


class Classes(Body):
    """A page of the gallery's classes, by name."""

    total: int
    offset: int
    classes: list[ClassInfo]


class Accuracy(Body):
    """What local validation measured, on photographs that training never saw."""

    text: str
    map5: float
    map5_low: float  # ends of the 95 % interval
    map5_high: float
    top1: float
    top5: float
    queries: int
    new_queries: int


class VerifyPoint(Body):
    """A decision of `verify`: two photographs are of one individual from this score on."""

    threshold: float
    false_accept_rate: float  # of pairs of different individuals, measured on the fold
    false_reject_rate: float  # of pairs of the same individual
    pairs: int  # of different individuals that it was measured on


class About(Body):
    """What answers here."""

    name: str
    title: str
    version: str
    backbone: str
    parameters: int
    model: str  # the network's digest: embeddings of another do not compare
    embedding_dim: int
    classes: int
    photos: int
    thumbnails: bool
    examples: int
    new_label: str  # the label of an individual that is not in the gallery
    threshold: float | None  # below it an individual is new
    outside: float | None  # below it the photograph shows something else
    confidence: float | None  # probability from which a rank is answered
    ranks: list[str]  # of the taxonomy, narrow to wide
    calibrated: bool
    accuracy: Accuracy | None
    measured_by: str | None = None  # digest of the network measured, where this one learned on
    verify: VerifyPoint | None
    enroll: bool
    max_bytes: int  # of a photograph
    max_pixels: int
    max_photos: int  # of a request
    max_request_bytes: int  # of all its photographs together
    formats: list[str]


class NearPhoto(Body):
    """A photo of the gallery and how near it is."""

    photo: int
    score: float  # plain cosine


class Answer(Body):
    """One of the five answers."""

    identity: str | None  # null: an individual that is not in the gallery
    label: str  # the identity, or the label of a new individual
    score: float  # by the ranking rules, not a similarity; for a new individual: the threshold
    probability: Probability | None  # at most that of the answer before it
    photos: list[NearPhoto]  # of this identity, nearest first, at most three


class Placement(Body):
    """The narrowest rank that is sure, by the probabilities added up the tree."""

    rank: str | None  # class, genus, family, ...; null: not even the widest is sure
    name: str | None
    probability: Probability | None


class Identification(Body):
    """The answer to one photograph, or to several of one encounter."""

    photos: int  # in the query
    unknown: bool  # the first answer is a new individual, or the photographs show something else
    verdict: Literal["known", "new", "outside"]
    answers: list[Answer]
    # That the individual is not in the gallery: its answer's, or at most that of the first answer.
    probability_unknown: Probability | None
    closeness: float  # plain cosine to the nearest photo of the gallery, against `outside`
    placement: Placement | None  # null without a taxonomy


class EmbeddingBody(Body):
    """Unit vectors of the photographs, in their order."""

    model: str
    embeddings: list[list[float]]


class Verification(Body):
    """Whether two photographs show one individual."""

    same: bool
    score: float
    threshold: float
    false_accept_rate: float
    false_reject_rate: float


class SimilarPhoto(NearPhoto):
    """A photo of the gallery beside another one."""

    identity: str


class Similar(Body):
    """The photos of the gallery that are nearest to one of them."""

    photo: int
    identity: str
    similar: list[SimilarPhoto]


class GalleryMap(Body):
    """The gallery in two dimensions: neighbours tend to stand together; axes mean nothing."""

    photos: list[int]
    x: list[float]
    y: list[float]
    identities: list[str]


class Examples(Body):
    """Photographs to try; number n is at /v1/examples/{n}."""

    count: int


class Enrolled(Body):
    """The gallery after an enrolment."""

    identity: str
    photos: int  # of this identity now
    classes: int
    gallery: int  # photos in all
