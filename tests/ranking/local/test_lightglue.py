"""The table of matchers, and what is said where LightGlue is missing."""

import sys
from types import ModuleType

import pytest

from flukeprint.config.ranking import LocalConfig
from flukeprint.errors import FlukeprintError
from flukeprint.ranking.local.lightglue import keypoint_backend

LIGHTGLUE = LocalConfig(matcher="lightglue", side=160, keypoints=150)


def test_without_kornia_the_extra_and_the_way_out_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "kornia", None)
    monkeypatch.setitem(sys.modules, "kornia.feature", None)
    with pytest.raises(FlukeprintError, match=r"flukeprint\[lightglue\].*matcher=sift"):
        keypoint_backend(LIGHTGLUE)


def test_without_weights_their_place_and_the_way_out_are_named(monkeypatch: pytest.MonkeyPatch):
    class Unreachable:
        @staticmethod
        def from_pretrained(name: str) -> None:
            raise OSError("Name or service not known\nmore")

    feature = ModuleType("kornia.feature")
    feature.DISK = Unreachable  # type: ignore[attr-defined]
    feature.LightGlue = Unreachable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kornia", ModuleType("kornia"))
    monkeypatch.setitem(sys.modules, "kornia.feature", feature)
    with pytest.raises(FlukeprintError, match=r"not known more\).*checkpoints.*matcher=sift"):
        keypoint_backend(LIGHTGLUE)
