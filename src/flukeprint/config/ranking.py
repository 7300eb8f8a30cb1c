"""Sections `rank`, `infer` and `gallery`: from embeddings to answers, and their threshold."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from flukeprint.config.base import Section, Share


class NewShare(Section):
    """Threshold at which at most this share of the photographs is answered as new first."""

    share: float = Field(ge=0, le=1, description="Share of all photographs.")


class FalseNew(Section):
    """Threshold at which at most this share of the known animals is first answered as new."""

    false_new: float = Field(ge=0, le=1, description="Share of the known animals' photographs.")


def _one_message(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One message for the five forms of a threshold, instead of one from each."""
    try:
        if isinstance(value, bool):  # YAML's yes and no, which would pass for 1 and 0
            raise ValueError
        return check(value)
    except ValueError:
        raise ValueError(
            "expected best_map5, none, a number, {share: S} or {false_new: R}, S and R from 0 to 1"
        ) from None


def _one_message_of_fallback(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """The same for the forms of a fallback."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return check(value)
    except ValueError:
        raise ValueError(
            "expected {share: S} with S from 0 to 1, a number, none or fitted"
        ) from None


Threshold = Annotated[
    Annotated[float, Field(allow_inf_nan=False)]
    | Literal["best_map5", "none"]
    | NewShare
    | FalseNew,
    WrapValidator(_one_message),
]


Fallback = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | Literal["none", "fitted"] | NewShare,
    WrapValidator(_one_message_of_fallback),
]


EngineName = Literal["auto", "torch", "torch-compile", "openvino", "onnxruntime"]


PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]


EncounterRule = Literal["mean", "best", "probabilities"]


BackendName = Literal["auto", "exact", "faiss_flat", "hnsw", "ivf_pq", "qdrant"]


class LocalConfig(Section):
    """Keypoints matched between a query and its best candidates."""

    candidates: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        0,
        description="Photographs matched for each query, the best by embedding; all: the whole "
        "gallery; 0: off. One takes some 2 ms with sift, 0.02 ms with all of lnbnn.",
    )
    matcher: Literal["sift", "lightglue", "lnbnn"] = Field(
        "sift",
        description="Keypoints and how they are matched: sift and lightglue by pairs of "
        "photographs, lnbnn SIFT of a query with all candidates at once.",
    )
    neighbours: int = Field(
        3, ge=1, description="Of lnbnn: nearest descriptors that each of a query counts for."
    )
    verify: int = Field(
        20, ge=0, description="Of lnbnn: best photographs whose pairs are checked by geometry."
    )
    side: int = Field(320, ge=64, description="Long side at which keypoints are looked for, px.")
    keypoints: int = Field(600, ge=16, description="Most keypoints of a photograph.")
    upright: bool = Field(
        False, description="Of sift: keypoints without a direction, for animals never rotated."
    )
    ratio: float = Field(
        0.75, gt=0, le=1, description="Lowe's ratio test: nearest against second nearest."
    )
    reach: float = Field(
        0.025, gt=0, le=1, description="Tolerance of the fitted geometry, as a share of side."
    )


class RankConfig(Section):
    """Ranking rules, from similarities of photographs to identities; all off by default."""

    identity: Literal["max", "mean", "prototype"] = Field(
        "max",
        description="Score of an identity: its best photograph, the mean of its best ones, or its "
        "mean embedding.",
    )
    best: int = Field(3, ge=1, description="Number of photographs of mean.")
    prototype: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Weight of the cosine to the identity's mean embedding, beside max or mean.",
    )
    head: float = Field(
        0.0, ge=0, le=1, description="Weight of the similarity to the loss's class centres."
    )
    whiten: int = Field(
        0, ge=0, description="Dimensions kept by PCA whitening of the gallery; 0: off."
    )
    within: float = Field(
        0.0, ge=0, le=1, description="Strength of within-class covariance normalisation (WCCN)."
    )
    expand: int = Field(
        0, ge=0, description="Query expansion: gallery photographs added to a query; 0: off."
    )
    augment_gallery: int = Field(
        0, ge=0, description="Database-side augmentation: neighbours added to each photograph."
    )
    alpha: float = Field(
        3.0,
        ge=0,
        description="Both of these weight a neighbour by its similarity to the power alpha.",
    )
    hubness: int = Field(0, ge=0, description="Neighbours of the CSLS correction; 0: off.")
    reciprocal: int = Field(0, ge=0, description="k of k-reciprocal re-ranking; 0: off.")
    reciprocal_weight: float = Field(
        0.3, ge=0, le=1, description="Weight of the k-reciprocal similarity."
    )
    other_view: Annotated[float, Field(ge=0)] | Literal["fit"] = Field(
        0.0,
        description="Penalty for photographs of another view than the query's; fit chooses it on "
        "the fold.",
    )
    local: LocalConfig = LocalConfig()
    fuse: bool = Field(
        False,
        description="Combine the scores by embedding, class centre (head above 0, whatever its "
        "weight) and keypoints as one probability, with weights fitted on the fold.",
    )
    encounters: EncounterRule = Field(
        "mean",
        description="Score of an identity by several photographs of one encounter: the mean or the "
        "best of theirs, or their mean weighted as the product of their probabilities has it.",
    )

    @model_validator(mode="after")
    def _lnbnn_is_fused(self) -> "RankConfig":
        if self.local.candidates and self.local.matcher == "lnbnn" and not self.fuse:
            raise ValueError("rank.local.matcher=lnbnn needs rank.fuse=true")
        return self


class InferConfig(Section):
    """How photographs are embedded and answered."""

    mirror: bool = Field(
        False,
        description="Test-time augmentation with the mirror image. Where image.flip is same, the "
        "mean of both embeddings; else both side by side, twice as long.",
    )
    zooms: tuple[Share, ...] = Field(
        (1.0,),
        min_length=1,
        description="Centre crops, as shares of both sides; their embeddings are averaged.",
    )
    batch_size: int = Field(64, ge=1, description="Photographs of a batch.")
    engine: EngineName = Field(
        "auto",
        description="Inference engine; auto: the fastest here with the same photographs nearest.",
    )
    precision: PrecisionName = Field("auto", description="Arithmetic of the engine.")
    threshold: Threshold = Field(
        "best_map5", description="How the score below which an animal is new is chosen."
    )
    fallback: Fallback = Field(
        NewShare(share=0.276),
        description="Threshold where best_map5 has too few queries, or shows no gain beyond noise "
        "over never and over always answering new first; fitted keeps the fitted one all the same.",
    )
    outside: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        0.02,
        description="Largest share of the fold's queries that may be refused as photographs of "
        "something else; null refuses none.",
    )
    answers: int = Field(5, ge=1, le=5, description="Answers of each photograph in a submission.")

    @model_validator(mode="before")
    @classmethod
    def _one_process(cls, given: Any) -> Any:
        """Runs of earlier versions have saved both keys, as 1."""
        if not isinstance(given, dict):
            return given
        gone = [key for key in ("devices", "num_nodes") if key in given]
        for key in gone:
            if given[key] != 1:
                raise ValueError(
                    f"infer.{key} is no more; leave it out, and embed a large catalogue with "
                    "`flukeprint embed-all --engine ray`"
                )
        return {key: value for key, value in given.items() if key not in gone}


class GalleryConfig(Section):
    """How a gallery is searched; `docs/scale.md` says what to take at which size."""

    backend: BackendName = Field(
        "auto", description="Search back end; auto: exact while that is fast enough."
    )
    recall_at_5: float = Field(
        0.99, gt=0, le=1, description="Recall that an approximate index is tuned to."
    )
    memory_gb: float | None = Field(
        None, gt=0, description="Of auto: most memory for vectors and index, GB."
    )
    url: str | None = Field(
        None, description="Of qdrant: server or cluster; null: embedded, in the gallery's folder."
    )
    collection: str = Field("flukeprint", description="Of qdrant: alias of the gallery.")
    quantize: bool = Field(
        False, description="Of qdrant: int8 vectors in memory, scored again exactly."
    )

    @model_validator(mode="after")
    def _url_is_used(self) -> "GalleryConfig":
        if self.url is not None and self.backend != "qdrant":
            raise ValueError("gallery.url is for gallery.backend=qdrant")
        return self
