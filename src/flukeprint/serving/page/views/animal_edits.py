"""What a keeper may change of an animal, as forms that the page's script sends to the API."""

from collections.abc import Sequence

import htpy as html
from htpy import Element

from flukeprint.records.kinds import LIFE_STAGES, SEXES
from flukeprint.serving.api.catalogue.bodies import AnimalPage
from flukeprint.serving.page.context import Content, PageContext, aria, data


def animal_edits(context: PageContext, animal: AnimalPage) -> Element:
    """Forms to rename, merge, describe an animal, and to move its photographs."""
    address = f"/v1/animals/{int(animal.id)}"
    photos = [
        (str(int(one.photo)), f"{one.image} {one.date or ''}".strip()) for one in animal.photos
    ]
    forms: Content = [
        _form(context, "rename", f"{address}/rename", [
            _text(context, "rename", "name", "edit_name", required=True),
        ]),
        _form(context, "alias", f"{address}/aliases", [
            _text(context, "alias", "name", "edit_alias_name", required=True),
        ]),
        _form(context, "merge", f"{address}/merge", [_animal(context, "merge", "other")]),
        _form(context, "describe", f"{address}/describe", [
            _choice(context, "describe", "sex", "animals_sex",
                    [("", context.text("edit_unknown")),
                     *((sex, context.text(f"sex_{sex}")) for sex in SEXES)], animal.sex),
            _choice(context, "describe", "life_stage", "animal_stage",
                    [("", context.text("edit_unknown")),
                     *((stage, context.text(f"stage_{stage}")) for stage in LIFE_STAGES)],
                    animal.life_stage),
            _text(context, "describe", "died", "animal_died", animal.died or "", hint="2026-05"),
            _text(context, "describe", "notes", "card_note", animal.notes or ""),
        ], whole=True),
    ]  # fmt: skip
    if photos:
        forms.append(
            _form(context, "move", "/v1/photos/{photo}/move", [
                _choice(context, "move", "photo", "edit_photo", photos, None),
                _animal(context, "move", "animal"),
                _text(context, "move", "new_name", "edit_new_name"),
            ])
        )  # fmt: skip
    return html.details(class_="edits", id="edits")[
        html.summary[context.text("edit_title")],
        html.p(class_="hint")[context.text("edit_hint")],
        forms,
    ]


def _form(
    context: PageContext, name: str, address: str, fields: Sequence[Element], whole: bool = False
) -> Element:
    """A form of one change.  whole: empty fields are sent too, to forget what they held."""
    return html.form(
        data(post=address, whole="yes" if whole else "no"), id=f"edit-{name}", class_="picker"
    )[
        html.h3[context.text(f"edit_{name}")],
        html.div(class_="fields")[fields, _text(context, name, "reason", "edit_reason")],
        html.button(class_="button plain small")[context.text(f"edit_{name}_do")],
        html.p(role="status", class_="hint said"),
    ]


def _text(
    context: PageContext, form: str, name: str, label: str, value: str = "",
    *, required: bool = False, hint: str | None = None,
) -> Element:  # fmt: skip
    field = f"edit-{form}-{name}"
    return html.div[
        html.label(for_=field)[context.text(label)],
        html.input(
            id=field, name=name, class_="field", value=value, required=required,
            placeholder=hint, autocomplete="off",
        ),
    ]  # fmt: skip


def _choice(
    context: PageContext, form: str, name: str, label: str,
    choices: Sequence[tuple[str, str]], chosen: str | None,
) -> Element:  # fmt: skip
    field = f"edit-{form}-{name}"
    options = [
        html.option(value=value, selected=value == (chosen or ""))[text] for value, text in choices
    ]
    return html.div[
        html.label(for_=field)[context.text(label)],
        html.select(id=field, name=name, class_="field")[options],
    ]


def _animal(context: PageContext, form: str, name: str) -> Element:
    """A field that finds another animal by any of its names."""
    field = f"edit-{form}-{name}"
    return html.div[
        html.label(for_=field)[context.text("queue_other")],
        html.input(
            data(finds=name), aria(describedby=f"{field}-chosen"), id=field, type="search",
            class_="field", autocomplete="off",
        ),
        html.input(type="hidden", name=name, id=f"{field}-id"),
        html.p(id=f"{field}-chosen", class_="hint", role="status"),
        html.ul(id=f"{field}-found", class_="found"),
    ]  # fmt: skip
