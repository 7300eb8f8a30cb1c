"""What the doctor of a catalogue takes for worth a person's look."""

from dataclasses import dataclass

from flukeprint.errors import FlukeprintError


@dataclass(frozen=True)
class DoctorOptions:
    """What is taken for worth a person's look.

    least: probability from which a pair, an animal or a label is named.
    expected: share of animals, or of labels, that may be wrong before anything is seen of them.
    animal_speed: km/h that no animal keeps up between two encounters.
    observer_speed: km/h that no observer keeps up, by car or boat.
    keypoints: match keypoints where photographs are left out, as identification does.
    """

    least: float = 0.5
    expected: float = 0.02
    animal_speed: float = 8.0
    observer_speed: float = 150.0
    keypoints: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for what, value in (("least", self.least), ("expected", self.expected)):
            if not 0 < value < 1:
                raise FlukeprintError(f"{what} {value:g} must lie between 0 and 1")
        for what, value in (
            ("animal speed", self.animal_speed),
            ("observer speed", self.observer_speed),
        ):
            if not 0 < value < 1e5:
                raise FlukeprintError(f"{what} {value:g} is no speed in km/h")
