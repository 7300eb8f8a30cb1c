"""The ranking rules of a configuration with the numbers that were fitted for them."""

from flukeprint.config.base import Section
from flukeprint.config.ranking import RankConfig
from flukeprint.ranking.local.fusion import KeypointGain
from flukeprint.ranking.score_parts import Fusion


class FittedRules(Section):
    """Ranking rules with their fitted numbers, as an identifier keeps them in JSON."""

    rules: RankConfig = RankConfig()
    other_view: float = 0.0  # subtracted from the similarity of photographs of another view
    gain_scale: float = 0.0  # of `KeypointGain`
    gain_floor: float = 0.0
    fusion: Fusion | None = None  # of rules.fuse
    encounter_exponent: float = 0.0  # of `encounter_weight`; 0 in identifiers of earlier versions

    @property
    def gain(self) -> KeypointGain:
        """How much matched keypoints add to a score."""
        return KeypointGain(self.gain_scale, self.gain_floor)


def nearest_decides(rules: RankConfig) -> bool:
    """Whether the nearest photograph is an identity's score, by vectors as they are or improved."""
    reciprocal = rules.reciprocal and rules.reciprocal_weight
    return rules.identity == "max" and not any(
        (rules.prototype, rules.head, rules.hubness, reciprocal)
    )


def plain_cosines(rules: RankConfig) -> bool:
    """Whether no rule changes a cosine, other views and keypoints aside."""
    return nearest_decides(rules) and not any(
        (rules.whiten, rules.within, rules.expand, rules.augment_gallery)
    )


def looks_at_all(rules: RankConfig) -> bool:
    """Whether the rules need the scores of all gallery photographs, so that no index will do.

    Keypoints of a number of candidates do not: these are found by an index as well.
    """
    return not plain_cosines(rules) or any(
        (rules.other_view, rules.local.candidates == "all", rules.fuse)
    )


def scores_are_cosines(rules: RankConfig) -> bool:
    """Whether an identity's score is the cosine to its nearest photograph: no rule changes it."""
    return not looks_at_all(rules) and not rules.local.candidates
