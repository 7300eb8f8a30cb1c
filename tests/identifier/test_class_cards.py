"""Cards that are read, refused and written back; the facts about the spiders agree."""

from pathlib import Path

import pytest

from flukeprint.config.load import load_config
from flukeprint.data.readers.read import read_labelled
from flukeprint.errors import FlukeprintError
from flukeprint.identifier.class_cards import ClassDescription, check_cards, read_cards, save_cards
from flukeprint.identifier.taxonomy import Taxonomy

FULL = ClassDescription(
    name="Loxosceles laeta",
    rank="species",
    common_en="Chilean recluse",
    common_es="Araña de rincón",
    where_en="Houses, in corners",
    where_es="Casas, en rincones",
    medically_important="yes",
    note_en='The "corner" spider.',
    note_es="La del rincón.",
    advice_en="Wash it, rest.",
    advice_es="Lave, repose.",
    call="600",
    source="Ministry",
    credit="Drawn",
)
SHORT = ClassDescription(name="Gnaphosidae")


def write(folder: Path, *rows: str) -> Path:
    path = folder / "cards.csv"
    path.write_text("\n".join((*rows, "")), encoding="utf-8")
    return path


def test_cards_are_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cards.csv"
    save_cards({"laeta": FULL, "ground": SHORT}, path)
    assert path.read_text(encoding="utf-8") == (
        "class,name,rank,common_en,common_es,where_en,where_es,medical,note_en,note_es,"
        "advice_en,advice_es,call,source,credit\n"
        "laeta,Loxosceles laeta,species,Chilean recluse,Araña de rincón,"
        '"Houses, in corners","Casas, en rincones",yes,"The ""corner"" spider.",La del rincón.,'
        '"Wash it, rest.","Lave, repose.",600,Ministry,Drawn\n'
        "ground,Gnaphosidae,class,,,,,,,,,,,,\n"
    )
    assert dict(read_cards(path)) == {"laeta": FULL, "ground": SHORT}
    assert list(read_cards(path)) == ["laeta", "ground"]
    assert [file.name for file in path.parent.iterdir()] == ["cards.csv"]


def test_only_class_and_name_are_needed_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, "name,medical,class", " Old Thom ,, w_1 ", "Hook,unknown,w_2")
    assert dict(read_cards(path)) == {
        "w_1": ClassDescription("Old Thom", "class"),
        "w_2": ClassDescription("Hook", "class", medically_important="unknown"),
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("class,name,advice_en", "a,A,Wash it."), ("line 2", "needs its source")),
        (("class,name,call", "a,A,600"), ("line 2", "needs its source")),
        (("class,rank", "a,genus"), ("has no column name",)),
        (("name", "A"), ("has no column class",)),
        (("class,name,comon_en", "a,A,x"), ("unknown column comon_en", "did you mean common_en")),
        (("class,name,", "a,A,x"), ("unknown column (without a name)",)),
        (("class,name", "a,A", ",B"), ("column class is empty in line 3",)),
        (("class,name", "a,A", "b,"), ("column name is empty in line 3",)),
        (("class,name", "a,A", "b,B", "a,A"), ("repeats rows: a (lines 2, 4)",)),
        (("class,name,medical", "a,A,no", "b,B,Yes"), ("line 3: medical is yes, no", "found Yes")),
    ],
)
def test_other_tables_are_refused(
    tmp_path: Path, rows: tuple[str, ...], words: tuple[str, ...]
) -> None:
    with pytest.raises(FlukeprintError) as refused:
        read_cards(write(tmp_path, *rows))
    for word in ("cards.csv", *words):
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_cards_of_no_class_are_refused() -> None:
    cards = {"laeta": FULL, "ground": SHORT}
    check_cards(cards, ["laeta", "ground", "without a card"])
    check_cards({}, [])
    with pytest.raises(FlukeprintError) as refused:
        check_cards(cards, ["grounds", "laeta"])
    assert "ground;" in str(refused.value)
    assert "did you mean grounds" in str(refused.value)


def test_no_card_is_made_of_what_is_none() -> None:
    for make in (
        lambda: ClassDescription(""),
        lambda: ClassDescription("A", ""),
        lambda: ClassDescription("A", "genus", medically_important="maybe"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError):
            make()


@pytest.fixture(scope="module")
def spiders(repository: Path) -> tuple[Taxonomy, dict[str, ClassDescription]]:
    configs = repository / "configs"
    taxonomy = Taxonomy.read(configs / "spiders" / "taxonomy.csv")
    return taxonomy, dict(read_cards(configs / "spiders" / "cards.csv"))


def test_the_spiders_tables_cover_the_same_classes(
    spiders: tuple[Taxonomy, dict[str, ClassDescription]],
) -> None:
    taxonomy, cards = spiders
    assert taxonomy.ranks == ("genus", "family", "order")
    assert list(cards) == list(taxonomy.lineages) == sorted(cards)
    assert len(cards) == 50


@pytest.mark.photos
def test_the_spiders_tables_cover_the_photographs(
    spiders: tuple[Taxonomy, dict[str, ClassDescription]], photos: Path, repository: Path
) -> None:
    config = load_config(repository / "configs" / "spiders.yaml", [f"data.root={photos}/spiders"])
    identities = {name for name in read_labelled(config.data).identities if name is not None}
    assert set(spiders[0].lineages) == set(spiders[1]) == identities


def test_the_spiders_cards_agree_with_their_lineages(
    spiders: tuple[Taxonomy, dict[str, ClassDescription]],
) -> None:
    taxonomy, cards = spiders
    for identity, card in cards.items():
        genus, family, order = taxonomy.lineages[identity]
        words = card.name.split()
        if card.rank == "family":
            assert genus is None, identity
            assert card.name == family or (family is None and " or " in card.name), identity
        elif card.rank == "genus":
            assert words == [genus, "sp."], identity
        else:
            assert card.rank == "species", identity
            assert len(words) == 2, identity
            assert words[0] == genus, identity
        assert order == ("Opiliones" if genus in ("Pachylus", "Sadocus") else "Araneae"), identity
        assert family is None or family.endswith("idae"), identity


def test_the_spiders_whose_bite_needs_care(
    spiders: tuple[Taxonomy, dict[str, ClassDescription]],
) -> None:
    cards = spiders[1]
    important = {name for name, card in cards.items() if card.medically_important == "yes"}
    assert important == {"loxosceles_laeta", "latrodectus_sp"}
    for identity in (*important, "sicarius"):
        assert "Seek medical care after a bite." in (cards[identity].note_en or "")
        assert "Busque atención médica" in (cards[identity].note_es or "")


def test_the_spiders_texts_are_in_both_languages(
    spiders: tuple[Taxonomy, dict[str, ClassDescription]],
) -> None:
    for identity, card in spiders[1].items():
        for english, spanish in (
            (card.common_en, card.common_es),
            (card.where_en, card.where_es),
            (card.note_en, card.note_es),
            (card.advice_en, card.advice_es),
        ):
            assert (english is None) == (spanish is None), identity
        for text in (card.note_en, card.note_es, card.advice_en, card.advice_es):
            assert text is None or text.endswith("."), identity
        for text in (card.common_en, card.common_es, card.where_en, card.where_es):
            assert text is None or (text[0].isupper() and text[-1].isalpha()), identity


def test_the_spiders_tables_are_as_they_would_be_written(
    repository: Path, tmp_path: Path, spiders: tuple[Taxonomy, dict[str, ClassDescription]]
) -> None:
    taxonomy, cards = spiders
    taxonomy.save(tmp_path / "taxonomy.csv")
    save_cards(cards, tmp_path / "cards.csv")
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (repository / "configs" / "spiders" / file.name).read_bytes()
