"""An identifier that matches a query's keypoints with the whole gallery at once, also on disk."""

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.models.network import build_model
from flukeprint.ranking.features import extract_features
from flukeprint.ranking.local.descriptor_index import DescriptorIndex
from flukeprint.ranking.pipeline import QueryRanker
from flukeprint.ranking.rules import FittedRules
from flukeprint.ranking.score_parts import Fusion
from tests.identifier.drawn_identifiers import config, textures
from tests.identifier.earlier import without_digests
from tests.ranking.local.textures import small_seen_again as seen_again
from tests.ranking.local.textures import small_textured as textured
from tests.refusals import refused

forked = multiprocessing.get_context("fork")
LOCAL = "rank.local={candidates: all, matcher: lnbnn, side: 96, keypoints: 60}"
ANIMALS = 24


def built(folder: Path, first: int = 0, animals: int = ANIMALS) -> Identifier:
    """Knows animals by a photo each; keypoints alone decide."""
    settings = config(folder, LOCAL, "rank.fuse=true")
    torch.manual_seed(0)
    net = build_model(settings.model, (32, 48))
    stamp = network_digest(net, EmbeddingRecipe(settings.image, False))
    known = textures(list(range(first, first + animals)))
    gallery = embed(net, known, EmbeddingRecipe(settings.image, stamp=stamp))
    fitted = FittedRules(
        rules=settings.rank, fusion=Fusion(embedding=0.01, keypoints=1.0, offset=-2.0)
    )
    features = extract_features(gallery, known, settings.image, settings.rank)
    return build_identifier(settings, net, features, None, fitted=fitted)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Identifier:
    return built(tmp_path_factory.mktemp("descriptors"))


@pytest.fixture
def kept(once: Identifier, tmp_path: Path) -> Path:
    once.save(tmp_path / "kept")
    return tmp_path / "kept"


def firsts(known: Identifier, shown: list[int]) -> list[str | None]:
    return [names[0] for names in known.identify(textures(shown, again=True)).identities]


def index_of(folder: Path) -> Path:
    return folder / "descriptors" / "index.faiss"


def test_saved_and_loaded_it_answers_the_same(once: Identifier, kept: Path) -> None:
    assert isinstance(once.keypoints, DescriptorIndex)
    loaded = Identifier.load(kept)
    queries = textures([3, 0, 17, 90], again=True)
    before, after = once.identify(queries), loaded.identify(queries)
    assert before.identities == after.identities
    np.testing.assert_array_equal(before.scores, after.scores)
    assert firsts(loaded, [3, 0, 17]) == ["w_3", "w_0", "w_17"]
    assert {file.name for file in kept.iterdir()} == {
        "identifier.json", "network.safetensors", "gallery", "descriptors", "digests.json",
    }  # fmt: skip
    assert loaded.card == once.card
    # Each query is answered as alone, by the ranker as well.
    alone = loaded.identify([seen_again(textured(17))])
    np.testing.assert_allclose(alone.scores[0], after.scores[2], atol=1e-5)
    examined = loaded.examine(queries)
    ranked = QueryRanker(loaded.prepared, examined).rank(loaded.card.method)
    np.testing.assert_array_equal(ranked.scores, after.scores)


def test_what_is_enrolled_is_written_beside_a_linked_index(kept: Path) -> None:
    before = index_of(kept).stat().st_ino
    loaded = Identifier.load(kept)
    grown = loaded.enroll("w_stranger", [textured(90)])
    assert isinstance(grown.keypoints, DescriptorIndex)
    assert isinstance(loaded.keypoints, DescriptorIndex)
    assert grown.keypoints._codes.index is loaded.keypoints._codes.index
    assert firsts(loaded, [90]) != ["w_stranger"]
    saved = grown.save(kept)
    assert index_of(kept).stat().st_ino == before
    assert (kept / "descriptors" / "later.npz").is_file()
    for one in (grown, saved, Identifier.load(kept)):
        assert firsts(one, [90, 5]) == ["w_stranger", "w_5"]
    # The second is more than a twentieth of the gallery.
    again = Identifier.load(kept).enroll("w_other", [textured(91)]).save(kept)
    assert index_of(kept).stat().st_ino != before
    assert not (kept / "descriptors" / "later.npz").exists()
    for one in (again, Identifier.load(kept)):
        assert firsts(one, [90, 91, 5]) == ["w_stranger", "w_other", "w_5"]
    with pytest.raises(FlukeprintError, match="in the gallery already"):
        again.enroll("w_third", [textured(91)])


def test_another_identifier_in_the_same_folder_keeps_its_own(kept: Path, tmp_path: Path) -> None:
    """Of as many photographs, by the same network."""
    built(tmp_path, first=40).save(kept)
    assert firsts(Identifier.load(kept), [41, 60]) == ["w_41", "w_60"]


def test_changed_settings_link_the_index(kept: Path) -> None:
    before = index_of(kept).stat().st_ino
    Identifier.load(kept).with_threshold(0.7).save(kept)
    assert index_of(kept).stat().st_ino == before
    assert Identifier.load(kept).card.threshold == 0.7


def test_what_two_have_enrolled_at_once_is_all_there(kept: Path) -> None:
    first, second = Identifier.load(kept), Identifier.load(kept)
    first = first.enroll("w_one", [textured(90)]).save(kept)
    joined = second.enroll("w_two", [textured(91)]).save(kept)
    for one in (joined, Identifier.load(kept)):
        assert firsts(one, [90, 91, 7]) == ["w_one", "w_two", "w_7"]
    first.enroll("w_three", [textured(92)]).save(kept)  # it has not seen the second's
    assert firsts(Identifier.load(kept), [90, 91, 92]) == ["w_one", "w_two", "w_three"]


def _enroll_some(folder: Path, who: int) -> None:
    for number in range(2):
        place = 90 + 10 * who + number
        Identifier.load(folder).enroll(f"w_{place}", [textured(place)]).save(folder)
    os._exit(0)


def test_processes_that_enroll_at_once_lose_nothing(kept: Path) -> None:
    torch.set_num_threads(1)
    running = [forked.Process(target=_enroll_some, args=(kept, who)) for who in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    assert [process.exitcode for process in running] == [0, 0]
    shown = [90, 91, 100, 101]
    assert firsts(Identifier.load(kept), shown) == [f"w_{place}" for place in shown]


def test_a_part_of_the_gallery_answers_of_itself_alone(kept: Path) -> None:
    known = Identifier.load(kept).enroll("w_stranger", [textured(90)])
    rows = [0, 2, 5, ANIMALS]
    assert known.keypoints is not None
    some = replace(known, gallery=known.gallery.take(rows), keypoints=known.keypoints.take(rows))
    assert firsts(some, [0, 2, 5, 90]) == ["w_0", "w_2", "w_5", "w_stranger"]
    assert set(some.identify(textures([3], again=True)).identities[0]) <= set(some.identities)


@pytest.mark.parametrize("name", ["index.faiss", "photographs.npz", "later.npz"])
def test_damaged_descriptors_are_refused_by_name(kept: Path, name: str) -> None:
    Identifier.load(kept).enroll("w_stranger", [textured(90)]).save(kept)
    file = kept / "descriptors" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    refused(lambda: Identifier.load(kept), f"descriptors/{name}", "changed or damaged")


def test_without_digests_its_parts_are_checked_alone(kept: Path) -> None:
    without_digests(kept)
    assert firsts(Identifier.load(kept), [4]) == ["w_4"]
    index_of(kept).write_bytes(b"nothing")
    refused(lambda: Identifier.load(kept), "index.faiss", "cannot be read")
    for file in (kept / "descriptors").iterdir():
        file.unlink()
    refused(lambda: Identifier.load(kept), "no descriptors at")


def test_descriptors_of_another_gallery_are_refused(kept: Path, tmp_path: Path) -> None:
    without_digests(kept)
    few = built(tmp_path, animals=3)
    few.save(tmp_path / "few")
    for name in ("index.faiss", "photographs.npz"):
        data = (tmp_path / "few" / "descriptors" / name).read_bytes()
        (kept / "descriptors" / name).write_bytes(data)
    refused(lambda: Identifier.load(kept), "keypoints of 3 photographs and a gallery of 24")
