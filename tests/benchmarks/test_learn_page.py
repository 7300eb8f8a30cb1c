"""`docs/learn.md`, in English and Spanish: figures, words, pictures and commands hold."""

import json
import re
import shlex
from typing import Any

import pytest
import typer

from benchmarks.harness.places import BENCHMARKS, ROOT
from benchmarks.learn import (
    classifier,
    collapse,
    commands,
    heads,
    margins,
    page,
    pairs,
    thresholds,
    triplets,
    whales,
)
from benchmarks.learn.output import FIGURES, LANGUAGES, PICTURES
from flukeprint.cli import app
from flukeprint.config.load import load_config

LESSONS = (classifier, collapse, heads, margins, pairs, thresholds, triplets, whales)
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(learn/([\w.]+)\)")


def text_of(language: str) -> str:
    return page.PAGES[language].read_text(encoding="utf-8")


def sections(text: str) -> list[tuple[str, str]]:
    """Each heading's marks, such as `##`, and the text below it."""
    parts = re.split(r"^(#{1,3}) .+$", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def result(name: str) -> Any:
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))


def shell(text: str) -> list[str]:
    """The commands of a page, without comments."""
    lines = "".join(body for kind, body in BLOCK.findall(text) if kind == "bash").splitlines()
    return [line.split("  #")[0].strip() for line in lines]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_holds_the_figures_that_were_measured(language: str) -> None:
    assert text_of(language) == page.rendered(language)
    assert "{{" not in text_of(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_figure_is_put_where_its_place_is(language: str) -> None:
    """The figures between the fixed texts, read back and compared with the results."""
    template, written = page.template(language), text_of(language)
    fixed = re.split(page.PLACE.pattern.replace("(", "(?:"), template)
    read = re.fullmatch("(.*?)".join(re.escape(part) for part in fixed), written, re.DOTALL)
    assert read is not None
    found = page.places(template)
    assert len(found) > 150
    for (name, form), text in zip(found, read.groups(), strict=True):
        value = page.figure(name)
        if isinstance(value, str):
            assert text == value
            continue
        plain = text.replace(",", "").replace("&nbsp;", "").replace(" ", "")
        digits = len(plain.rstrip("%").partition(".")[2])
        share = float(plain.rstrip("%")) / (100 if plain.endswith("%") else 1)
        reach = 0.5 * 10.0**-digits / (100 if plain.endswith("%") else 1)
        assert abs(share - value) <= reach * 1.0001, (name, form, text, value)


def test_spanish_writes_numbers_its_own_way() -> None:
    assert page.written(4000, ",", "en") == "4,000"
    assert page.written(4000, ",", "es") == "4000"
    assert page.written(0.3832, ".1%", "es") == "38.3&nbsp;%"
    assert page.written("a, b %", "", "es") == "a, b %"


def test_both_languages_have_the_same_parts() -> None:
    english, spanish = (sections(page.template(language)) for language in LANGUAGES)
    assert [marks for marks, _ in english] == [marks for marks, _ in spanish]
    for (_, one), (_, other) in zip(english, spanish, strict=True):
        assert sorted(page.places(one)) == sorted(page.places(other))
        assert shell(one) == shell(other)
        assert one.count("\n|") == other.count("\n|")
        assert [f"{name.removesuffix('.png')}.es.png" for name in PICTURE.findall(one)] == (
            PICTURE.findall(other)
        )
        # Neither is much shorter: nothing was left untranslated.
        assert 0.8 < len(other.split()) / max(1, len(one.split())) < 1.45


def test_pictures_are_shown_and_there_are_no_others() -> None:
    shown = {name for language in LANGUAGES for name in PICTURE.findall(text_of(language))}
    assert shown == {path.name for path in PICTURES.iterdir()}
    for lesson in LESSONS:
        english, spanish = (lesson.WORDS[language] for language in LANGUAGES)
        assert set(english) == set(spanish)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_section_ends_with_its_command(language: str) -> None:
    below = [text.rstrip() for _, text in sections(text_of(language))]
    for text in below[1:-1]:  # but the introduction and the papers
        assert text.endswith("```"), text[-200:]
        assert BLOCK.findall(text)[-1][0] == "bash"


@pytest.mark.usefixtures("at_repository")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_can_be_given(language: str) -> None:
    scripts = set()
    for line in shell(text_of(language)):
        words = shlex.split(line)
        if words[:2] == ["python", "-m"]:
            module = words[2]
            assert module.startswith("benchmarks.learn.")
            scripts.add(module.rpartition(".")[2])
        elif words[0] == "python":
            assert words[1] in ("train.py", "infer.py"), line
            assert words[2] == "--config", line
            load_config(words[3], words[4:])
        else:
            assert words[0] == "flukeprint", line
            assert words[1] in COMMANDS, line
            if "-c" in words:
                load_config(words[words.index("-c") + 1], [])
    known = {path.stem for path in (BENCHMARKS / "learn").glob("*.py")}
    assert scripts <= known
    assert {lesson.__name__.rpartition(".")[2] for lesson in LESSONS} <= scripts


def test_lines_quoted_from_trainings_are_those_of_the_commands_shown() -> None:
    found = result("commands")
    for name, command in (commands.COMMANDS | commands.MINED).items():
        assert found[name]["command"] == command
        assert command in text_of("en")
    for name in commands.COMMANDS:
        assert len(found[name]["lines"]) == 2
        assert "\n".join(found[name]["lines"]) in text_of("es")


def test_what_is_said_of_classifiers_and_heads() -> None:
    found = result("classifier")
    one = found["photographs"]["1"]
    assert one["own"] == 1
    assert one["classifier"] <= one["pixels"]
    assert 0.1 < found["strangers"]["gallery"] < one["pixels"]
    six = {name: value for name, value in result("heads").items() if isinstance(value, dict)}
    assert len(six) == 6
    by_distance = [
        v["right"] for name, v in six.items() if name not in ("difference", "concatenation")
    ]
    assert max(six["difference"]["right"], six["concatenation"]["right"]) < min(by_distance)
    turned = {name for name, value in six.items() if value["turned_otherwise"] > 0}
    assert turned == {"concatenation"}


def test_what_is_said_of_pairs_and_triplets() -> None:
    found = result("pairs")
    assert found["after"]["lowest"] > found["before"]["highest"]
    found = result("triplets")
    assert found["easy"]["right"] < found["untrained"]["right"] < found["pixels"]["right"]
    assert found["easy"]["free_last"] < 0.55 < 0.99 < found["semi_hard"]["free_last"]
    assert found["likest"]["of_hard"] * 2 > found["zones"]["after"]["hard"]
    assert found["batch_hard"]["lowest"] > 0.9  # none collapsed with batches of 40


def test_what_is_said_of_collapse() -> None:
    found = result("collapse")
    for name in ("hardest", "soft"):
        assert found[name]["least_rank"] < 2
        assert found[name]["greatest_cosine"] > 0.999
        assert found[name]["rank"] < 4
        assert found[name]["right"] < 0.9
    assert abs(found["hardest"]["cost"] - found["margin"]) < 0.03
    assert found["euclidean"]["greatest_cosine"] > 0.99
    assert found["euclidean"]["rank"] > 8
    for name in ("semi_hard", "semi_then_hard"):
        assert found[name]["least_rank"] > 8
    assert found["center"]["rank"] < 2
    assert found["center"]["cosine"] > 0.99
    for name in ("center_slow", "softmax", "center_softmax"):
        assert found[name]["rank"] > 8
    ran = result("commands")
    assert (
        ran["digits_hardest"]["effective_rank"] < 3 < 8 < ran["digits_semi_hard"]["effective_rank"]
    )


def test_what_is_said_of_the_recipes() -> None:
    found = result("commands")
    for name in commands.COMMANDS:
        pairs_right = found[name]["pairs_right"]
        assert pairs_right["trained"] > pairs_right["untrained"] + 0.1
        assert pairs_right["untrained"] < 0.7
    assert found["shapes"]["pairs_right"]["trained"] == 1
    assert found["digits_hardest"]["pairs_right"]["trained"] < 0.55
    assert found["digits_semi_hard"]["pairs_right"]["trained"] > 0.7
    ranked = [float(found[name]["lines"][1].split()[3]) for name in commands.MINED]
    assert ranked[0] > ranked[1]  # the collapsed network ranks no worse


def test_what_is_said_of_margins_and_thresholds() -> None:
    circle = result("margins")["circle"]
    for name in ("cosface", "arcface"):
        assert circle[name]["angle"] < circle["cosine"]["angle"] < circle["softmax"]["angle"]
    flanks = result("margins")["two_flanks"]
    assert flanks["flanks_found"] < flanks["animals"] / 2
    assert flanks["right"] > 0.95
    over = result("margins")["long_tail"]["dynamic_over_wide"]
    assert over["mean"] > 0
    assert over["lowest"] < 0 < over["highest"]
    found = result("thresholds")
    mean = found["mean"]["metrics"]
    assert mean["cosine"] == mean["euclidean"]
    others = max(abs(value - mean["cosine"]) for value in mean.values())
    assert others < abs(found["first"]["metrics"]["cosine"] - mean["cosine"])
    assert found["mean"]["unseen"]["eer"] > 10 * found["mean"]["seen"]["eer"]


def test_what_is_said_of_whales() -> None:
    found = result("whales")
    test = found["test"]
    assert test["known"] + test["new"] == test["photographs"]
    assert test["map5"] > found["never_new"]
    enrolled = found["enrolment"]
    assert enrolled["right_after"] <= enrolled["among_five_after"] <= enrolled["asked"]
    config = load_config(ROOT / "configs" / "demo.yaml")
    assert config.losses[0].name == "dynamic_arcface"
