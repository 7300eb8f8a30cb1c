"""Configuration: what enters is a YAML file and `key=value` overrides, what leaves is a `Config`.

The schema below is the only place where a default stands.  Unknown keys and
values are refused with the nearest known names.  A file may start from another
with `extends: other.yaml` (looked up beside it); mappings are merged key by key,
lists and scalars replaced.
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
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NewShare(Section):
    """A new individual is the first answer of at most this share of the photographs."""

    share: float = Field(ge=0, le=1)


class FalseNew(Section):
    """A new individual is the first answer for at most this share of the known animals."""

    false_new: float = Field(ge=0, le=1)


def _one_wish(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
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
    WrapValidator(_one_wish),
]
EngineName = Literal["auto", "torch", "torch-compile", "openvino", "onnxruntime"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]
BackendName = Literal["auto", "exact", "faiss_flat", "hnsw", "ivf_pq", "qdrant"]
Share = Annotated[float, Field(gt=0, le=1)]
MEBIBYTE = 1 << 20


class SyntheticConfig(Section):
    """What `synthetic.py` draws when the reader is `synthetic`."""

    kind: Literal["whales", "shapes"] = "whales"
    identities: int = Field(120, ge=2)
    new_share: float = Field(0.08, ge=0, lt=1)  # of all training photos, labelled new_whale
    test_photos: int = Field(100, ge=0)
    test_new_share: float = Field(0.276, ge=0, le=1)
    long_side: int = Field(320, ge=32)  # px, of the drawn photographs
    seed: int = 0


class DataConfig(Section):
    """Where photographs and identities come from, and what the long tail means."""

    reader: Literal[
        "kaggle_csv", "folders", "file_name", "wildlife", "digits", "digits_csv", "synthetic"
    ] = "kaggle_csv"
    root: PhotoRoot = Path("input/whales")  # or an address such as s3://bucket/whales
    labels: str = "train.csv"  # kaggle_csv, wildlife: table; digits_csv: training rows
    train: str = "train"  # folder of labelled photos below root
    test: str | None = "test"  # folder of test photos; digits_csv: table
    sample_submission: str | None = "sample_submission.csv"
    views: str | None = None  # CSV with Image,view
    boxes: str | None = None  # CSV with Image,x0,y0,x1,y1 in pixels of the upright photo
    bursts: str | None = None  # CSV with Image,burst
    pattern: str | None = None  # file_name: regular expression with a group `identity`
    new_label: str = "new_whale"  # how an unknown individual is written
    closed_set: bool = False  # true: no query is ever of a new individual
    min_photos: int = Field(1, ge=1)  # identities with fewer are left out of training and gallery
    pair_with: Literal["augmentation", "nothing"] = "augmentation"  # one-photo identities
    new_photos: Literal["negatives", "queries_only", "ignore"] = "negatives"
    classes: Literal["identity", "identity_and_view"] = "identity"  # what the head tells apart
    pseudo_labels: Path | None = None  # CSV with Image,Id,confidence,run of test photos
    pseudo_confidence: float = Field(0.6, ge=0, le=1)  # test photos below it are left out
    competition: str | None = None  # Kaggle's name for it, for download and submit
    skip_unreadable: bool = False
    synthetic: SyntheticConfig = SyntheticConfig()


class ImageConfig(Section):
    """Size of the network's input and how photographs are varied in training."""

    height: int = Field(224, ge=16)
    width: int = Field(224, ge=16)
    # pad and crop keep the aspect ratio: all of the photo with a border, or its middle.
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    cache: Path | None = Path("runs/cache")  # null: decode every time
    cache_gb: float = Field(20.0, gt=0)  # the cache never grows beyond it
    flip: Literal["new_identity", "same", "none"] = "none"
    mirror_views: tuple[str, ...] = ()  # photos of these views are turned round: all face one way
    reserve: float = Field(1.0, ge=1, le=4)  # cached photos are so much larger, for crops and zooms
    augment: float = Field(0.5, ge=0, le=1)  # strength; 0 leaves photographs as they are
    crop: float = Field(1.0, gt=0, le=1)  # training sees random crops of at least this area


class SplitConfig(Section):
    """Folds, and how many queries are of animals absent from the gallery."""

    folds: int = Field(5, ge=2)
    fold: int = Field(0, ge=0)
    unseen_share: float = Field(0.276, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitConfig":
        if self.fold >= self.folds:
            raise ValueError(
                f"fold {self.fold} does not exist: folds run from 0 to {self.folds - 1}"
            )
        return self


class FrozenConfig(Section):
    """A further backbone, whose features are taken as its weights give them."""

    backbone: str
    weights: str = "pretrained"  # as of the model


class ModelConfig(Section):
    """Backbone, pooling, neck and where the weights come from."""

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "pretrained"  # pretrained | none | package:NAME | a file
    beside: tuple[FrozenConfig, ...] = ()  # their pooled features stand beside the backbone's
    pooling: Literal["gem", "avg", "max"] = "gem"
    neck: bool = True  # false: the pooled features are the embedding
    grid: tuple[PositiveInt, PositiveInt] = (1, 1)  # cells that are pooled apart, rows x columns
    embedding_dim: int = Field(512, ge=2)
    dropout: float = Field(0.0, ge=0, lt=1)
    freeze_stages: int = Field(0, ge=0)  # stem counts as the first
    freeze_norm: bool = False  # batch norm of the backbone keeps its statistics


class LossConfig(Section):
    """One term of the loss: a name of `losses.LOSSES`, its weight and its own parameters."""

    name: str
    weight: float = Field(1.0, gt=0)
    params: dict[str, float | int | str | bool] = Field({})


class SamplerConfig(Section):
    """How batches are drawn."""

    name: Literal["shuffled", "positive_available", "pk"] = "shuffled"
    batch_size: int = Field(32, ge=2)
    photos_per_identity: int = Field(4, ge=2)  # pk: K
    new_share: float = Field(0.0, ge=0, lt=1)  # of a batch, kept for new_whale negatives
    first_epochs: int = Field(0, ge=0)  # in these, only identities with `first_photos` are drawn
    first_photos: int = Field(10, ge=2)


class TrainConfig(Section):
    """How long, how fast and on what the network learns."""

    epochs: int = Field(20, ge=1)
    lr: float = Field(1e-3, gt=0)  # of the backbone
    head_lr_factor: float = Field(10.0, gt=0)  # of neck and loss parameters, times lr
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.1, ge=0, le=1)  # share of all steps
    final_lr_factor: float = Field(0.01, ge=0, le=1)
    freeze_epochs: int = Field(0, ge=0)  # epochs in which only neck and loss learn
    layer_decay: float = Field(1.0, gt=0, le=1)  # lr factor from one backbone stage to the earlier
    sizes: tuple[Share, ...] = ()  # progressive resizing: shares of the size, in equal parts
    memory: int = Field(0, ge=0)  # embeddings of past batches that pair losses look at as well
    teachers: tuple[Path, ...] = ()  # runs whose similarities the network shall imitate
    teacher_weight: float = Field(1.0, gt=0)
    clip: float | None = Field(5.0, gt=0)  # gradient norm
    accumulate: int = Field(1, ge=1)
    ema: float | None = Field(None, gt=0, lt=1)  # decay of the averaged weights
    swa: float | None = Field(None, gt=0, lt=1)  # share of epochs after which weights are averaged
    # In YAML 32 is a number.
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(str)] = "auto"
    patience: int | None = Field(None, ge=1)  # validations without a better MAP@5
    validate_every: int = Field(1, ge=1)  # epochs
    workers: int = Field(2, ge=0)
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int = Field(1, ge=1)  # processes of a node, each with its GPU or share of the cores
    num_nodes: int = Field(1, ge=1)
    max_steps: int | None = Field(None, ge=1)  # stop early, for trials
    seed: int = Field(0, ge=0)

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

    candidates: int = Field(0, ge=0)  # photos matched for each query, 2 ms each; 0: off
    matcher: Literal["sift", "lightglue"] = "sift"
    side: int = Field(320, ge=64)  # px, long side of the photo in which keypoints are sought
    keypoints: int = Field(600, ge=16)  # at most, of a photo
    upright: bool = False  # sift: the animals are never turned, so a keypoint has no direction
    ratio: float = Field(0.75, gt=0, le=1)  # nearest against second nearest descriptor
    reach: float = Field(0.025, gt=0, le=1)  # share of `side` that a match may miss its place by


class RankConfig(Section):
    """From similarities of photographs to identities; everything is off unless asked for."""

    identity: Literal["max", "mean", "prototype"] = "max"  # of an identity's photos
    best: int = Field(3, ge=1)  # mean: of this many best photos
    head: float = Field(0.0, ge=0, le=1)  # weight of the similarity to the loss's class centers
    whiten: int = Field(0, ge=0)  # dimensions kept by PCA whitening of the gallery; 0: off
    # How far the spread of an animal's own photos is evened out (WCCN); 0: off.
    within: float = Field(0.0, ge=0, le=1)
    expand: int = Field(0, ge=0)  # gallery photos added to a query, weighted by similarity**alpha
    augment_gallery: int = Field(0, ge=0)  # the same for every gallery photo
    alpha: float = Field(3.0, ge=0)
    hubness: int = Field(0, ge=0)  # neighbours of the CSLS correction; 0: off
    reciprocal: int = Field(0, ge=0)  # k of k-reciprocal re-ranking; 0: off
    reciprocal_weight: float = Field(0.3, ge=0, le=1)
    # Taken from the similarity of photos of another view; fit: chosen on the fold.
    other_view: Annotated[float, Field(ge=0)] | Literal["fit"] = 0.0
    local: LocalConfig = LocalConfig()


class InferConfig(Section):
    """How photographs become answers."""

    mirror: bool = False  # test-time mirror
    # Middle parts of the photo whose embeddings are averaged.
    zooms: tuple[Share, ...] = Field((1.0,), min_length=1)
    batch_size: int = Field(64, ge=1)
    # What runs the network; auto: the fastest on this machine that gives the same embeddings.
    engine: EngineName = "auto"
    precision: PrecisionName = "auto"
    devices: int = Field(1, ge=1)  # processes of a node that share the photographs
    num_nodes: int = Field(1, ge=1)
    threshold: Threshold = "best_map5"
    # At most this share of the fold's queries is taken for photographs of something else; null:
    # every photograph is taken for one of these animals.
    outside: Annotated[float, Field(ge=0, lt=1)] | None = 0.02
    answers: int = Field(5, ge=1, le=5)  # of each photograph in a submission


class GalleryConfig(Section):
    """How a gallery is searched; see `docs/scale.md` for what to take at which size."""

    backend: BackendName = "auto"  # auto: by size and memory, exact as long as that is fast enough
    recall_at_5: float = Field(0.99, gt=0, le=1)  # that an approximate index is tuned to
    memory_gb: float | None = Field(None, gt=0)  # auto: at most so much for vectors and index
    url: str | None = None  # qdrant: server or cluster; null: embedded, in the gallery's folder
    collection: str = "flukeprint"  # qdrant: alias under which the gallery is found
    quantize: bool = False  # qdrant: int8 vectors in memory, re-scored exactly

    @model_validator(mode="after")
    def _url_is_used(self) -> "GalleryConfig":
        if self.url is not None and self.backend != "qdrant":
            raise ValueError("gallery.url is for gallery.backend=qdrant")
        return self


class TaxonomyConfig(Section):
    """A tree above the classes, for answers that are sure of a genus but not of the species."""

    table: Path  # CSV: class, then ranks from narrow to wide, such as class,genus,family,order
    confidence: float = Field(0.8, gt=0, lt=1)  # probability from which a rank is answered


class ServeConfig(Section):
    """What `flukeprint serve` allows; limits hold for each worker process."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)  # 0: any that is free
    workers: int = Field(1, ge=1)
    title: str | None = None  # of the page; else the identifier's name
    examples: Path | None = None  # folder of photographs to try, instead of the identifier's
    # A photograph is refused before it is decoded when it has more bytes or pixels.
    photo_bytes: int = Field(20 * MEBIBYTE, ge=1024)
    photo_pixels: int = Field(60_000_000, ge=10_000)
    photos: int = Field(8, ge=1, le=64)  # of one request
    request_bytes: int = Field(64 * MEBIBYTE, ge=1024)  # of all its photographs together
    queue: int = Field(32, ge=1)  # requests under way at once; beyond it 503
    batch: int = Field(8, ge=1)  # photographs that go through the network together
    timeout: float = Field(60.0, gt=0)  # seconds for a whole request
    # Requests of one address a minute that cost work; auto: 120, but none on a loopback host.
    rate: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    cors: tuple[str, ...] = ()  # origins of other sites that may call the API
    enroll: bool = False  # needs the token FLUKEPRINT_ENROLL_TOKEN in the environment
    false_accept: float = Field(0.01, gt=0, lt=1)  # rate at which `verify` decides


class Config(Section):
    """One experiment, whole."""

    name: str
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
    cards: Path | None = None  # CSV: what to tell of each class
    taxonomy: TaxonomyConfig | None = None
    serve: ServeConfig = ServeConfig()
    runs: Path = Path("runs")
    submissions: Path = Path("submissions")

    def digest(self) -> str:
        """First 12 hex digits of the SHA-256 of all that is set, however it was written."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
