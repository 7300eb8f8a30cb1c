"""The identifier: saved and loaded alike, grown without training, refusing what does not belong."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flukeprint.data.synthetic.shapes import draw_shape
from flukeprint.embedding.recipe import EmbeddingRecipe, network_digest
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.build import build_identifier
from flukeprint.identifier.identifier import Identifier
from flukeprint.models.network import build_model
from flukeprint.ranking.features import Features
from flukeprint.ranking.rules import FittedRules
from flukeprint.search.gallery_store import GalleryStore
from tests.identifier.drawn_identifiers import build, config, shapes, vectors
from tests.identifier.earlier import without_digests


@pytest.fixture
def known(tmp_path: Path) -> Identifier:
    return build(config(tmp_path), shapes(6, 3), threshold=0.5)


def test_a_gallery_photo_is_its_own_nearest(known: Identifier) -> None:
    ranking = known.identify(shapes(6, 3))
    assert [names[0] for names in ranking.identities] == list(shapes(6, 3).identities)
    np.testing.assert_allclose(ranking.best_known, 1, atol=1e-5)


def test_saved_and_loaded_it_answers_the_same(known: Identifier, tmp_path: Path) -> None:
    known.save(tmp_path / "kept")
    queries = shapes(6, 4)
    before, after = known.identify(queries), Identifier.load(tmp_path / "kept").identify(queries)
    assert before.identities == after.identities
    np.testing.assert_array_equal(before.scores, after.scores)
    assert {file.name for file in (tmp_path / "kept").iterdir()} == {
        "identifier.json",
        "network.safetensors",
        "gallery",
        "digests.json",
    }


def test_an_enrolled_animal_is_found_by_the_next_query(known: Identifier) -> None:
    stranger = draw_shape(40, 7, 64)
    grown = known.enroll("w_stranger", [stranger])
    assert "w_stranger" not in known.identities
    assert grown.identify([stranger]).identities[0][0] == "w_stranger"
    assert torch.equal(grown.net.mean, known.net.mean)
    assert len(grown.gallery) == len(known.gallery) + 1


def test_a_nearly_known_name_is_enrolled_with_force_only(known: Identifier) -> None:
    photo, other = draw_shape(40, 7, 64), draw_shape(41, 7, 64)
    grown = known.enroll("Jose\u0301 7", [photo])
    assert "Jos\u00e9 7" in grown.identities
    for name in ("jos\u00e9 7", "Jos\u00e9_7", "Jos\u00e9-7", "Jose 7"):
        with pytest.raises(FlukeprintError, match="knows this name as Jos\u00e9 7"):
            grown.enroll(name, [other])
    assert len(grown.enroll("jos\u00e9_7", [other], force=True).identities) == (
        len(grown.identities) + 1
    )
    more = grown.enroll(" Jose\u0301 7 ", [other])
    assert more.gallery.identities.count("Jos\u00e9 7") == 2


@pytest.mark.parametrize(
    ("name", "said"), [(" ", "no name"), ("new_whale", "no name"), ("New Whale", "no name")]
)
def test_an_unfit_name_is_refused(known: Identifier, name: str, said: str) -> None:
    with pytest.raises(FlukeprintError, match=said):
        known.enroll(name, [draw_shape(40, 7, 64)])


def test_the_same_photo_is_not_enrolled_twice(known: Identifier) -> None:
    photo = draw_shape(40, 7, 64)
    with pytest.raises(FlukeprintError, match="in the gallery already"):
        known.enroll("w_a", [photo]).enroll("w_b", [photo])


def test_nothing_to_enroll(known: Identifier) -> None:
    with pytest.raises(FlukeprintError, match="no photograph"):
        known.enroll("w_a", [])


def test_a_missing_photo_is_named(known: Identifier) -> None:
    with pytest.raises(FlukeprintError, match=r"nowhere\.jpg"):
        known.identify(["nowhere.jpg"])


def test_a_gallery_of_another_network_is_refused(known: Identifier, tmp_path: Path) -> None:
    known.save(tmp_path / "kept")
    without_digests(tmp_path / "kept")
    shutil.rmtree(tmp_path / "kept" / "gallery")
    GalleryStore.create(tmp_path / "kept" / "gallery", replace(known.gallery, stamp="0" * 16))
    with pytest.raises(FlukeprintError, match="embedded by network 0000"):
        Identifier.load(tmp_path / "kept")


def test_queries_of_another_network_are_refused(known: Identifier, tmp_path: Path) -> None:
    other = build(config(tmp_path, "model.embedding_dim=8"), shapes(2, 2))
    with pytest.raises(FlukeprintError):
        known.rank(Features(other.gallery))


def damage(folder: Path, what: str) -> None:
    card = json.loads((folder / "identifier.json").read_text())
    if what == "architecture":
        card["model"]["backbone"] = "test_vit"
    elif what == "format":
        card["format"] = 99
    elif what == "digest":
        card["image"]["width"] = 64
    elif what == "json":
        (folder / "identifier.json").write_text("{")
        return
    elif what == "tensors":
        (folder / "network.safetensors").write_bytes(b"short")
        return
    elif what == "absent":
        shutil.rmtree(folder)
        return
    (folder / "identifier.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("architecture", "not of the architecture test_vit"),
        ("format", "format 99"),
        ("digest", "do not belong together"),
        ("json", "cannot be read"),
        ("tensors", "cannot be read"),
        ("absent", "is no identifier"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(
    known: Identifier, tmp_path: Path, what: str, said: str
) -> None:
    known.save(tmp_path / "kept")
    damage(without_digests(tmp_path / "kept"), what)
    with pytest.raises(FlukeprintError, match=said) as caught:
        Identifier.load(tmp_path / "kept")
    assert "\n" not in str(caught.value)


def test_a_failed_save_leaves_the_old_one(
    known: Identifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known.save(tmp_path / "kept")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FlukeprintError, match="No space left"):
        known.enroll("w_a", [draw_shape(40, 7, 64)]).save(tmp_path / "kept")
    monkeypatch.undo()
    assert Identifier.load(tmp_path / "kept").identities == known.identities
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["kept"]


def test_the_threshold_decides_who_is_new(known: Identifier) -> None:
    query = [draw_shape(40, 7, 64)]
    assert known.with_threshold(1.01).identify(query).identities[0][0] is None
    assert None not in known.with_threshold(None).identify(query).identities[0]


@pytest.mark.parametrize(
    ("flip", "rule"), [("same", "mean"), ("new_identity", "both"), ("none", "both")]
)
def test_the_mirror_enters_by_its_rule(tmp_path: Path, flip: str, rule: str) -> None:
    settings = config(tmp_path, "infer.mirror=true", f"image.flip={flip}")
    assert EmbeddingRecipe(settings.image, True).mirror_rule == rule
    photo = draw_shape(3, 1, 64)
    other = draw_shape(5, 2, 64)
    known = build(settings, shapes(3, 2))
    got = [known.embed([p]).vectors[0] for p in (photo, other)]
    plain = [vectors(known.net, settings, p) for p in (photo, other)]
    mirrored = [vectors(known.net, settings, p[:, ::-1].copy()) for p in (photo, other)]
    if rule == "mean":
        want = [(a + b) / np.linalg.norm(a + b) for a, b in zip(plain, mirrored, strict=True)]
        cosine = float(want[0] @ want[1])
    else:
        cosine = float((plain[0] @ plain[1] + mirrored[0] @ mirrored[1]) / 2)
    assert float(got[0] @ got[1]) == pytest.approx(cosine, abs=1e-5)


def test_the_digest_changes_with_whatever_changes_an_embedding(tmp_path: Path) -> None:
    settings = config(tmp_path)
    net = build_model(settings.model, (32, 48))
    digests = {
        network_digest(net, EmbeddingRecipe(settings.image, False)),
        network_digest(net, EmbeddingRecipe(settings.image, True)),
    }
    digests.add(network_digest(net, EmbeddingRecipe(config(tmp_path, "image.resize=pad").image)))
    with torch.no_grad():
        next(net.parameters())[0, 0, 0, 0] += 1e-3
    digests.add(network_digest(net, EmbeddingRecipe(settings.image, False)))
    assert len(digests) == 4


def test_an_older_format_says_what_to_do(known: Identifier, tmp_path: Path) -> None:
    known.save(tmp_path / "kept")
    file = tmp_path / "kept" / "identifier.json"
    card = json.loads(file.read_text())
    card["format"] = 1
    del card["method"], card["zooms"]
    file.write_text(json.dumps(card))
    with pytest.raises(FlukeprintError, match=r"format 1, this version reads 3; train again"):
        Identifier.load(tmp_path / "kept")


# ---------------------------------------------------------------- large galleries


@pytest.mark.parametrize("backend", ["faiss_flat", "hnsw", "ivf_pq"])
def test_an_index_is_kept_and_grows(tmp_path: Path, backend: str) -> None:
    pytest.importorskip("faiss")
    settings = config(tmp_path, f"gallery.backend={backend}", "gallery.recall_at_5=0.9")
    known = build(settings, shapes(20, 3))
    plain = build(config(tmp_path), shapes(20, 3))
    assert known.index is not None
    assert known.card.backend == backend
    queries = shapes(20, 3).take(np.arange(0, 60, 3))
    np.testing.assert_array_equal(
        known.identify(queries).rows[:, 0], plain.identify(queries).rows[:, 0]
    )
    before = known.prepared
    strangers = [draw_shape(40 + k, 7, 64) for k in range(2)]
    grown = known.enroll("w_one", strangers[:1]).enroll("w_two", strangers[1:])
    assert grown.identify(strangers).identities[0][0] == "w_one"
    assert "w_one" not in known.identify(strangers).identities[0]  # it does not see them
    assert known.prepared is before
    grown.save(tmp_path / "kept")
    loaded = Identifier.load(tmp_path / "kept")
    for one in (grown, loaded):
        assert [names[0] for names in one.identify(strangers).identities] == ["w_one", "w_two"]
        assert one.judge(strangers)[0].ranking.identities[0][0] == "w_one"


def test_an_index_may_find_other_animals_for_each_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("flukeprint.identifier.identifier.FEW_IDENTITIES", 3)
    known = build(config(tmp_path, "gallery.backend=faiss_flat"), shapes(20, 3))
    queries = known.examine(shapes(20, 3).take(np.array([0, 30])))
    each = [set(names) for names in known.rank(queries, top=3).identities]
    assert each[0] != each[1]
    found = (each[0] | each[1]) - {None}
    assert set(known.judge_encounter(queries).answers) - {None} <= found


def test_what_an_index_lacks_is_taken_in_when_it_is_read(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    known = build(config(tmp_path, "gallery.backend=hnsw"), shapes(20, 3))
    known.save(tmp_path / "kept")
    file = tmp_path / "kept" / "index" / "index.faiss"
    written = file.stat().st_ino
    grown = Identifier.load(tmp_path / "kept").enroll("w_new", [draw_shape(40, 7, 64)])
    grown.save(tmp_path / "kept")
    assert file.stat().st_ino == written  # not written anew for one photograph
    again = Identifier.load(tmp_path / "kept")
    assert again.identify([draw_shape(40, 7, 64)]).identities[0][0] == "w_new"
    assert len(again.gallery) == 61


def test_growing_writes_what_is_new(known: Identifier, tmp_path: Path) -> None:
    known.save(tmp_path / "kept")
    vectors = tmp_path / "kept" / "gallery" / "vectors.f32"
    network = tmp_path / "kept" / "network.safetensors"
    inodes = vectors.stat().st_ino, network.stat().st_ino
    grown = known.enroll("w_new", [draw_shape(40, 7, 64)])
    grown.save(tmp_path / "kept")
    assert (vectors.stat().st_ino, network.stat().st_ino) == inodes
    np.testing.assert_array_equal(
        Identifier.load(tmp_path / "kept").gallery.vectors, grown.gallery.vectors
    )
    # Another gallery is no growth of this one.
    other = replace(known, gallery=known.gallery.take(np.arange(5)))
    other.save(tmp_path / "kept")
    assert vectors.stat().st_ino != inodes[0]
    assert len(Identifier.load(tmp_path / "kept").gallery) == 5


def test_rules_that_look_at_all_want_no_index(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=r"gallery\.backend=exact"):
        build_identifier(
            config(tmp_path, "gallery.backend=hnsw"), build(config(tmp_path), shapes(6, 3)).net,
            Features(build(config(tmp_path), shapes(6, 3)).gallery), None,
            fitted=FittedRules(rules=config(tmp_path, "rank.within=0.5").rank),
        )  # fmt: skip
