"""Loading a configuration: files, overrides, and messages that name what would be right."""

import os
from pathlib import Path

import pytest

from flukeprint.config.digests import recipe_digest, training_digest
from flukeprint.config.load import load_config
from flukeprint.config.ranking import FalseNew, NewShare
from flukeprint.config.schema import Config
from flukeprint.errors import FlukeprintError
from tests.refusals import refused


@pytest.mark.usefixtures("at_repository")
def test_a_bare_name_is_looked_up_in_configs() -> None:
    assert load_config("whales.yaml") == load_config("configs/whales.yaml") == load_config("whales")


def write(tmp_path: Path, text: str, name: str = "c.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_extends_merges_sections_and_replaces_lists(tmp_path: Path) -> None:
    write(tmp_path, "train: {epochs: 7, lr: 0.5}\nlosses: [{name: a}, {name: b}]", "base.yaml")
    config = load_config(
        write(tmp_path, "extends: base.yaml\ntrain: {lr: 0.25}\nlosses: [{name: c}]")
    )
    assert (config.train.epochs, config.train.lr) == (7, 0.25)
    assert [loss.name for loss in config.losses] == ["c"]
    assert config.name == "c"


def test_overrides_come_last_and_are_typed(tmp_path: Path) -> None:
    path = write(tmp_path, "losses: [{name: arcface}]")
    config = load_config(
        path, ["train.epochs=3", "train.clip=null", "losses.0.weight=2", "train.lr=1e-3"]
    )
    assert config.train.epochs == 3
    assert config.train.clip is None
    assert config.train.lr == 0.001
    assert config.losses[0].weight == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle: {}", "did you mean model"),
        ("train: {epoch: 3}", "unknown key train.epoch: did you mean epochs"),
        ("model: {pooling: gme}", "'gem', 'avg' or 'max'"),
        ("train: {epochs: many}", "train.epochs='many'"),
        ("train: {epochs: 0}", "train.epochs=0"),
        ("losses: [{nam: x}]", "losses.0"),
        ("split: {folds: 3, fold: 3}", "folds run from 0 to 2"),
        ("data: [1]", "data="),
        ("a: b: c", "is not YAML"),
        ("- 1", "expected keys with values"),
        ("extends: nothing.yaml", "nothing.yaml"),
        ("extends: c.yaml", "circle"),
        ("extends: [a, b]", "the name of one file"),
        ("extends: .", "is no file"),
        (
            "train: {epochs: 3}\ntrain: {epochs: 4}",
            "'train' stands twice in one section, in lines 1 and 2",
        ),
        ("train: {lr: 1,\n lr: 2}", "'lr' stands twice"),
        ("train: {epochs: " + "9" * 5000 + "}", "Exceeds the limit"),
        ("train: {epochs: " + "9" * 50 + "}", "train.epochs is a number of more than 18 digits"),
        ("train: {lr: .inf}", "train.lr=inf: Input should be a finite number"),
        ("train: {lr: .nan}", "train.lr=nan"),
        ("losses: [{name: cosface, params: {scale: .nan}}]", "scale"),
        ("train: {seed: 4294967296}", "train.seed=4294967296"),
        ("split: {seed: -1}", "split.seed=-1"),
        ("name: 2020-01-01", "name is a date; write text (in quotes)"),
        ("name: 2020-99-99", "month must be in 1..12"),
        ("name: !!binary /w==", "name is binary"),
        ("1: 2", "the key 1 is a int, not text"),
        ("null: 2", "the key None is empty, not text"),
        ("? [a, b]\n: c", "is not YAML"),
        ("x: &x [*x]", "nested deeper than 20"),
        ("data: " + "[" * 3000, "nested too deeply"),
        ("data: " + "{a: " * 200 + "1" + "}" * 200, "nested deeper than 20"),
        ("runs: " + "x" * 5000, "runs is longer than 4,096 characters"),
        ('runs: "a\\0"', "runs holds a line break, another control character"),
        ('runs: "a\\ud800"', "half a letter"),
        ('"a\\nb": 1', "the key 'a\\nb' holds a line break"),
        ("name: a/../../b", "it names a folder in runs"),
        ("name: /", "it names a folder in runs"),
        ("name: ''", "it names a folder in runs"),
        ("name: ..", "it names a folder in runs"),
        ("train: {workers: " + "a" * 3000 + "}", "aaa ... aaa"),
        ("\n".join(f"k{i}: 1" for i in range(60)), "and 40 more"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FlukeprintError) as caught:
        load_config(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


def test_a_few_lines_that_stand_for_billions_of_values(tmp_path: Path) -> None:
    refused(lambda: load_config(write(tmp_path, BOMB)), "more than 10,000 values")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("train: {epochs: 3}".encode("utf-16"), "is not UTF-8 text (byte 0); save it as UTF-8"),
        ("name: Füße".encode("latin-1"), "is not UTF-8 text (byte 7)"),
        (b"# " + b"x" * (1 << 20), "more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    refused(lambda: load_config(path), str(path), said)


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbftrain: {epochs: 3}")
    assert load_config(path).train.epochs == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    refused(lambda: load_config(write(tmp_path, "extends: pipe.yaml")), "pipe.yaml is no file")


def test_anchors_merge_keys_and_nested_names_are_read(tmp_path: Path) -> None:
    text = (
        "name: whales/small\nmodel: &m {dropout: 0.5}\ntrain: {<<: {lr: 0.1, epochs: 2}, lr: 0.2}"
    )
    config = load_config(write(tmp_path, text))
    assert (config.name, config.train.lr, config.train.epochs) == ("whales/small", 0.2, 2)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match=r"(?=.*modle)(?=.*train\.lr)"):
        load_config(write(tmp_path, "modle: 1\ntrain: {lr: -1}"))


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train.lr.x=1", "losses.4.name=x"])
def test_a_bad_override_is_refused(tmp_path: Path, override: str) -> None:
    path = write(tmp_path, "train: {lr: 0.1}\nlosses: [{name: arcface}]")
    with pytest.raises(FlukeprintError):
        load_config(path, [override])


@pytest.mark.usefixtures("at_repository")
def test_an_unknown_config_names_the_nearest() -> None:
    with pytest.raises(FlukeprintError, match="did you mean nyala"):
        load_config("nyalla.yaml")


def test_the_digest_is_of_content(tmp_path: Path) -> None:
    one = load_config(write(tmp_path, "train: {epochs: 20}\nname: x"))
    other = load_config(write(tmp_path, "name: x"))
    assert one.digest() == other.digest() == Config(name="x").digest()
    assert one.digest() != load_config(tmp_path / "c.yaml", ["train.seed=1"]).digest()


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("best_map5", "best_map5"),
        ("none", "none"),
        ("0.25", 0.25),
        ("1e-3", 0.001),  # YAML takes it for a word
        ("{share: 0.165}", NewShare(share=0.165)),
        ("{false_new: 0}", FalseNew(false_new=0)),
    ],
)
def test_a_threshold_has_five_forms(tmp_path: Path, text: str, threshold: object) -> None:
    config = load_config(write(tmp_path, f"infer: {{threshold: {text}}}"))
    assert config.infer.threshold == threshold
    assert Config.model_validate(config.model_dump(mode="json")) == config
    assert load_config(write(tmp_path, ""), [f"infer.threshold={text}"]).infer == config.infer


@pytest.mark.parametrize(
    "text",
    ["fit", "best", "null", "yes", ".nan", ".inf", "[1]", "{}", "{share: 1.5}", "{false_new: -1}",
     "{shar: 0.1}", "{share: 0.1, false_new: 0.1}", "{share: many}"],
)  # fmt: skip
def test_a_wrong_threshold_is_answered_with_the_right_forms(tmp_path: Path, text: str) -> None:
    with pytest.raises(FlukeprintError) as caught:
        load_config(write(tmp_path, f"infer: {{threshold: {text}}}"))
    said = str(caught.value)
    assert "infer.threshold=" in said
    assert said.count("expected best_map5, none, a number, {share: S} or {false_new: R}") == 1
    assert "\n" not in said


@pytest.mark.parametrize("word", ["32", "'32'", "bf16", "auto"])
def test_a_precision_may_look_like_a_number(word: str) -> None:
    config = load_config(None, [f"train.precision={word}"])
    assert config.train.precision == word.strip("'")


def test_a_method_of_pretraining_alone_stands_for_its_section(tmp_path: Path) -> None:
    write(tmp_path, "pretrain: simclr", "base.yaml")
    path = write(tmp_path, "extends: base.yaml\npretrain: {epochs: 7}")
    config = load_config(path, ["pretrain.queue=50"])
    assert config.pretrain is not None
    assert (config.pretrain.method, config.pretrain.epochs, config.pretrain.queue) == (
        "simclr", 7, 50,
    )  # fmt: skip
    assert load_config(path, ["pretrain=null"]).pretrain is None
    assert load_config(None).pretrain is None
    shown = load_config(None, ["pretrain=simclr", "pretrain.lr=0.5"]).pretrain
    assert shown is not None
    assert shown.lr == 0.5
    refused(lambda: load_config(None, ["pretrain=moco"]), "pretrain.method='moco'", "'simclr'")
    refused(lambda: load_config(None, ["pretrain.epochs=3"]), "pretrain.method")
    refused(
        lambda: load_config(None, ["pretrain=simclr", "pretrain.que=3"]),
        "unknown key pretrain.que", "queue",
    )  # fmt: skip


def test_a_pretraining_belongs_to_the_recipe_even_with_defaults_alone() -> None:
    plain, staged, longer = (
        load_config(None, options)
        for options in ([], ["pretrain=simclr"], ["pretrain=simclr", "pretrain.epochs=7"])
    )
    assert len({recipe_digest(config) for config in (plain, staged, longer)}) == 3
    assert len({training_digest(config) for config in (plain, staged, longer)}) == 3


def test_keypoints_are_matched_at_once_only_where_parts_are_fused(tmp_path: Path) -> None:
    path = write(tmp_path, "rank: {local: {matcher: lnbnn, candidates: all}}")
    refused(lambda: load_config(path), "rank.local.matcher=lnbnn needs rank.fuse=true")
    local = load_config(path, ["rank.fuse=true"]).rank.local
    assert (local.candidates, local.neighbours, local.verify) == ("all", 3, 20)
    assert load_config(path, ["rank.local.candidates=0"]).rank.local.candidates == 0
    sift = load_config(path, ["rank.local.matcher=sift"]).rank.local
    assert (sift.matcher, sift.candidates) == ("sift", "all")
    for candidates in ("-1", "some", "1.5"):
        refused(
            lambda: load_config(path, ["rank.fuse=true", f"rank.local.candidates={candidates}"]),  # noqa: B023
            "rank.local.candidates", candidates,
        )  # fmt: skip


def test_keys_of_several_embedding_processes_are_gone() -> None:
    """Runs of earlier versions have saved them as 1."""
    assert load_config(None, ["infer.devices=1", "infer.num_nodes=1"]) == load_config(None)
    with pytest.raises(FlukeprintError, match=r"infer\.devices is no more.*embed-all"):
        load_config(None, ["infer.devices=8"])
