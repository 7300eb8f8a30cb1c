"""Identifiers whose rules match keypoints and look at class centers, against scores by hand."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from flukeprint.config.schema import Config
from flukeprint.data.catalog import Catalog
from flukeprint.data.embeddings import Embeddings, unit_rows
from flukeprint.embedding.embed import embed
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features, extract_features
from flukeprint.ranking.local.keypoint_store import KeypointStore
from flukeprint.ranking.local.sift import match
from flukeprint.ranking.rules import FittedRules
from tests.identifier.drawn_identifiers import config, textures, vectors
from tests.identifier.earlier import without_digests
from tests.ranking.local.textures import small_seen_again as seen_again
from tests.ranking.local.textures import small_textured as textured

ANIMALS = 6
KEYPOINTS = "rank.local={candidates: 4, side: 96, keypoints: 60}"


@pytest.fixture
def thorough(tmp_path: Path) -> Identifier:
    """Knows six animals by a photo each, its head all but the last of them; gain 2 log(1 + s)."""
    return knows_textures(tmp_path, KEYPOINTS, "rank.head=0.25")


def knows_textures(tmp_path: Path, *rules: str) -> Identifier:
    settings = config(tmp_path, *rules)
    torch.manual_seed(0)
    net = build_model(settings.model, (32, 48))
    stamp = network_digest(net, EmbeddingRecipe(settings.image, False))
    known = textures(list(range(ANIMALS)))
    gallery = embed(net, known, EmbeddingRecipe(settings.image, stamp=stamp))
    names = tuple(f"w_{i}" for i in range(ANIMALS - 1))
    vectors = unit_rows(np.random.default_rng(5).normal(size=(len(names), 16)))
    return build_identifier(
        settings,
        net,
        extract_features(gallery, known, settings.image, settings.rank),
        None,
        fitted=FittedRules(rules=settings.rank, gain_scale=2.0),
        centers=Embeddings(vectors, names, names, None, stamp),
    )


def by_hand(known: Identifier, pixels: np.ndarray) -> dict[str, float]:
    """Cosine plus gain of the four nearest photos, three parts, and the head's cosine, one."""
    rules = known.card.method.rules.local
    settings = Config(name="c", image=known.card.image)
    query = vectors(known.net, settings, pixels)
    cosines = known.gallery.vectors @ query
    found = KeypointStore.of(Catalog(("q",), pixels=pixels[None]), rules, cache=None)[0]
    assert known.keypoints is not None
    assert known.centers is not None
    scores: dict[str, float] = {}
    for row, name in enumerate(known.gallery.identities):
        near = np.count_nonzero(cosines > cosines[row]) < 4
        strength = match(found, known.keypoints[row], rules).strength if near else 0.0
        score = float(cosines[row] + 2 * np.log1p(strength))
        scores[str(name)] = max(score, scores.get(str(name), -9.0))
    heads = {
        str(name): float(known.centers.vectors[row] @ query)
        for row, name in enumerate(known.centers.identities)
    }
    # Whom the head does not know moves with the mean of the others.
    move = float(np.mean([heads[name] - scores[name] for name in heads]))
    return {
        name: 0.75 * score + 0.25 * heads.get(name, score + move) for name, score in scores.items()
    }


@pytest.mark.parametrize("rules", [(KEYPOINTS,), (KEYPOINTS, "rank.head=0.25"), ()])
def test_how_near_a_photograph_is_its_keypoints_do_not_say(
    tmp_path: Path, rules: tuple[str, ...]
) -> None:
    known = knows_textures(tmp_path, *rules)
    queries = textures([3, 0, 5, 40], again=True)
    assert queries.pixels is not None
    for pixels, verdict in zip(queries.pixels, known.judge(queries), strict=True):
        settings = Config(name="c", image=known.card.image)
        cosines = known.gallery.vectors @ vectors(known.net, settings, pixels)
        assert verdict.nearest_cosine == pytest.approx(float(cosines.max()), abs=1e-5)


def test_keypoints_and_centers_reach_the_answers(thorough: Identifier) -> None:
    queries = textures([3, 0, 5, 40], again=True)
    ranking = thorough.identify(queries)
    assert queries.pixels is not None
    for place, pixels in enumerate(queries.pixels):
        want = sorted(by_hand(thorough, pixels).items(), key=lambda pair: -pair[1])[:5]
        assert list(ranking.identities[place]) == [name for name, _ in want]
        assert ranking.scores[place].tolist() == pytest.approx([s for _, s in want], abs=1e-4)
    plain = thorough.card.model_copy(update={"method": FittedRules()})
    without = Identifier(plain, thorough.net, thorough.gallery).identify(queries)
    assert not np.allclose(without.scores, ranking.scores, atol=1e-3)


def test_it_keeps_keypoints_and_centers(thorough: Identifier, tmp_path: Path) -> None:
    thorough.save(tmp_path / "kept")
    loaded = Identifier.load(tmp_path / "kept")
    assert loaded.card == thorough.card
    queries = textures([3, 0, 5, 40], again=True)
    before, after = thorough.identify(queries), loaded.identify(queries)
    assert before.identities == after.identities
    np.testing.assert_array_equal(before.scores, after.scores)
    files = {file.name for file in (tmp_path / "kept").iterdir()}
    assert files == {
        "identifier.json", "network.safetensors", "gallery", "keypoints.npz", "centers.npz",
        "digests.json",
    }  # fmt: skip


def test_an_animal_is_enrolled_with_its_keypoints(thorough: Identifier, tmp_path: Path) -> None:
    grown = thorough.enroll("w_stranger", [textured(40), textured(41)])
    assert grown.keypoints is not None
    assert len(grown.keypoints) == len(grown.gallery) == ANIMALS + 2
    rules = grown.card.method.rules.local
    own = KeypointStore.of(Catalog(("a",), pixels=textured(41)[None]), rules, cache=None)
    np.testing.assert_array_equal(grown.keypoints[ANIMALS + 1].points, own[0].points)
    grown.save(tmp_path / "grown")
    again = Identifier.load(tmp_path / "grown").identify([seen_again(textured(40))])
    assert again.identities[0][0] == "w_stranger"
    assert again.scores[0, 0] == pytest.approx(
        sorted(by_hand(grown, seen_again(textured(40))).values())[-1], abs=1e-4
    )
    with pytest.raises(FlukeprintError, match="in the gallery already"):
        grown.enroll("w_other", [textured(41)])


def test_arrays_paths_and_a_catalogue_are_answered_alike(
    thorough: Identifier, tmp_path: Path
) -> None:
    arrays: list[npt.NDArray[np.uint8]] = [seen_again(textured(i)) for i in (2, 40)]
    paths = [tmp_path / "in" / f"{i}.png" for i in range(2)]
    paths[0].parent.mkdir()
    for path, pixels in zip(paths, arrays, strict=True):
        Image.fromarray(pixels).save(path)
    image = thorough.card.image.model_copy(update={"cache": tmp_path / "cache"})
    cached = Identifier(
        thorough.card.model_copy(update={"image": image}), thorough.net, thorough.gallery,
        thorough.keypoints, thorough.centers,
    )  # fmt: skip
    by_array, by_path = cached.identify(arrays), cached.identify([str(path) for path in paths])
    assert not (tmp_path / "cache").exists()  # asked for once, kept nowhere
    by_catalog = cached.identify(Catalog(("x", "y"), tuple(paths)))
    assert (tmp_path / "cache").exists()
    assert by_array.images == ("array_0", "array_1")
    assert by_path.images == ("0.png", "1.png")
    for other in (by_path, by_catalog):
        assert other.identities == by_array.identities
        np.testing.assert_allclose(other.scores, by_array.scores, atol=1e-6)
    top = cached.identify(arrays, top=2)
    assert top.identities == tuple(names[:2] for names in by_array.identities)


def test_photographs_are_examined_once_and_ranked_at_will(thorough: Identifier) -> None:
    queries = thorough.examine(textures([3, 0, 40], again=True))
    assert queries.keypoints is not None
    some = thorough.rank(queries.take([2, 0]))
    want = thorough.rank(queries).take([2, 0])
    assert some.identities == want.identities
    np.testing.assert_array_equal(some.scores, want.scores)
    with pytest.raises(FlukeprintError, match="needs keypoints"):
        thorough.rank(Features(queries.embeddings))


@pytest.mark.parametrize(
    ("file", "said"),
    [("keypoints.npz", "no keypoints at"), ("centers.npz", "no embeddings at")],
)
def test_what_the_rules_need_must_be_there(
    thorough: Identifier, tmp_path: Path, file: str, said: str
) -> None:
    thorough.save(tmp_path / "kept")
    (without_digests(tmp_path / "kept") / file).unlink()
    with pytest.raises(FlukeprintError, match=said):
        Identifier.load(tmp_path / "kept")


def test_keypoints_of_another_gallery_are_refused(thorough: Identifier, tmp_path: Path) -> None:
    thorough.save(tmp_path / "kept")
    without_digests(tmp_path / "kept")
    assert thorough.keypoints is not None
    thorough.keypoints.take([0, 1]).save(tmp_path / "kept" / "keypoints.npz")
    with pytest.raises(FlukeprintError, match=r"keypoints of 2 photographs and a gallery of 6"):
        Identifier.load(tmp_path / "kept")


def test_an_identifier_without_such_rules_keeps_no_centers(
    thorough: Identifier, tmp_path: Path
) -> None:
    plain = build_identifier(
        config(tmp_path), thorough.net, Features(thorough.gallery), 0.5, centers=thorough.centers
    )
    assert plain.centers is None
    assert plain.card.method == FittedRules()
