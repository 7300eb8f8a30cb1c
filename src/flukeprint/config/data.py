"""Sections `data`, `image` and `split`: the photographs, their preparation and their folds."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from flukeprint.config.base import Section
from flukeprint.storage import PhotoRoot


def _one_message_of_bursts(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One message for the forms of bursts, instead of one from each."""
    try:
        return check(value)
    except ValueError:
        raise ValueError("expected a file, {seconds: S} with S above 0, or null") from None


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
    seed: int = Field(0, ge=0, description="Seed of the drawing.")


class ShapesConfig(Section):
    """What the reader `shapes` draws: triangles, circles, rectangles in red, green and blue."""

    label: Literal["colour", "shape"] = Field(
        "colour", description="What is an identity; the pictures are the same."
    )
    photos: int = Field(
        25,
        ge=2,
        description="Labelled photographs of each colour, and of each shape; the split holds some "
        "of them out.",
    )
    test_photos: int = Field(
        25, ge=1, description="Test photographs of each colour, and of each shape."
    )
    side: int = Field(28, ge=16, description="Width and height of a photograph, px.")
    seed: int = Field(0, ge=0, description="Seed of the drawing.")


class TimedBursts(Section):
    """Photographs of one camera that were taken shortly after each other, by their EXIF times."""

    seconds: float = Field(60.0, gt=0, description="Longest pause within a burst.")


class DataConfig(Section):
    """Where photographs and identities come from, and how the long tail is treated."""

    reader: Literal[
        "kaggle_csv",
        "folders",
        "file_name",
        "wildlife",
        "digits",
        "digits_csv",
        "shapes",
        "synthetic",
        "imported",
    ] = Field("kaggle_csv", description="Layout of the data; all are shown in `input/README.md`.")
    root: PhotoRoot = Field(
        Path("input/whales"), description="Folder of the data, or an address like s3://bucket/name."
    )
    labels: str = Field(
        "train.csv",
        description="Label table (kaggle_csv, wildlife), training rows (digits_csv), or a file or "
        "folder of any format that `flukeprint import` reads (imported; `.` is root itself).",
    )
    train: str = Field("train", description="Folder of the labelled photographs, below root.")
    test: str | None = Field(
        "test",
        description="Folder of the test photographs; of digits_csv, their table; of imported, a "
        "folder or another such source.",
    )
    sample_submission: str | None = Field(
        "sample_submission.csv", description="Table that gives the rows of a submission in order."
    )
    views: str | None = Field(
        None, description="CSV with Image,view: the side or body part that a photograph shows."
    )
    boxes: str | None = Field(
        None, description="CSV with Image,x0,y0,x1,y1: the animal in the upright photo."
    )
    box_unit: Literal["pixels", "share"] = Field(
        "pixels",
        description="Unit of boxes in tables, also of wildlife's bbox: pixels of the upright "
        "photo, or shares of its width and height (0..1).",
    )
    bursts: Annotated[str | TimedBursts | None, WrapValidator(_one_message_of_bursts)] = Field(
        None,
        description="Photographs that a split must keep together: CSV with Image,burst, or "
        "{seconds: 60} for those of one camera with such pauses at most, by their EXIF times.",
    )
    same_day: bool = Field(
        True,
        description="Whether a split keeps photographs of an animal on one day together, where a "
        "label table has a column date and they are of no burst, encounter or video.",
    )
    pattern: str | None = Field(
        None,
        description="Of file_name: regular expression with a group `identity`. Of imported: how "
        "the files of a folder are called, such as `{site}/{identity}/{view}_*.jpg`.",
    )
    columns: dict[str, str] = Field(
        {},
        description="Of imported: what a table's columns are, such as "
        "`{image: File, identity: Individual}`; known names need not be given.",
    )
    dates: str | None = Field(
        None,
        description="Of imported: order of a table's dates, `day-first`, `month-first` or a "
        "pattern such as `%d-%b-%Y`; ISO 8601 needs none.",
    )
    sheet: str | None = Field(
        None, description="Of imported: sheet of a workbook; the first by default."
    )
    decimal: Literal["point", "comma"] | None = Field(
        None,
        description="Of imported: what stands before a table's decimals; a comma by default where "
        "`;` stands between its cells.",
    )
    photo_root: str | None = Field(
        None,
        description="Of imported: folder below root in which the source's names of photographs "
        "begin, where that is not its usual place.",
    )
    keywords: tuple[str, ...] = Field(
        (),
        description="Of imported: patterns of the keywords in photographs that name `{identity}`.",
    )
    unnamed: Literal["ignore", "new"] = Field(
        "ignore",
        description="Of imported: what photographs are that name nobody: left out, as most are of "
        "animals that nobody has looked for yet, or new individuals.",
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
    shapes: ShapesConfig = ShapesConfig()


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
        "neither (a flank whose other side differs); nothing is mirrored. infer.mirror follows it.",
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
    queries: int | None = Field(
        None,
        ge=2,
        description="Most queries of a fold, drawn with the seed; the others are left out. "
        "Training and gallery are the same, so that MAP@5 estimates that of all. null: all.",
    )
    seed: int = Field(0, ge=0, description="Seed of the split and of bootstrap intervals.")

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitConfig":
        if self.fold >= self.folds:
            raise ValueError(
                f"fold {self.fold} does not exist: folds run from 0 to {self.folds - 1}"
            )
        return self
